//! `kiops secrets rotate`.

use std::sync::Arc;
use std::time::Duration;

use entity::secret;
use kiops::app::App;
use kiops::app::secrets::{self, Mark, rotate};
use kiops::vault::{Key, Keys, Sealed, Vault};
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::while_writing;
use crate::support::app::TestApp;
use crate::support::gitlab_double::GitlabDouble;
use crate::support::server::Server;

const TOKEN: &str = "glpat-of-before-the-rotation";

/// Registries that let everybody in.
fn registries(runtime: &Runtime) -> Vec<String> {
    let each = |_| {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = axum::Router::new().fallback(|| async { "{}" });
        runtime.spawn(async move { axum::serve(listener, app).await });
        address
    };
    (0..6).map(each).collect()
}

/// Stores a registry's login, instead of an earlier one.
fn save(server: &Server, host: &str) -> Value {
    let save = "mutation($i: SaveRegistryInput!) { saveRegistry(input: $i) { registry { id } } }";
    server.ask(save, json!({ "i": { "host": host, "username": "bot", "token": "a token" } }))
}

/// How many secrets there are, all of which a key opens.
fn opened_by(server: &Server, key: &str) -> usize {
    let file = server.folder().join(key);
    let vault = Vault::open(Keys::from_files::<&str>(&file, &[]).unwrap());
    let rows = server.with_database(async |db| secret::Entity::find().all(db.read()).await.unwrap());
    for row in &rows {
        let sealed = Sealed { key_id: row.key_id.clone(), blob: row.sealed.clone() };
        let place = format!("secret:{}:{}", row.organization_id, row.id);
        assert!(vault.unseal(&sealed, &place).is_ok(), "{} is sealed with {}", row.id, row.key_id);
    }
    rows.len()
}

#[test]
fn the_key_is_turned_while_the_server_runs_and_nothing_is_lost() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let gitlab = runtime.block_on(GitlabDouble::start(""));
    let me = gitlab.state().person("bot");
    gitlab.state().token(TOKEN, me, &["api"]);
    let mut server = Server::start();
    let settings = "mutation($i: SaveGitlabSettingsInput!) { saveGitlabSettings(input: $i) { gitSettings { id } } }";
    server.data(settings, json!({ "i": { "baseUrl": gitlab.url, "token": TOKEN } }));

    // Without another key there is nothing to do, and without one at hand nothing that can be done.
    let (code, said, error) = server.run_whole(&["secrets", "rotate"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains(": 0 secrets"), "{said}");
    let data = server.folder().join("data");
    std::fs::rename(data.join("secret.key"), data.join("old.key")).unwrap();
    let (code, _, error) = server.run_whole(&["secrets", "rotate"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("its key is missing") && !data.join("secret.key").exists(), "{error}");
    std::fs::write(data.join("other.key"), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
    std::fs::set_permissions(data.join("other.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let configure = |key: &str| {
        let text = format!("[secrets]\nprevious_key_files = [\"data/{key}\"]\n");
        std::fs::write(server.folder().join("kiops.toml"), text).unwrap();
    };
    configure("other.key");
    let (code, _, error) = server.run_whole(&["secrets", "rotate"]);
    assert_eq!(code, Some(1));
    assert!(
        error.contains("none of secrets.previous_key_files is the key") && !data.join("secret.key").exists(),
        "{error}"
    );

    // The server was started before there was another key, and is not told of it.
    configure("old.key");
    let hosts = registries(&runtime);
    let write = |number: usize| {
        let answer = save(&server, &hosts[number % hosts.len()]);
        assert!(answer["errors"].is_null(), "{answer:#}");
    };
    let ((code, said, error), [_, stored]) = while_writing(write, || server.run_whole(&["secrets", "rotate"]));
    assert!(stored >= hosts.len());
    assert_eq!(code, Some(0), "{said}{error}");
    assert!(said.contains("sealed anew with the key "), "{said}");
    // The old one is needed for nothing, although the server went on sealing.
    std::fs::remove_file(data.join("old.key")).unwrap();
    std::fs::remove_file(server.folder().join("kiops.toml")).unwrap();
    assert_eq!(opened_by(&server, "data/secret.key"), hosts.len() + 1);
    let projects = "{ gitProjects(provider: GITLAB, first: 5) { nodes { path } } }";
    assert!(server.ask(projects, json!({}))["errors"].is_null(), "{:#}", server.ask(projects, json!({})));
    server.stop();
    server.restart();
    assert!(server.ask(projects, json!({}))["errors"].is_null(), "{:#}", server.ask(projects, json!({})));
    // Cut short and repeated, it does what is left.
    let (code, said, _) = server.run_whole(&["secrets", "rotate"]);
    assert!(code == Some(0) && said.contains(": 0 secrets"), "{said}");
}

#[test]
fn a_server_with_a_newer_key_than_the_databases_goes_on_with_the_old_one() {
    let mut server = Server::start();
    let data = server.folder().join("data");
    server.stop();
    std::fs::rename(data.join("secret.key"), data.join("old.key")).unwrap();
    drop(kiops::vault::create_key_file(&data.join("secret.key")).unwrap());
    std::fs::write(server.folder().join("kiops.toml"), "[secrets]\nprevious_key_files = [\"data/old.key\"]\n").unwrap();
    server.restart();
    let runtime = Runtime::new().unwrap();
    let hosts = registries(&runtime);
    assert!(save(&server, &hosts[0])["errors"].is_null());
    assert_eq!(opened_by(&server, "data/old.key"), 1);
    let (code, said, error) = server.run_whole(&["secrets", "rotate"]);
    assert!(code == Some(0) && said.contains(": 1 secrets"), "{said}{error}");
    assert!(save(&server, &hosts[1])["errors"].is_null());
    assert_eq!(opened_by(&server, "data/secret.key"), 2);
}

#[tokio::test]
async fn whoever_is_sealing_is_waited_for() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    let tx = test.app.db.begin().await.unwrap();
    assert!(Mark::first(&test.app.vault, &tx).await.unwrap());
    tx.commit().await.unwrap();
    let old = || Key::new([7; 32]);
    let turned = Arc::new(Vault::open(Keys::new(Key::new([9; 32]), vec![old()])));
    let other = App { vault: turned.clone(), ..test.app.clone() };

    let tx = test.app.begin().await.unwrap();
    let id = secrets::store(&test.app, &tx, &admin.scope, &"a token".into()).await.unwrap();
    let rotation = tokio::spawn(async move { rotate::rotate(&other).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!rotation.is_finished(), "the mark is held by who is sealing");
    tx.commit().await.unwrap();
    let done = rotation.await.unwrap();
    assert_eq!((done.sealed, done.unread.len()), (1, 0));
    let row = secret::Entity::find_by_id(id).one(test.app.db.read()).await.unwrap().unwrap();
    assert_eq!(Some(row.key_id), turned.current_key_id());
}

#[test]
fn a_server_that_cant_read_the_new_key_seals_nothing() {
    let server = Server::start();
    let data = server.folder().join("data");
    // As on another machine, whose file was not changed.
    let elsewhere = tempfile::tempdir().unwrap();
    let (new, old) = (elsewhere.path().join("new.key"), data.join("secret.key"));
    let key = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    std::fs::write(
        server.folder().join("kiops.toml"),
        format!("[secrets]\nkey_file = {:?}\nprevious_key_files = [{:?}]\n", key(&new), key(&old)),
    )
    .unwrap();
    let (code, said, error) = server.run_whole(&["secrets", "rotate"]);
    assert_eq!(code, Some(0), "{said}{error}");
    let runtime = Runtime::new().unwrap();
    let answer = save(&server, &registries(&runtime)[0]);
    assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL", "{answer:#}");
    assert!(server.log().contains("the secret key was changed to "), "{}", server.log());
    let rows = server.with_database(async |db| secret::Entity::find().all(db.read()).await.unwrap());
    assert!(rows.is_empty());
}
