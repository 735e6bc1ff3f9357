//! Ending a pipeline before its time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kiops::app::deployments::perform::Outcome;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Yard, message, statuses, until};
use crate::support::app::code;
use crate::support::shop::work;

#[tokio::test]
async fn one_that_waits_ends_at_once() {
    let yard = Yard::new().await;
    let id = yard.start(json!({})).await;
    assert!(yard.cancel(&id).await.errors.is_empty());
    let done = yard.look(&id).await;
    assert_eq!(statuses(&done), "CANCELED SKIPPED SKIPPED SKIPPED SKIPPED");
    assert!(work(&yard.test).await.is_empty(), "nothing is left to do");
    // Asking again changes nothing; what has come to another end can't be canceled.
    assert!(yard.cancel(&id).await.errors.is_empty());
    let id = yard.start(json!({})).await;
    work(&yard.test).await;
    assert_eq!(code(&yard.cancel(&id).await).as_deref(), Some("CONFLICT"));
}

#[tokio::test]
async fn what_is_at_work_is_gone_before_the_state_says_so() {
    for (stage, kind) in [("fetch", "SOURCE"), ("build", "BUILD"), ("push", "BUILD"), ("test", "TEST")] {
        let yard = Yard::new().await;
        yard.save(json!({ "testCommand": ["check"], "imageRepository": "registry.example/a/b" })).await;
        let _gate = match stage {
            "fetch" => {
                let gate = Arc::new(Semaphore::new(0));
                *yard.test.sources.gate.lock().unwrap() = Some(gate.clone());
                gate
            }
            call => yard.test.builder.hold(call),
        };
        let id = yard.start(json!({})).await;
        let worker = yard.begin().await;
        let at_work = || {
            let (sources, builder) = (&yard.test.sources, &yard.test.builder);
            sources.at_work.load(Ordering::SeqCst)
                + if stage == "fetch" { 0 } else { builder.count(stage).min(builder.at_work.load(Ordering::SeqCst)) }
        };
        until(async || at_work() == 1).await;
        let answer = yard.cancel(&id).await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        assert_eq!(worker.await.unwrap(), Outcome::Done);
        assert_eq!(at_work(), 0, "{stage}");
        let done = yard.look(&id).await;
        assert_eq!(done["status"], "CANCELED", "{stage}: {done}");
        assert_eq!(message(&done, kind), "it was canceled");
        assert!(stage == "fetch" || yard.test.builder.calls.lock().unwrap().last().unwrap().starts_with("clear"));
    }
}

#[tokio::test]
async fn a_service_that_is_removed_takes_its_pipelines_along() {
    let yard = Yard::new().await;
    let _gate = yard.test.builder.hold("build");
    let running = yard.start(json!({})).await;
    let waiting = yard.start(json!({ "ref": "feature/x" })).await;
    let worker = yard.begin().await;
    until(async || yard.test.builder.count("build") == 1).await;
    let document = "mutation($i: RemoveServiceInput!) { removeService(input: $i) { id } }";
    yard.test.data(&yard.member, document, json!({ "i": { "id": yard.service } })).await;
    assert_eq!(worker.await.unwrap(), Outcome::Done);
    assert_eq!(yard.look(&waiting).await["status"], "CANCELED");
    assert_eq!(yard.look(&running).await["status"], "CANCELED");
    yard.test.builder.gates.lock().unwrap().clear();
    work(&yard.test).await;
    assert_eq!(yard.look(&running).await, Value::Null);
    let lines = &yard.test.rows().await["log_line"];
    assert!(lines.is_empty(), "{lines:?}");
}
