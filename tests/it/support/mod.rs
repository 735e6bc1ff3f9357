//! What tests stand on.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

pub mod app;
pub mod engine;
pub mod fakes;
pub mod github_double;
pub mod registry;
pub mod server;
pub mod shop;

use app::TestApp;
use kiops::domain::image::{Repository, Tag};
use kiops::registry::RegistryError;
use kiops::runtime::{DockerConnection, RuntimeConnection, RuntimeError};

#[tokio::test]
async fn the_fakes_keep_what_they_are_told_and_fail_when_told() {
    let test = TestApp::new().await;
    let digest = test.registries.push("nginx:1.27", 1);
    let (nginx, tag) = (Repository::parse("nginx").unwrap(), Tag::parse("1.27").unwrap());
    assert_eq!(test.app.registries.resolve(&nginx, &tag, None).await.unwrap(), digest);
    *test.registries.failure.lock().unwrap() = Some(RegistryError::Unreachable("away".to_owned()));
    assert!(test.app.registries.resolve(&nginx, &tag, None).await.is_err());

    let connection = DockerConnection { host: "unix:///var/run/docker.sock".to_owned(), tls: None };
    let engine = test.app.runtimes.connect(&RuntimeConnection::Docker(connection)).unwrap();
    test.runtimes.fail("check", RuntimeError::Unreachable("away".to_owned()));
    assert!(engine.check().await.is_err());
    assert_eq!(engine.check().await.unwrap().version, "28.5.1");
}
