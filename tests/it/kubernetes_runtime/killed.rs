//! A server that ends in the middle of a call: another makes the same call again, or takes back what the first one did.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kiops::domain::spec::{EnvValue, VolumeSpec};
use kiops::runtime::{Progress, Rollout, Runtime as _, RuntimeError};

use super::place;
use crate::contract_runtime::kubernetes::{ClusterPlace, connect};
use crate::contract_runtime::{Lines, Place as _, deploy, plain, web};

fn revisions(place: &ClusterPlace) -> (Rollout, Rollout) {
    let mut db = web(place, "db", "data");
    db.volumes = vec![VolumeSpec { mount_path: "/data".to_owned(), size: "1Gi".to_owned() }];
    let mut front = web(place, "web", "one");
    front.env.insert("TOKEN".to_owned(), EnvValue::Secret("row-1".to_owned()));
    let first = place.revision(1, vec![front.clone(), db.clone()], Duration::from_secs(400));
    front.env.insert("TEXT".to_owned(), plain("two"));
    front.env.insert("TOKEN".to_owned(), EnvValue::Secret("row-2".to_owned()));
    db.volumes[0].size = "2Gi".to_owned();
    let second = place.revision(2, vec![front, db, web(place, "more", "new")], Duration::from_secs(400));
    (first, second)
}

/// Wants the revision for so many calls.
struct Wanted(AtomicUsize);

#[async_trait::async_trait]
impl Progress for Wanted {
    async fn line(&self, _: &str) {}

    async fn unwanted(&self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) > 1 {
            std::future::pending::<()>().await;
        }
        self.0.store(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_any_number_of_calls_it_can_be_taken_back() {
    let Some(place) = place("after_any_number_of_calls_it_can_be_taken_back") else { return };
    let (first, second) = revisions(&place);
    deploy(&place, &first).await;
    let (objects, front) = (place.objects(), place.identity("web").await);
    for calls in 1..14 {
        let progress = Wanted(AtomicUsize::new(calls));
        match place.runtime.apply(&second, &progress).await {
            Err(RuntimeError::Unwanted) => {}
            Err(other) => panic!("after {calls} calls: {other:?}"),
            // Ten objects, and what comes before and after them.
            Ok(_) => assert!(calls > 11, "after {calls} calls"),
        }
        place.runtime.undo(&second, Some(&first), &Lines::default()).await.unwrap();
        assert_eq!(place.objects(), objects, "after {calls} calls");
        // Once its Deployment was applied the new pod may have taken over already; before that nothing was touched.
        assert!(calls > 8 || place.identity("web").await == front, "after {calls} calls");
        assert_eq!(place.variable("web", "TEXT").await.as_deref(), Some("one"));
        assert_eq!(place.variable("web", "TOKEN").await.as_deref(), Some("s3cret-one"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_at_any_moment_it_can_be_made_again() {
    let Some(place) = place("dropped_at_any_moment_it_can_be_made_again") else { return };
    let (first, second) = revisions(&place);
    place.cluster().latency(Duration::from_millis(3));
    for (number, time) in [5u64, 20, 35, 50, 80, 120, 200].into_iter().enumerate() {
        let mut wanted = if number % 2 == 0 { first.clone() } else { second.clone() };
        wanted.revision = i32::try_from(number).unwrap() + 1;
        let lines = Lines::default();
        let cut = tokio::time::timeout(Duration::from_millis(time), place.runtime.apply(&wanted, &lines)).await;
        drop(cut);
        // Another server, with connections of its own.
        let other = connect(&place.cluster().kubeconfig());
        other.apply(&wanted, &Lines::default()).await.unwrap();
        other.finish(&wanted, &Lines::default()).await.unwrap();
        let text = if number % 2 == 0 { "one" } else { "two" };
        assert_eq!(place.variable("web", "TEXT").await.as_deref(), Some(text));
        let deployments = place.objects()["Deployment"].len();
        assert_eq!(deployments, wanted.spec.containers.len());
    }
}
