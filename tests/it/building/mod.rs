//! Builds, pushes and tests on a real Docker engine.
#![expect(clippy::unwrap_used, reason = "tests")]

mod builds;
mod endings;
mod pushes;
mod secrecy;
mod testing;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kiops::builder::docker::DockerBuilders;
use kiops::builder::{
    BuildRequest, Builder, BuilderError, BuiltImage, EngineConnection, Journal, Output, RunLimits, RunMark, TestRequest,
};
use kiops::domain::image::{Repository, Tag};
use tempfile::TempDir;

use crate::support::{engine, skip};

/// What every image here begins with: a static busybox as `/bin/busybox` and `/bin/sh`.
const BASE: &str = "FROM kiops-test/base:1\n";

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

    fn has(&self, output: Output, part: &str) -> bool {
        self.0.lock().unwrap().iter().any(|(from, text)| *from == output && text.contains(part))
    }
}

/// A run of its own on the shared engine.
struct Place {
    host: String,
    builder: Arc<dyn Builder>,
    context: TempDir,
    mark: RunMark,
}

impl Place {
    fn new(test: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let host = engine::docker(test)?;
        if networks(&host).lines().all(|name| name != "bridge") {
            // BuildKit puts every step into the engine's own network.
            skip(test, "docker");
            return None;
        }
        engine::build(&host, "kiops-test/base:1", "");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("run-{}-{number}", std::process::id());
        let mark =
            RunMark { run_id: id.clone(), service_id: format!("service-of-{id}"), organization_id: "org".to_owned() };
        let connection = EngineConnection { host: host.clone(), tls: None };
        let builder = DockerBuilders::new().connect(&connection).unwrap();
        Some(Self { host, builder, context: tempfile::tempdir().unwrap(), mark })
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.context.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn request(&self, lines: &str) -> BuildRequest {
        BuildRequest {
            mark: self.mark.clone(),
            context: self.context.path().to_owned(),
            dockerfile: format!("{BASE}{lines}\n"),
            dockerignore: None,
            args: Vec::new(),
            secrets: Vec::new(),
            target: None,
            platforms: Vec::new(),
            logins: Vec::new(),
            repository: Repository::parse(&format!("kiops-test/{}", self.mark.run_id)).unwrap(),
            tag: Tag::parse("1").unwrap(),
            labels: Vec::new(),
            limits: limits(120),
            max_context_bytes: 10_000_000,
        }
    }

    async fn build(&self, request: &BuildRequest) -> (Result<BuiltImage, BuilderError>, Lines) {
        let lines = Lines::default();
        let built = self.builder.build(request, &lines).await;
        (built, lines)
    }

    /// Builds what has to succeed.
    async fn built(&self, request: &BuildRequest) -> (BuiltImage, Lines) {
        let (built, lines) = self.build(request).await;
        match built {
            Ok(image) => (image, lines),
            Err(error) => panic!("{error}\n{}", lines.text()),
        }
    }

    /// Builds what has to fail.
    async fn failed(&self, request: &BuildRequest) -> (BuilderError, Lines) {
        let (built, lines) = self.build(request).await;
        (built.err().unwrap_or_else(|| panic!("it was built\n{}", lines.text())), lines)
    }

    fn test(&self, image_id: &str, command: &[&str]) -> TestRequest {
        TestRequest {
            mark: self.mark.clone(),
            image_id: image_id.to_owned(),
            platform: None,
            login: None,
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            limits: limits(60),
        }
    }

    fn docker(&self, args: &[&str]) -> String {
        let out = Command::new("docker").args(["--host", &self.host]).args(args).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// What an image prints when a shell of its own runs a command in it.
    fn run(&self, image: &BuiltImage, command: &str) -> String {
        self.docker(&["run", "--rm", "--network", "none", &image.id, "/bin/sh", "-c", command])
    }

    /// Containers and networks with the run's label.
    fn left(&self) -> String {
        let filter = format!("label=kiops.dev/run={}", self.mark.run_id);
        let containers = self.docker(&["ps", "--all", "--quiet", "--filter", &filter]);
        let networks = self.docker(&["network", "ls", "--quiet", "--filter", &filter]);
        format!("{containers}{networks}")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let name = format!("kiops-test/{}:1", self.mark.run_id);
        self.docker(&["rmi", "--force", &name]);
    }
}

/// The names of an engine's networks.
fn networks(host: &str) -> String {
    let out = Command::new("docker").args(["--host", host, "network", "ls", "--format", "{{.Name}}"]).output().unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn limits(seconds: u64) -> RunLimits {
    RunLimits { profile: "small".to_owned(), cpu: 1.0, memory: 256 << 20, time: Duration::from_secs(seconds) }
}

/// Whether a process on this machine has a word among its arguments. The engine's processes are in here too.
fn is_at_work(word: &str) -> bool {
    let mine = std::process::id().to_string();
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let path = entry.path();
        let number = entry.file_name();
        number.to_string_lossy().chars().all(|c| c.is_ascii_digit())
            && number.to_string_lossy() != mine
            && has_argument(&path, word)
    })
}

fn has_argument(process: &Path, word: &str) -> bool {
    fs::read(process.join("cmdline")).is_ok_and(|line| line.split(|byte| *byte == 0).any(|arg| arg == word.as_bytes()))
}

/// Waits for something up to a number of seconds.
async fn within(seconds: u64, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
