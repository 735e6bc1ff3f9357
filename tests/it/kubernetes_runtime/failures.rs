//! Each failure says the pod's own reason, and the old pods serve throughout.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kiops::domain::spec::EnvValue;
use kiops::runtime::{Progress, Runtime as _, RuntimeError};

use super::place;
use crate::contract_runtime::kubernetes::{ClusterPlace, connect};
use crate::contract_runtime::{Lines, Place as _, deploy, plain, web};
use crate::support::cluster::{Behaviour, Image};

const BAD: &str = "registry.test/bad:1";

/// Deploys a good revision, then one of [`BAD`] that behaves like this; gives its failure, and sees to it that the good
/// one served throughout and is back.
async fn fails(test: &str, behaviour: Behaviour) -> Option<String> {
    let place = place(test)?;
    if !matches!(behaviour, Behaviour::Missing) {
        place.cluster().image(BAD, behaviour);
    }
    let text = fails_at(&place, Duration::from_secs(60)).await;
    Some(text)
}

async fn fails_at(place: &ClusterPlace, deadline: Duration) -> String {
    let good = place.revision(1, vec![web(place, "web", "good")], Duration::from_secs(400));
    deploy(place, &good).await;
    let before = place.identity("web").await;
    let over = AtomicBool::new(false);
    let serves = async {
        while !over.load(Ordering::Relaxed) {
            let serving = place.cluster().resolve(&place.target.namespace, "web");
            assert!(!serving.is_empty(), "nobody serves any more");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut broken = place.of("web", BAD);
    broken.resources.memory_limit = Some("64Mi".to_owned());
    let bad = place.revision(2, vec![broken], deadline);
    let work = async {
        let (failure, lines) = place.failure(&bad).await;
        place.runtime.undo(&bad, Some(&good), &Lines::default()).await.unwrap();
        over.store(true, Ordering::Relaxed);
        assert!(lines.len() < 300, "{lines:#?}");
        format!("{failure:?} {failure}")
    };
    let ((), text) = futures_util::join!(serves, work);
    assert_eq!(place.identity("web").await, before);
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_image() {
    let Some(text) = fails("a_missing_image", Behaviour::Missing).await else { return };
    assert!(text.starts_with("ImageRefused") && text.contains(BAD) && text.contains("not found"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_with_its_last_lines() {
    let lines = vec!["starting".to_owned(), "no database at db:3306".to_owned()];
    let Some(text) = fails("a_crash_loop", Behaviour::CrashLoop { exit_code: 3, lines }).await else { return };
    assert!(
        text.contains("CrashLoopBackOff") && text.contains("code 3") && text.contains("no database at db:3306"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_memory() {
    let Some(text) = fails("out_of_memory", Behaviour::OutOfMemory).await else { return };
    assert!(text.contains("OOMKilled") && text.contains("64Mi"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_node_takes_it() {
    let Some(text) = fails("no_node_takes_it", Behaviour::Unschedulable).await else { return };
    assert!(text.contains("Unschedulable") && text.contains("Insufficient cpu"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_cannot_be_made() {
    let why = "secret \"nothing\" not found";
    let Some(text) = fails("it_cannot_be_made", Behaviour::ConfigError(why.to_owned())).await else { return };
    assert!(text.contains("can't be made: CreateContainerConfigError") && text.contains(why), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_never_becomes_ready() {
    let Some(text) = fails("it_never_becomes_ready", Behaviour::NeverReady).await else { return };
    assert!(text.starts_with("TimedOut") && text.contains("runs and is not ready"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_exceeded() {
    let Some(place) = place("a_quota_is_exceeded") else { return };
    place.cluster().image(BAD, Behaviour::runs());
    let good = place.revision(1, vec![web(&place, "web", "good")], Duration::from_secs(400));
    deploy(&place, &good).await;
    place.cluster().put(
        "ResourceQuota",
        serde_json::json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": { "name": "few", "namespace": place.target.namespace },
            "spec": { "hard": { "pods": "1" } },
        }),
    );
    let bad = place.revision(2, vec![place.of("web", BAD)], Duration::from_secs(20));
    let (failure, _) = place.failure(&bad).await;
    let text = failure.to_string();
    assert!(matches!(failure, RuntimeError::Failed(_)) && text.contains("exceeded quota: few"), "{text}");
    place.runtime.undo(&bad, Some(&good), &Lines::default()).await.unwrap();
    assert!(!place.cluster().resolve(&place.target.namespace, "web").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_image_of_a_restricted_container() {
    let Some(place) = place("the_root_image_of_a_restricted_container") else { return };
    place.cluster().image_like(BAD, Image { behaviour: Behaviour::runs(), root: true, private: false });
    let mut container = place.of("web", BAD);
    deploy(&place, &place.revision(1, vec![container.clone()], Duration::from_secs(400))).await;
    container.restricted = true;
    let (failure, _) = place.failure(&place.revision(2, vec![container], Duration::from_secs(60))).await;
    assert!(failure.to_string().contains("CreateContainerConfigError"), "{failure}");
    assert!(failure.to_string().contains("runAsNonRoot"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_and_a_denied_object() {
    let Some(place) = place("a_missing_permission_and_a_denied_object") else { return };
    let cluster = place.cluster();
    let rollout = place.revision(1, vec![web(&place, "web", "x")], Duration::from_secs(60));
    cluster.login("weak", "system:serviceaccount:ops:weak", &[("get", "*"), ("list", "*"), ("create", "namespaces")]);
    let weak = connect(&cluster.kubeconfig_of("weak"));
    let failure = weak.apply(&rollout, &Lines::default()).await.unwrap_err();
    let text = failure.to_string();
    assert!(matches!(failure, RuntimeError::Unauthorized(_)), "{failure:?}");
    assert!(text.contains("cannot patch resource") && text.contains("system:serviceaccount:ops:weak"), "{text}");
    cluster.revoke("weak");
    let failure = weak.apply(&rollout, &Lines::default()).await.unwrap_err();
    assert!(matches!(failure, RuntimeError::Unauthorized(_)), "{failure:?}");

    cluster.admit(|object| (object["kind"] == "Deployment").then(|| (403, "no image from there".to_owned())));
    let (failure, _) = place.failure(&rollout).await;
    let text = failure.to_string();
    assert!(matches!(failure, RuntimeError::Failed(_)), "{failure:?}");
    assert!(text.contains("Deployment web") && text.contains("denied the request: no image from there"), "{text}");
    place.runtime.undo(&rollout, None, &Lines::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_is_away_in_the_middle() {
    let Some(place) = place("the_api_server_is_away_in_the_middle") else { return };
    let cluster = place.cluster();
    cluster.image(BAD, Behaviour::Runs(Duration::from_millis(1500)));
    let rollout = place.revision(1, vec![place.of("web", BAD)], Duration::from_secs(400));
    let lines = Lines::default();
    let away = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.go_away();
        tokio::time::sleep(Duration::from_millis(2500)).await;
        // It became ready unseen; and what was watched from is forgotten.
        cluster.forget();
        cluster.come_back();
    };
    let (applied, ()) = futures_util::join!(place.runtime.apply(&rollout, &lines), away);
    applied.unwrap();
    let told = lines.0.into_inner().unwrap();
    assert!(told.iter().any(|line| line.contains("does not answer") && line.contains("waiting")), "{told:#?}");
    assert!(told.iter().any(|line| line == "The cluster answers again."), "{told:#?}");
    // Away for good it is said when the time is over.
    let next = place.revision(2, vec![place.of("web", "registry.test/bad:2")], Duration::from_secs(3));
    cluster.image("registry.test/bad:2", Behaviour::NeverReady);
    let gone = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.go_away();
    };
    cluster.speed(0.5);
    let lines = Lines::default();
    let (failed, ()) = futures_util::join!(place.runtime.apply(&next, &lines), gone);
    let failure = failed.unwrap_err();
    assert!(
        matches!(failure, RuntimeError::TimedOut(_)) && failure.to_string().contains("does not answer"),
        "{failure}"
    );
    assert!(matches!(place.runtime.check().await.unwrap_err(), RuntimeError::Unreachable(_)));
}

/// Wants the revision until the first line.
struct Unwanted(tokio::sync::Notify);

#[async_trait::async_trait]
impl Progress for Unwanted {
    async fn line(&self, text: &str) {
        if text.contains("Scheduled") || text.contains("Applying") {
            self.0.notify_one();
        }
    }

    async fn unwanted(&self) {
        self.0.notified().await;
        self.0.notify_one();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_wants_it_any_more() {
    let Some(place) = place("nobody_wants_it_any_more") else { return };
    let rollout = place.revision(1, vec![web(&place, "web", "x")], Duration::from_secs(400));
    let failure = place.runtime.apply(&rollout, &Unwanted(tokio::sync::Notify::new())).await.unwrap_err();
    assert!(matches!(failure, RuntimeError::Unwanted), "{failure:?}");
    place.runtime.undo(&rollout, None, &Lines::default()).await.unwrap();
    assert!(place.objects().is_empty(), "{:?}", place.objects());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_line_and_no_failure() {
    let Some(place) = place("secrets_are_in_no_line_and_no_failure") else { return };
    let mut container = web(&place, "web", "x");
    container.env.insert("FAIL".to_owned(), EnvValue::Plain("1".to_owned()));
    container.env.insert("TOKEN".to_owned(), EnvValue::Secret("row-1".to_owned()));
    let (failure, lines) = place.failure(&place.revision(1, vec![container], Duration::from_secs(100))).await;
    assert!(failure.to_string().contains("broken ***"), "{failure}");
    assert!(lines.iter().all(|line| !line.contains("s3cret")), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_with_another_port_that_fails_leaves_the_old_one_reached() {
    let Some(place) = place("a_revision_with_another_port_that_fails_leaves_the_old_one_reached") else { return };
    let good = place.revision(1, vec![web(&place, "web", "x")], Duration::from_secs(400));
    deploy(&place, &good).await;
    let name = place.target.namespace.as_str();
    let serving = place.cluster().resolve(name, "web");
    assert_eq!(serving.len(), 1);
    let mut moved = web(&place, "web", "y");
    moved.port = moved.port.map(|port| port + 1);
    moved.env.insert("FAIL".into(), plain("1"));
    let (failure, _) = place.failure(&place.revision(2, vec![moved], Duration::from_secs(400))).await;
    assert!(failure.to_string().contains("exits with code 7"), "{failure}");
    assert_eq!(place.cluster().resolve(name, "web"), serving, "by the new number too");
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_from_before_a_revision_do_not_count() {
    let Some(place) = place("restarts_from_before_a_revision_do_not_count") else { return };
    let first = place.revision(1, vec![web(&place, "web", "x")], Duration::from_secs(400));
    deploy(&place, &first).await;
    let name = place.target.namespace.as_str();
    let pod = place.cluster().list("Pod", name)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let status = || place.cluster().get("Pod", name, &pod).unwrap()["status"]["containerStatuses"][0].clone();
    for times in 1..=3 {
        place.cluster().end((name, &pod), "web", 1);
        until(|| status()["restartCount"] == times && status()["ready"] == true).await;
    }
    // It waits to be started once more, when a revision comes that leaves it as it is.
    place.cluster().end((name, &pod), "web", 1);
    deploy(&place, &place.revision(2, vec![web(&place, "web", "x")], Duration::from_secs(400))).await;
    assert_eq!(status()["restartCount"], 4);
}

async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come to it");
}
