//! Handling a stored delivery once more.

use kiops::app::webhooks::{self, intake::Received};
use kiops::domain::git::Provider;
use serde_json::{Value, json};

use super::Mill;
use crate::support::app::code;
use crate::support::hooks::Delivery;
use crate::support::shop::text;

async fn replay(mill: &Mill, id: &Value) -> async_graphql::Response {
    let document = "mutation($i: ReplayWebhookDeliveryInput!) { replayWebhookDelivery(input: $i) { delivery { id event \
        outcome reason pipeline { ref commit { sha } } } } }";
    mill.test.run(Some(&mill.member), document, json!({ "i": { "id": id } })).await
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
    let queued: Vec<String> =
        mill.pipelines().await.into_iter().filter(|(.., status)| status == "QUEUED").map(|(_, sha, _)| sha).collect();
    assert_eq!(queued, [crate::support::builds::commit(1).to_string()], "what was replayed last is what is built");
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
