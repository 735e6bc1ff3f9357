//! Many at once.

use std::collections::BTreeMap;
use std::time::Duration;

use entity::{service, webhook_delivery};
use futures_util::future::join_all;
use kiops::app::pipelines;
use kiops::app::webhooks::handle;
use kiops::app::webhooks::intake::Received;
use kiops::domain::git::Provider;
use kiops::queue::{self, Limit};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::{Value, json};

use super::Mill;
use crate::support::builds::commit;

#[tokio::test]
async fn of_fifty_pushes_at_once_the_newest_of_each_branch_is_built() {
    let mill = Mill::new(Provider::Gitlab).await;
    mill.save(json!({ "branches": ["*"] })).await;
    // The first is at work while the others come.
    let limit = Limit { kind: pipelines::RUN, total: 2, per_organization: 2 };
    let claim = async || {
        let now = mill.test.app.clock.now();
        queue::claim(&mill.test.app.db, "worker", now, Duration::from_secs(60), limit).await.unwrap()
    };
    mill.outcome(&mill.push("first", "main", 99)).await;
    let working = claim().await.expect("it is queued");
    let pushes: Vec<_> =
        (1..=50u8).map(|n| mill.push(&format!("d-{n}"), if n % 2 == 0 { "main" } else { "feature/x" }, n)).collect();
    let answers = join_all(pushes.iter().map(|push| mill.send(push))).await;
    assert_eq!(answers, [Received::Stored; 50]);
    mill.settle().await;
    let shown = mill.deliveries().await;
    assert_eq!(shown.iter().filter(|d| d["outcome"] == "STARTED").count(), 51);
    let mut by_status: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (name, sha, status) in mill.pipelines().await {
        by_status.entry(status).or_default().push((name, sha));
    }
    let newest = |n: u8, name: &str| (name.to_owned(), commit(n).to_string());
    let queued: Vec<_> = by_status["QUEUED"].iter().filter(|(_, sha)| *sha != commit(99).as_str()).cloned().collect();
    assert_eq!(queued, [newest(50, "main"), newest(49, "feature/x")]);
    assert_eq!(by_status["CANCELED"].len(), 48);
    // Of a branch one is at work, and never more than there are places for.
    let second = claim().await.expect("the other branch has a place");
    assert_ne!(second.job.lane, working.job.lane);
    assert!(claim().await.is_none());
    let canceled = by_status["CANCELED"][0].clone();
    let document = "query($id: ID!) { service(id: $id) { pipelines(first: 100) { nodes { commit { sha } \
        stages { message } } } } }";
    let found = mill.test.data(&mill.member, document, json!({ "id": mill.service })).await;
    let nodes = found["service"]["pipelines"]["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|node| node["commit"]["sha"] == canceled.1.as_str()).unwrap();
    assert!(node["stages"].to_string().contains("a newer push took its place"), "{node}");
}

#[tokio::test]
async fn one_delivery_many_times_at_once_is_one() {
    let mill = Mill::new(Provider::Github).await;
    let push = mill.push("the-id", "main", 1);
    let answers = join_all((0..40).map(|_| mill.send(&push))).await;
    assert_eq!(answers, [Received::Stored; 40]);
    mill.settle().await;
    let shown = mill.deliveries().await;
    let count = |outcome: &str| shown.iter().filter(|d| d["outcome"] == outcome).count();
    assert_eq!((count("STARTED"), count("DUPLICATE")), (1, 39));
    assert_eq!(mill.pipelines().await.len(), 1);
}

#[tokio::test]
async fn a_database_that_is_away_loses_nothing_that_was_answered() {
    let mill = Mill::new(Provider::Github).await;
    assert_eq!(mill.send(&mill.push("d-1", "main", 1)).await, Received::Stored);
    // What is known of the service is still remembered.
    mill.test.app.db.read_write().clone().close().await.unwrap();
    assert_eq!(mill.send(&mill.push("d-2", "main", 2)).await, Received::Away);
    assert!(handle::next(&mill.test.app).await.is_err());
}

#[tokio::test]
async fn what_nobody_can_handle_is_given_up_and_can_be_replayed() {
    let mill = Mill::new(Provider::Github).await;
    assert_eq!(mill.send(&mill.push("d-1", "main", 1)).await, Received::Stored);
    // The service's row can't be read.
    let set = async |definition: Option<Value>| {
        let change = service::Entity::update_many().col_expr(service::Column::AutoCi, Expr::value(definition));
        change.filter(service::Column::Id.eq(mill.row())).exec(mill.test.app.db.read_write()).await.unwrap();
    };
    let stored = service::Entity::find_by_id(mill.row()).one(mill.test.app.db.read()).await.unwrap().unwrap().auto_ci;
    set(Some(json!({ "enabled": "perhaps" }))).await;
    let failed = handle::next(&mill.test.app).await.unwrap_err();
    set(stored).await;
    let oldest = webhook_delivery::Entity::find().one(mill.test.app.db.read()).await.unwrap().unwrap();
    assert_eq!(failed.id.as_ref(), Some(&oldest.id));
    handle::give_up(&mill.test.app, &failed).await.unwrap();
    let delivery = mill.deliveries().await[0].clone();
    assert_eq!(delivery["outcome"], "IGNORED");
    assert!(delivery["reason"].as_str().unwrap().contains("could not be handled"), "{delivery}");
    let document =
        "mutation($i: ReplayWebhookDeliveryInput!) { replayWebhookDelivery(input: $i) { delivery { outcome } } }";
    let answer = mill.test.data(&mill.member, document, json!({ "i": { "id": delivery["id"] } })).await;
    assert_eq!(answer["replayWebhookDelivery"]["delivery"]["outcome"], "STARTED");
}

#[tokio::test]
async fn only_what_failed_is_given_up_and_only_while_it_waits() {
    let mill = Mill::new(Provider::Github).await;
    for n in 1..=2 {
        assert_eq!(mill.send(&mill.push(&format!("d-{n}"), "main", n)).await, Received::Stored);
    }
    let why = kiops::app::Error::internal("the connection broke while it was committed");
    // It failed here, and another server has handled it since: the next one is not the one that failed.
    let done = handle::next(&mill.test.app).await.unwrap().unwrap();
    for id in [Some(done.id), None] {
        handle::give_up(&mill.test.app, &handle::Failed { id, error: why.clone() }).await.unwrap();
    }
    mill.settle().await;
    let shown = mill.deliveries().await;
    assert!(shown.len() == 2 && shown.iter().all(|d| d["outcome"] == "STARTED" && d["reason"].is_null()), "{shown:?}");
}
