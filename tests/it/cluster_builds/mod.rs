//! Builds and tests as Jobs, against the tests' own cluster: what BuildKit would do in a pod is told to it, the rest is as
//! on a real one.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod anywhere;
mod builds;
mod endings;
pub mod pipelines;
mod testing;
mod troubles;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kiops::builder::kubernetes::ClusterBuilders;
use kiops::builder::{
    BuildRequest, Builder, BuilderError, BuiltImage, ClusterConnection, ClusterPlace, Journal, Output, RunLimits,
    RunMark, TestRequest,
};
use kiops::domain::image::{Repository, Tag};
use kiops::domain::kubeconfig::{ClusterAccess, ClusterLogin};
use kiops::domain::secret::RegistryLogin;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::cluster::{Behaviour, ClusterDouble};

pub const NAMESPACE: &str = "kiops-builds";
pub const BUILDKIT: &str = "buildkit.test/rootless:1";
pub const REPOSITORY: &str = "registry.test/acme/shop";
const SECRETS: [&str; 2] = ["hush-of-npm", "hush-of-the-registry"];

/// Keeps the lines of a run.
#[derive(Default)]
struct Lines(Mutex<Vec<(Output, String)>>);

#[async_trait::async_trait]
impl Journal for Lines {
    async fn line(&self, output: Output, text: &str) {
        self.0.lock().unwrap().push((output, text.to_owned()));
    }
}

impl Lines {
    fn text(&self) -> String {
        self.0.lock().unwrap().iter().map(|(output, text)| format!("{output:?} {text}\n")).collect()
    }
}

/// A cluster, and a run on it.
struct Place {
    double: ClusterDouble,
    builder: Arc<dyn Builder>,
    context: TempDir,
    mark: RunMark,
}

impl Place {
    /// One whose BuildKit does this, once it has its source.
    fn new(build: Behaviour) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let double = ClusterDouble::start();
        double.image(BUILDKIT, buildkit(build));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = RunMark {
            run_id: format!("run-{number}"),
            service_id: format!("service-{number}"),
            organization_id: "org".to_owned(),
        };
        let builder = connect(&double.kubeconfig());
        Self { double, builder, context: tempfile::tempdir().unwrap(), mark }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.context.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn request(&self) -> BuildRequest {
        let login = RegistryLogin { username: "robot".to_owned(), token: SECRETS[1].into(), trusted: false };
        BuildRequest {
            mark: self.mark.clone(),
            context: self.context.path().to_owned(),
            dockerfile: "FROM scratch\n".to_owned(),
            dockerignore: Some("left-out\n".to_owned()),
            args: vec![("LEVEL".to_owned(), "2".to_owned())],
            secrets: vec![("NPM_TOKEN".to_owned(), SECRETS[0].into())],
            target: None,
            platforms: Vec::new(),
            logins: vec![("registry.test".to_owned(), login)],
            repository: Repository::parse(REPOSITORY).unwrap(),
            tag: Tag::parse("0101010-1").unwrap(),
            labels: Vec::new(),
            limits: limits(60),
            max_context_bytes: 10_000_000,
        }
    }

    fn test(&self, command: &[&str]) -> TestRequest {
        let request = self.request();
        TestRequest {
            mark: self.mark.clone(),
            image_id: image(),
            platform: None,
            login: request.logins.first().cloned(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            limits: limits(60),
        }
    }

    async fn build(&self) -> (Result<BuiltImage, BuilderError>, Lines) {
        self.build_this(&self.request()).await
    }

    async fn build_this(&self, request: &BuildRequest) -> (Result<BuiltImage, BuilderError>, Lines) {
        let lines = Lines::default();
        let built = self.builder.build(request, &lines).await;
        (built, lines)
    }

    /// What is there of runs.
    fn left(&self) -> Vec<String> {
        let name = |kind: &str, object: &Value| format!("{kind} {}", object["metadata"]["name"].as_str().unwrap());
        ["Job", "Pod", "Secret"]
            .iter()
            .flat_map(|kind| self.double.list(kind, NAMESPACE).iter().map(|one| name(kind, one)).collect::<Vec<_>>())
            .collect()
    }

    /// Waits until a container of the run is at work.
    async fn at_work(&self, container: &str) {
        self.until(&format!("{container} is at work"), || {
            self.double.list("Pod", NAMESPACE).iter().any(|pod| {
                let of = |key: &str| pod["status"][key].as_array().cloned().unwrap_or_default();
                let all = [of("initContainerStatuses"), of("containerStatuses")].concat();
                all.iter().any(|one| one["name"] == container && !one["state"]["running"].is_null())
            })
        })
        .await;
    }

    async fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(20), "not in time: {what}; there is {:?}", self.left());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn connect(kubeconfig: &str) -> Arc<dyn Builder> {
    let place = ClusterPlace {
        namespace: NAMESPACE.to_owned(),
        image: BUILDKIT.to_owned(),
        disk: 1 << 30,
        plain_http: Vec::new(),
        platform: None,
        scans: false,
    };
    connect_to(kubeconfig, place)
}

fn connect_to(kubeconfig: &str, place: ClusterPlace) -> Arc<dyn Builder> {
    let login = ClusterLogin::read(kubeconfig, None).map_err(|why| panic!("{why}")).unwrap();
    let connection = ClusterConnection { access: ClusterAccess::Login(Box::new(login)), place };
    ClusterBuilders::default().connect(&connection).unwrap()
}

/// BuildKit's image: what the three containers of a build do.
pub fn buildkit(build: Behaviour) -> Behaviour {
    let account = json!({
        "containerimage.config.digest": format!("sha256:{}", "c".repeat(64)),
        "containerimage.digest": format!("sha256:{}", "d".repeat(64)),
        "image.name": format!("{REPOSITORY}:0101010-1"),
    });
    let account = serde_json::to_string_pretty(&account).unwrap();
    build.but_in("source", Behaviour::Unpacks).but_in("result", Behaviour::Tells(account))
}

/// The built image by its digest.
pub fn image() -> String {
    format!("{REPOSITORY}@sha256:{}", "d".repeat(64))
}

/// A container that prints and ends.
pub fn ends(exit_code: i32, lines: &[String]) -> Behaviour {
    Behaviour::Ends { after: Duration::from_millis(100), exit_code, lines: lines.to_vec() }
}

fn limits(seconds: u64) -> RunLimits {
    RunLimits { profile: "small".to_owned(), cpu: 1.0, memory: 256 << 20, time: Duration::from_secs(seconds) }
}

/// A step begins.
pub fn begins(digest: &str, name: &str) -> String {
    json!({ "vertexes": [{ "digest": digest, "name": name, "started": "2026-11-01T00:00:01Z" }] }).to_string()
}

/// A step prints.
fn prints(digest: &str, text: &str) -> String {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(text);
    let log = json!({ "vertex": digest, "stream": 1, "data": data, "timestamp": "2026-11-01T00:00:02Z" });
    json!({ "logs": [log] }).to_string()
}

/// A step is over; failed where it has an error.
fn is_over(digest: &str, name: &str, error: &str) -> String {
    let step = json!({
        "digest": digest, "name": name, "started": "2026-11-01T00:00:01Z", "completed": "2026-11-01T00:00:03Z",
        "error": error,
    });
    json!({ "vertexes": [step] }).to_string()
}
