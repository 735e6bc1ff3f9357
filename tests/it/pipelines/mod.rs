//! Pipelines, through the API, over sources and a builder that keep state and can be told to fail and to wait.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod building;
mod canceling;
mod deaths;
mod following;
mod queueing;
mod retention;
mod settings;
mod stages;

use std::sync::Arc;
use std::time::Duration;

use async_graphql::Response;
use kiops::app::pipelines::{self, run};
use kiops::app::settings::{Builds, Settings};
use kiops::app::{Actor, pipelines as app_pipelines};
use kiops::domain::git::Provider;
use kiops::queue::{self, Claim, Limit};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::app::TestApp;
use crate::support::builds::commit;
use crate::support::git::GOOD_TOKEN;
use crate::support::shop::{mutate, shared_engine, text};

/// An organization with a GitLab service named shop, whose project has a Dockerfile.
struct Yard {
    test: Arc<TestApp>,
    admin: Actor,
    member: Actor,
    service: String,
    runtime: String,
}

/// What tests ask of a pipeline.
const FIELDS: &str = "id number status trigger ref image imageDigest queuePosition \
    commit { sha message authorName webUrl } stages { kind status message startedAt finishedAt } \
    log(first: 200) { nodes { stage stream text } } service { id status statusMessage }";

impl Yard {
    async fn new() -> Self {
        Self::with(shared_engine(&["acme"])).await
    }

    async fn with(settings: Settings) -> Self {
        let work = tempfile::tempdir().unwrap().keep();
        let builds = Builds { work_dir: work, ..settings.builds.clone() };
        let test = Arc::new(TestApp::with(Settings { builds, ..settings }).await);
        let admin = test.organization("acme").await;
        let member = test.member(&admin, "ada@acme.example").await;
        let gitlab = json!({ "baseUrl": "https://gitlab.example", "token": GOOD_TOKEN });
        mutate(&test, &admin, "saveGitlabSettings", gitlab).await;
        test.gits.of(Provider::Gitlab).add("team/shop", &["main", "feature/x"]);
        let runtime = json!({ "name": "engine", "docker": { "host": "tcp://192.0.2.1:2375" } });
        let runtime = mutate(&test, &admin, "registerRuntime", runtime).await;
        let input = json!({
            "provider": "GITLAB", "project": "team/shop", "branch": "main", "name": "shop", "runtimeId": runtime,
            "containers": [{ "name": "web", "port": 80 }],
        });
        let service = mutate(&test, &admin, "registerGitProject", input).await;
        test.sources.push("main", commit(1));
        test.sources.push("feature/x", commit(2));
        test.sources.files.lock().unwrap().insert("Dockerfile".to_owned(), "FROM scratch\n".to_owned());
        Self { test, admin, member, service, runtime }
    }

    async fn save(&self, mut settings: Value) {
        settings["serviceId"] = json!(self.service);
        let document = "mutation($i: SaveBuildSettingsInput!) { saveBuildSettings(input: $i) { service { id } } }";
        self.test.data(&self.member, document, json!({ "i": settings })).await;
    }

    async fn start(&self, mut input: Value) -> String {
        input["serviceId"] = json!(self.service);
        let answer = self.ask_start(&self.member, input).await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        text(&answer.data.into_json().unwrap()["startPipeline"]["pipeline"]["id"])
    }

    async fn ask_start(&self, actor: &Actor, input: Value) -> Response {
        let document = "mutation($i: StartPipelineInput!) { startPipeline(input: $i) { pipeline { id } } }";
        self.test.run(Some(actor), document, json!({ "i": input })).await
    }

    async fn cancel(&self, id: &str) -> Response {
        let document = "mutation($i: CancelPipelineInput!) { cancelPipeline(input: $i) { pipeline { status } } }";
        self.test.run(Some(&self.member), document, json!({ "i": { "id": id } })).await
    }

    async fn retry(&self, id: &str) -> Response {
        let document = "mutation($i: RetryPipelineInput!) { retryPipeline(input: $i) { pipeline { id number ref } } }";
        self.test.run(Some(&self.member), document, json!({ "i": { "id": id } })).await
    }

    async fn look(&self, id: &str) -> Value {
        let document = format!("query($id: ID!) {{ node(id: $id) {{ ... on Pipeline {{ {FIELDS} }} }} }}");
        self.test.data(&self.member, &document, json!({ "id": id })).await["node"].clone()
    }

    async fn claim(&self) -> Option<Claim> {
        self.claim_within(u64::MAX).await
    }

    async fn claim_within(&self, total: u64) -> Option<Claim> {
        let limit = Limit { kind: pipelines::RUN, total, per_organization: u64::MAX };
        let now = self.test.app.clock.now();
        queue::claim(&self.test.app.db, "worker", now, Duration::from_secs(60), limit).await.unwrap()
    }

    /// Begins to work on the next pipeline, and goes on beside the test.
    async fn begin(&self) -> JoinHandle<run::Outcome> {
        let claim = self.claim().await.expect("a pipeline waits");
        assert_eq!(claim.job.kind, app_pipelines::RUN);
        let app = self.test.app.clone();
        tokio::spawn(async move { run::run(&app, &claim).await.unwrap() })
    }
}

/// `SUCCEEDED SUCCEEDED SKIPPED …`
fn statuses(pipeline: &Value) -> String {
    let stages = pipeline["stages"].as_array().unwrap();
    stages.iter().map(|s| s["status"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn message(pipeline: &Value, kind: &str) -> String {
    let stages = pipeline["stages"].as_array().unwrap();
    let stage = stages.iter().find(|s| s["kind"] == kind).unwrap();
    stage["message"].as_str().unwrap_or_default().to_owned()
}

fn lines(pipeline: &Value) -> Vec<String> {
    let nodes = pipeline["log"]["nodes"].as_array().unwrap();
    nodes.iter().map(|n| format!("{} {} {}", text(&n["stage"]), text(&n["stream"]), text(&n["text"]))).collect()
}

/// Waits until something is so; a pipeline that goes on beside the test takes a moment.
async fn until<F: Future<Output = bool>>(mut so: impl FnMut() -> F) {
    for _ in 0..500 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to it");
}
