//! Services that move from one runtime to another: what is shown before, what happens, and what is never forgotten.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod deaths;
mod left;

use std::sync::Arc;

use chrono::TimeDelta;
use entity::{LeftoverState, environment, leftover, runtime};
use kiops::runtime::RuntimeError;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, Set};
use serde_json::{Value, json};

use crate::support::app::{TestApp, code};
use crate::support::fakes::FakeRuntimes;
use crate::support::shop::{Shop, mutate, shared_engine, text, web, work};

/// A service that serves on one engine, and a second engine.
struct Move {
    test: TestApp,
    shop: Shop,
    here: Arc<FakeRuntimes>,
    there: Arc<FakeRuntimes>,
    /// The second engine's runtime.
    far: String,
}

impl Move {
    async fn new() -> Self {
        let test = TestApp::with(shared_engine(&["acme"])).await;
        let shop = Shop::open(&test, "acme").await;
        let there = test.runtimes.another("tcp://192.0.2.2:2375");
        let here = test.runtimes.clone();
        let mut new = Self { test, shop, here, there, far: String::new() };
        new.far = new.register("far", 2).await;
        new
    }

    async fn register(&self, name: &str, last: u8) -> String {
        let input = json!({ "name": name, "docker": { "host": format!("tcp://192.0.2.{last}:2375") } });
        mutate(&self.test, &self.shop.admin, "registerRuntime", input).await
    }

    async fn go_to(&self, runtime: &str) {
        mutate(&self.test, &self.shop.admin, "updateService", json!({ "id": self.shop.service, "runtimeId": runtime }))
            .await;
    }

    async fn queue(&self) -> String {
        mutate(&self.test, &self.shop.admin, "deployService", json!({ "serviceId": self.shop.service })).await
    }

    async fn deploy(&self) -> Value {
        let id = self.queue().await;
        work(&self.test).await;
        self.deployment(&id).await
    }

    async fn deployment(&self, id: &str) -> Value {
        let one = "query($id: ID!) { node(id: $id) { ... on Deployment { revision status message current warnings
            runtime { name } log(first: 100) { nodes { text } } } } }";
        self.test.data(&self.shop.admin, one, json!({ "id": id })).await["node"].take()
    }

    async fn preview(&self) -> Value {
        let preview = "query($id: ID!) { deploymentPreview(input: {serviceId: $id}) {
            planHash diff downtime downtimeReasons warnings } }";
        self.test.data(&self.shop.admin, preview, json!({ "id": self.shop.service })).await["deploymentPreview"].take()
    }

    async fn state(&self) -> Value {
        let state = "query($id: ID!) { service(id: $id) { status statusMessage runtime { name }
            environment(name: \"production\") { undeployedChanges runtime { name } currentDeployment { revision } } } }";
        self.test.data(&self.shop.admin, state, json!({ "id": self.shop.service })).await["service"].take()
    }

    async fn remove_runtime(&self, id: &str) -> async_graphql::Response {
        let remove = "mutation($id: ID!) { removeRuntime(input: {id: $id}) { id } }";
        self.test.run(Some(&self.shop.admin), remove, json!({ "id": id })).await
    }

    /// Checks a runtime and gives its status.
    async fn check(&self, id: &str) -> String {
        let check = "mutation($id: ID!) { checkRuntime(input: {id: $id}) { runtime { status } } }";
        let answer = self.test.data(&self.shop.admin, check, json!({ "id": id })).await;
        text(&answer["checkRuntime"]["runtime"]["status"])
    }

    /// Gives a runtime another address.
    async fn lead(&self, id: &str, last: u8) {
        let update = "mutation($id: ID!, $host: String!) { updateRuntime(input: {id: $id, docker: {host: $host}}) {
            runtime { id } } }";
        let host = format!("tcp://192.0.2.{last}:2375");
        self.test.data(&self.shop.admin, update, json!({ "id": id, "host": host })).await;
    }

    async fn row(&self) -> environment::Model {
        environment::Entity::find().one(self.test.app.db.read()).await.unwrap().unwrap()
    }

    async fn leftovers(&self) -> Vec<leftover::Model> {
        leftover::Entity::find().all(self.test.app.db.read()).await.unwrap()
    }

    async fn states(&self) -> Vec<LeftoverState> {
        self.leftovers().await.into_iter().map(|row| row.state).collect()
    }

    /// The names of the runtimes where something is left.
    async fn left_on(&self) -> Vec<String> {
        let runtimes = runtime::Entity::find().all(self.test.app.db.read()).await.unwrap();
        let name = |row: leftover::Model| runtimes.iter().find(|r| r.id == row.runtime_id).unwrap().name.clone();
        self.leftovers().await.into_iter().map(name).collect()
    }

    /// Gives the service a container with a volume and deploys it.
    async fn deploy_with_a_volume(&self) {
        let mut container = web();
        container["volumes"] = json!([{ "mountPath": "/data" }]);
        let input = json!({ "id": self.shop.service, "containers": [container] });
        mutate(&self.test, &self.shop.admin, "updateService", input).await;
        assert_eq!(self.deploy().await["status"], "SUCCEEDED");
    }

    /// Deploys with an engine on which nothing becomes healthy.
    async fn deploy_in_vain(&self, engine: &FakeRuntimes) {
        engine.fail("apply", RuntimeError::Failed("web did not become healthy".to_owned()));
        assert_eq!(self.deploy().await["status"], "FAILED");
    }

    /// Removes the service with its volumes.
    async fn remove_service(&self) {
        let remove = "mutation($id: ID!) { removeService(input: {id: $id, deleteVolumes: true}) { id } }";
        self.test.data(&self.shop.admin, remove, json!({ "id": self.shop.service })).await;
        work(&self.test).await;
    }

    /// Works and lets time go by until a deployment has ended.
    async fn ends(&self, id: &str) -> Value {
        for _ in 0..40 {
            work(&self.test).await;
            let seen = self.deployment(id).await;
            if ["SUCCEEDED", "FAILED"].iter().any(|status| seen["status"] == *status) {
                return seen;
            }
            self.test.clock.advance(TimeDelta::hours(2));
        }
        panic!("it does not end: {:#}", self.deployment(id).await);
    }

    /// Revisions that the two engines run.
    async fn revisions(&self) -> (Option<i32>, Option<i32>) {
        let id = self.row().await.id;
        (self.here.revision(&id), self.there.revision(&id))
    }
}

fn away() -> Option<RuntimeError> {
    Some(RuntimeError::Unreachable("the engine does not answer".to_owned()))
}

fn all(list: &Value) -> String {
    list.as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().or(line["text"].as_str()).unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn it_moves_with_the_next_deployment_and_the_old_one_is_taken_down_then() {
    let m = Move::new().await;
    m.deploy_with_a_volume().await;
    let stays = m.preview().await;
    assert_eq!((&stays["diff"], &stays["warnings"]), (&json!(""), &json!([])));

    m.go_to(&m.far).await;
    work(&m.test).await;
    assert_eq!(m.revisions().await, (Some(3), None), "nothing happens before the next deployment");
    let state = m.state().await;
    assert_eq!(state["environment"]["undeployedChanges"], true);
    assert_eq!(state["runtime"]["name"], "acme-engine");
    let preview = m.preview().await;
    assert_ne!(preview["planHash"], stays["planHash"]);
    assert_eq!(preview["downtime"], false, "{preview:#}");
    let diff = text(&preview["diff"]);
    assert!(diff.contains("-# on acme-engine") && diff.contains("+# on far"), "{diff}");
    let warnings = all(&preview["warnings"]);
    for part in
        ["moves from runtime acme-engine to runtime far", "volume /data of web starts empty on far", "stays there"]
    {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }

    let before = m.here.calls.lock().unwrap().len();
    let moved = m.deploy().await;
    assert_eq!((&moved["status"], &moved["current"]), (&json!("SUCCEEDED"), &json!(true)), "{moved:#}");
    assert_eq!(moved["runtime"]["name"], "far");
    assert!(all(&moved["warnings"]).contains("starts empty on far"), "{moved:#}");
    assert_eq!(m.revisions().await, (None, Some(4)));
    let asked: Vec<String> = m.here.calls.lock().unwrap()[before..].to_vec();
    let changing: Vec<_> =
        asked.iter().filter(|c| !["connect", "check"].iter().any(|free| c.starts_with(free))).collect();
    assert_eq!(changing.len(), 1, "{asked:?}");
    assert!(changing[0].starts_with("remove") && changing[0].ends_with("Keep"), "{asked:?}");
    let state = m.state().await;
    assert_eq!(state["status"], "RUNNING");
    assert_eq!((&state["runtime"]["name"], &state["environment"]["undeployedChanges"]), (&json!("far"), &json!(false)));

    // Back goes to where it is now.
    let back = mutate(&m.test, &m.shop.admin, "rollbackService", json!({ "serviceId": m.shop.service })).await;
    work(&m.test).await;
    let back = m.deployment(&back).await;
    assert_eq!((&back["status"], &back["runtime"]["name"]), (&json!("SUCCEEDED"), &json!("far")), "{back:#}");
    assert_eq!(m.revisions().await, (None, Some(5)));

    // Nothing needs the old one any more, and the revisions that went there can be read all the same.
    let removed = m.remove_runtime(&m.shop.runtime).await;
    assert!(removed.errors.is_empty(), "{:?}", removed.errors);
    assert_eq!(m.deployment(&m.shop.deployment).await["runtime"]["name"], "far");
}

#[tokio::test]
async fn a_move_that_fails_leaves_nothing_there_and_the_old_one_alone() {
    let m = Move::new().await;
    m.go_to(&m.far).await;
    let before = m.here.calls.lock().unwrap().len();
    m.there.fail("apply", RuntimeError::Failed("web did not become healthy".to_owned()));
    let failed = m.deploy().await;
    assert_eq!((&failed["status"], &failed["message"]), (&json!("FAILED"), &json!("web did not become healthy")));
    assert_eq!(m.revisions().await, (Some(2), None));
    let id = m.row().await.id;
    assert!(m.there.calls.lock().unwrap().contains(&format!("remove {id} Keep")), "volumes are never deleted here");
    let asked: Vec<String> = m.here.calls.lock().unwrap()[before..].to_vec();
    assert!(
        asked.iter().all(|c| ["connect", "check", "instances"].iter().any(|free| c.starts_with(free))),
        "{asked:?}"
    );
    let state = m.state().await;
    assert_eq!((&state["status"], &state["runtime"]["name"]), (&json!("DEPLOY_FAILED"), &json!("acme-engine")));
    assert_eq!(m.leftovers().await, []);

    // What can't be removed there at the moment is not forgotten.
    m.there.fail("apply", RuntimeError::Failed("still not".to_owned()));
    let id = m.queue().await;
    let mut tries = 0;
    while m.deployment(&id).await["status"] != "FAILED" {
        // Once for the deployment, once for the job that it leaves it to in the end.
        for _ in 0..2 {
            m.there.fail("remove", RuntimeError::Unreachable("gone in the middle".to_owned()));
        }
        work(&m.test).await;
        m.test.clock.advance(TimeDelta::hours(2));
        tries += 1;
        assert!(tries < 20);
    }
    let left = m.leftovers().await;
    assert_eq!((left.len(), left[0].state, left[0].delete_volumes), (1, LeftoverState::Waiting, false));
    assert_eq!(code(&m.remove_runtime(&m.far).await).as_deref(), Some("CONFLICT"));
    m.there.failures.lock().unwrap().clear();
    m.test.clock.advance(TimeDelta::hours(2));
    work(&m.test).await;
    assert_eq!(m.states().await, [LeftoverState::Volumes], "removing the service can delete what it made there");
    assert_eq!(m.there.count("remove") - m.there.count(&format!("remove {} Keep", m.row().await.id)), 0);
    assert_eq!(m.revisions().await, (Some(2), None));
    m.deploy().await;
    assert_eq!(m.revisions().await, (None, Some(5)));
}

#[tokio::test]
async fn a_failed_move_home_deletes_no_volumes() {
    let m = Move::new().await;
    m.deploy_with_a_volume().await;
    m.go_to(&m.far).await;
    m.deploy().await;
    let id = m.row().await.id;
    m.go_to(&m.shop.runtime).await;
    m.deploy_in_vain(&m.here).await;
    assert_eq!(m.here.count(&format!("remove {id} Delete")), 0);
    assert_eq!((m.revisions().await, m.states().await), ((None, Some(4)), vec![LeftoverState::Volumes]));
    m.remove_service().await;
    assert!(m.here.calls.lock().unwrap().contains(&format!("remove {id} Delete")), "it was asked for");
}

#[tokio::test]
async fn a_failed_move_home_deletes_no_volumes_though_it_had_another_name_in_between() {
    let m = Move::new().await;
    m.deploy_with_a_volume().await;
    m.test.runtimes.alias("tcp://192.0.2.4:2375", &m.here);
    let alias = m.register("alias", 4).await;
    for runtime in [&alias, &m.far] {
        m.go_to(runtime).await;
        m.deploy().await;
    }
    m.go_to(&m.shop.runtime).await;
    m.deploy_in_vain(&m.here).await;
    assert_eq!((m.here.count("remove"), m.here.count(&format!("remove {} Keep", m.row().await.id))), (2, 2));
    assert_eq!(m.states().await, [LeftoverState::Volumes; 2]);
}

#[tokio::test]
async fn a_failed_move_home_deletes_no_volumes_though_it_was_registered_anew() {
    let m = Move::new().await;
    m.deploy_with_a_volume().await;
    m.go_to(&m.far).await;
    m.deploy().await;
    assert!(m.remove_runtime(&m.shop.runtime).await.errors.is_empty());
    assert_eq!(m.leftovers().await, []);
    let again = m.register("again", 1).await;
    m.go_to(&again).await;
    m.deploy_in_vain(&m.here).await;
    let id = m.row().await.id;
    assert_eq!((m.here.count("remove"), m.here.count(&format!("remove {id} Keep"))), (2, 2));
    assert_eq!(m.states().await, [LeftoverState::Volumes]);
    m.remove_service().await;
    assert!(m.here.calls.lock().unwrap().contains(&format!("remove {id} Delete")), "it was asked for");
}

/// Lets the first engine's runtime be as one that was registered before it was asked which engine it is.
async fn forget_which_engine(m: &Move) {
    runtime::Entity::update_many()
        .set(runtime::ActiveModel { engine_id: Set(None), ..Default::default() })
        .filter(runtime::Column::Name.eq("acme-engine"))
        .exec(m.test.app.db.read_write())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_failed_move_removes_nothing_where_it_may_be_the_engine_that_serves() {
    let m = Move::new().await;
    m.go_to(&m.far).await;
    let id = m.queue().await;
    m.there.fail("apply", RuntimeError::Unreachable("gone in the middle".to_owned()));
    work(&m.test).await;
    assert_eq!(m.deployment(&id).await["status"], "RUNNING");
    forget_which_engine(&m).await;
    *m.here.away.lock().unwrap() = away();
    m.there.fail("apply", RuntimeError::Failed("web did not become healthy".to_owned()));
    m.test.clock.advance(TimeDelta::hours(2));
    assert_eq!(m.ends(&id).await["status"], "FAILED");
    work(&m.test).await;
    assert_eq!((m.there.count("remove"), m.states().await), (0, vec![LeftoverState::Waiting]));
    *m.here.away.lock().unwrap() = None;
    m.test.clock.advance(TimeDelta::hours(2));
    work(&m.test).await;
    assert_eq!((m.there.count("remove"), m.states().await), (1, vec![LeftoverState::Volumes]));
    assert_eq!(m.revisions().await, (Some(2), None));
}

#[tokio::test]
async fn what_is_stopped_while_a_deployment_works_is_stopped_in_the_end() {
    let m = Move::new().await;
    m.queue().await;
    let stop = "mutation($id: ID!) { stopService(input: {serviceId: $id}) { service { id } } }";
    m.test.data(&m.shop.admin, stop, json!({ "id": m.shop.service })).await;
    work(&m.test).await;
    assert_eq!((m.state().await["status"].take(), m.row().await.stopped), (json!("STOPPED"), true));
    let restart = "mutation($id: ID!) { restartService(input: {serviceId: $id}) { service { id } } }";
    m.test.data(&m.shop.admin, restart, json!({ "id": m.shop.service })).await;
    work(&m.test).await;
    assert_eq!((m.state().await["status"].take(), m.row().await.stopped), (json!("RUNNING"), false));
}

#[tokio::test]
async fn a_second_move_goes_on_from_the_first() {
    let m = Move::new().await;
    let third = m.test.runtimes.another("tcp://192.0.2.3:2375");
    let farther = m.register("farther", 3).await;
    m.go_to(&m.far).await;
    let first = m.queue().await;
    m.go_to(&farther).await;
    let second = m.queue().await;
    let rollback = mutate(&m.test, &m.shop.admin, "rollbackService", json!({ "serviceId": m.shop.service })).await;
    work(&m.test).await;
    for (id, runtime) in [(&first, "far"), (&second, "farther"), (&rollback, "farther")] {
        let seen = m.deployment(id).await;
        assert_eq!((&seen["status"], &seen["runtime"]["name"]), (&json!("SUCCEEDED"), &json!(runtime)), "{seen:#}");
    }
    assert!(all(&m.deployment(&second).await["warnings"]).contains("moves from runtime far to runtime farther"));
    assert_eq!(m.revisions().await, (None, None));
    assert_eq!(third.revision(&m.row().await.id), Some(5));
    assert_eq!(m.state().await["environment"]["undeployedChanges"], false);
}

#[tokio::test]
async fn two_registrations_of_one_engine_are_one_place() {
    let m = Move::new().await;
    m.test.runtimes.alias("tcp://192.0.2.4:2375", &m.here);
    let alias = m.register("alias", 4).await;
    m.go_to(&alias).await;
    let warnings = all(&m.preview().await["warnings"]);
    assert!(warnings.contains("alias is the same engine as acme-engine"), "{warnings}");
    assert_eq!(m.deploy().await["status"], "SUCCEEDED");
    assert_eq!(m.revisions().await, (Some(3), None));
    assert_eq!(m.here.count("remove"), 0);
    assert_eq!(m.state().await["runtime"]["name"], "alias");
    assert_eq!(m.leftovers().await, []);
}

#[tokio::test]
async fn a_copy_of_an_engine_is_not_taken_for_it() {
    let m = Move::new().await;
    m.there.call_yourself(&m.here);
    // What is stored about the second one is not true any more; the deployment asks.
    m.go_to(&m.far).await;
    let id = m.queue().await;
    for _ in 0..10 {
        work(&m.test).await;
        m.test.clock.advance(TimeDelta::hours(2));
    }
    let failed = m.deployment(&id).await;
    assert_eq!(failed["status"], "FAILED");
    assert!(text(&failed["message"]).contains("if one is a copy of the other"), "{failed:#}");
    assert_eq!(m.revisions().await, (Some(2), None));

    // Nobody is called a copy who only does not answer.
    for _ in 0..40 {
        m.there.fail("instances", RuntimeError::Unreachable("gone in the middle".to_owned()));
    }
    let id = m.queue().await;
    let message = text(&m.ends(&id).await["message"]);
    assert!(message.contains("runtime far does not answer now"), "{message}");
}

#[tokio::test]
async fn an_address_that_changes_in_the_middle_of_a_failing_move_takes_nothing_down() {
    let m = Move::new().await;
    m.go_to(&m.far).await;
    let id = m.queue().await;
    m.there.fail("apply", RuntimeError::Unreachable("gone in the middle".to_owned()));
    work(&m.test).await;
    assert_eq!(m.deployment(&id).await["status"], "RUNNING");
    m.test.runtimes.alias("tcp://192.0.2.2:2375", &m.here);
    m.here.fail("apply", RuntimeError::Failed("web did not become healthy".to_owned()));
    m.test.clock.advance(TimeDelta::hours(2));
    work(&m.test).await;
    assert_eq!(m.deployment(&id).await["status"], "FAILED");
    assert_eq!((m.revisions().await.0, m.here.count("remove")), (Some(2), 0));
}
