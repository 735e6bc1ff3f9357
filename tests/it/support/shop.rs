//! An organization with one of everything, and a worker that works when it is told to.

use std::time::Duration;

use async_graphql::ID;
use chrono::TimeDelta;
use entity::Role;
use futures_util::future::BoxFuture;
use kiops::app::deployments::perform::{self, Outcome};
use kiops::app::deployments::{control, jobs, leftovers, remove};
use kiops::app::settings::{LocalEngine, Settings};
use kiops::app::webhooks::handle;
use kiops::app::webhooks::intake::{Intake, Received};
use kiops::app::{Actor, Result, Scope, pipelines, scans};
use kiops::domain::git::Provider;
use kiops::domain::scan::ScanKind;
use kiops::domain::secret::ExposeSecret as _;
use kiops::graphql::ids::decode;
use kiops::queue::{self, Limit};
use kiops::scanner::{Format, Tool};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::app::{TestApp, settings};
use super::builds::commit;
use super::git::GOOD_TOKEN;
use super::hooks::Delivery;
use super::pipelines as pipelines_of;

/// Node ids of one organization's objects.
pub struct Shop {
    /// Its admin.
    pub admin: Actor,
    /// The organization's.
    pub organization: String,
    /// A member's.
    pub user: String,
    /// An API token of the admin's.
    pub token: String,
    /// A registry login's.
    pub registry: String,
    /// The GitLab settings'.
    pub git_settings: String,
    /// A runtime's.
    pub runtime: String,
    /// A service's.
    pub service: String,
    /// The service's production.
    pub environment: String,
    /// The second revision, which serves.
    pub deployment: String,
    /// The newest entry of the audit trail.
    pub event: String,
    /// A Git service's, of which something was built; none until [`Shop::build`].
    pub built: String,
    /// Its pipeline's, which has ended.
    pub pipeline: String,
    /// A pipeline's that waits for its turn.
    pub queued: String,
    /// What its webhook was sent.
    pub delivery: String,
    /// A deployment's that waits for an approval.
    pub waiting: String,
    /// A scan's of the pipeline, which saw something.
    pub scan: String,
    /// What it saw.
    pub finding: String,
}

/// A configuration under which these organizations may share the one fake engine.
pub fn shared_engine(slugs: &[&str]) -> Settings {
    let slugs = slugs.iter().map(|s| (*s).to_owned()).collect();
    Settings { local_engine: LocalEngine::Only(slugs), ..settings() }
}

/// The same, with a tool that finds one thing in every source.
pub fn scanning_engine(slugs: &[&str]) -> Settings {
    Settings { scanners: vec![finder()], ..shared_engine(slugs) }
}

/// A tool that finds one thing in every source.
fn finder() -> Tool {
    let result = json!({
        "ruleId": "finder.rule", "level": "error", "message": { "text": "something" },
        "locations": [{ "physicalLocation": { "artifactLocation": { "uri": "Dockerfile" }, "region": { "startLine": 1 } } }],
    });
    let driver = json!({ "name": "finder", "version": "1", "rules": [{ "id": "finder.rule" }] });
    let report = json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": driver }, "results": [result] }] });
    Tool {
        files: vec![("report.json".to_owned(), report.to_string())],
        ..process(
            "finder",
            ScanKind::Sast,
            &["/bin/sh", "-c", "cp \"$1/report.json\" \"$3\"", "-", "{files}", "{source}", "{report}"],
        )
    }
}

/// A tool that is a process of this machine, with plain limits.
pub fn process(name: &str, kind: ScanKind, command: &[&str]) -> Tool {
    Tool {
        name: name.to_owned(),
        kind,
        image: None,
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        files: Vec::new(),
        format: Format::Sarif,
        timeout: Duration::from_secs(60),
        ok_exit_codes: vec![0],
        network: false,
        cpu: 2.0,
        memory: 1 << 30,
        history: false,
        max_report_bytes: 1 << 30,
        mounts: Vec::new(),
    }
}

impl Shop {
    /// Ids that are none.
    pub fn nowhere() -> Self {
        let scope = Scope { organization_id: String::new() };
        let admin = Actor { scope, user_id: String::new(), role: Role::Admin, token_id: String::new(), address: None };
        let id = String::new;
        Self {
            admin,
            organization: id(),
            user: id(),
            token: id(),
            registry: id(),
            git_settings: id(),
            runtime: id(),
            service: id(),
            environment: id(),
            deployment: id(),
            event: id(),
            built: id(),
            pipeline: id(),
            queued: id(),
            delivery: id(),
            waiting: id(),
            scan: id(),
            finding: id(),
        }
    }

    /// Adds a Git service, a pipeline that built it, one that waits, and a deployment that waits for an approval.
    pub async fn build(&mut self, test: &TestApp, name: &str) {
        test.sources.push("main", commit(1));
        test.sources.files.lock().unwrap().insert("Dockerfile".to_owned(), "FROM scratch\n".to_owned());
        let login = json!({
            "host": "registry.example", "username": "bot", "token": "a token of a registry",
            "repositoryPrefix": "registry.example/team",
        });
        mutate(test, &self.admin, "saveRegistry", login).await;
        self.built = pipelines_of::git_service(test, &self.admin, name, &self.runtime).await;
        let scans =
            "mutation($id: ID!) { saveBuildSettings(input: {serviceId: $id, scans: [SAST]}) { service { id } } }";
        test.data(&self.admin, scans, json!({ "id": self.built })).await;
        let start = json!({ "serviceId": self.built });
        self.pipeline = mutate(test, &self.admin, "startPipeline", start.clone()).await;
        work(test).await;
        let ask = "query($id: ID!) { node(id: $id) { ... on Pipeline { scans { id findings { nodes { id } } } } } }";
        let seen = test.data(&self.admin, ask, json!({ "id": self.pipeline })).await;
        self.scan = text(&seen["node"]["scans"][0]["id"]);
        self.finding = text(&seen["node"]["scans"][0]["findings"]["nodes"][0]["id"]);
        self.delivery = delivered(test, &self.admin, &self.built).await;
        self.queued = mutate(test, &self.admin, "startPipeline", start).await;
        let save =
            "mutation($id: ID!) { saveEnvironment(input: {serviceId: $id, name: \"held\", requireApproval: true}) {
            environment { id } } }";
        test.data(&self.admin, save, json!({ "id": self.built })).await;
        let held = json!({ "serviceId": self.built, "environment": "held" });
        self.waiting = mutate(test, &self.admin, "deployService", held).await;
    }

    /// A new organization with one of everything; all that people named in it begins with the slug.
    pub async fn open(test: &TestApp, slug: &str) -> Self {
        test.registries.push("nginx:1.27", 1);
        let admin = test.organization(slug).await;
        let member = test.member(&admin, &format!("member@{slug}.example")).await;
        let me = test.data(&member, "{ viewer { user { id } organization { id } } }", Value::Null).await;
        let token = mutate(test, &admin, "createApiToken", json!({ "name": format!("{slug}-ci") })).await;
        let login = json!({ "host": "ghcr.io", "username": format!("{slug}-bot"), "token": "a token of a registry" });
        let registry = mutate(test, &admin, "saveRegistry", login).await;
        let gitlab = json!({ "baseUrl": "https://gitlab.example", "token": GOOD_TOKEN });
        let git_settings = mutate(test, &admin, "saveGitlabSettings", gitlab).await;
        let runtime = json!({ "name": format!("{slug}-engine"), "docker": { "host": "tcp://192.0.2.1:2375" } });
        let runtime = mutate(test, &admin, "registerRuntime", runtime).await;
        let service = json!({ "name": format!("{slug}-shop"), "runtimeId": runtime, "containers": [web()] });
        let service = mutate(test, &admin, "registerDockerHubService", service).await;
        let mut deployment = String::new();
        for _ in 0..2 {
            deployment = mutate(test, &admin, "deployService", json!({ "serviceId": service })).await;
            work(test).await;
        }
        let found = test
            .data(
                &admin,
                "query($id: ID!) { service(id: $id) { status environments { id } currentDeployment { id } } \
                    auditEvents(first: 1) { nodes { id } } }",
                json!({ "id": service }),
            )
            .await;
        assert_eq!(found["service"]["status"], "RUNNING");
        assert_eq!(found["service"]["currentDeployment"]["id"], deployment.as_str());
        Self {
            organization: text(&me["viewer"]["organization"]["id"]),
            user: text(&me["viewer"]["user"]["id"]),
            token,
            registry,
            git_settings,
            runtime,
            environment: text(&found["service"]["environments"][0]["id"]),
            service,
            deployment,
            event: text(&found["auditEvents"]["nodes"][0]["id"]),
            built: String::new(),
            pipeline: String::new(),
            queued: String::new(),
            delivery: String::new(),
            waiting: String::new(),
            scan: String::new(),
            finding: String::new(),
            admin,
        }
    }
}

/// The webhook of a GitLab service is installed, and a delivery comes that starts nothing.
async fn delivered(test: &TestApp, admin: &Actor, service: &str) -> String {
    let on = "mutation($i: SaveAutoCiInput!) { saveAutoCi(input: $i) { service { autoCi { webhookUrl } } } }";
    let saved = test.data(admin, on, json!({ "i": { "serviceId": service, "enabled": true } })).await;
    let url = text(&saved["saveAutoCi"]["service"]["autoCi"]["webhookUrl"]);
    let secret = {
        let gitlab = test.gits.of(Provider::Gitlab);
        let (_, hook) = gitlab.hooks.values().find(|(_, hook)| hook.url == url).unwrap();
        hook.secret.expose_secret().to_owned()
    };
    let intake = Intake::start(&test.app, &TaskTracker::new());
    let row = decode(&ID(service.to_owned())).unwrap().1;
    let now = test.app.clock.now().timestamp();
    let note = Delivery::gitlab("Note Hook", "a note", &secret, b"{}", now);
    assert_eq!(note.to(&intake, &row).await, Received::Stored);
    while handle::next(&test.app).await.unwrap().is_some() {}
    let ask = "query($id: ID!) { service(id: $id) { autoCi { deliveries { nodes { id } } } } }";
    let found = test.data(admin, ask, json!({ "id": service })).await;
    text(&found["service"]["autoCi"]["deliveries"]["nodes"][0]["id"])
}

/// A container that is registered without a fault.
pub fn web() -> Value {
    json!({ "name": "web", "image": "nginx", "tag": "1.27", "port": 80 })
}

/// The text of a JSON value.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Runs one of the mutations that make an object, and gives the object's id.
pub async fn mutate(test: &TestApp, actor: &Actor, field: &str, input: Value) -> String {
    let (ty, object) = match field {
        "createApiToken" => ("CreateApiTokenInput", "apiToken"),
        "saveRegistry" => ("SaveRegistryInput", "registry"),
        "saveGitlabSettings" => ("SaveGitlabSettingsInput", "gitSettings"),
        "saveGithubSettings" => ("SaveGithubSettingsInput", "gitSettings"),
        "registerRuntime" => ("RegisterRuntimeInput", "runtime"),
        "registerGitProject" => ("RegisterGitProjectInput", "service"),
        "createGitProject" => ("CreateGitProjectInput", "service"),
        "registerDockerHubService" => ("RegisterDockerHubServiceInput", "service"),
        "updateService" => ("UpdateServiceInput", "service"),
        "startPipeline" => ("StartPipelineInput", "pipeline"),
        "startScan" => ("StartScanInput", "scan"),
        "deployService" => ("DeployServiceInput", "deployment"),
        "rollbackService" => ("RollbackServiceInput", "deployment"),
        other => panic!("{other} makes nothing that is known here"),
    };
    let document = format!("mutation($input: {ty}!) {{ {field}(input: $input) {{ {object} {{ id }} }} }}");
    let answer = test.data(actor, &document, json!({ "input": input })).await;
    text(&answer[field][object]["id"])
}

/// Places enough for everybody.
pub const NO_LIMIT: Limit<'static> = Limit { kind: pipelines::RUN, total: u64::MAX, per_organization: u64::MAX };

/// Works on everything that is queued; what is to be tried again is queued an hour later.
///
/// In a box, as all that tests call often: each call has a place of its own on the stack of the test's thread.
pub fn work(test: &TestApp) -> BoxFuture<'_, Vec<Result<Outcome>>> {
    Box::pin(work_off(test))
}

async fn work_off(test: &TestApp) -> Vec<Result<Outcome>> {
    let mut done = Vec::new();
    let now = || test.app.clock.now();
    while let Some(claim) =
        queue::claim(&test.app.db, "worker", now(), Duration::from_secs(60), NO_LIMIT).await.unwrap()
    {
        let outcome = match claim.job.kind.as_str() {
            jobs::DEPLOYMENT => perform::run(&test.app, &claim).await,
            jobs::STOP | jobs::RESTART => control::run(&test.app, &claim).await,
            jobs::REMOVE_ENVIRONMENT => remove::run_environment(&test.app, &claim).await,
            jobs::REMOVE_SERVICE => remove::run_service(&test.app, &claim).await,
            jobs::TAKE_DOWN => leftovers::run(&test.app, &claim).await,
            scans::RUN => scans::run::run(&test.app, &claim).await,
            pipelines::REPORT => pipelines::report::run(&test.app, &claim).await,
            pipelines::RUN | pipelines::RESUME => pipelines::run::run(&test.app, &claim).await,
            other => panic!("nobody knows jobs of kind {other}"),
        };
        let why = match &outcome {
            Ok(Outcome::Again(why)) => Some(why.clone()),
            Err(error) => Some(error.message.clone()),
            Ok(Outcome::Done | Outcome::Lost) => None,
        };
        if let Some(why) = why {
            claim.release(test.app.db.read_write(), now() + TimeDelta::hours(1), &why).await.unwrap();
        }
        done.push(outcome);
    }
    done
}
