//! Scans, through the API, with tools that are small programs and say what the test wants them to.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod branches;
mod documents;
mod findings;
mod gates;
mod kinds;
mod many;
mod slices;
mod stages;
mod starting;
mod troubles;
mod waivers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Response;
use kiops::app::pipelines;
use kiops::app::settings::{Builds, Settings};
use kiops::app::{Actor, scans};
use kiops::domain::git::Provider;
use kiops::domain::scan::ScanKind;
use kiops::queue::{self, Claim, Limit};
use kiops::scanner::{Format, Tool};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::support::app::TestApp;
use crate::support::builds::commit;
use crate::support::git::GOOD_TOKEN;
use crate::support::shop::{mutate, process, shared_engine, text, work};

/// An organization with a GitLab service named shop, and tools whose reports a test writes.
struct Yard {
    test: Arc<TestApp>,
    admin: Actor,
    member: Actor,
    service: String,
    runtime: String,
    /// What tools are to say: `NAME.report`, `NAME.exit` and `NAME.hold`.
    told: PathBuf,
    _folder: TempDir,
}

/// One result of a report.
#[derive(Clone, Copy)]
struct Hit {
    rule: &'static str,
    level: &'static str,
    path: &'static str,
    line: u32,
    code: &'static str,
}

const EVAL: Hit = Hit { rule: "py.eval", level: "error", path: "src/app.py", line: 10, code: "eval(data)" };
const PICKLE: Hit = Hit { rule: "py.pickle", level: "warning", path: "src/load.py", line: 4, code: "pickle.load(f)" };
const SHELL: Hit = Hit { rule: "py.shell", level: "note", path: "src/run.py", line: 7, code: "os.system(cmd)" };

/// What tests ask of a scan.
const SCAN: &str = "id kind status message newFindings fixedFindings reportUrl startedAt finishedAt \
    tools { name version status message } counts { critical high medium low info } commit { sha webUrl } \
    environment { name } pipeline { id } service { id } findings(first: 100) { totalCount nodes { id rule state } }";

/// What tests ask of a finding.
const FINDING: &str = "id kind rule title severity state detectedBy location locationUrl firstSeenAt lastSeenAt \
    ignoredReason ignoredUntil ignoredBy { email } canIgnore service { name }";

/// A SARIF report of a tool.
fn sarif(tool: &str, hits: &[Hit]) -> String {
    let results: Vec<Value> = hits
        .iter()
        .map(|hit| {
            let region = json!({ "startLine": hit.line, "snippet": { "text": hit.code } });
            let location = json!({ "artifactLocation": { "uri": hit.path }, "region": region });
            json!({
                "ruleId": hit.rule, "level": hit.level, "message": { "text": format!("{} is found", hit.rule) },
                "locations": [{ "physicalLocation": location }],
            })
        })
        .collect();
    let rules: Vec<Value> = ["py.eval", "py.pickle", "py.shell"].iter().map(|id| json!({ "id": id })).collect();
    let driver = json!({ "name": tool, "version": "1.2.3", "rules": rules });
    json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": driver }, "results": results }] }).to_string()
}

impl Yard {
    /// With these tools of SAST.
    async fn new(tools: &[&str]) -> Self {
        Self::with(|told| tools.iter().map(|name| tool(told, name, ScanKind::Sast)).collect()).await
    }

    /// With tools that are made for the folder of what they are told.
    async fn with(tools: impl FnOnce(&std::path::Path) -> Vec<Tool>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        std::fs::create_dir(&told).unwrap();
        let settings = shared_engine(&["acme", "other"]);
        let builds = Builds { work_dir: folder.path().join("work"), ..settings.builds.clone() };
        let settings = Settings { builds, scanners: tools(&told), ..settings };
        let test = Arc::new(TestApp::with(settings).await);
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
        Self { test, admin, member, service, runtime, told, _folder: folder }
    }

    /// A tool reports this from now on, and ends well.
    fn tell(&self, tool: &str, report: &str) {
        std::fs::write(self.told.join(format!("{tool}.report")), report).unwrap();
        let _well = std::fs::remove_file(self.told.join(format!("{tool}.exit")));
    }

    fn hits(&self, tool: &str, hits: &[Hit]) {
        self.tell(tool, &sarif(tool, hits));
    }

    /// A tool ends with this code from now on.
    fn break_down(&self, tool: &str, code: i32) {
        std::fs::write(self.told.join(format!("{tool}.exit")), code.to_string()).unwrap();
    }

    /// A tool waits from now on.
    fn hold(&self, tool: &str) {
        std::fs::write(self.told.join(format!("{tool}.hold")), "").unwrap();
    }

    fn let_go(&self, tool: &str) {
        std::fs::remove_file(self.told.join(format!("{tool}.hold"))).unwrap();
    }

    /// Whether a tool that was told to wait has begun.
    fn has_begun(&self, tool: &str) -> bool {
        self.told.join(format!("{tool}.begun")).exists()
    }

    async fn save_scans(&self, kinds: &[&str]) {
        let document = "mutation($i: SaveBuildSettingsInput!) { saveBuildSettings(input: $i) { service { id } } }";
        let input = json!({ "serviceId": self.service, "scans": kinds });
        self.test.data(&self.member, document, json!({ "i": input })).await;
    }

    async fn start_pipeline(&self, mut input: Value) -> String {
        input["serviceId"] = json!(self.service);
        mutate(&self.test, &self.member, "startPipeline", input).await
    }

    async fn ask_scan(&self, actor: &Actor, mut input: Value) -> Response {
        input["serviceId"] = input.get("serviceId").cloned().unwrap_or_else(|| json!(self.service));
        let document = "mutation($i: StartScanInput!) { startScan(input: $i) { scan { id status } } }";
        self.test.run(Some(actor), document, json!({ "i": input })).await
    }

    /// Starts a scan, which waits.
    async fn start(&self, input: Value) -> String {
        let answer = self.ask_scan(&self.member, input).await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        text(&answer.data.into_json().unwrap()["startScan"]["scan"]["id"])
    }

    /// Starts a scan of SAST, and works until it has ended.
    async fn scan(&self, ref_name: &str) -> Value {
        let id = self.start(json!({ "kind": "SAST", "ref": ref_name })).await;
        work(&self.test).await;
        self.look(&id).await
    }

    async fn look(&self, id: &str) -> Value {
        let document = format!("query($id: ID!) {{ node(id: $id) {{ ... on Scan {{ {SCAN} }} }} }}");
        self.test.data(&self.member, &document, json!({ "id": id })).await["node"].clone()
    }

    async fn pipeline(&self, id: &str) -> Value {
        let document = format!(
            "query($id: ID!) {{ node(id: $id) {{ ... on Pipeline {{ status stages {{ kind status message }} \
             log(first: 1000) {{ nodes {{ stage text }} }} scans {{ {SCAN} }} }} }} }}"
        );
        self.test.data(&self.member, &document, json!({ "id": id })).await["node"].clone()
    }

    /// Findings of the service, in every state.
    async fn findings(&self) -> Vec<Value> {
        let document =
            format!("query($id: ID!) {{ service(id: $id) {{ findings(first: 100) {{ nodes {{ {FINDING} }} }} }} }}");
        let found = self.test.data(&self.member, &document, json!({ "id": self.service })).await;
        found["service"]["findings"]["nodes"].as_array().unwrap().clone()
    }

    /// `rule state`, the worst first.
    async fn states(&self) -> Vec<String> {
        let found = self.findings().await;
        found.iter().map(|f| format!("{} {}", text(&f["rule"]), text(&f["state"]))).collect()
    }

    async fn finding(&self, rule: &str) -> Value {
        self.findings().await.into_iter().find(|f| f["rule"] == rule).unwrap_or_else(|| panic!("there is no {rule}"))
    }

    async fn risk(&self) -> Value {
        let ask = "query($id: ID!) { service(id: $id) { risk findingCounts { critical high medium low info } } }";
        self.test.data(&self.member, ask, json!({ "id": self.service })).await["service"].clone()
    }

    async fn set_state(&self, actor: &Actor, input: Value) -> Response {
        let document = format!(
            "mutation($i: SetFindingStateInput!) {{ setFindingState(input: $i) {{ finding {{ {FINDING} }} }} }}"
        );
        self.test.run(Some(actor), &document, json!({ "i": input })).await
    }

    async fn claim(&self) -> Option<Claim> {
        let limit = Limit { kind: pipelines::RUN, total: u64::MAX, per_organization: u64::MAX };
        let now = self.test.app.clock.now();
        queue::claim(&self.test.app.db, "worker", now, Duration::from_secs(60), limit).await.unwrap()
    }

    /// Begins to work on what is next, and goes on beside the test.
    async fn begin(&self) -> JoinHandle<kiops::app::deployments::perform::Outcome> {
        let claim = self.claim().await.expect("something waits");
        let app = self.test.app.clone();
        tokio::spawn(async move {
            match claim.job.kind.as_str() {
                scans::RUN => scans::run::run(&app, &claim).await.unwrap(),
                pipelines::RUN => pipelines::run::run(&app, &claim).await.unwrap(),
                other => panic!("a job of kind {other}"),
            }
        })
    }
}

/// A tool that says what is told to it in a folder: it looks at the source, and leaves the report that is there.
fn tool(told: &std::path::Path, name: &str, kind: ScanKind) -> Tool {
    let script = r#"
        echo "$2 looks at $3"
        touch "$1/$2.begun"
        while [ -e "$1/$2.hold" ]; do sleep 0.02; done
        if [ -e "$1/$2.exit" ]; then echo "it breaks" >&2; exit "$(cat "$1/$2.exit")"; fi
        cp "$1/$2.report" "$4"
    "#;
    let target = if kind == ScanKind::Dast { "{url}" } else { "{source}" };
    process(name, kind, &["/bin/sh", "-c", script, "-", told.to_str().unwrap(), name, target, "{report}"])
}

/// The same, for an SBOM.
fn lister(told: &std::path::Path, name: &str) -> Tool {
    Tool { format: Format::Cyclonedx, ..tool(told, name, ScanKind::Sbom) }
}

/// `SUCCEEDED SUCCEEDED INCOMPLETE …`
fn stages(pipeline: &Value) -> String {
    let stages = pipeline["stages"].as_array().unwrap();
    stages.iter().map(|s| s["status"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// Waits until something is so; what goes on beside the test takes a moment.
async fn until(mut so: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to it");
}
