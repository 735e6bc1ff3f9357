//! Webhooks: from what a Git provider sends to the pipeline that it starts.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod bursts;
mod http;
mod installing;
mod outcomes;
mod program;
mod proofs;
mod replaying;

use std::sync::Arc;

use async_graphql::ID;
use kiops::app::webhooks::handle;
use kiops::app::webhooks::intake::{Intake, Received};
use kiops::app::{Actor, settings::Settings};
use kiops::domain::git::Provider;
use kiops::domain::secret::ExposeSecret as _;
use kiops::graphql::ids::decode;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::support::app::TestApp;
use crate::support::builds::commit;
use crate::support::git::GOOD_TOKEN;
use crate::support::hooks::{Delivery, github_push, gitlab_push};
use crate::support::shop::{mutate, shared_engine, text};

/// An organization with a Git service named shop, and where its deliveries come in.
struct Mill {
    test: Arc<TestApp>,
    admin: Actor,
    member: Actor,
    provider: Provider,
    /// The service's node id.
    service: String,
    runtime: String,
    /// The provider's id of its project.
    project: String,
    intake: Intake,
    tasks: TaskTracker,
}

impl Mill {
    /// One whose Auto CI was never saved.
    async fn bare(provider: Provider) -> Self {
        Self::with(provider, shared_engine(&["acme"])).await
    }

    async fn with(provider: Provider, settings: Settings) -> Self {
        let work = tempfile::tempdir().unwrap().keep();
        let builds = kiops::app::settings::Builds { work_dir: work, ..settings.builds.clone() };
        let test = Arc::new(TestApp::with(Settings { builds, ..settings }).await);
        let admin = test.organization("acme").await;
        let member = test.member(&admin, "ada@acme.example").await;
        let (word, project) = match provider {
            Provider::Gitlab => {
                let input = json!({ "baseUrl": "https://gitlab.example", "token": GOOD_TOKEN });
                mutate(&test, &admin, "saveGitlabSettings", input).await;
                ("GITLAB", "team/shop")
            }
            Provider::Github => {
                mutate(&test, &admin, "saveGithubSettings", json!({ "token": GOOD_TOKEN })).await;
                ("GITHUB", "team/shop")
            }
        };
        let id = test.gits.of(provider).add(project, &["main", "feature/x"]);
        let runtime = json!({ "name": "engine", "docker": { "host": "tcp://192.0.2.1:2375" } });
        let runtime = mutate(&test, &admin, "registerRuntime", runtime).await;
        let input = json!({
            "provider": word, "project": project, "branch": "main", "name": "shop", "runtimeId": runtime,
            "containers": [{ "name": "web", "port": 80 }],
        });
        let service = mutate(&test, &admin, "registerGitProject", input).await;
        test.sources.push("main", commit(1));
        test.sources.files.lock().unwrap().insert("Dockerfile".to_owned(), "FROM scratch\n".to_owned());
        let tasks = TaskTracker::new();
        let intake = Intake::start(&test.app, &tasks);
        Self { test, admin, member, provider, service, runtime, project: id, intake, tasks }
    }

    /// One whose webhook is installed, for everything.
    async fn new(provider: Provider) -> Self {
        let mill = Self::bare(provider).await;
        let saved = mill.save(json!({ "enabled": true, "onMergeRequest": true, "onTag": true })).await;
        assert_eq!(saved["service"]["autoCi"]["installation"], "INSTALLED");
        mill
    }

    async fn save(&self, mut input: Value) -> Value {
        input["serviceId"] = json!(self.service);
        let answer = self.ask_save(input).await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        answer.data.into_json().unwrap()["saveAutoCi"].clone()
    }

    async fn ask_save(&self, input: Value) -> async_graphql::Response {
        let document = "mutation($i: SaveAutoCiInput!) { saveAutoCi(input: $i) { webhookSecret service { autoCi { \
            enabled branches onPush onMergeRequest onTag webhookUrl installation installationMessage } } } }";
        self.test.run(Some(&self.member), document, json!({ "i": input })).await
    }

    /// The service's row's id.
    fn row(&self) -> String {
        decode(&ID(self.service.clone())).unwrap().1
    }

    /// The secret of the one webhook that the provider has.
    fn secret(&self) -> String {
        let git = self.test.gits.of(self.provider);
        assert_eq!(git.hooks.len(), 1, "webhooks of the project");
        git.hooks.values().next().unwrap().1.secret.expose_secret().to_owned()
    }

    fn now(&self) -> i64 {
        self.test.app.clock.now().timestamp()
    }

    /// A delivery with a proof that holds.
    fn delivery(&self, event: &str, id: &str, payload: &Value) -> Delivery {
        let (secret, body) = (self.secret(), payload.to_string());
        match self.provider {
            Provider::Github => Delivery::github(event, id, &secret, body.as_bytes()),
            Provider::Gitlab => Delivery::gitlab(event, id, &secret, body.as_bytes(), self.now()),
        }
    }

    /// A push of a commit to a branch.
    fn push(&self, id: &str, branch: &str, n: u8) -> Delivery {
        let sha = commit(n).to_string();
        match self.provider {
            Provider::Github => self.delivery("push", id, &github_push(&self.project, branch, &sha)),
            Provider::Gitlab => self.delivery("Push Hook", id, &gitlab_push(&self.project, branch, &sha)),
        }
    }

    async fn send(&self, delivery: &Delivery) -> Received {
        delivery.to(&self.intake, &self.row()).await
    }

    /// Handles all that waits.
    async fn settle(&self) {
        while handle::next(&self.test.app).await.unwrap().is_some() {}
    }

    /// What is shown of the deliveries, the newest first.
    async fn deliveries(&self) -> Vec<Value> {
        let document = "query($id: ID!) { service(id: $id) { autoCi { deliveries(first: 100) { nodes { id event \
            outcome reason pipeline { id number trigger ref status commit { sha message authorName } } } } } } }";
        let answer = self.test.data(&self.member, document, json!({ "id": self.service })).await;
        answer["service"]["autoCi"]["deliveries"]["nodes"].as_array().unwrap().clone()
    }

    /// Sends one that is proven, and gives what came of it: its outcome and its reason.
    async fn outcome(&self, delivery: &Delivery) -> (String, String) {
        assert_eq!(self.send(delivery).await, Received::Stored);
        self.settle().await;
        let newest = self.deliveries().await[0].clone();
        (text(&newest["outcome"]), newest["reason"].as_str().unwrap_or_default().to_owned())
    }

    /// The branch or tag, commit and trigger of every pipeline, the newest first.
    async fn pipelines(&self) -> Vec<(String, String, String)> {
        let document = "query($id: ID!) { service(id: $id) { pipelines(first: 100) { nodes { ref trigger status commit { sha } } } } }";
        let answer = self.test.data(&self.member, document, json!({ "id": self.service })).await;
        let nodes = answer["service"]["pipelines"]["nodes"].as_array().unwrap();
        nodes.iter().map(|n| (text(&n["ref"]), text(&n["commit"]["sha"]), text(&n["status"]))).collect()
    }

    /// Waits until everything is written that nobody waits for.
    async fn written(self) -> Arc<TestApp> {
        drop(self.intake);
        self.tasks.close();
        self.tasks.wait().await;
        self.test
    }
}

/// Waits until so many deliveries are shown: refused ones are written while nobody waits.
async fn until_shown(mill: &Mill, count: usize) -> Vec<Value> {
    for _ in 0..500 {
        let shown = mill.deliveries().await;
        if shown.len() >= count {
            return shown;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{count} deliveries are never shown");
}
