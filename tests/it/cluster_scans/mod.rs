//! Tools in images as Jobs, against the tests' own cluster: what a tool would do in a pod is told to it, and what it leaves is
//! read by busybox itself.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod anywhere;
mod clearing;
mod images;
mod looking;
mod pipelines;
mod runs;
mod troubles;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kiops::domain::kubeconfig::{ClusterAccess, ClusterLogin};
use kiops::domain::scan::ScanKind;
use kiops::scanner::run::{Beside, ClusterConnection, Host, Job, Mark, Ran, Said, Scanners as _, ToolRunner};
use kiops::scanner::{Format, ScanError, Target, Tool};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::cluster::{Behaviour, ClusterDouble};

const NAMESPACE: &str = "kiops-builds";
const BUILDKIT: &str = "buildkit.test/rootless:1";
const IMAGE: &str = "tools.test/probe:1";
const REPORT: &str = "{\"a\": \"report\"}\n";

/// Keeps what a tool says.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Said for Lines {
    async fn line(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

impl Lines {
    fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

/// A cluster, and a scan on it.
struct Place {
    double: ClusterDouble,
    temp: TempDir,
    runner: ToolRunner,
    mark: Mark,
    target: Target,
    host: Host,
    join: Option<Beside>,
}

impl Place {
    /// One whose tool does this, and leaves [`REPORT`].
    fn new(tool: Behaviour) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let double = ClusterDouble::start();
        double.image(BUILDKIT, helper());
        double.image(IMAGE, tool);
        double.leaves(IMAGE, |out| std::fs::write(out.join("report.json"), REPORT).unwrap());
        let temp = tempfile::tempdir().unwrap();
        let source = temp.path().join("source of it");
        std::fs::create_dir_all(source.join("src")).unwrap();
        std::fs::write(source.join("src/main.py"), "print(1)\n").unwrap();
        let id = format!("scan-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self {
            host: host(&double.kubeconfig(), NAMESPACE, BUILDKIT),
            runner: runner(temp.path()),
            mark: Mark { service_id: format!("of-{id}"), scan_id: id, organization_id: "org".to_owned() },
            target: Target { source: Some(source), ..Target::default() },
            double,
            temp,
            join: None,
        }
    }

    fn job<'a>(&'a self, tool: &'a Tool, report: &'a Path) -> Job<'a> {
        Job {
            tool,
            target: &self.target,
            mark: &self.mark,
            host: Some(&self.host),
            images: None,
            report,
            join: self.join.as_ref(),
        }
    }

    fn report(&self) -> PathBuf {
        self.temp.path().join("report")
    }

    async fn run(&self, tool: &Tool) -> (Result<Ran, ScanError>, Lines) {
        let (lines, report) = (Lines::default(), self.report());
        let ran = self.runner.run(&self.job(tool, &report), &lines).await;
        (ran, lines)
    }

    /// Runs what has to fail; nothing of it is left then.
    async fn failure(&self, tool: &Tool) -> ScanError {
        let (ran, lines) = self.run(tool).await;
        let failure = ran.map(|_| ()).expect_err(&lines.text());
        assert!(self.left().is_empty(), "{:?}", self.left());
        failure
    }

    /// What is there of scans, but for what all of them stand on.
    fn left(&self) -> Vec<String> {
        let name = |kind: &str, object: &Value| format!("{kind} {}", object["metadata"]["name"].as_str().unwrap());
        let all = ["Job", "Pod", "Secret", "NetworkPolicy"];
        let all = all
            .iter()
            .flat_map(|kind| self.double.list(kind, NAMESPACE).iter().map(|one| name(kind, one)).collect::<Vec<_>>());
        all.filter(|one| !["NetworkPolicy kiops-runs", "NetworkPolicy kiops-scans"].contains(&one.as_str())).collect()
    }

    fn pod(&self) -> Value {
        self.double.list("Pod", NAMESPACE).remove(0)
    }

    /// Waits until a container is at work.
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

/// What BuildKit's image does in the pods of tools.
fn helper() -> Behaviour {
    Behaviour::runs().but_in("given", Behaviour::Unpacks)
}

fn runner(folder: &Path) -> ToolRunner {
    ToolRunner::new(&folder.join("runs")).unwrap().with_most_scratch(64 << 20)
}

fn host(kubeconfig: &str, namespace: &str, image: &str) -> Host {
    let login = ClusterLogin::read(kubeconfig, None).map_err(|why| panic!("{why}")).unwrap();
    Host::Cluster(Box::new(ClusterConnection {
        access: ClusterAccess::Login(Box::new(login)),
        namespace: namespace.to_owned(),
        image: image.to_owned(),
        disk: 1 << 30,
        platform: None,
    }))
}

/// A container that prints and ends.
fn ends(exit_code: i32, lines: &[&str]) -> Behaviour {
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    Behaviour::Ends { after: Duration::from_millis(100), exit_code, lines }
}

/// A container that goes on until it is ended.
fn goes_on() -> Behaviour {
    Behaviour::Runs(Duration::from_secs(600))
}

/// A tool that looks at the source.
fn probe() -> Tool {
    Tool {
        name: "probe".to_owned(),
        kind: ScanKind::Sast,
        image: Some(IMAGE.to_owned()),
        command: ["probe", "--out={report}", "{source}"].map(str::to_owned).to_vec(),
        files: Vec::new(),
        format: Format::Sarif,
        timeout: Duration::from_secs(60),
        ok_exit_codes: vec![0],
        history: false,
        network: false,
        cpu: 1.0,
        memory: 256 << 20,
        max_report_bytes: 1 << 20,
        mounts: Vec::new(),
    }
}
