//! Git settings of the file.

use std::sync::Arc;
use std::time::Duration;

use entity::git_settings;
use kiops::app::declared::{self, Organization, Outcome};
use kiops::app::git::settings::{self as git, SaveGitSettings};
use kiops::app::{Actor, change::Change};
use kiops::domain::git::Provider;
use kiops::git::GitError;
use serde_json::{Value, json};

use super::{ada, apply, everything, gitlab, is_declared, organization};
use crate::git::wire::{GITLAB_TOKEN, clients};
use crate::support::app::{TestApp, settings};
use crate::support::git::{FakeGits, GOOD_TOKEN};
use crate::support::gitlab_double::GitlabDouble;

const EVERY: Duration = Duration::from_secs(30);

async fn row(test: &TestApp, admin: &Actor) -> git_settings::Model {
    git::list(&test.app, admin).await.unwrap().remove(0)
}

#[tokio::test]
async fn it_is_changed_in_the_file_alone() {
    let test = TestApp::new().await;
    apply(&test, &[everything()]).await;
    let admin = ada(&test, "acme").await;
    let before = test.rows().await;
    let input = SaveGitSettings {
        provider: Provider::Gitlab,
        base_url: Change::Set("https://gitlab.example".to_owned()),
        token: GOOD_TOKEN.into(),
    };
    is_declared(&git::save(&test.app, &admin, input.clone()).await.unwrap_err());
    is_declared(&git::delete(&test.app, &admin, Provider::Gitlab).await.unwrap_err());
    assert_eq!(test.rows().await, before);
    apply(&test, &[organization("acme")]).await;
    git::save(&test.app, &admin, input).await.unwrap();
    git::delete(&test.app, &admin, Provider::Gitlab).await.unwrap();
}

#[tokio::test]
async fn it_is_stored_before_the_provider_is_asked_and_tried_afterwards() {
    let test = TestApp::new().await;
    test.gits.of(Provider::Gitlab).failure = Some(GitError::Unreachable("nobody is there".to_owned()));
    apply(&test, &[everything()]).await;
    assert!(test.gits.of(Provider::Gitlab).calls.is_empty(), "a start waits for no provider");
    let admin = ada(&test, "acme").await;
    let untried = row(&test, &admin).await;
    assert_eq!((untried.account, untried.status_message.as_deref()), (None, Some("the token was not tried yet")));
    declared::look(&test.app, EVERY).await;
    let down = row(&test, &admin).await;
    assert_eq!((down.rejected, down.status_message.as_deref()), (false, Some("nobody is there")));
    assert_eq!(apply(&test, &[everything()]).await, Outcome::AsItWas);

    test.gits.of(Provider::Gitlab).failure = None;
    test.clock.advance(chrono::TimeDelta::hours(1));
    kiops::app::git::check::check_due(&test.app).await.unwrap();
    let tried = row(&test, &admin).await;
    assert_eq!((tried.account.as_deref(), tried.status_message), (Some("bot"), None));

    // Another token: what was known is kept until it was tried, and it is not taken.
    let mut file = everything();
    file.git[0].token = "glpat-a-token-that-is-not-taken".into();
    apply(&test, &[file]).await;
    assert_eq!(row(&test, &admin).await.account.as_deref(), Some("bot"));
    declared::look(&test.app, EVERY).await;
    assert!(row(&test, &admin).await.rejected);
}

/// A GitLab on this machine, which no user may name: the file may.
#[tokio::test]
async fn its_address_passes_no_filter_until_it_is_released() {
    let double = GitlabDouble::start("/tools/gitlab").await;
    let me = double.state().person("bot");
    double.state().token(GITLAB_TOKEN, me, &["api"]);
    double.state().group("acme", me, 50);
    double.state().project("acme/shop", "main");
    let clients = Arc::new(clients(&[], "http://127.0.0.1:1"));
    let test = TestApp::with_gits(settings(), clients, Arc::new(FakeGits::default())).await;
    let mut one = gitlab(&double.url);
    one.token = GITLAB_TOKEN.into();
    apply(&test, &[Organization { git: vec![one], ..organization("acme") }]).await;
    declared::look(&test.app, EVERY).await;
    let admin = ada(&test, "acme").await;
    let tried = row(&test, &admin).await;
    assert_eq!((tried.account.as_deref(), tried.status_message), (Some("bot"), None));
    let projects = "{ gitProjects(provider: GITLAB) { nodes { path } } }";
    let found = test.data(&admin, projects, Value::Null).await;
    assert_eq!(found["gitProjects"]["nodes"], json!([{ "path": "acme/shop" }]));

    apply(&test, &[organization("acme")]).await;
    let refused = test.run(Some(&admin), projects, Value::Null).await;
    assert!(refused.errors[0].message.contains("net.allow"), "{:?}", refused.errors);
    let far = test.organization("far").await;
    let input = SaveGitSettings {
        provider: Provider::Gitlab,
        base_url: Change::Set(double.url.clone()),
        token: GITLAB_TOKEN.into(),
    };
    let refused = git::save(&test.app, &far, input).await.unwrap_err();
    assert_eq!(refused.violations[0].field, "input.baseUrl", "{refused:?}");
}

/// A check of the earlier place, which another server may be about, finds that it is of other settings.
#[tokio::test]
async fn another_place_has_a_secret_of_its_own() {
    let test = TestApp::new().await;
    apply(&test, &[everything()]).await;
    let admin = ada(&test, "acme").await;
    let before = row(&test, &admin).await;
    let moved = Organization { git: vec![gitlab("https://git.example")], ..everything() };
    apply(&test, &[moved]).await;
    let after = row(&test, &admin).await;
    assert_eq!((before.id, after.base_url.as_str()), (after.id, "https://git.example"));
    assert_ne!(before.secret_id, after.secret_id);
}
