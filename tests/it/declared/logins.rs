//! Logins to registries of the file.

use std::sync::Arc;
use std::time::Duration;

use kiops::app::declared::{self, Organization};
use kiops::app::{Code, registries};
use kiops::boot::SystemClock;
use kiops::domain::clock::Clock as _;
use kiops::domain::image::{Repository, Tag};
use kiops::net::{Outbound, Policy, Timeouts};
use kiops::registry::{Registries as _, RegistryClient, RegistryError, RegistrySettings};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{ada, apply, everything, is_declared, login, organization};
use crate::support::app::TestApp;

const EVERY: Duration = Duration::from_secs(30);

#[tokio::test]
async fn it_is_changed_in_the_file_alone() {
    let test = TestApp::new().await;
    apply(&test, &[everything()]).await;
    let admin = ada(&test, "acme").await;
    let before = test.rows().await;
    let save = registries::save(&test.app, &admin, login("Registry.example:5000", None));
    is_declared(&save.await.unwrap_err());
    is_declared(&registries::delete(&test.app, &admin, "registry.example:5000").await.unwrap_err());
    assert_eq!(test.rows().await, before);
    // The place of the one prefix is taken, by the file.
    let other = registries::save(&test.app, &admin, login("other.example", Some("other.example/x"))).await.unwrap_err();
    assert_eq!(other.code, Code::Conflict);
    apply(&test, &[organization("acme")]).await;
    registries::save(&test.app, &admin, login("registry.example:5000", None)).await.unwrap();
}

#[tokio::test]
async fn it_is_stored_whether_it_is_taken_or_not_and_tried_again() {
    let test = TestApp::new().await;
    *test.registries.failure.lock().unwrap() = Some(RegistryError::Unreachable("nobody is there".to_owned()));
    apply(&test, &[everything()]).await;
    let admin = ada(&test, "acme").await;
    let message = async || registries::list(&test.app, &admin.scope).await.unwrap()[0].status_message.clone();
    assert_eq!(message().await.as_deref(), Some("the login was not tried yet"));
    declared::look(&test.app, EVERY).await;
    assert_eq!(message().await.as_deref(), Some("nobody is there"));
    *test.registries.failure.lock().unwrap() = None;
    declared::look(&test.app, EVERY).await;
    assert_eq!(message().await, None);
}

/// The host of a login that the file states is the operator's own; the same host of a user's login passes the filter.
#[tokio::test]
async fn its_host_passes_no_filter_until_it_is_released() {
    let server = MockServer::start().await;
    let digest = format!("sha256:{}", "ab".repeat(32));
    let answer = ResponseTemplate::new(200)
        .insert_header("docker-content-digest", digest.as_str())
        .insert_header("content-type", "application/vnd.oci.image.index.v1+json");
    Mock::given(method("HEAD")).and(path("/v2/app/manifests/1")).respond_with(answer).mount(&server).await;
    let outbound = Outbound::new(Policy::new(&[], &[], None, Timeouts::default()).unwrap()).unwrap();
    let clock = Arc::new(|| SystemClock.now());
    let client = RegistryClient::new(outbound, &RegistrySettings::default(), Vec::new(), clock).unwrap();

    let test = TestApp::new().await;
    let host = server.address().to_string();
    let file = Organization { registries: vec![login(&host, None)], ..organization("acme") };
    apply(&test, &[file]).await;
    let admin = ada(&test, "acme").await;
    let repository = Repository::parse(&format!("{host}/app")).unwrap();
    let resolve = async || {
        let login = registries::login_for(&test.app, &admin.scope, None, &host).await.unwrap();
        client.resolve(&repository, &Tag::parse("1").unwrap(), login.as_ref()).await
    };
    assert_eq!(resolve().await.unwrap().as_str(), digest);
    apply(&test, &[organization("acme")]).await;
    let refused = resolve().await.unwrap_err();
    assert!(matches!(&refused, RegistryError::Refused(why) if why.contains("net.allow")), "{refused:?}");
}

/// The prefix that the file gave to one registry it may give to another, which takes its place.
#[tokio::test]
async fn its_prefix_goes_with_it() {
    let test = TestApp::new().await;
    apply(&test, &[everything()]).await;
    let next = login("next.example", Some("next.example/acme"));
    apply(&test, &[Organization { registries: vec![next], ..organization("acme") }]).await;
    let admin = ada(&test, "acme").await;
    let all = registries::list(&test.app, &admin.scope).await.unwrap();
    let mut all: Vec<_> = all.iter().map(|row| (row.host.as_str(), row.repository_prefix.as_deref())).collect();
    all.sort_unstable();
    assert_eq!(all, [("next.example", Some("next.example/acme")), ("registry.example:5000", None)]);
}
