//! Tools that are run: as processes of this machine, and as containers on a real Docker engine.
#![expect(clippy::unwrap_used, reason = "tests")]

mod clearing;
mod containers;
mod containment;
mod processes;
mod shipped;
mod takers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kiops::domain::scan::ScanKind;
use kiops::scanner::run::{Beside, EngineConnection, Host, Job, Mark, Ran, Said, Scanners, ToolRunner};
use kiops::scanner::{Format, ScanError, Target, Tool};
use tempfile::TempDir;

use crate::support::engine;

/// What every image here is: a static busybox as `/bin/busybox` and `/bin/sh`.
const IMAGE: &str = "kiops-test/scanner:1";

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
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn text(&self) -> String {
        self.all().join("\n")
    }

    fn has(&self, part: &str) -> bool {
        self.all().iter().any(|line| line.contains(part))
    }
}

/// A scan of its own.
struct Place {
    temp: TempDir,
    runner: ToolRunner,
    mark: Mark,
    target: Target,
    engine: Option<Host>,
    join: Option<Beside>,
}

impl Place {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let temp = tempfile::tempdir().unwrap();
        let runner = ToolRunner::new(&temp.path().join("runs")).unwrap().with_most_scratch(64 << 20);
        let source = temp.path().join("source of it");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("main.py"), "print(1)\n").unwrap();
        let id = format!("scan-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mark = Mark { service_id: format!("of-{id}"), scan_id: id, organization_id: "org".to_owned() };
        let target = Target { source: Some(source), ..Target::default() };
        Self { temp, runner, mark, target, engine: None, join: None }
    }

    /// On the engine of the tests, with [`IMAGE`] there.
    fn on_engine(test: &str) -> Option<Self> {
        let host = engine::docker(test)?;
        engine::build(&host, IMAGE, "");
        Some(Self { engine: Some(Host::Engine(EngineConnection { host, tls: None })), ..Self::new() })
    }

    fn job<'a>(&'a self, tool: &'a Tool, report: &'a Path) -> Job<'a> {
        Job {
            tool,
            target: &self.target,
            mark: &self.mark,
            host: self.engine.as_ref(),
            images: None,
            report,
            join: self.join.as_ref(),
        }
    }

    /// Runs a tool; gives what it left as its report too.
    async fn run(&self, tool: &Tool) -> (Result<(Ran, String), ScanError>, Lines) {
        let (lines, report) = (Lines::default(), self.temp.path().join("report"));
        let ran = self.runner.run(&self.job(tool, &report), &lines).await;
        (ran.map(|ran| (ran, fs::read_to_string(&report).unwrap_or_default())), lines)
    }

    /// Runs what has to succeed, and gives its report.
    async fn report(&self, tool: &Tool) -> (String, Lines) {
        let (ran, lines) = self.run(tool).await;
        match ran {
            Ok((ran, report)) => {
                assert_eq!(ran.report_bytes, report.len() as u64);
                (report, lines)
            }
            Err(error) => panic!("{error}\n{}", lines.text()),
        }
    }

    /// Runs what has to fail.
    async fn failure(&self, tool: &Tool) -> (ScanError, Lines) {
        let (ran, lines) = self.run(tool).await;
        (ran.map(|_| ()).expect_err("it must not succeed"), lines)
    }

    fn runs(&self) -> PathBuf {
        self.temp.path().join("runs")
    }

    /// Names of what is left of runs on this machine.
    fn folders(&self) -> Vec<String> {
        fs::read_dir(self.runs()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn docker_host(&self) -> &str {
        let Some(Host::Engine(engine)) = &self.engine else { panic!("there is no engine") };
        &engine.host
    }

    fn docker(&self, args: &[&str]) -> String {
        let out = Command::new("docker").args(["--host", self.docker_host()]).args(args).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Containers, networks and volumes with the scan's label.
    fn left(&self) -> String {
        let filter = format!("label=kiops.dev/scan={}", self.mark.scan_id);
        let of = |what: &[&str]| self.docker(&[what, &["--quiet", "--filter", &filter]].concat());
        format!("{}{}{}", of(&["ps", "--all"]), of(&["network", "ls"]), of(&["volume", "ls"]))
    }
}

/// A tool that runs a script of ours; `$1` is the report, `$2` the source.
fn script(text: &str) -> Tool {
    tool(&["/bin/sh", "-c", text, "sh", "{report}", "{source}"])
}

/// The same in an image.
fn boxed(text: &str) -> Tool {
    Tool { image: Some(IMAGE.to_owned()), ..script(text) }
}

fn tool(command: &[&str]) -> Tool {
    Tool {
        name: "probe".to_owned(),
        kind: ScanKind::Sast,
        image: None,
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        files: Vec::new(),
        format: Format::Sarif,
        timeout: Duration::from_secs(60),
        ok_exit_codes: vec![0],
        network: false,
        cpu: 1.0,
        memory: 512 << 20,
        history: false,
        max_report_bytes: 1 << 20,
        mounts: Vec::new(),
    }
}

/// An odd number of seconds to sleep, by which a process is known again.
fn nap() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("37{:05}.{}", std::process::id() % 100_000, NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Whether a process on this machine has a word among its arguments. The engine's processes are in here too.
fn is_at_work(word: &str) -> bool {
    let has = |path: PathBuf| {
        fs::read(path.join("cmdline")).is_ok_and(|line| line.split(|byte| *byte == 0).any(|arg| arg == word.as_bytes()))
    };
    fs::read_dir("/proc").unwrap().flatten().any(|entry| has(entry.path()))
}

/// Waits for something up to a number of seconds.
async fn within(seconds: u64, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
