//! The file as a whole: made, left alone, changed, released, and by several servers at once.

use entity::{Role, RuntimeStatus};
use kiops::app::declared::{self, Outcome};
use kiops::app::{registries, runtimes};
use kiops::domain::secret::ExposeSecret as _;
use sea_orm::EntityTrait as _;
use serde_json::json;

use super::{ada, apply, everything, keys, login, only_runtime, organization, refused, runtime, trail, user};
use crate::support::app::{PASSWORD, TestApp};
use crate::support::git::GOOD_TOKEN;

const SHOWN: &str = "{ users { nodes { email role declared } } runtimes { nodes { name endpoint declared } } \
    registries { host username repositoryPrefix declared } gitSettings { provider baseUrl declared } }";

#[tokio::test]
async fn the_first_start_makes_it_and_the_second_writes_nothing() {
    let test = TestApp::new().await;
    assert_eq!(apply(&test, &[everything()]).await, Outcome::Changed(8));
    let admin = ada(&test, "acme").await;
    let shown = test.data(&admin, SHOWN, json!({})).await;
    let expected = json!({
        "users": { "nodes": [
            { "email": "bob@acme.example", "role": "MEMBER", "declared": true },
            { "email": "ada@acme.example", "role": "ADMIN", "declared": true },
        ] },
        "runtimes": { "nodes": [{ "name": "local", "endpoint": "unix:///var/run/docker.sock", "declared": true }] },
        "registries": [{
            "host": "registry.example:5000", "username": "robot", "declared": true,
            "repositoryPrefix": "registry.example:5000/acme",
        }],
        "gitSettings": [{ "provider": "GITLAB", "baseUrl": "https://gitlab.example", "declared": true }],
    });
    assert_eq!(shown, expected);
    let done = [
        "organization.created acme",
        "user.created ada@acme.example",
        "user.created bob@acme.example",
        "runtime.registered local",
        "registry.saved registry.example:5000",
        "git_settings.saved GitLab",
        "user.password_declared ada@acme.example",
        "user.password_declared bob@acme.example",
    ];
    let trail = trail(&test, &admin).await;
    assert_eq!(trail, done);
    declared::look(&test.app, std::time::Duration::from_secs(30)).await;
    let row = only_runtime(&test, &admin).await;
    assert_eq!(row.status, RuntimeStatus::Ready, "{:?}", row.status_message);

    let before = test.rows().await;
    assert_eq!(apply(&test, &[everything()]).await, Outcome::AsItWas);
    assert_eq!(test.rows().await, before);
    let secrets = format!("{before:?}");
    assert!(
        !secrets.contains(PASSWORD) && !secrets.contains(GOOD_TOKEN) && !secrets.contains("the-token-of-the-robot")
    );
}

#[tokio::test]
async fn what_is_changed_in_the_file_is_changed() {
    let test = TestApp::new().await;
    apply(&test, &[everything()]).await;
    let admin = ada(&test, "acme").await;
    let before = trail(&test, &admin).await.len();
    let mut other = everything();
    other.name = "Acme Limited".to_owned();
    other.users[1].role = Role::Admin;
    other.runtimes[0] = runtime("local", "tcp://192.0.2.9:2375");
    other.registries[0] = login("registry.example:5000", None);
    other.git[0].base_url = Some("https://gitlab.other.example".to_owned());
    apply(&test, &[other.clone()]).await;
    let done = [
        "organization.renamed acme",
        "user.role_set bob@acme.example",
        "runtime.updated local",
        "registry.saved registry.example:5000",
        "git_settings.saved GitLab",
    ];
    assert_eq!(trail(&test, &admin).await[before..], done);
    assert_eq!(apply(&test, &[other]).await, Outcome::AsItWas);
    let rows = test.rows().await;
    assert_eq!(rows["secret"].len(), 2, "each token is some settings'");
    let row = only_runtime(&test, &admin).await;
    assert_eq!((row.endpoint.as_str(), row.status), ("tcp://192.0.2.9:2375", RuntimeStatus::Unknown));
}

#[tokio::test]
async fn what_is_removed_from_the_file_is_released_and_stays() {
    let test = TestApp::new().await;
    let mut two = [everything(), organization("other")];
    apply(&test, &two).await;
    let admin = ada(&test, "acme").await;
    let (before, events) = (test.data(&admin, SHOWN, json!({})).await, trail(&test, &admin).await.len());
    two[0].users.pop();
    two[0].runtimes.clear();
    two[0].registries.clear();
    two[0].git.clear();
    apply(&test, &two).await;
    let released = [
        "user.released bob@acme.example",
        "runtime.released local",
        "registry.released registry.example:5000",
        "git_settings.released GitLab",
    ];
    assert_eq!(trail(&test, &admin).await[events..], released);
    let after = test.data(&admin, SHOWN, json!({})).await;
    let freed = before.to_string().replace("\"declared\":true", "\"declared\":false");
    let ada_alone = after.to_string().replace("\"declared\":true", "\"declared\":false");
    assert_eq!((ada_alone, after.to_string().matches("\"declared\":true").count()), (freed, 1));
    assert_eq!(apply(&test, &two).await, Outcome::AsItWas);
    // It is the API's now.
    registries::delete(&test.app, &admin, "registry.example:5000").await.unwrap();
    let row = only_runtime(&test, &admin).await;
    runtimes::remove(&test.app, &admin, &row.id).await.unwrap();

    // All of an organization, and all of the file.
    let other = ada(&test, "other").await;
    apply(&test, &[]).await;
    assert_eq!(trail(&test, &other).await.last().unwrap(), "user.released ada@other.example");
    assert_eq!(apply(&test, &[]).await, Outcome::AsItWas);
    test.login("ada@other.example", None).await.unwrap();
}

#[tokio::test]
async fn what_the_api_made_is_left_alone_and_can_come_into_the_file() {
    let test = TestApp::with(crate::support::shop::shared_engine(&["acme", "far"])).await;
    let admin = test.organization("acme").await;
    let far = test.organization("far").await;
    for actor in [&admin, &far] {
        runtimes::register(&test.app, actor, runtime("mine", "tcp://192.0.2.1")).await.unwrap();
        registries::save(&test.app, actor, login("mine.example", None)).await.unwrap();
    }
    test.user(&admin, "carol@acme.example", Role::Member).await;
    let of_far = |rows: &std::collections::BTreeMap<String, std::collections::BTreeSet<String>>| {
        let all = rows.iter().filter(|(table, _)| *table != "audit_event").flat_map(|(_, rows)| rows.iter().cloned());
        all.filter(|row| row.contains(&far.scope.organization_id)).collect::<Vec<_>>()
    };
    let before = of_far(&test.rows().await);
    apply(&test, &[everything()]).await;
    let rows = test.data(&admin, SHOWN, json!({})).await.to_string();
    for made in ["carol@acme.example", "\"mine\"", "mine.example"] {
        assert!(rows.contains(made), "{made}: {rows}");
    }
    assert_eq!(rows.matches("\"declared\":false").count(), 4, "{rows}");
    assert_eq!(of_far(&test.rows().await), before);

    // The same things by their names: they are the file's from now on, with what that says.
    let mut file = everything();
    file.users.push(user("carol@acme.example", Role::Admin, None));
    file.runtimes.push(runtime("mine", "tcp://192.0.2.1"));
    file.registries.push(login("mine.example", None));
    let events = trail(&test, &admin).await.len();
    apply(&test, &[file]).await;
    let done = [
        "user.declared carol@acme.example",
        "user.role_set carol@acme.example",
        "runtime.declared mine",
        "registry.declared mine.example",
        "user.renamed carol@acme.example",
    ];
    assert_eq!(trail(&test, &admin).await[events..], done);
}

#[tokio::test]
async fn servers_that_start_at_once_do_it_once() {
    let test = TestApp::new().await;
    let stated = [everything(), organization("other")];
    let starts = (0..4).map(|_| declared::apply(&test.app, &stated));
    let outcomes = futures_util::future::join_all(starts).await;
    let changed = outcomes.into_iter().filter(|outcome| *outcome.as_ref().unwrap() != Outcome::AsItWas).count();
    assert_eq!(changed, 1);
    let admin = ada(&test, "acme").await;
    assert_eq!(trail(&test, &admin).await.len(), 8);
    assert_eq!(test.rows().await["user"].len(), 3);
}

#[tokio::test]
async fn every_mistake_is_told_at_once_and_nothing_is_written() {
    let test = TestApp::new().await;
    let mut file = [everything(), everything(), organization("third")];
    file[0].users.push(user("ADA@acme.example", Role::Member, None));
    file[0].runtimes.push(runtime("local", "ssh://host"));
    file[0].registries.push(login("registry.example:5000", Some("registry.example:5000/x")));
    let second = file[0].git[0].clone();
    file[0].git.push(second);
    file[1].users[0].password = Some("quite another".into());
    file[2].slug = "No Slug".to_owned();
    file[2].users[0].password = Some("short".into());
    file[2].users[0].name = String::new();
    let faults = refused(&test, &file).await;
    let expected = [
        "organizations.0.users.2.email",
        "organizations.0.runtimes.1.name",
        "organizations.0.runtimes.1.docker.host",
        "organizations.0.registries.1.host",
        "organizations.0.registries.1.repository_prefix",
        "organizations.0.git.1.provider",
        "organizations.1.slug",
        "organizations.1.users.0.password",
        "organizations.2.slug",
        "organizations.2.users.0.name",
        "organizations.2.users.0.password",
    ];
    assert_eq!(keys(&faults), expected, "{faults:?}");
    assert!(!format!("{faults:?}").contains("quite another"));
}

#[tokio::test]
async fn what_only_the_database_knows_is_told_at_once_too() {
    let test = TestApp::with(crate::support::shop::shared_engine(&["acme"])).await;
    let admin = test.organization("acme").await;
    registries::save(&test.app, &admin, login("mine.example", Some("mine.example/acme"))).await.unwrap();
    let mut file = [everything(), organization("new"), organization("also")];
    file[0].users.push(user("nobody@acme.example", Role::Member, None));
    file[1].users[0].role = Role::Member;
    file[2].users = Vec::new();
    let faults = refused(&test, &file).await;
    let expected = [
        "organizations.0.users.2.password",
        "organizations.0.registries.0.repository_prefix",
        "organizations.1.users",
        "organizations.2.users",
    ];
    assert_eq!(keys(&faults), expected, "{faults:?}");
    assert!(faults[2].1.contains("admin"), "{faults:?}");
}

/// What nobody can read any more keeps no server from starting: the file says it again.
#[tokio::test]
async fn stored_secrets_that_do_not_open_are_stored_anew() {
    let test = TestApp::new().await;
    apply(&test, &[everything()]).await;
    let admin = ada(&test, "acme").await;
    let damaged = entity::secret::Entity::update_many()
        .col_expr(entity::secret::Column::Sealed, sea_orm::sea_query::Expr::value(vec![0_u8; 40]))
        .exec(test.app.db.read_write())
        .await
        .unwrap();
    assert_eq!(damaged.rows_affected, 2, "of the registry and of the provider");
    assert!(matches!(apply(&test, &[everything()]).await, Outcome::Changed(_)));
    let login = registries::login_for(&test.app, &admin.scope, None, "registry.example:5000").await.unwrap().unwrap();
    assert_eq!(login.token.expose_secret(), "the-token-of-the-robot");
    assert_eq!(apply(&test, &[everything()]).await, Outcome::AsItWas);
}
