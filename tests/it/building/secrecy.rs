//! Secrets and logins: used where they are wanted, and seen nowhere else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use kiops::domain::secret::{RegistryLogin, SecretString};

use super::*;
use crate::support::registry::{Registry, TOKEN, USER};

const VALUE: &str = "s3cret-V4lue-of-the-build-9f81";

#[tokio::test]
async fn a_secret_is_a_file_in_its_step_and_nowhere_else() {
    let Some(place) = Place::new("a_secret_is_a_file_in_its_step_and_nowhere_else") else { return };
    let unique = &place.mark.run_id;
    let mut request = place.request(&format!(
        "RUN --mount=type=secret,id=TOKEN echo {unique}; busybox wc -c < /run/secrets/TOKEN; \
         busybox md5sum < /run/secrets/TOKEN > /sum; echo token is $TOKEN."
    ));
    request.secrets = vec![
        ("TOKEN".into(), SecretString::from(VALUE.to_owned())),
        ("OTHER".into(), SecretString::from("other-value-of-another".to_owned())),
    ];
    let (image, lines) = place.built(&request).await;
    assert!(lines.has(Output::Stdout, &VALUE.len().to_string()), "{}", lines.text());
    assert!(lines.has(Output::Stdout, "token is ."), "{}", lines.text());
    assert_eq!(
        place.run(&image, "busybox ls /run/secrets 2>&1; busybox cat /sum").lines().last().map(str::len),
        Some(35)
    );

    let saved = place.context.path().join("image.tar");
    let out =
        Command::new("docker").args(["--host", &place.host, "save", "--output"]).arg(&saved).arg(&image.id).status();
    assert!(out.unwrap().success());
    let tar = fs::read(&saved).unwrap();
    let history = place.docker(&["history", "--no-trunc", &image.id]);
    let inspected = place.docker(&["inspect", &image.id]);
    let log = lines.text();
    // The layers are not compressed, so that what is in a file of them is in the archive.
    assert!(contains(&tar, unique.as_bytes()));
    for hidden in hidden(VALUE) {
        for (place, bytes) in [("image", tar.as_slice()), ("history", history.as_bytes())] {
            assert!(!contains(bytes, hidden.as_bytes()), "{hidden} is in the {place}");
        }
        assert!(!inspected.contains(&hidden) && !log.contains(&hidden), "{hidden}");
    }
}

#[tokio::test]
async fn a_step_gets_the_secrets_of_its_own_build_only() {
    let Some(place) = Place::new("a_step_gets_the_secrets_of_its_own_build_only") else { return };
    let lines =
        format!("RUN --mount=type=secret,id=MINE,required=true busybox cat /run/secrets/MINE {}", place.mark.run_id);
    let (error, _) = place.failed(&place.request(&lines)).await;
    assert!(
        matches!(&error, BuilderError::Failed(why) if why.contains("MINE") && why.contains("not found")),
        "{error:?}"
    );

    // What a step prints of a secret before it fails is not in the error either.
    let mut request = place.request("RUN --mount=type=secret,id=MINE busybox cat /run/secrets/MINE; exit 1");
    request.secrets = vec![("MINE".into(), SecretString::from(VALUE.to_owned()))];
    let (error, _) = place.failed(&request).await;
    assert!(!error.to_string().contains(VALUE) && error.to_string().contains("exit code 1"), "{error}");
}

#[tokio::test]
async fn a_private_base_image_is_fetched_with_its_login() {
    let test = "a_private_base_image_is_fetched_with_its_login";
    let Some(place) = Place::new(test) else { return };
    let Some(registry) = Registry::start(test) else { return };
    registry.push(&place.host, "kiops-test/base:1", "team/base:1");
    let mut request = place.request("");
    request.dockerfile = format!("FROM {}/team/base:1\nRUN echo {} > /x\n", registry.address, place.mark.run_id);
    let (error, _) = place.failed(&request).await;
    let BuilderError::Failed(why) = &error else { panic!("{error:?}") };
    assert!(why.starts_with(&format!("FROM {}/team/base:1: ", registry.address)), "{why}");
    assert!(why.contains("auth"), "{why}");

    let login = |token: &str| RegistryLogin {
        username: USER.into(),
        token: SecretString::from(token.to_owned()),
        trusted: false,
    };
    request.logins = vec![(registry.address.clone(), login("wrong-token-of-ada"))];
    let (error, _) = place.failed(&request).await;
    assert!(matches!(&error, BuilderError::Failed(why) if !why.contains("wrong-token-of-ada")), "{error:?}");

    request.logins = vec![("elsewhere.example.com".into(), login("x")), (registry.address.clone(), login(TOKEN))];
    let (image, lines) = place.built(&request).await;
    assert!(!lines.text().contains(TOKEN));
    assert_eq!(place.run(&image, "busybox cat /x"), place.mark.run_id);
}

/// A value as it is, and what is the same of its base64 wherever it begins.
fn hidden(value: &str) -> Vec<String> {
    let mut all = vec![value.to_owned()];
    for before in 0..3 {
        let encoded = STANDARD_NO_PAD.encode(format!("{}{value}", "x".repeat(before)));
        all.push(encoded[4..encoded.len() - 4].to_owned());
    }
    all
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
