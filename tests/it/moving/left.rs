//! What is left on runtimes: taken down when that can be done, never forgotten, and never what serves.

use chrono::TimeDelta;
use entity::{LeftoverState, audit_event, environment, job};
use kiops::app::deployments::leftovers::{self, Down};
use kiops::app::deployments::{jobs, perform};
use kiops::queue;
use kiops::runtime::{RuntimeError, Volumes};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::json;

use super::{Move, all, away};
use crate::support::app::code;
use crate::support::shop::{mutate, web, work};

/// A service that was never deployed, on the first engine.
async fn fresh(m: &Move) -> String {
    let input = json!({ "name": "fresh", "runtimeId": m.shop.runtime, "containers": [web()] });
    mutate(&m.test, &m.shop.admin, "registerDockerHubService", input).await
}

#[tokio::test]
async fn what_a_first_deployment_left_somewhere_is_taken_down_once_it_serves_elsewhere() {
    let m = Move::new().await;
    let fresh = fresh(&m).await;
    let deploy = || mutate(&m.test, &m.shop.admin, "deployService", json!({ "serviceId": fresh }));
    let go_to =
        |runtime: String| mutate(&m.test, &m.shop.admin, "updateService", json!({ "id": fresh, "runtimeId": runtime }));
    let first = deploy().await;
    m.here.fail("apply", RuntimeError::Failed("web did not become healthy".to_owned()));
    for _ in 0..40 {
        m.here.fail("undo", RuntimeError::Engine("it does not stop".to_owned()));
    }
    assert_eq!(m.ends(&first).await["status"], "FAILED");
    m.here.failures.lock().unwrap().clear();
    go_to(m.far.clone()).await;
    let second = deploy().await;
    assert_eq!(m.ends(&second).await["status"], "SUCCEEDED");
    work(&m.test).await;
    assert_eq!((m.here.count("remove"), m.there.count("remove")), (1, 0));
    assert_eq!((m.left_on().await, m.states().await), (vec!["acme-engine".to_owned()], vec![LeftoverState::Volumes]));

    // Also one that went somewhere else than its environment is.
    let m = Move::new().await;
    let fresh = self::fresh(&m).await;
    let deploy = || mutate(&m.test, &m.shop.admin, "deployService", json!({ "serviceId": fresh }));
    let first = deploy().await;
    m.here.fail("apply", RuntimeError::Failed("web did not become healthy".to_owned()));
    assert_eq!(m.ends(&first).await["status"], "FAILED");
    let far = json!({ "id": fresh, "runtimeId": m.far });
    mutate(&m.test, &m.shop.admin, "updateService", far).await;
    let second = deploy().await;
    m.there.fail("apply", RuntimeError::Failed("web did not become healthy".to_owned()));
    for _ in 0..40 {
        m.there.fail("undo", RuntimeError::Engine("it does not stop".to_owned()));
    }
    assert_eq!(m.ends(&second).await["status"], "FAILED");
    work(&m.test).await;
    assert_eq!((m.here.count("remove"), m.there.count("remove")), (0, 1));
    assert_eq!(m.left_on().await, ["far"]);
}

#[tokio::test]
async fn an_old_runtime_that_does_not_answer_is_taken_down_when_it_does() {
    let m = Move::new().await;
    m.go_to(&m.far).await;
    *m.here.away.lock().unwrap() = away();
    let moved = m.deploy().await;
    assert_eq!(moved["status"], "SUCCEEDED", "{moved:#}");
    let log = all(&moved["log"]["nodes"]);
    assert!(log.contains("what ran on runtime acme-engine is not taken down yet"), "{log}");
    assert_eq!(m.revisions().await, (Some(2), Some(3)));
    assert_eq!(m.state().await["status"], "RUNNING");
    let refused = m.remove_runtime(&m.shop.runtime).await;
    assert_eq!(code(&refused).as_deref(), Some("CONFLICT"));
    let message = &refused.errors[0].message;
    assert!(message.contains("what environment production of acme-shop left there"), "{message}");
    assert!(message.contains("does not answer"), "{message}");

    // Deployments where it is now do not wait for it.
    assert_eq!(m.deploy().await["status"], "SUCCEEDED");
    // Back to where something has to be taken down first: it waits for that, in vain for the time being.
    m.go_to(&m.shop.runtime).await;
    let back = m.queue().await;
    work(&m.test).await;
    assert_ne!(m.deployment(&back).await["status"], "SUCCEEDED");
    *m.here.away.lock().unwrap() = None;
    for _ in 0..3 {
        m.test.clock.advance(TimeDelta::hours(2));
        work(&m.test).await;
    }
    let back = m.deployment(&back).await;
    assert_eq!(back["status"], "SUCCEEDED", "{back:#}");
    assert_eq!(m.revisions().await, (Some(5), None));
    assert_eq!(m.states().await, [LeftoverState::Volumes], "only what is on the other one");
    let removed = m.remove_runtime(&m.far).await;
    assert!(removed.errors.is_empty(), "{:?}", removed.errors);
}

#[tokio::test]
async fn a_runtime_that_is_gone_for_good_can_be_removed() {
    let m = Move::new().await;
    m.go_to(&m.far).await;
    *m.here.away.lock().unwrap() = away();
    m.deploy().await;
    assert_eq!(code(&m.remove_runtime(&m.shop.runtime).await).as_deref(), Some("CONFLICT"), "it may come back");
    assert_eq!(m.check(&m.shop.runtime).await, "UNREACHABLE");
    let removed = m.remove_runtime(&m.shop.runtime).await;
    assert!(removed.errors.is_empty(), "{:?}", removed.errors);
    assert_eq!(m.leftovers().await, []);
    assert_eq!(job::Entity::find().all(m.test.app.db.read()).await.unwrap(), [], "nobody asks it any more");
    let event = audit_event::Entity::find()
        .filter(audit_event::Column::Action.eq("runtime.removed"))
        .one(m.test.app.db.read())
        .await
        .unwrap();
    let detail = event.unwrap().detail;
    assert_eq!(detail["mayStillRunThere"], json!(["environment production of acme-shop"]));
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_asked_little_and_at_once_when_it_is_back() {
    let m = Move::new().await;
    m.go_to(&m.far).await;
    *m.here.away.lock().unwrap() = away();
    m.deploy().await;
    *m.here.away.lock().unwrap() = None;
    m.here.fail("check", RuntimeError::Unreachable("the engine does not answer".to_owned()));
    m.test.clock.advance(TimeDelta::hours(1));
    work(&m.test).await;
    assert_eq!((m.here.count("remove"), m.states().await), (0, vec![LeftoverState::Waiting]));

    // Its next try is an hour away.
    *m.here.away.lock().unwrap() = away();
    assert_eq!(m.check(&m.shop.runtime).await, "UNREACHABLE");
    *m.here.away.lock().unwrap() = None;
    work(&m.test).await;
    assert_eq!(m.here.count("remove"), 0);
    assert_eq!(m.check(&m.shop.runtime).await, "READY");
    work(&m.test).await;
    assert_eq!((m.here.count("remove"), m.states().await), (1, vec![LeftoverState::Volumes]));

    let minutes = |kind, attempts| perform::backoff(kind, attempts).as_secs() / 60;
    assert_eq!((minutes(jobs::DEPLOYMENT, 100), minutes(jobs::TAKE_DOWN, 100)), (1, 60));
    assert_eq!(perform::backoff(jobs::TAKE_DOWN, 1).as_secs(), 1);
}

#[tokio::test]
async fn what_changes_while_something_is_taken_down_is_not_forgotten() {
    let m = Move::new().await;
    m.go_to(&m.far).await;
    *m.here.away.lock().unwrap() = away();
    m.deploy().await;
    *m.here.away.lock().unwrap() = None;
    let (app, row) = (&m.test.app, m.leftovers().await.remove(0));

    // Its volumes are to go too, and this try left them there.
    assert_eq!(leftovers::take_down(app, &row).await.unwrap().unwrap(), Down::Removed);
    let tx = app.begin().await.unwrap();
    queue::drop_jobs(&tx, &row.id).await.unwrap();
    leftovers::again(app, &tx, &row, Volumes::Delete).await.unwrap();
    queue::drop_jobs(&tx, &row.id).await.unwrap();
    leftovers::taken_down(app, &tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    let now = m.leftovers().await.remove(0);
    assert_eq!((now.state, now.delete_volumes), (LeftoverState::Waiting, true));
    work(&m.test).await;
    assert!(m.here.calls.lock().unwrap().contains(&format!("remove {} Delete", row.environment_id)));
    assert_eq!(m.leftovers().await, []);

    // Nobody wants it to be taken down any more.
    let removes = m.here.count("remove");
    assert_eq!(leftovers::take_down(app, &row).await.unwrap().unwrap(), Down::Dropped);
    assert_eq!(m.here.count("remove"), removes);
}

#[tokio::test]
async fn nothing_is_taken_down_where_a_deployment_is_at_work() {
    let m = Move::new().await;
    let third = m.test.runtimes.another("tcp://192.0.2.3:2375");
    let farther = m.register("farther", 3).await;
    m.go_to(&m.far).await;
    *m.here.away.lock().unwrap() = away();
    m.deploy().await;
    m.go_to(&farther).await;
    let id = m.queue().await;
    third.fail("apply", RuntimeError::Unreachable("gone in the middle".to_owned()));
    work(&m.test).await;
    assert_eq!(m.deployment(&id).await["status"], "RUNNING");
    m.lead(&m.shop.runtime, 3).await;
    assert!(!work(&m.test).await.is_empty(), "a new address is tried at once");
    assert_eq!((third.count("remove"), m.states().await), (0, vec![LeftoverState::Waiting]));
    assert_eq!(m.ends(&id).await["status"], "SUCCEEDED");
    m.test.clock.advance(TimeDelta::hours(2));
    work(&m.test).await;
    assert_eq!((third.count("remove"), third.revision(&m.row().await.id)), (0, Some(4)));
    assert_eq!(m.states().await, [LeftoverState::Volumes; 2]);
}

#[tokio::test]
async fn a_runtime_that_comes_to_mean_the_serving_engine_is_not_taken_down() {
    let m = Move::new().await;
    m.go_to(&m.far).await;
    *m.here.away.lock().unwrap() = away();
    m.deploy().await;
    *m.here.away.lock().unwrap() = None;
    m.lead(&m.shop.runtime, 2).await;
    m.test.clock.advance(TimeDelta::hours(2));
    work(&m.test).await;
    assert_eq!(m.revisions().await, (Some(2), Some(3)));
    assert_eq!(m.there.count("remove"), 0);
    assert_eq!(m.leftovers().await[0].state, LeftoverState::Volumes);
}

#[tokio::test]
async fn a_removed_service_takes_what_it_left_with_it() {
    let remove = "mutation($id: ID!) { removeService(input: {id: $id, deleteVolumes: true}) { id } }";
    let m = Move::new().await;
    m.go_to(&m.far).await;
    m.deploy().await;
    let id = m.row().await.id;
    m.test.data(&m.shop.admin, remove, json!({ "id": m.shop.service })).await;
    work(&m.test).await;
    for engine in [&m.here, &m.there] {
        assert!(engine.calls.lock().unwrap().contains(&format!("remove {id} Delete")));
    }
    assert_eq!(m.leftovers().await, []);

    // Also when the old one answers only after the service is gone.
    let m = Move::new().await;
    m.go_to(&m.far).await;
    *m.here.away.lock().unwrap() = away();
    m.deploy().await;
    let id = m.row().await.id;
    m.test.data(&m.shop.admin, remove, json!({ "id": m.shop.service })).await;
    work(&m.test).await;
    assert!(environment::Entity::find().one(m.test.app.db.read()).await.unwrap().is_none());
    assert_eq!(m.here.revision(&id), Some(2));
    *m.here.away.lock().unwrap() = None;
    m.test.clock.advance(TimeDelta::hours(2));
    work(&m.test).await;
    assert!(m.here.calls.lock().unwrap().contains(&format!("remove {id} Delete")));
    assert_eq!((m.here.revision(&id), m.leftovers().await.len()), (None, 0));
}
