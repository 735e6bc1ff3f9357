//! Runtimes of the file.

use entity::RuntimeStatus;
use kiops::app::change::Change;
use kiops::app::declared::{KubernetesInput, Organization, RegisterRuntime};
use kiops::app::runtimes::{self, UpdateRuntime};
use kiops::app::settings::LocalEngine;
use kiops::app::{Precondition, Settings};
use kiops::runtime::RuntimeError;

use super::{ada, apply, everything, is_declared, keys, only_runtime, organization, refused, runtime};
use crate::support::app::{TestApp, settings};

fn nobodys_engine() -> Settings {
    Settings { local_engine: LocalEngine::Nobody, ..settings() }
}

fn with(runtime: RegisterRuntime) -> Organization {
    Organization { runtimes: vec![runtime], ..organization("acme") }
}

#[tokio::test]
async fn it_is_changed_in_the_file_alone() {
    let test = TestApp::new().await;
    apply(&test, &[everything()]).await;
    let admin = ada(&test, "acme").await;
    let row = only_runtime(&test, &admin).await;
    let before = test.rows().await;
    let update = UpdateRuntime { id: row.id.clone(), name: Change::Set("mine".to_owned()), ..Default::default() };
    is_declared(&runtimes::update(&test.app, &admin, update).await.unwrap_err());
    is_declared(&runtimes::remove(&test.app, &admin, &row.id).await.unwrap_err());
    assert_eq!(test.rows().await, before);
    runtimes::check(&test.app, &admin.scope, &row.id).await.unwrap();
}

/// Loopback, the engine's socket and private addresses are the operator's to name, whatever `runtimes.local_engine` says.
#[tokio::test]
async fn its_address_passes_no_filter_until_it_is_released() {
    for host in ["unix:///var/run/docker.sock", "tcp://127.0.0.1:2375", "tcp://10.0.0.1:2375"] {
        let test = TestApp::with(nobodys_engine()).await;
        apply(&test, &[with(runtime("one", host))]).await;
        let admin = ada(&test, "acme").await;
        let row = only_runtime(&test, &admin).await;
        assert_eq!(row.status, RuntimeStatus::Unknown);
        let row = runtimes::check(&test.app, &admin.scope, &row.id).await.unwrap();
        assert_eq!((row.status, row.status_message.as_deref()), (RuntimeStatus::Ready, None), "{host}");

        apply(&test, &[organization("acme")]).await;
        let row = runtimes::check(&test.app, &admin.scope, &row.id).await.unwrap();
        if host.contains("10.0.0.1") {
            assert_eq!(row.status, RuntimeStatus::Ready, "private ranges are anybody's");
            continue;
        }
        assert_eq!(row.status, RuntimeStatus::Unauthorized, "{host}");
        let refused = runtimes::connect(&test.app, &row).await.err().unwrap();
        assert_eq!(refused.reason, Some(Precondition::LocalEngineNotAllowed));
        let again = runtimes::register(&test.app, &admin, runtime("again", host)).await.unwrap_err();
        assert_eq!(again.reason, Some(Precondition::LocalEngineNotAllowed));
    }
}

#[tokio::test]
async fn one_that_does_not_answer_is_stored_and_found_later() {
    let test = TestApp::new().await;
    *test.runtimes.away.lock().unwrap() = Some(RuntimeError::Unreachable("nobody is there".to_owned()));
    apply(&test, &[everything()]).await;
    let admin = ada(&test, "acme").await;
    let every = std::time::Duration::from_secs(30);
    runtimes::check_due(&test.app, every).await.unwrap();
    assert_eq!(only_runtime(&test, &admin).await.status, RuntimeStatus::Unreachable);
    *test.runtimes.away.lock().unwrap() = None;
    test.clock.advance(chrono::TimeDelta::seconds(31));
    runtimes::check_due(&test.app, every).await.unwrap();
    assert_eq!(only_runtime(&test, &admin).await.status, RuntimeStatus::Ready);
}

#[tokio::test]
async fn a_kubeconfig_is_held_to_the_same_limits() {
    let cluster = |kubeconfig: &str, context: Option<&str>| RegisterRuntime {
        name: "cluster".to_owned(),
        kubernetes: Some(KubernetesInput {
            kubeconfig: Some(kubeconfig.into()),
            context: context.map(str::to_owned),
            in_cluster: false,
        }),
        ..Default::default()
    };
    let right = "apiVersion: v1\nkind: Config\ncurrent-context: one\ncontexts:\n- name: one\n  context: {cluster: c, user: u}\n\
                 clusters:\n- name: c\n  cluster: {server: 'https://10.0.0.1:6443'}\nusers:\n- name: u\n  user: {token: hush}\n";
    let test = TestApp::with(nobodys_engine()).await;
    for (kubeconfig, context, part) in [
        (right.replace("{token: hush}", "{exec: {command: x}}"), None, "users.0.user.exec"),
        (right.replace("10.0.0.1", "169.254.169.254"), None, "metadata service"),
        (right.to_owned(), Some("two"), "two"),
    ] {
        let faults = refused(&test, &[with(cluster(&kubeconfig, context))]).await;
        assert_eq!(keys(&faults), ["organizations.0.runtimes.0.kubernetes.kubeconfig_file"], "{faults:?}");
        assert!(faults[0].1.contains(part) && !faults[0].1.contains("hush"), "{faults:?}");
    }
    apply(&test, &[with(cluster(right, None))]).await;
    let admin = ada(&test, "acme").await;
    let row = only_runtime(&test, &admin).await;
    assert_eq!(row.endpoint, "https://10.0.0.1:6443");
    assert!(!format!("{:?}", test.rows().await).contains("hush"));
    // A new token is another login.
    apply(&test, &[with(cluster(&right.replace("hush", "quiet"), None))]).await;
    assert_ne!(only_runtime(&test, &admin).await.secret_id, row.secret_id);
    // An engine is no cluster.
    let engine = with(runtime("cluster", "tcp://10.0.0.1:2375"));
    assert_eq!(keys(&refused(&test, &[engine]).await), ["organizations.0.runtimes.0.name"]);
}
