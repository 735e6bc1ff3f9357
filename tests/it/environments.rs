//! Environments as the API saves them, what is kept of their history, and what becomes of their secrets.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use async_graphql::Response;
use chrono::TimeDelta;
use entity::{DeploymentPhase, DeploymentTrigger, RunStatus, deployment, environment, runtime, service};
use kiops::app::Actor;
use kiops::app::deployments::list;
use kiops::domain::secret::ExposeSecret as _;
use kiops::graphql::ids::NodeKind;
use sea_orm::{
    ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _, QueryOrder as _, Set,
};
use serde_json::{Value, json};

use crate::support::app::{TestApp, code};

const SAVE: &str = "mutation($input: SaveEnvironmentInput!) { saveEnvironment(input: $input) { environment {
    name namespace replicas strategy domain env { name value secret } resources { cpuLimit memoryLimit }
    runtime { name } status autoDeploy requireApproval } } }";

/// An organization with an engine and a service.
struct Place {
    test: TestApp,
    admin: Actor,
    member: Actor,
    service: String,
    runtime: String,
}

impl Place {
    async fn new() -> Self {
        let test = TestApp::new().await;
        let admin = test.organization("default").await;
        let member = test.member(&admin, "member@default.example").await;
        let runtime = engine(&test, &admin, "far").await;
        let register = "mutation($input: RegisterDockerHubServiceInput!) {
            registerDockerHubService(input: $input) { service { id } } }";
        let input =
            json!({ "name": "shop", "runtimeId": runtime, "containers": [{ "name": "web", "image": "nginx" }] });
        let data = test.data(&member, register, json!({ "input": input })).await;
        let service = text(&data["registerDockerHubService"]["service"]["id"]);
        Self { test, admin, member, service, runtime }
    }

    async fn try_save(&self, actor: &Actor, name: &str, more: Value) -> Response {
        let mut input = json!({ "serviceId": self.service, "name": name });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.test.run(Some(actor), SAVE, json!({ "input": input })).await
    }

    async fn save(&self, name: &str, more: Value) -> Value {
        let response = self.try_save(&self.member, name, more).await;
        assert!(response.errors.is_empty(), "{:?}", response.errors);
        response.data.into_json().unwrap()["saveEnvironment"]["environment"].clone()
    }

    async fn refused(&self, name: &str, more: Value) -> Vec<String> {
        let response = self.try_save(&self.admin, name, more).await;
        assert_eq!(code(&response).as_deref(), Some("BAD_USER_INPUT"), "{:?}", response.errors);
        fields(&response)
    }

    async fn row(&self) -> environment::Model {
        environment::Entity::find().one(self.test.app.db.read()).await.unwrap().unwrap()
    }

    async fn secrets(&self) -> u64 {
        self.admin.scope.secrets().count(self.test.app.db.read()).await.unwrap()
    }

    /// Ended deployments; each refers to the variables that the environment has now.
    async fn deployed(&self, revisions: std::ops::Range<i32>, status: RunStatus) -> Vec<String> {
        let app = &self.test.app;
        let row = self.row().await;
        let mut ids = Vec::new();
        let tx = app.begin().await.unwrap();
        for revision in revisions {
            let new = deployment::ActiveModel {
                id: Set(app.ids.id()),
                organization_id: Set(row.organization_id.clone()),
                service_id: Set(row.service_id.clone()),
                environment_id: Set(row.id.clone()),
                runtime_id: Set(row.runtime_id.clone()),
                moved_from: Set(None),
                revision: Set(revision),
                trigger: Set(DeploymentTrigger::Manual),
                triggered_by: Set(None),
                rollback_of: Set(None),
                status: Set(status),
                phase: Set(DeploymentPhase::Done),
                message: Set(None),
                spec: Set(json!({ "env": row.env })),
                manifest: Set(String::new()),
                warnings: Set(json!([])),
                tags: Set(json!({})),
                plan_hash: Set(String::new()),
                definition_version: Set(1),
                settings_version: Set(row.settings_version),
                pipeline_id: Set(None),
                approval: Set(None),
                gate: Set(None),
                cancel_requested: Set(false),
                idempotency_key: Set(None),
                created_at: Set(app.clock.now()),
                started_at: Set(None),
                finished_at: Set(Some(app.clock.now())),
            };
            ids.push(new.insert(&tx).await.unwrap().id);
        }
        tx.commit().await.unwrap();
        ids
    }

    async fn prune(&self) -> Vec<i32> {
        let app = &self.test.app;
        let tx = app.begin().await.unwrap();
        list::prune(app, &tx, &self.row().await.id).await.unwrap();
        tx.commit().await.unwrap();
        let left = deployment::Entity::find().order_by_asc(deployment::Column::Revision).all(app.db.read()).await;
        left.unwrap().into_iter().map(|d| d.revision).collect()
    }
}

/// Registers one of the addresses that are for documentation.
async fn engine(test: &TestApp, admin: &Actor, name: &str) -> String {
    let register = "mutation($input: RegisterRuntimeInput!) { registerRuntime(input: $input) { runtime { id } } }";
    let input = json!({ "name": name, "docker": { "host": format!("tcp://192.0.2.{}:2375", name.len()) } });
    text(&test.data(admin, register, json!({ "input": input })).await["registerRuntime"]["runtime"]["id"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn fields(response: &Response) -> Vec<String> {
    let extensions = response.errors.first().and_then(|e| e.extensions.as_ref());
    let violations = extensions.and_then(|e| e.get("violations")).unwrap().clone().into_json().unwrap();
    violations.as_array().unwrap().iter().map(|v| text(&v["field"])).collect()
}

#[tokio::test]
async fn what_is_left_out_stays_and_null_clears() {
    let place = Place::new().await;
    let made = place
        .save("staging", json!({ "env": [{ "name": "A", "value": "1" }], "resources": { "memoryLimit": "64Mi" } }))
        .await;
    assert_eq!(
        made,
        json!({
            "name": "staging", "namespace": "shop-staging", "replicas": 1, "strategy": "ROLLING_UPDATE", "domain": null,
            "env": [{ "name": "A", "value": "1", "secret": false }],
            "resources": { "cpuLimit": null, "memoryLimit": "64Mi" }, "runtime": { "name": "far" },
            "status": "REGISTERED", "autoDeploy": false, "requireApproval": false,
        })
    );
    assert_eq!(place.row().await.settings_version, 1);
    let same = place.save("staging", json!({})).await;
    assert_eq!((same, place.row().await.settings_version), (made, 1));
    let cleared = place.save("staging", json!({ "env": null, "resources": null, "replicas": null })).await;
    assert_eq!((&cleared["env"], &cleared["resources"]["memoryLimit"]), (&json!([]), &Value::Null));
    assert_eq!(place.row().await.settings_version, 2);

    // Before anything was deployed it may move.
    let near = engine(&place.test, &place.admin, "near").await;
    let moved = place.save("staging", json!({ "runtimeId": near })).await;
    assert_eq!(moved["runtime"]["name"], "near");
    assert_eq!(place.save("staging", json!({ "runtimeId": null })).await["runtime"]["name"], "far");
    let row = place.row().await;
    let mut change = row.into_active_model();
    change.latest_deployment_id = Set(Some("d".to_owned()));
    let tx = place.test.app.begin().await.unwrap();
    change.update(&tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(place.refused("staging", json!({ "namespace": "other" })).await, ["input.namespace"]);
    // From then on it moves with a deployment.
    assert_eq!(place.save("staging", json!({ "runtimeId": near })).await["runtime"]["name"], "far");
    assert!(place.row().await.next_runtime_id.is_some());
    place.save("staging", json!({ "runtimeId": place.runtime, "namespace": null })).await;
    let row = place.row().await;
    assert_eq!(row.next_runtime_id, Some(row.runtime_id));
}

#[tokio::test]
async fn a_secret_is_sealed_and_named_nowhere() {
    let place = Place::new().await;
    let entry = json!([{ "name": "TOKEN", "value": "hush-hush", "secret": true }]);
    let made = place.save("production", json!({ "env": entry })).await;
    assert_eq!(made["env"], json!([{ "name": "TOKEN", "value": null, "secret": true }]));
    let kept = place.row().await.env;
    place.save("production", json!({ "env": [{ "name": "TOKEN" }] })).await;
    let row = place.row().await;
    assert_eq!((&row.env, row.settings_version), (&kept, 1));
    let id = text(&row.env[0]["value"]["secret"]);
    let opened = kiops::app::secrets::open(&place.test.app, &place.admin.scope, &id).await.unwrap();
    assert_eq!(opened.expose_secret(), "hush-hush");
    let readable = json!({ "env": [{ "name": "TOKEN", "secret": false }, { "name": "NEW" }] });
    assert_eq!(place.refused("production", readable).await, ["input.env.0.value", "input.env.1.value"]);

    let events = place.admin.scope.audit_events().all(place.test.app.db.read()).await.unwrap();
    let saved: Vec<_> = events.iter().filter(|e| e.action == "environment.saved").collect();
    assert_eq!(saved.len(), 2);
    assert!(saved.iter().all(|e| !e.detail.to_string().contains("hush")));
    assert_eq!(saved[0].detail["changed"], json!(["env"]));
}

#[tokio::test]
async fn every_fault_at_once() {
    let place = Place::new().await;
    let all = json!({
        "namespace": "other", "replicas": 2, "domain": "shop.example",
        "env": [{ "name": "A=B", "value": "x" }], "resources": { "memoryLimit": "lots" },
        "autoscaling": { "minReplicas": 1, "maxReplicas": 2 }, "autoDeploy": true, "requireApproval": true,
        "tls": { "secretName": "cert" },
    });
    assert_eq!(
        place.refused("Not a name", all).await,
        [
            "input.name",
            "input.namespace",
            "input.replicas",
            "input.domain",
            "input.autoscaling",
            "input.tls",
            "input.autoDeploy",
            "input.resources.memoryLimit",
            "input.env.0.name",
        ]
    );
    assert_eq!(environment::Entity::find().count(place.test.app.db.read()).await.unwrap(), 0);
    let fine = json!({ "replicas": 1, "strategy": "RECREATE", "domain": null, "namespace": "shop" });
    place.save("production", fine).await;
}

#[tokio::test]
async fn who_may_and_when() {
    let place = Place::new().await;
    let approval = place.try_save(&place.member, "production", json!({ "requireApproval": true })).await;
    assert_eq!(code(&approval).as_deref(), Some("FORBIDDEN"));
    place.save("production", json!({ "requireApproval": false })).await;
    let stranger = place.test.organization("away").await;
    let foreign = place.try_save(&stranger, "production", json!({})).await;
    assert_eq!(code(&foreign).as_deref(), Some("NOT_FOUND"));
    let db = place.test.app.db.read();
    let mut theirs = runtime::Entity::find().one(db).await.unwrap().unwrap().into_active_model().reset_all();
    let id = place.test.app.ids.id();
    theirs.id = Set(id.clone());
    theirs.organization_id = Set(stranger.scope.organization_id.clone());
    let row = service::Entity::find().one(db).await.unwrap().unwrap();
    let tx = place.test.app.begin().await.unwrap();
    theirs.insert(&tx).await.unwrap();
    tx.commit().await.unwrap();
    let more = json!({ "runtimeId": NodeKind::Runtime.id(&id) });
    let foreign = place.try_save(&place.member, "staging", more).await;
    assert_eq!(code(&foreign).as_deref(), Some("NOT_FOUND"));

    let mut change = row.into_active_model();
    change.removing = Set(true);
    let tx = place.test.app.begin().await.unwrap();
    change.update(&tx).await.unwrap();
    tx.commit().await.unwrap();
    let late = place.try_save(&place.member, "production", json!({})).await;
    assert_eq!(code(&late).as_deref(), Some("FAILED_PRECONDITION"));
}

#[tokio::test]
async fn failures_push_no_success_out() {
    let place = Place::new().await;
    place.save("production", json!({})).await;
    place.deployed(1..31, RunStatus::Succeeded).await;
    place.deployed(31..61, RunStatus::Failed).await;
    let expected: Vec<i32> = (11..31).chain(41..61).collect();
    assert_eq!(place.prune().await, expected);
    assert_eq!(place.prune().await, expected);
}

#[tokio::test]
async fn a_secret_goes_when_nothing_refers_to_it() {
    let place = Place::new().await;
    let secret = |value: &str| json!({ "env": [{ "name": "TOKEN", "value": value, "secret": true }] });
    place.save("production", secret("one")).await;
    place.deployed(1..2, RunStatus::Succeeded).await;
    place.save("production", secret("two")).await;
    place.save("production", secret("three")).await;
    place.prune().await;
    assert_eq!(place.secrets().await, 3, "none is old enough");
    place.test.clock.advance(TimeDelta::hours(2));
    let stranger = place.test.organization("away").await;
    place.prune().await;
    assert_eq!(place.secrets().await, 2, "the second one is neither deployed nor saved");
    place.deployed(2..30, RunStatus::Succeeded).await;
    place.prune().await;
    assert_eq!(place.secrets().await, 1, "the first one's deployment is gone");
    assert_eq!(stranger.scope.secrets().count(place.test.app.db.read()).await.unwrap(), 0);
    let id = text(&place.row().await.env[0]["value"]["secret"]);
    let opened = kiops::app::secrets::open(&place.test.app, &place.admin.scope, &id).await.unwrap();
    assert_eq!(opened.expose_secret(), "three");
}
