//! Servers that are killed in the middle of a pipeline.

use chrono::TimeDelta;
use kiops::app::pipelines::run;
use serde_json::json;

use super::{Yard, statuses, until};
use crate::support::shop::work;

#[tokio::test]
async fn a_stage_that_has_ended_is_not_begun_again() {
    for held in ["build", "push", "test"] {
        let yard = Yard::new().await;
        yard.save(json!({ "testCommand": ["check"], "imageRepository": "registry.example/a/b" })).await;
        yard.test.builder.hold(held);
        let id = yard.start(json!({})).await;
        let later = yard.start(json!({})).await;
        let worker = yard.begin().await;
        until(async || yard.test.builder.count(held) == 1).await;
        // Killed: nothing of it goes on, and nothing is tidied up.
        worker.abort();
        assert!(worker.await.is_err());
        yard.test.builder.gates.lock().unwrap().clear();
        yard.test.clock.advance(TimeDelta::minutes(2));
        work(&yard.test).await;

        let done = yard.look(&id).await;
        assert_eq!(statuses(&done), "SUCCEEDED SUCCEEDED SKIPPED SUCCEEDED SKIPPED", "{held}");
        assert_eq!(yard.test.sources.fetched.lock().unwrap().len(), 2, "each commit is fetched once");
        // The one that was waiting builds too: no registry here knows the image of the first.
        let builds = if held == "build" { 3 } else { 2 };
        assert_eq!(yard.test.builder.count("build"), builds, "{held}");
        assert_eq!(yard.look(&later).await["status"], "SUCCEEDED");
        let calls = yard.test.builder.calls.lock().unwrap().clone();
        let again = calls.iter().rposition(|call| call.starts_with(held)).unwrap();
        let cleared = calls[..again].iter().any(|call| call.starts_with("clear"));
        assert!(cleared || held == "push", "what was left is cleared away first: {calls:?}");
    }
}

#[tokio::test]
async fn what_is_canceled_while_nobody_works_on_it_ends_when_somebody_takes_it_up() {
    let yard = Yard::new().await;
    yard.test.builder.hold("build");
    let id = yard.start(json!({})).await;
    let worker = yard.begin().await;
    until(async || yard.test.builder.count("build") == 1).await;
    worker.abort();
    assert!(worker.await.is_err());
    assert!(yard.cancel(&id).await.errors.is_empty());
    assert_eq!(yard.look(&id).await["status"], "RUNNING");
    yard.test.clock.advance(TimeDelta::minutes(2));
    work(&yard.test).await;
    assert_eq!(yard.look(&id).await["status"], "CANCELED");
}

#[tokio::test]
async fn who_lost_the_lease_writes_nothing() {
    let yard = Yard::new().await;
    let gate = yard.test.builder.hold("build");
    let id = yard.start(json!({})).await;
    let old = yard.begin().await;
    until(async || yard.test.builder.count("build") == 1).await;
    yard.test.clock.advance(TimeDelta::minutes(2));
    let new = yard.claim().await.expect("the lease has run out");
    gate.add_permits(1);
    assert_eq!(old.await.unwrap(), run::Outcome::Lost);
    let before = yard.look(&id).await;
    assert_eq!(before["status"], "RUNNING");
    gate.add_permits(1000);
    assert_eq!(run::run(&yard.test.app, &new).await.unwrap(), run::Outcome::Done);
    assert_eq!(yard.look(&id).await["status"], "SUCCEEDED");
}
