//! From a push to what answers: the real server program, a real Git server with its provider's API beside it, a real
//! engine and a real registry.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod cancels;
mod crashes;
mod hostile;
mod pushes;
mod scanned;
mod wizard;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::support::git_server::{self, Change, Repositories};
use crate::support::gitlab_double::GitlabDouble;
use crate::support::registry::Registry;
use crate::support::server::{Server, talk, until};
use crate::support::{engine, registry, skip};

/// The organization's token.
const TOKEN: &str = "glpat-marker-of-the-deliverys-token";
/// What the project's image begins with: a static busybox as `/bin/busybox` and `/bin/sh`.
const BASE: &str = "kiops-delivery/base:1";
/// What is asked of a pipeline.
const FIELDS: &str = "id number status ref image trigger stages { kind status message } commit { sha } \
    deployments { status message environment { name } }";

/// A project, where it is built and where it runs.
struct Works {
    server: Server,
    gitlab: GitlabDouble,
    repositories: Arc<Repositories>,
    registry: Option<Registry>,
    host: String,
    service: String,
    project: u64,
    port: u16,
    number: u16,
    _runtime: Runtime,
}

impl Works {
    /// A project that is registered and not built yet; none when a part of it all is not there.
    fn open(test: &str) -> Option<Self> {
        Self::open_with(test, &[])
    }

    /// The same with more of the server's configuration.
    fn open_with(test: &str, settings: &[(&str, &str)]) -> Option<Self> {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        let host = engine::docker(test)?;
        if !git_server::is_there() {
            skip(test, "git");
            return None;
        }
        engine::build(&host, BASE, "");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let repositories = Repositories::new(TOKEN);
        let gitlab = runtime.block_on(provider(repositories.clone()));
        let project = {
            let mut state = gitlab.state();
            let me = state.person("bot");
            state.token(TOKEN, me, &["api"]);
            state.group("team", me, 50);
            state.project("team/shop", "main")
        };
        repositories.create("team/shop");
        let mut all = vec![("BUILD__RUNTIME", "default/local"), ("BUILD__TIMEOUT", "60s")];
        all.extend(settings);
        let server = Server::start_with(&all);
        let data = server.data(
            "mutation($host: String!, $url: String!, $token: String!) {
                registerRuntime(input: {name: \"local\", docker: {host: $host}}) { runtime { id } }
                saveGitlabSettings(input: {baseUrl: $url, token: $token}) { gitSettings { id } } }",
            json!({ "host": host, "url": gitlab.url, "token": TOKEN }),
        );
        let works = Self {
            port: free_port(number),
            server,
            gitlab,
            repositories,
            registry: None,
            host,
            service: String::new(),
            project,
            number,
            _runtime: runtime,
        };
        works.commit("main", "version 1");
        Some(works.registered(&data["registerRuntime"]["runtime"]["id"]))
    }

    fn registered(mut self, runtime: &Value) -> Self {
        let register = "mutation($i: RegisterGitProjectInput!) { registerGitProject(input: $i) { service { id } } }";
        let health = json!({ "path": "/", "intervalSeconds": 1, "timeoutSeconds": 2, "retries": 5, "startSeconds": 0 });
        let input = json!({
            "provider": "GITLAB", "project": "team/shop", "branch": "main", "runtimeId": runtime,
            "name": format!("delivery-{}-{}", std::process::id(), self.number),
            "containers": [{ "name": "web", "port": self.port, "healthCheck": health }],
        });
        let data = self.server.data(register, json!({ "i": input }));
        self.service = text(&data["registerGitProject"]["service"]["id"]);
        self
    }

    /// With a registry that its images are pushed to; none when there is none.
    fn with_registry(mut self, test: &str) -> Option<Self> {
        let registry = Registry::start(test)?;
        let save = "mutation($i: SaveRegistryInput!) { saveRegistry(input: $i) { registry { id } } }";
        let input = json!({
            "host": registry.address, "username": registry::USER, "token": registry::TOKEN,
            "repositoryPrefix": format!("{}/team", registry.address),
        });
        self.server.data(save, json!({ "i": input }));
        self.registry = Some(registry);
        Some(self)
    }

    /// The page and the Dockerfile of the project, which serves it.
    fn files(&self, page: &str) -> Vec<Change> {
        let port = self.port;
        let dockerfile = format!(
            "FROM {BASE}\nCOPY index.html /www/index.html\nSTOPSIGNAL SIGKILL\n\
             CMD [\"/bin/busybox\", \"httpd\", \"-f\", \"-p\", \"{port}\", \"-h\", \"/www\"]\n"
        );
        vec![Change::file("index.html", page), Change::file("Dockerfile", dockerfile)]
    }

    /// Commits a page; gives the commit.
    fn commit(&self, branch: &str, page: &str) -> String {
        self.repositories.commit("team/shop", branch, &self.files(page))
    }

    fn save(&self, mut settings: Value) {
        settings["serviceId"] = json!(self.service);
        let save = "mutation($i: SaveBuildSettingsInput!) { saveBuildSettings(input: $i) { service { id } } }";
        self.server.data(save, json!({ "i": settings }));
    }

    /// Every build of the branch is deployed to production.
    fn auto_deploy(&self) {
        let save = "mutation($i: SaveEnvironmentInput!) { saveEnvironment(input: $i) { environment { id } } }";
        let input = json!({ "serviceId": self.service, "name": "production", "autoDeploy": true });
        self.server.data(save, json!({ "i": input }));
    }

    /// Pushes start pipelines from now on.
    fn auto_ci(&self) {
        let save = "mutation($i: SaveAutoCiInput!) { saveAutoCi(input: $i) {
            webhookSecret service { autoCi { installation installationMessage } } } }";
        let saved = self.server.data(save, json!({ "i": { "serviceId": self.service, "enabled": true } }));
        let auto_ci = &saved["saveAutoCi"]["service"]["autoCi"];
        assert_eq!(auto_ci["installation"], "INSTALLED", "{saved:#}");
        assert!(saved["saveAutoCi"]["webhookSecret"].is_null());
    }

    /// What GitLab sends when somebody has pushed to a branch; gives the status of the answer.
    fn deliver(&self, branch: &str, commit: &str) -> u16 {
        let hook = self.gitlab.state().hooks.values().next().cloned().expect("a hook is installed");
        let body = json!({
            "object_kind": "push", "event_name": "push", "ref": format!("refs/heads/{branch}"),
            "before": "1".repeat(40), "after": commit, "checkout_sha": commit, "project_id": self.project,
            "project": { "id": self.project, "path_with_namespace": "team/shop" }, "total_commits_count": 1,
            "commits": [{ "id": commit, "message": "Change a thing", "timestamp": "2026-11-26T10:00:00Z",
                "author": { "name": "Ada Lovelace", "email": "ada@example.com" } }],
        })
        .to_string();
        #[expect(clippy::disallowed_methods, reason = "the server believes what was sent at this very moment")]
        let (id, now) = (uuid::Uuid::now_v7(), chrono::Utc::now().timestamp());
        let mut headers = format!("X-Gitlab-Event: Push Hook\r\nwebhook-id: {id}\r\nwebhook-timestamp: {now}\r\n");
        if let Some(key) = hook.signing_token.strip_prefix("whsec_") {
            let key = base64::engine::general_purpose::STANDARD.decode(key).unwrap();
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            mac.update(format!("{id}.{now}.{body}").as_bytes());
            let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
            headers += &format!("webhook-signature: v1,{signature}\r\n");
        } else {
            headers += &format!("X-Gitlab-Token: {}\r\n", hook.token);
        }
        let path = hook.url.splitn(4, '/').nth(3).unwrap().to_owned();
        let request = format!(
            "POST /{path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            self.server.address,
            body.len()
        );
        let answer = talk(&self.server.address, &request).unwrap();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
    }

    fn start(&self, mut input: Value) -> String {
        input["serviceId"] = json!(self.service);
        let start = "mutation($i: StartPipelineInput!) { startPipeline(input: $i) { pipeline { id } } }";
        text(&self.server.data(start, json!({ "i": input }))["startPipeline"]["pipeline"]["id"])
    }

    fn cancel(&self, id: &str) {
        let cancel = "mutation($id: ID!) { cancelPipeline(input: {id: $id}) { pipeline { status } } }";
        self.server.data(cancel, json!({ "id": id }));
    }

    fn look(&self, id: &str) -> Value {
        let document = format!("query($id: ID!) {{ node(id: $id) {{ ... on Pipeline {{ {FIELDS} }} }} }}");
        self.server.data(&document, json!({ "id": id }))["node"].take()
    }

    /// The pipeline once it has ended.
    fn ended(&self, id: &str) -> Value {
        until("the pipeline's end", 120, || {
            let found = self.look(id);
            let waits = ["QUEUED", "RUNNING"].iter().any(|s| found["status"] == *s);
            (!waits).then_some(found)
        })
    }

    /// All pipelines, oldest first.
    fn pipelines(&self) -> Vec<Value> {
        let document =
            format!("query($id: ID!) {{ service(id: $id) {{ pipelines(first: 100) {{ nodes {{ {FIELDS} }} }} }} }}");
        let mut found = self.server.data(&document, json!({ "id": self.service }));
        let mut rows = found["service"]["pipelines"]["nodes"].take().as_array().unwrap().clone();
        rows.reverse();
        rows
    }

    /// Waits until a stage of a pipeline is at work.
    fn reaches(&self, id: &str, kind: &str) {
        until(kind, 60, || {
            let found = self.look(id);
            assert!(["QUEUED", "RUNNING"].iter().any(|s| found["status"] == *s), "{found:#}\n{:#?}", self.lines(id));
            stage(&found, kind)["status"].as_str().filter(|status| *status == "RUNNING").map(|_| ())
        });
    }

    /// The lines of a pipeline's log.
    fn lines(&self, id: &str) -> Vec<String> {
        let log = "query($id: ID!) { node(id: $id) { ... on Pipeline { log(first: 1000) { nodes { stage text } } } } }";
        let data = self.server.data(log, json!({ "id": id }));
        let nodes = data["node"]["log"]["nodes"].as_array().unwrap();
        nodes.iter().map(|n| format!("{} {}", text(&n["stage"]), text(&n["text"]))).collect()
    }

    /// The page at the service's published port.
    fn page(&self) -> Option<String> {
        let answer = talk(&format!("127.0.0.1:{}", self.port), "GET / HTTP/1.0\r\n\r\n").ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        (head.split(' ').nth(1) == Some("200")).then(|| body.trim().to_owned())
    }

    /// A scan's document, from the address that is given for it.
    fn report(&self, url: &str) -> String {
        let path = url.strip_prefix(&format!("http://{}", self.server.address)).unwrap();
        let token = &self.server.token;
        let request = format!("GET {path} HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n");
        let answer = talk(&self.server.address, &request).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(head.split(' ').nth(1), Some("200"), "{answer}");
        body.to_owned()
    }

    fn docker(&self, args: &[&str]) -> String {
        let out = Command::new("docker").args(["--host", &self.host]).args(args).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Containers and networks that a run left.
    fn left_of(&self, id: &str) -> String {
        let row = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(id).unwrap();
        let row = String::from_utf8(row).unwrap().split_once(':').unwrap().1.to_owned();
        let filter = format!("label=kiops.dev/run={row}");
        let containers = self.docker(&["ps", "--all", "--quiet", "--filter", &filter]);
        containers + &self.docker(&["network", "ls", "--quiet", "--filter", &filter])
    }

    /// Removes the service, waits until it is gone, and ends the server.
    fn close(mut self) {
        let remove = "mutation($id: ID!) { removeService(input: {id: $id, deleteVolumes: true}) { id } }";
        self.server.data(remove, json!({ "id": self.service }));
        until("the service's end", 60, || {
            let status = "query($id: ID!) { service(id: $id) { status } }";
            self.server.data(status, json!({ "id": self.service }))["service"].is_null().then_some(())
        });
        self.server.stop();
    }
}

/// A GitLab whose repositories are beside its API, as they are on a real one.
async fn provider(repositories: Arc<Repositories>) -> GitlabDouble {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (double, app) = GitlabDouble::made(&listener, "");
    let git = git_server::routes(repositories);
    let both = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let routes = if request.uri().path().contains(".git/") { git.clone() } else { app.clone() };
        async move { routes.oneshot(request).await }
    });
    tokio::spawn(async move { axum::serve(listener, both).await });
    double
}

/// Pushes as a person does: clones over HTTP, changes the page, commits and pushes. Gives the commit.
fn push_by_hand(works: &Works, page: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let address = works.gitlab.url.replacen("http://", &format!("http://ada:{TOKEN}@"), 1) + "/team/shop.git";
    let git = |args: &[&str]| {
        let out = Command::new("git")
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/local/bin")
            .env("HOME", folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    git(&["clone", "--quiet", &address, "."]);
    std::fs::write(folder.path().join("index.html"), page).unwrap();
    git(&["commit", "--quiet", "--all", "--message", "Change the page"]);
    git(&["push", "--quiet", "origin", "main"]);
    git(&["rev-parse", "HEAD"])
}

fn stage(pipeline: &Value, kind: &str) -> Value {
    let stages = pipeline["stages"].as_array().unwrap();
    stages.iter().find(|stage| stage["kind"] == kind).unwrap().clone()
}

fn statuses(pipeline: &Value) -> String {
    let stages = pipeline["stages"].as_array().unwrap();
    stages.iter().map(|s| s["status"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// A port that is free and that no other test of this process uses.
fn free_port(number: u16) -> u16 {
    let start = 20_000 + u16::try_from(std::process::id() % 90).unwrap_or_default() * 100 + number * 10;
    (start..start + 10).find(|port| std::net::TcpListener::bind(("0.0.0.0", *port)).is_ok()).unwrap()
}
