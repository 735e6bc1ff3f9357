//! Secrets are planted wherever one can be given, then everything that is stored, said, shown and logged is searched
//! for them.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use futures_util::StreamExt as _;
use kiops::app::Actor;
use kiops::registry::RegistryError;
use kiops::runtime::RuntimeError;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::app::{TestApp, caller};
use crate::support::shop::{Shop, shared_engine, work};

const ENV: &str = "marker-env-8d1f0c77e2";
const NEW_ENV: &str = "marker-new-env-51b2ac90";
const REGISTRY: &str = "marker-registry-7b40d2c9a1";
const SERVICE: &str = "marker-service-login-3ee1";
const PASSWORD: &str = "marker-password-c4a80b13";
const TLS: &str = "markerTlsKey6a9f27d5e0b84c1f";

/// What the log of the program would hold, every target at trace.
#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// Works on one thread, so that all that happens is heard, every target at trace.
    pub fn hear<T>(&self, work: impl Future<Output = T>) -> T {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tracing::subscriber::with_default(subscriber, || runtime.block_on(work))
    }

    /// All that was heard so far.
    pub fn taken(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A secret in the spellings in which it could turn up: raw, base64 at every offset, hex.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let mut all = vec![secret.as_bytes().to_vec(), hex::encode(secret).into_bytes()];
    for skipped in 0..3 {
        // The middle of what base64 makes of it after so many other bytes: its ends depend on the neighbours.
        let padded = [&[b'x'; 3][..skipped], secret.as_bytes()].concat();
        let whole = padded.len() / 3 * 3;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            all.push(engine.encode(&padded[..whole]).into_bytes().split_off(if skipped > 0 { 4 } else { 0 }));
        }
    }
    all
}

/// Whether a text holds a secret, in any spelling.
pub fn holds(haystack: &[u8], secret: &str) -> bool {
    spellings(secret).iter().any(|needle| haystack.windows(needle.len()).any(|window| window == &needle[..]))
}

/// A use of the API whose answers are all kept.
struct Session {
    test: TestApp,
    admin: Actor,
    said: Vec<String>,
}

impl Session {
    async fn ask(&mut self, document: &str, variables: Value) -> Value {
        let answer = self.test.run(Some(&self.admin), document, variables).await;
        self.said.push(serde_json::to_string(&answer).unwrap());
        self.said.push(format!("{answer:?}"));
        answer.data.into_json().unwrap()
    }

    async fn mutate(&mut self, field: &str, ty: &str, object: &str, input: Value) -> Value {
        let document = format!("mutation($i: {ty}!) {{ {field}(input: $i) {{ {object} }} }}");
        self.ask(&document, json!({ "i": input })).await[field].clone()
    }

    async fn follow(&mut self, document: &str, variables: Value) {
        let request = async_graphql::Request::new(document).variables(async_graphql::Variables::from_json(variables));
        let mut answers = self.test.schemas.execute_stream(request, caller(Some(&self.admin)));
        let wait = std::time::Duration::from_millis(300);
        while let Ok(Some(answer)) = tokio::time::timeout(wait, answers.next()).await {
            self.said.push(serde_json::to_string(&answer).unwrap());
        }
    }
}

fn pem(kind: &str, body: &str) -> String {
    format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")
}

fn containers(key: Value) -> Value {
    json!([{
        "name": "web", "image": "ghcr.io/acme/app", "tag": "1", "port": 80,
        "env": [{ "name": "KEY", "value": key, "secret": true }, { "name": "MODE", "value": "live" }],
    }])
}

const ALL: &str = "query($id: ID!) { service(id: $id) { name registryUsername statusMessage
        containers { name env { name value secret } } actions { action disabledReason }
        environments { status statusMessage undeployedChanges instances { name message } endpoints { url } }
        deployments { nodes { id status message images warnings manifest log { nodes { text } } } } }
    auditEvents(first: 100) { nodes { action detail actor { email } } }
    registries { host username statusMessage } runtimes { nodes { name endpoint statusMessage } }
    apiTokens { name } users { nodes { email name } }
    deploymentPreview(input: { serviceId: $id }) { manifest diff warnings planHash downtimeReasons }
    exportService(id: $id, format: COMPOSE) }";

/// Everything that takes a secret, working and failing.
async fn use_everything(session: &mut Session) -> Vec<String> {
    for seed in [1, 2] {
        session.test.registries.push("ghcr.io/acme/app:1", seed);
    }
    let registry = json!({ "host": "ghcr.io", "username": "bot", "token": REGISTRY });
    session.mutate("saveRegistry", "SaveRegistryInput", "registry { host }", registry.clone()).await;
    session.test.registries.refused_hosts.lock().unwrap().push("refused.example".to_owned());
    let refused = json!({ "host": "refused.example", "username": "bot", "token": REGISTRY });
    session.mutate("saveRegistry", "SaveRegistryInput", "registry { host }", refused).await;
    *session.test.registries.failure.lock().unwrap() = Some(RegistryError::Unreachable("away".to_owned()));
    session.mutate("saveRegistry", "SaveRegistryInput", "registry { host }", registry).await;
    *session.test.registries.failure.lock().unwrap() = None;

    let tls = json!({
        "host": "tcp://192.0.2.9:2376", "tlsCa": pem("CERTIFICATE", "Q0E="), "tlsCert": pem("CERTIFICATE", "Q0VSVA=="),
        "tlsKey": pem("PRIVATE KEY", TLS),
    });
    let input = json!({ "name": "far", "docker": tls });
    let far = session.mutate("registerRuntime", "RegisterRuntimeInput", "runtime { id }", input.clone()).await;
    let far = far["runtime"]["id"].as_str().map(str::to_owned);
    session.test.runtimes.fail("check", RuntimeError::Unauthorized("the engine refuses the certificate".to_owned()));
    session.mutate("registerRuntime", "RegisterRuntimeInput", "runtime { id }", input).await;
    let half = json!({ "name": "half", "docker": { "host": "tcp://192.0.2.9:2376", "tlsKey": TLS } });
    session.mutate("registerRuntime", "RegisterRuntimeInput", "runtime { id }", half).await;

    let person = json!({ "email": "ada@acme.example", "name": "Ada", "password": PASSWORD, "role": "MEMBER" });
    session.mutate("createUser", "CreateUserInput", "user { id }", person.clone()).await;
    session.mutate("createUser", "CreateUserInput", "user { id }", person).await;
    for (email, password) in [("ada@acme.example", PASSWORD), ("nobody@acme.example", PASSWORD), (PASSWORD, "x")] {
        // The answer of a login that worked holds a new token and nothing else that is secret.
        let input = json!({ "email": email, "password": password });
        session.mutate("login", "LoginInput", "expiresAt", input).await;
    }
    let change = json!({ "currentPassword": PASSWORD, "newPassword": PASSWORD });
    session.mutate("changePassword", "ChangePasswordInput", "ok", change).await;

    let runtime = far.unwrap();
    let auth = json!({ "username": "own", "token": SERVICE });
    let new = json!({
        "name": "vault", "runtimeId": runtime, "registryAuth": auth, "containers": containers(json!(ENV)),
    });
    let of_service = "service { id containers { env { name value } } }";
    let service =
        session.mutate("registerDockerHubService", "RegisterDockerHubServiceInput", of_service, new.clone()).await;
    session.mutate("registerDockerHubService", "RegisterDockerHubServiceInput", of_service, new).await;
    let id = service["service"]["id"].clone();
    let deploy = json!({ "serviceId": id });
    for _ in 0..2 {
        session.mutate("deployService", "DeployServiceInput", "deployment { id }", deploy.clone()).await;
        work(&session.test).await;
    }
    let update = json!({ "id": id, "containers": containers(json!(NEW_ENV)) });
    session.mutate("updateService", "UpdateServiceInput", of_service, update).await;
    let bad = json!({ "id": id, "containers": [{
        "name": "web", "image": "x y", "env": [{ "name": "A=B", "value": ENV }, { "name": "A", "value": format!("{ENV}\0") }],
    }] });
    session.mutate("updateService", "UpdateServiceInput", of_service, bad).await;
    // What failing containers print is quoted, by an engine that has not heard of what must stay secret.
    for (call, text) in [
        ("apply", format!("web exited with code 1: no database at postgres://u:{NEW_ENV}@db/x")),
        ("pull", format!("ghcr.io refused {SERVICE}")),
        ("instances", format!("the engine said {NEW_ENV}")),
        ("finish", format!("the engine said {NEW_ENV}")),
    ] {
        session.test.runtimes.fail(call, RuntimeError::Failed(text));
        session.mutate("deployService", "DeployServiceInput", "deployment { id }", deploy.clone()).await;
        work(&session.test).await;
    }
    // From here on the organization's own login is taken.
    let update = json!({ "id": id, "registryAuth": null });
    session.mutate("updateService", "UpdateServiceInput", of_service, update).await;
    session.test.runtimes.fail("pull", RuntimeError::Failed(format!("ghcr.io refused {REGISTRY}")));
    session.mutate("deployService", "DeployServiceInput", "deployment { id }", deploy.clone()).await;
    work(&session.test).await;
    session.test.runtimes.fail("pull", RuntimeError::Unreachable(format!("the connection broke at {NEW_ENV}")));
    session.mutate("deployService", "DeployServiceInput", "deployment { id }", deploy.clone()).await;
    work(&session.test).await;
    session.test.clock.advance(chrono::TimeDelta::hours(2));
    work(&session.test).await;
    session.mutate("rollbackService", "RollbackServiceInput", "deployment { id manifest }", deploy.clone()).await;
    work(&session.test).await;
    session.test.runtimes.fail("stop", RuntimeError::Failed("the engine is in no mood".to_owned()));
    session.mutate("stopService", "StopServiceInput", "service { id }", deploy.clone()).await;
    work(&session.test).await;
    let shown = session.ask(ALL, json!({ "id": id })).await;
    for run in shown["service"]["deployments"]["nodes"].as_array().unwrap() {
        session.follow("subscription($id: ID!) { deploymentLog(id: $id) { text } }", json!({ "id": run["id"] })).await;
    }
    let token = session.mutate("createApiToken", "CreateApiTokenInput", "token", json!({ "name": "ci" })).await;
    session.said.truncate(session.said.len() - 2);
    vec![token["token"].as_str().unwrap().to_owned()]
}

/// Every row of every table as text, and SQLite's files as they are.
pub async fn stored(test: &TestApp) -> Vec<u8> {
    let mut all = format!("{:?}", test.rows().await).into_bytes();
    let mut folders = vec![test.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => all.extend(std::fs::read(path).unwrap()),
            }
        }
    }
    all
}

#[test]
fn a_secret_is_nowhere_but_sealed() {
    let log = Captured::default();
    log.hear(async {
        tracing::trace!("whoever listens hears this");
        let test = TestApp::with(shared_engine(&["acme"])).await;
        let admin = Shop::open(&test, "acme").await.admin;
        let mut session = Session { test, admin, said: Vec::new() };
        let mut secrets: Vec<String> = [ENV, NEW_ENV, REGISTRY, SERVICE, PASSWORD, TLS].map(str::to_owned).to_vec();
        secrets.extend(use_everything(&mut session).await);
        let said = session.said.join("\n");
        assert!(said.contains("KEY") && said.contains("exited with code 1"), "{said}");
        assert!(!said.contains("INTERNAL"), "{said}");
        let stored = stored(&session.test).await;
        assert!(holds(&stored, "exited with code 1"));
        let log = log.taken();
        assert!(holds(&log, "whoever listens hears this"));
        for secret in &secrets {
            for (place, text) in [("an answer", said.as_bytes()), ("the database", &stored), ("the log", &log)] {
                assert!(!holds(text, secret), "{secret} is in {place}: {}", around(text, secret));
            }
        }
    });
}

/// What stands next to the secret, for whoever has to find out.
fn around(text: &[u8], secret: &str) -> String {
    let text = String::from_utf8_lossy(text);
    let at = text.find(secret).unwrap_or_default();
    text.chars().skip(text[..at].chars().count().saturating_sub(300)).take(700).collect()
}

#[test]
fn the_search_finds_what_is_there() {
    let secret = "a secret of some length";
    let encoded = |text: &str| STANDARD_NO_PAD.encode(text).into_bytes();
    for prefix in ["", "u", "us", "user:"] {
        assert!(holds(&encoded(&format!("{prefix}{secret}, and more")), secret), "{prefix}");
    }
    assert!(holds(format!("x{secret}x").as_bytes(), secret));
    assert!(!holds(b"nothing", secret));
}
