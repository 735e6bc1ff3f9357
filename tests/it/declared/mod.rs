//! Organizations that kiops.toml states.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod check;
pub mod killed;
mod logins;
mod people;
mod places;
mod program;
mod providers;
mod whole;

use entity::Role;
use kiops::app::change::Change;
use kiops::app::declared::{self, DockerInput, Git, Organization, Outcome, RegisterRuntime, SaveRegistry, User};
use kiops::app::{Actor, Code, Error, Precondition, audit, runtimes};
use kiops::domain::git::Provider;
use kiops::domain::paging::{PageLimits, PageRequest};
use kiops::domain::secret::SecretString;

use crate::support::app::{PASSWORD, TestApp};
use crate::support::git::GOOD_TOKEN;

/// An organization with an admin, `ada@SLUG.example`.
fn organization(slug: &str) -> Organization {
    Organization {
        slug: slug.to_owned(),
        name: slug.to_owned(),
        users: vec![user(&format!("ada@{slug}.example"), Role::Admin, Some(PASSWORD))],
        runtimes: Vec::new(),
        registries: Vec::new(),
        git: Vec::new(),
    }
}

fn user(email: &str, role: Role, password: Option<&str>) -> User {
    User { email: email.to_owned(), name: "Ada".to_owned(), role, password: password.map(SecretString::from) }
}

fn runtime(name: &str, host: &str) -> RegisterRuntime {
    let docker = DockerInput { host: Change::Set(host.to_owned()), ..DockerInput::default() };
    RegisterRuntime { name: name.to_owned(), docker: Some(docker), ..Default::default() }
}

fn login(host: &str, prefix: Option<&str>) -> SaveRegistry {
    SaveRegistry {
        host: host.to_owned(),
        username: "robot".to_owned(),
        token: SecretString::from("the-token-of-the-robot"),
        repository_prefix: prefix.map_or(Change::Clear, |prefix| Change::Set(prefix.to_owned())),
    }
}

fn gitlab(base_url: &str) -> Git {
    Git { provider: Provider::Gitlab, base_url: Some(base_url.to_owned()), token: SecretString::from(GOOD_TOKEN) }
}

/// One organization with one of everything.
fn everything() -> Organization {
    let mut all = organization("acme");
    all.users.push(user("bob@acme.example", Role::Member, Some(PASSWORD)));
    all.runtimes.push(runtime("local", "unix:///var/run/docker.sock"));
    all.registries.push(login("registry.example:5000", Some("registry.example:5000/acme")));
    all.git.push(gitlab("https://gitlab.example"));
    all
}

/// Brings the database in line, as a start of a server does.
async fn apply(test: &TestApp, stated: &[Organization]) -> Outcome {
    declared::apply(&test.app, stated).await.unwrap()
}

/// Tries to, which is refused: keys and messages.
async fn refused(test: &TestApp, stated: &[Organization]) -> Vec<(String, String)> {
    let before = test.rows().await;
    let error = declared::apply(&test.app, stated).await.unwrap_err();
    assert_eq!(error.code, Code::BadUserInput);
    assert_eq!(test.rows().await, before, "nothing is written");
    error.violations.into_iter().map(|fault| (fault.field, fault.message)).collect()
}

fn keys(faults: &[(String, String)]) -> Vec<&str> {
    faults.iter().map(|(key, _)| key.as_str()).collect()
}

/// Ada of an organization, logged in.
async fn ada(test: &TestApp, slug: &str) -> Actor {
    test.login(&format!("ada@{slug}.example"), Some(slug)).await.unwrap().actor
}

/// What the file did, in order: actions and their subjects.
async fn trail(test: &TestApp, actor: &Actor) -> Vec<String> {
    let events = audit::list(&test.app, actor, audit::Filter::default(), &page()).await.unwrap();
    let of_file = events.items.iter().filter(|(_, event)| event.detail["by"] == "kiops.toml");
    let mut all: Vec<String> = of_file
        .map(|(_, event)| {
            assert_eq!(event.actor_id, None);
            format!("{} {}", event.action, event.subject_name.clone().unwrap_or_default())
        })
        .collect();
    all.reverse();
    all
}

/// A page of as much as there may be.
fn page() -> PageRequest {
    PageRequest::new(Some(100), None, None, None, PageLimits { default: 20, max: 100 }).unwrap()
}

/// The organization's only runtime.
async fn only_runtime(test: &TestApp, actor: &Actor) -> entity::runtime::Model {
    let rows = runtimes::list(&test.app, &actor.scope, None, &page()).await.unwrap();
    assert_eq!(rows.items.len(), 1);
    rows.items[0].1.clone()
}

fn is_declared(error: &Error) {
    assert_eq!((error.code, error.reason), (Code::FailedPrecondition, Some(Precondition::Declared)), "{error:?}");
}
