//! What tests stand on.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

pub mod app;
pub mod bases;
pub mod browser;
pub mod builds;
pub mod cluster;
pub mod engine;
pub mod fakes;
pub mod git;
pub mod git_server;
pub mod github_double;
pub mod gitlab_double;
pub mod hooks;
pub mod pipelines;
pub mod place;
pub mod registry;
pub mod server;
pub mod shop;
pub mod tls;

use app::TestApp;
use kiops::domain::image::{Repository, Tag};
use kiops::registry::RegistryError;
use kiops::runtime::{DockerConnection, RuntimeConnection, RuntimeError};

/// Whether a part that not every machine has (docker, registry, postgres, git, browser) must be there.
#[expect(clippy::disallowed_methods, reason = "what must be there is said by the environment")]
pub fn is_required(part: &str) -> bool {
    std::env::var("KIOPS_TEST_REQUIRE").is_ok_and(|all| all.split(',').any(|word| word.trim() == part))
}

/// Says that a test is skipped because a part is not there.
///
/// # Panics
/// When `KIOPS_TEST_REQUIRE` lists the part.
pub fn skip(test: &str, part: &str) {
    assert!(!is_required(part), "{test} needs {part}, which KIOPS_TEST_REQUIRE lists and which is not there");
    println!("skipped: {test}: {part}");
}

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
