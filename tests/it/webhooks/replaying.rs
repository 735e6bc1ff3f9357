//! Handling a stored delivery once more.

use entity::{PipelineTrigger, RunStatus, pipeline};
use kiops::app::webhooks::{self, intake::Received};
use kiops::domain::git::Provider;
use sea_orm::{EntityTrait as _, QueryOrder as _};
use serde_json::{Value, json};

use super::Mill;
use crate::support::app::code;
use crate::support::builds::commit;
use crate::support::hooks::Delivery;
use crate::support::shop::text;

async fn replay(mill: &Mill, id: &Value) -> async_graphql::Response {
    let document = "mutation($i: ReplayWebhookDeliveryInput!) { replayWebhookDelivery(input: $i) { delivery { id event \
        outcome reason pipeline { ref commit { sha } } } } }";
    mill.test.run(Some(&mill.member), document, json!({ "i": { "id": id } })).await
}

/// The pipelines, the oldest first.
async fn pipelines(mill: &Mill) -> Vec<pipeline::Model> {
    let all = pipeline::Entity::find().order_by_asc(pipeline::Column::Number);
    all.all(mill.test.app.db.read()).await.unwrap()
}

#[tokio::test]
async fn it_is_handled_as_things_are_now() {
    let mill = Mill::new(Provider::Github).await;
    assert_eq!(mill.outcome(&mill.push("d-1", "release/1", 5)).await.0, "IGNORED");
    let first = mill.deliveries().await[0].clone();
    mill.save(json!({ "branches": ["release/*"] })).await;
    let answer = replay(&mill, &first["id"]).await;
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    let delivery = answer.data.into_json().unwrap()["replayWebhookDelivery"]["delivery"].clone();
    assert_eq!((&delivery["outcome"], &delivery["event"]), (&json!("STARTED"), &json!("push")));
    assert_eq!(delivery["pipeline"]["ref"], "release/1");
    // What came of the first stays to be read.
    let shown = mill.deliveries().await;
    assert_eq!(shown.len(), 2);
    assert_eq!((&shown[0]["id"], &shown[1]), (&delivery["id"], &first));
    // The provider's own repetition is a duplicate as before.
    assert_eq!(mill.outcome(&mill.push("d-1", "release/1", 5)).await.0, "DUPLICATE");
    let duplicate = mill.deliveries().await[0].clone();
    let refused = Delivery::github("push", "d-2", "wrong", b"{}");
    assert_eq!(mill.send(&refused).await, Received::Refused);
    let refused = super::until_shown(&mill, 4).await[0].clone();
    for (id, words) in [(&duplicate["id"], "had come before"), (&refused["id"], "was refused")] {
        let answer = replay(&mill, id).await;
        assert_eq!(code(&answer).as_deref(), Some("CONFLICT"));
        assert!(answer.errors[0].message.contains(words), "{:?}", answer.errors);
    }
}

#[tokio::test]
async fn those_that_came_before_are_handled_first() {
    let mill = Mill::new(Provider::Github).await;
    mill.outcome(&mill.push("d-1", "main", 1)).await;
    let first = mill.deliveries().await[0]["id"].clone();
    assert_eq!(mill.send(&mill.push("d-2", "main", 2)).await, Received::Stored);
    assert!(replay(&mill, &first).await.errors.is_empty());
    // The second has taken the place of the first; the first once more takes that of nobody.
    let commits = [(1, "QUEUED"), (2, "QUEUED"), (1, "CANCELED")].map(|(n, status)| (commit(n).to_string(), status));
    let shown = mill.pipelines().await;
    let shown: Vec<_> = shown.iter().map(|(_, sha, status)| (sha.clone(), status.as_str())).collect();
    assert_eq!(shown, commits);
}

#[tokio::test]
async fn an_old_push_once_more_is_a_retry_of_what_it_started() {
    let mill = Mill::new(Provider::Github).await;
    mill.outcome(&mill.push("d-1", "main", 1)).await;
    let first = mill.deliveries().await[0].clone();
    mill.outcome(&mill.push("d-2", "main", 2)).await;
    let mut ids = vec![first["id"].clone()];
    for n in 0..2 {
        // The one that came, and then the one that is made of it.
        let answer = replay(&mill, &ids[n]).await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        ids.push(answer.data.into_json().unwrap()["replayWebhookDelivery"]["delivery"]["id"].clone());
    }
    let rows = pipelines(&mill).await;
    let of: Vec<_> = rows.iter().map(|p| (p.number, p.trigger, p.retry_of.as_deref(), p.status)).collect();
    let (push, first) = (PipelineTrigger::Push, Some(rows[0].id.as_str()));
    let expected = [
        (1, push, None, RunStatus::Canceled),
        (2, push, None, RunStatus::Queued),
        (3, push, first, RunStatus::Queued),
        (4, push, first, RunStatus::Queued),
    ];
    assert_eq!(of, expected);
}

#[tokio::test]
async fn what_started_nothing_starts_nothing_once_there_is_a_later_one() {
    let mill = Mill::new(Provider::Github).await;
    mill.save(json!({ "branches": ["release/*"] })).await;
    let mut ignored = Vec::new();
    for n in 1..=2 {
        assert_eq!(mill.outcome(&mill.push(&format!("d-{n}"), "main", n)).await.0, "IGNORED");
        ignored.push(mill.deliveries().await[0]["id"].clone());
    }
    mill.save(json!({ "branches": ["main", "feature/x"] })).await;
    let outcome = async |id: &Value| {
        let answer = replay(&mill, id).await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        let delivery = answer.data.into_json().unwrap()["replayWebhookDelivery"]["delivery"].clone();
        (text(&delivery["outcome"]), delivery["reason"].as_str().unwrap_or_default().to_owned())
    };
    // Another branch's is no reason.
    assert_eq!(mill.outcome(&mill.push("d-3", "feature/x", 3)).await.0, "STARTED");
    let (started, late) = (("STARTED".to_owned(), String::new()), |number: u8| {
        ("IGNORED".to_owned(), format!("a later push of main has started pipeline {number}"))
    });
    // As old as what it is made of: the second is later than the first, though neither started anything when it came.
    assert_eq!(outcome(&ignored[1]).await, started);
    assert_eq!(outcome(&ignored[0]).await, late(2));
    assert_eq!(outcome(&ignored[1]).await, started);
    assert_eq!(mill.outcome(&mill.push("d-4", "main", 4)).await.0, "STARTED");
    assert_eq!(outcome(&ignored[0]).await, late(4));
    let rows = pipelines(&mill).await;
    let of: Vec<_> = rows.iter().map(|p| p.retry_of.as_deref()).collect();
    assert_eq!(of, [None, None, Some(rows[1].id.as_str()), None]);
}

#[tokio::test]
async fn what_they_said_is_kept_for_the_newest_two_hundred() {
    let mill = Mill::new(Provider::Github).await;
    for n in 0..203 {
        assert_eq!(mill.send(&mill.push(&format!("d-{n}"), "other", 1)).await, Received::Stored);
    }
    mill.settle().await;
    webhooks::prune(&mill.test.app, &mill.row()).await.unwrap();
    let document = "query($id: ID!, $a: String) { service(id: $id) { autoCi { deliveries(first: 100, after: $a) { \
        nodes { id } pageInfo { endCursor } } } } }";
    let (mut after, mut ids) = (Value::Null, Vec::new());
    for _ in 0..3 {
        let page = mill.test.data(&mill.member, document, json!({ "id": mill.service, "a": after })).await;
        let page = &page["service"]["autoCi"]["deliveries"];
        ids.extend(page["nodes"].as_array().unwrap().iter().map(|node| text(&node["id"])));
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(ids.len(), 203);
    assert!(replay(&mill, &json!(ids[199])).await.errors.is_empty());
    let answer = replay(&mill, &json!(ids[200])).await;
    assert_eq!(code(&answer).as_deref(), Some("CONFLICT"));
    assert!(answer.errors[0].message.contains("too long ago"), "{:?}", answer.errors);
    // As long as its row is there, the provider's repetition is a duplicate.
    assert_eq!(mill.outcome(&mill.push("d-0", "other", 1)).await.0, "DUPLICATE");
}

#[tokio::test]
async fn another_organization_sees_none() {
    let mill = Mill::new(Provider::Github).await;
    mill.outcome(&mill.push("d-1", "main", 1)).await;
    let id = mill.deliveries().await[0]["id"].clone();
    let stranger = mill.test.organization("other").await;
    let document = "mutation($i: ReplayWebhookDeliveryInput!) { replayWebhookDelivery(input: $i) { delivery { id } } }";
    let answer = mill.test.run(Some(&stranger), document, json!({ "i": { "id": id } })).await;
    assert_eq!(code(&answer).as_deref(), Some("NOT_FOUND"));
    let answer = mill.test.data(&stranger, "query($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await;
    assert_eq!(answer["node"], Value::Null);
    assert_eq!(mill.pipelines().await.len(), 1);
}
