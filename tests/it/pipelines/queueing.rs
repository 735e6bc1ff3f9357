//! Who runs when.

use serde_json::json;

use super::{Yard, until};
use crate::support::app::code;
use crate::support::shop::text;

#[tokio::test]
async fn one_of_a_branch_at_a_time_and_no_more_than_there_are_places_for() {
    let yard = Yard::new().await;
    for n in 0..3 {
        yard.start(json!({ "ref": format!("branch-{n}") })).await;
        yard.start(json!({ "ref": format!("branch-{n}") })).await;
    }
    let first = yard.claim_within(2).await.expect("there is a place");
    let second = yard.claim_within(2).await.expect("there is a place");
    assert_ne!(first.job.lane, second.job.lane);
    assert!(yard.claim_within(2).await.is_none(), "there are two places");
    // One whose work goes on elsewhere keeps its place and its lane.
    let tx = yard.test.app.begin().await.unwrap();
    assert!(first.park(&tx).await.unwrap());
    tx.commit().await.unwrap();
    assert!(yard.claim_within(2).await.is_none());
    let tx = yard.test.app.begin().await.unwrap();
    assert!(second.complete(&tx).await.unwrap());
    tx.commit().await.unwrap();
    let third = yard.claim_within(2).await.expect("there is a place again");
    assert_ne!(third.job.lane, first.job.lane);
}

#[tokio::test]
async fn the_same_key_is_one_pipeline() {
    let yard = Yard::new().await;
    let first = yard.start(json!({ "idempotencyKey": "k" })).await;
    assert_eq!(yard.start(json!({ "idempotencyKey": "k", "ref": "feature/x" })).await, first);
    let long = yard.ask_start(&yard.member, json!({ "serviceId": yard.service, "idempotencyKey": "" })).await;
    assert_eq!(code(&long).as_deref(), Some("BAD_USER_INPUT"));
    assert_eq!(text(&yard.look(&first).await["ref"]), "main");
}

#[tokio::test]
async fn places_in_the_queue_are_counted() {
    let yard = Yard::new().await;
    let _gate = yard.test.builder.hold("build");
    let ids = [yard.start(json!({})).await, yard.start(json!({})).await, yard.start(json!({ "ref": "x" })).await];
    let worker = yard.begin().await;
    until(async || yard.test.builder.count("build") == 1).await;
    let mut places = Vec::new();
    for id in &ids {
        places.push(yard.look(id).await["queuePosition"].clone());
    }
    assert_eq!(places, [json!(null), json!(1), json!(2)]);
    assert_eq!(yard.look(&ids[0]).await["status"], "RUNNING");
    worker.abort();
}
