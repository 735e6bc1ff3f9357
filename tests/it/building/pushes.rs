//! Images on their way to a registry.

use kiops::domain::secret::{RegistryLogin, SecretString};

use super::*;
use crate::support::registry::{Registry, TOKEN, USER};
use crate::support::server::talk;

fn login(token: &str) -> RegistryLogin {
    RegistryLogin { username: USER.into(), token: SecretString::from(token.to_owned()), trusted: false }
}

/// An image with a name of a registry.
async fn image(place: &Place, registry: &Registry) -> (Repository, Tag) {
    let mut request = place.request(&format!("RUN echo {} > /x", place.mark.run_id));
    request.repository = Repository::parse(&format!("{}/team/app", registry.address)).unwrap();
    place.built(&request).await;
    (request.repository, request.tag)
}

#[tokio::test]
async fn a_push_needs_the_right_login() {
    let test = "a_push_needs_the_right_login";
    let Some(place) = Place::new(test) else { return };
    let Some(registry) = Registry::start(test) else { return };
    let (repository, tag) = image(&place, &registry).await;
    let lines = Lines::default();
    for bad in [None, Some(login("wrong-token-of-ada"))] {
        let refused = place.builder.push(&repository, &tag, bad.as_ref(), &lines).await;
        assert!(matches!(&refused, Err(BuilderError::PushRefused(why)) if !why.contains("wrong-token")), "{refused:?}");
    }
    let digest = place.builder.push(&repository, &tag, Some(&login(TOKEN)), &lines).await.unwrap();
    assert!(lines.has(Output::System, &format!("Pushed {repository}:{tag}, digest {digest}.")), "{}", lines.text());
    assert!(!lines.text().contains("tried again") && !lines.text().contains(TOKEN), "{}", lines.text());
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{USER}:{TOKEN}"));
    let asked = format!(
        "HEAD /v2/team/app/manifests/{digest} HTTP/1.0\r\nAuthorization: Basic {basic}\r\n\
         Accept: application/vnd.docker.distribution.manifest.v2+json\r\n\r\n"
    );
    assert!(talk(&registry.address, &asked).unwrap().contains(" 200 "));
    place.builder.forget(&repository, &tag).await.unwrap();
    let gone = place.builder.push(&repository, &tag, Some(&login(TOKEN)), &lines).await;
    assert!(matches!(gone, Err(BuilderError::Engine(_))), "{gone:?}");
}

#[tokio::test]
async fn a_push_is_tried_again_while_the_registry_is_away() {
    let test = "a_push_is_tried_again_while_the_registry_is_away";
    let Some(place) = Place::new(test) else { return };
    let Some(mut registry) = Registry::start(test) else { return };
    let (repository, tag) = image(&place, &registry).await;
    registry.stop();
    let lines = Lines::default();
    let login = login(TOKEN);
    let since = Instant::now();
    let failed = place.builder.push(&repository, &tag, Some(&login), &lines).await;
    assert!(matches!(&failed, Err(BuilderError::PushFailed(why)) if why.contains("three tries")), "{failed:?}");
    assert!(since.elapsed() >= Duration::from_secs(5), "{:?}", since.elapsed());
    let (pushed, ()) = tokio::join!(place.builder.push(&repository, &tag, Some(&login), &lines), async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        registry.restart();
    });
    pushed.unwrap();
    assert!(lines.has(Output::System, "tried again in 1s"), "{}", lines.text());
    place.builder.forget(&repository, &tag).await.unwrap();
}
