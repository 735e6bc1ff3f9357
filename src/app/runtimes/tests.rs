#![expect(clippy::unwrap_used, reason = "tests")]

use entity::RuntimeStatus;
use sea_orm::{ActiveModelTrait as _, IntoActiveModel as _, Set};

use super::*;
use crate::app::change::Change;
use crate::app::services::{self, RegisterImages};
use crate::app::testing::{container, world};
use crate::app::{Code, Precondition};
use crate::domain::secret::SecretString;

fn at(name: &str, host: &str) -> RegisterRuntime {
    let docker = DockerInput { host: Change::Set(host.to_owned()), ..DockerInput::default() };
    RegisterRuntime { name: name.to_owned(), docker: Some(docker), ..Default::default() }
}

fn field(error: &Error) -> &str {
    error.violations.first().map_or("", |v| &v.field)
}

#[tokio::test]
async fn connected_to_before_it_is_stored() {
    let w = world().await;
    let down = register(&w.app, &w.admin, at("far", "tcp://192.0.2.66")).await.unwrap_err();
    assert_eq!(down.code, Code::UpstreamError);
    let row = register(&w.app, &w.admin, at("far", "tcp://192.0.2.1")).await.unwrap();
    assert_eq!(row.endpoint, "tcp://192.0.2.1:2375");
    assert_eq!((row.status, row.version.as_deref()), (RuntimeStatus::Ready, Some("27.0.0")));
    let twice = register(&w.app, &w.admin, at("far", "tcp://192.0.2.2")).await.unwrap_err();
    assert_eq!((twice.code, field(&twice)), (Code::Conflict, "input.name"));
    assert_eq!(register(&w.app, &w.member, at("x", "tcp://192.0.2.1")).await.unwrap_err().code, Code::Forbidden);
    let own = RegisterRuntime { name: "own".to_owned(), docker: Some(DockerInput::default()), ..Default::default() };
    assert_eq!(register(&w.app, &w.admin, own).await.unwrap().endpoint, "unix:///var/run/docker.sock");
}

#[tokio::test]
async fn faults_by_their_path() {
    let w = world().await;
    let neither = RegisterRuntime { name: "Bad Name".to_owned(), ..Default::default() };
    let error = register(&w.app, &w.admin, neither).await.unwrap_err();
    let fields: Vec<_> = error.violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["input.name", "input.docker"]);
    let mut half = at("half", "tcp://192.0.2.1");
    half.docker.as_mut().unwrap().tls_ca = Change::Set("-----BEGIN CERTIFICATE-----".to_owned());
    let error = register(&w.app, &w.admin, half).await.unwrap_err();
    let fields: Vec<_> = error.violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["input.docker.tlsCert", "input.docker.tlsKey"]);
    for host in ["tcp://169.254.169.254", "tcp://[::ffff:a9fe:a9fe]", "tcp://metadata.google.internal", "ssh://x"] {
        let error = register(&w.app, &w.admin, at("x", host)).await.unwrap_err();
        assert_eq!((error.code, field(&error)), (Code::BadUserInput, "input.docker.host"), "{host}");
    }
}

#[tokio::test]
async fn strangers_and_this_machine() {
    let w = world().await;
    for host in [
        "unix:///var/run/docker.sock",
        "unix:///tmp/hard-link.sock",
        "tcp://127.0.0.1:2375",
        "tcp://127.1",
        "tcp://2130706433",
        "tcp://0",
        "tcp://localhost.",
        "tcp://a.localhost",
        "tcp://[::1]",
        "tcp://[::ffff:7f00:1]",
        // Another address of the same engine.
        "tcp://192.0.2.7",
    ] {
        let error = register(&w.app, &w.stranger, at("x", host)).await.unwrap_err();
        assert_eq!(error.reason, Some(Precondition::LocalEngineNotAllowed), "{host}");
        assert!(register(&w.app, &w.admin, at("x", host)).await.is_ok(), "{host}");
        let row = w.admin.scope.runtimes().one(w.app.db.read()).await.unwrap().unwrap();
        remove(&w.app, &w.admin, &row.id).await.unwrap();
    }
    assert!(register(&w.app, &w.stranger, at("x", "tcp://192.0.2.1")).await.is_ok());
}

#[tokio::test]
async fn changed_checked_and_removed() {
    let w = world().await;
    let pem = |text: &str| format!("-----BEGIN {text}-----");
    let mut new = at("far", "tcp://192.0.2.1");
    let docker = new.docker.as_mut().unwrap();
    docker.tls_ca = Change::Set(pem("CA"));
    docker.tls_cert = Change::Set(pem("CERT"));
    docker.tls_key = Change::Set(SecretString::from(pem("KEY")));
    let row = register(&w.app, &w.admin, new).await.unwrap();
    assert_eq!(row.endpoint, "tcp://192.0.2.1:2376");

    let host = DockerInput { host: Change::Set("tcp://192.0.2.2".to_owned()), ..Default::default() };
    let change = UpdateRuntime { id: row.id.clone(), docker: Change::Set(host), ..Default::default() };
    let row = update(&w.app, &w.admin, change.clone()).await.unwrap();
    assert_eq!((row.endpoint.as_str(), row.tls_ca.is_some()), ("tcp://192.0.2.2:2376", true));
    assert_eq!(w.admin.scope.secrets().all(w.app.db.read()).await.unwrap().len(), 1);
    assert_eq!(update(&w.app, &w.member, change.clone()).await.unwrap_err().code, Code::Forbidden);
    assert_eq!(update(&w.app, &w.stranger, change).await.unwrap_err().code, Code::NotFound);

    let service = RegisterImages {
        name: "shop".to_owned(),
        runtime_id: row.id.clone(),
        containers: vec![container("web", "nginx")],
        registry_auth: None,
        namespace: None,
    };
    services::register_images(&w.app, &w.member, service).await.unwrap();
    let error = remove(&w.app, &w.admin, &row.id).await.unwrap_err();
    assert_eq!(error.code, Code::Conflict);
    assert!(error.message.contains("service shop"), "{}", error.message);

    assert_eq!(check(&w.app, &w.stranger.scope, &row.id).await.unwrap_err().code, Code::NotFound);
    assert_eq!(check(&w.app, &w.member.scope, &row.id).await.unwrap().status, RuntimeStatus::Ready);
    let mut down = row.clone().into_active_model();
    down.endpoint = Set("tcp://192.0.2.66:2375".to_owned());
    down.tls_ca = Set(None);
    let tx = w.app.begin().await.unwrap();
    down.update(&tx).await.unwrap();
    tx.commit().await.unwrap();
    check_due(&w.app, std::time::Duration::ZERO).await.unwrap();
    let now = by_id(&w.app, &w.admin.scope, &row.id).await.unwrap().unwrap();
    assert_eq!(now.status, RuntimeStatus::Unreachable);
    assert_eq!(now.status_message.as_deref(), Some("the engine does not answer"));

    let mut declared = now.into_active_model();
    declared.declared = Set(true);
    let tx = w.app.begin().await.unwrap();
    declared.update(&tx).await.unwrap();
    tx.commit().await.unwrap();
    let error = remove(&w.app, &w.admin, &row.id).await.unwrap_err();
    assert_eq!(error.reason, Some(Precondition::Declared));
}
