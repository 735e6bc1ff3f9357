//! What is outside of all servers: source code, and an engine that builds. A process that was begun there goes on
//! whoever is killed, until it is over or cleared away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use kiops::boot::SystemClock;
use kiops::builder::source::{Fetched, Origin, RefKind, Resolved, SourceError, SourceLimits, Sources};
use kiops::builder::{
    BuildRequest, Builder, BuilderConnection, BuilderError, BuilderInfo, Builders, BuiltImage, Journal, Lacks, Output,
    TestEnd, TestRequest,
};
use kiops::domain::clock::Clock as _;
use kiops::domain::image::{Digest, Repository, Tag};
use kiops::domain::names::CommitHash;
use kiops::domain::secret::RegistryLogin;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::LEASE;

/// How long a process takes, and how long each fifth one does: longer than a dead server keeps its lease, so that it is
/// still at work when another server takes its job up.
const WORK: Duration = Duration::from_millis(150);
const LONG_WORK: Duration = LEASE.saturating_add(Duration::from_millis(1500));
/// How long what lasts may take to be seen on every server, those that were killed meanwhile among them.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a pipeline stands, as somebody sees it: its status, and those of its stages in their order.
pub type Standing = (String, Vec<String>);

/// The one world.
pub struct World {
    runtime: Runtime,
    state: Mutex<State>,
    /// Servers whose subscribers must see a stage of a followed pipeline at work before it goes on.
    servers: usize,
}

#[derive(Default)]
struct State {
    /// By run: the number of its process, what it is, and how it is ended.
    running: BTreeMap<String, (usize, &'static str, AbortHandle)>,
    begun: Vec<(String, &'static str, DateTime<Utc>)>,
    images: BTreeSet<String>,
    commits: u32,
    followed: BTreeSet<String>,
    /// Runs whose processes take as long as they are here.
    held: BTreeSet<String>,
    /// Calls that wait for a process.
    waiting: usize,
    /// By server and run: what its subscriber saw, with the number of its subscription.
    seen: BTreeMap<(usize, String), Vec<(usize, Standing)>>,
    faults: Vec<String>,
}

impl World {
    pub fn new(servers: usize) -> Arc<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Arc::new(Self { runtime, state: Mutex::default(), servers })
    }

    /// What was wrong.
    pub fn faults(&self) -> Vec<String> {
        self.state.lock().unwrap().faults.clone()
    }

    pub fn fault(&self, what: String) {
        self.state.lock().unwrap().faults.push(what);
    }

    /// Whatever was begun: the run, what, and when.
    pub fn begun(&self) -> Vec<(String, &'static str, DateTime<Utc>)> {
        self.state.lock().unwrap().begun.clone()
    }

    /// Processes at work.
    pub fn at_work(&self) -> usize {
        self.state.lock().unwrap().running.len()
    }

    /// Calls that wait for a process.
    pub fn waiting(&self) -> usize {
        self.state.lock().unwrap().waiting
    }

    /// From now on processes of this run last until they are released.
    pub fn hold(&self, run: &str) {
        self.state.lock().unwrap().held.insert(run.to_owned());
    }

    /// Lets all go on.
    pub fn release(&self) {
        self.state.lock().unwrap().held.clear();
    }

    /// From now on no stage of this pipeline goes on before every server's subscriber has seen it at work.
    pub fn follow(&self, run: &str) {
        self.state.lock().unwrap().followed.insert(run.to_owned());
    }

    /// A subscriber saw this.
    pub fn saw(&self, (server, subscription): (usize, usize), run: &str, standing: Standing) {
        let mut state = self.state.lock().unwrap();
        state.seen.entry((server, run.to_owned())).or_default().push((subscription, standing));
    }

    /// What a server's subscribers saw.
    pub fn seen(&self, server: usize, run: &str) -> Vec<(usize, Standing)> {
        self.state.lock().unwrap().seen.get(&(server, run.to_owned())).cloned().unwrap_or_default()
    }

    async fn until_seen(&self, run: &str, stage: usize, what: &str) {
        let begun = Instant::now();
        if !self.state.lock().unwrap().followed.contains(run) {
            return;
        }
        for server in 0..self.servers {
            let is_seen = || self.seen(server, run).iter().any(|(_, (_, stages))| stages[stage] == "RUNNING");
            while !is_seen() {
                if begun.elapsed() > PATIENCE {
                    return self.fault(format!("server {server} did not see {what} of {run} at work"));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// A process of a run. It goes on when nobody waits for it any more.
    async fn process(self: &Arc<Self>, run: &str, stage: usize, what: &'static str) -> Result<(), BuilderError> {
        let (over, ended) = oneshot::channel();
        {
            let mut state = self.state.lock().unwrap();
            let number = state.begun.len();
            state.begun.push((run.to_owned(), what, SystemClock.now()));
            if let Some((_, other, _)) = state.running.get(run) {
                let fault = format!("{what} of {run} began while {other} of it was at work");
                state.faults.push(fault);
            }
            let (world, of) = (self.clone(), run.to_owned());
            let work = self.runtime.spawn(async move {
                tokio::time::sleep(if number.is_multiple_of(5) { LONG_WORK } else { WORK }).await;
                while world.state.lock().unwrap().held.contains(&of) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                world.until_seen(&of, stage, what).await;
                let mut state = world.state.lock().unwrap();
                if state.running.get(&of).is_some_and(|(mine, ..)| *mine == number) {
                    state.running.remove(&of);
                    let _killed = over.send(());
                }
            });
            state.running.insert(run.to_owned(), (number, what, work.abort_handle()));
        }
        let _waits = Waits::new(self);
        ended.await.map_err(|_| BuilderError::Failed(format!("{what} was cleared away")))
    }
}

/// Counts for as long as it lives.
struct Waits<'a>(&'a World);

impl<'a> Waits<'a> {
    fn new(world: &'a World) -> Self {
        world.state.lock().unwrap().waiting += 1;
        Self(world)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().waiting -= 1;
    }
}

/// The world as one server sees it.
pub struct Outside(pub Arc<World>);

#[async_trait]
impl Sources for Outside {
    async fn examine(&self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn resolve(&self, _: &Origin, name: &str) -> Result<Resolved, SourceError> {
        if let Ok(commit) = CommitHash::parse(name) {
            return Ok(Resolved { commit, kind: RefKind::Commit });
        }
        // Somebody pushes all the time: a name that were resolved twice would mean two commits.
        let mut state = self.0.state.lock().unwrap();
        state.commits += 1;
        let commit = CommitHash::parse(&format!("{:040x}", state.commits)).unwrap();
        Ok(Resolved { commit, kind: RefKind::Branch })
    }

    async fn fetch(
        &self,
        _: &Origin,
        commit: &CommitHash,
        into: &Path,
        _: SourceLimits,
        journal: &dyn Journal,
    ) -> Result<Fetched, SourceError> {
        journal.line(Output::System, &format!("Fetching {commit}")).await;
        let run = into.file_name().unwrap().to_string_lossy().into_owned();
        self.0.until_seen(&run, 0, "the source").await;
        std::fs::create_dir_all(into).unwrap();
        std::fs::write(into.join("Dockerfile"), format!("FROM scratch\nLABEL commit={commit}\n")).unwrap();
        Ok(Fetched {
            commit: commit.clone(),
            message: "Change the page".to_owned(),
            author_name: "Ada".to_owned(),
            committed_at: DateTime::from_timestamp(1_790_000_000, 0),
            tree: commit.to_string(),
            files: 1,
            bytes: 1,
        })
    }

    async fn fetch_with_history(
        &self,
        origin: &Origin,
        commit: &CommitHash,
        into: &Path,
        limits: SourceLimits,
        journal: &dyn Journal,
    ) -> Result<Fetched, SourceError> {
        self.fetch(origin, commit, into, limits, journal).await
    }
}

impl Builders for Outside {
    fn connect(&self, _: &BuilderConnection) -> Result<Arc<dyn Builder>, BuilderError> {
        Ok(Arc::new(Self(self.0.clone())))
    }
}

#[async_trait]
impl Builder for Outside {
    async fn info(&self) -> Result<BuilderInfo, BuilderError> {
        Ok(BuilderInfo { version: "28.5.1".to_owned(), engine_id: Some("engine".to_owned()) })
    }

    fn keeps_images(&self) -> bool {
        true
    }

    async fn lacks(&self) -> Result<Option<Lacks>, BuilderError> {
        Ok(None)
    }

    async fn build(&self, request: &BuildRequest, journal: &dyn Journal) -> Result<BuiltImage, BuilderError> {
        let run = &request.mark.run_id;
        // What is built is what was fetched, wherever that was.
        assert!(request.dockerfile.contains("LABEL commit="), "{}", request.dockerfile);
        assert!(request.context.join("Dockerfile").exists(), "{}", request.context.display());
        journal.line(Output::Stdout, "building").await;
        self.0.process(run, 1, "the build").await?;
        journal.line(Output::Stdout, "built").await;
        let id = format!("sha256:{run}");
        self.0.state.lock().unwrap().images.insert(id.clone());
        Ok(BuiltImage { id, digest: None })
    }

    async fn push(
        &self,
        _: &Repository,
        _: &Tag,
        _: Option<&RegistryLogin>,
        _: &dyn Journal,
    ) -> Result<Digest, BuilderError> {
        Ok(Digest::parse(&format!("sha256:{}", "d".repeat(64))).unwrap())
    }

    async fn test(&self, request: &TestRequest, journal: &dyn Journal) -> Result<TestEnd, BuilderError> {
        journal.line(Output::Stderr, "testing").await;
        self.0.process(&request.mark.run_id, 3, "the test").await?;
        Ok(TestEnd { exit_code: 0, out_of_memory: false })
    }

    async fn holds(&self, image_id: &str) -> Result<bool, BuilderError> {
        Ok(self.0.state.lock().unwrap().images.contains(image_id))
    }

    async fn clear(&self, run_id: &str) -> Result<(), BuilderError> {
        if let Some((_, _, work)) = self.0.state.lock().unwrap().running.remove(run_id) {
            work.abort();
        }
        Ok(())
    }

    async fn forget(&self, _: &Repository, _: &Tag) -> Result<(), BuilderError> {
        Ok(())
    }
}
