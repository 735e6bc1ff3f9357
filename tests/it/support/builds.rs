//! Stand-ins for source code and for what builds it. They keep state, can be told to fail, and can be told to wait.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::DateTime;
use kiops::builder::source::{Fetched, Origin, RefKind, Resolved, SourceError, SourceLimits, Sources};
use kiops::builder::{
    BuildRequest, Builder, BuilderConnection, BuilderError, BuilderInfo, Builders, BuiltImage, Journal, Lacks, Output,
    TestEnd, TestRequest,
};
use kiops::domain::image::{Digest, Repository, Tag};
use kiops::domain::names::CommitHash;
use kiops::domain::secret::{ExposeSecret as _, RegistryLogin};
use tokio::sync::Semaphore;

/// The commit of a number.
pub fn commit(n: u8) -> CommitHash {
    CommitHash::parse(&format!("{n:02x}").repeat(20)).unwrap()
}

/// A project whose branches are told to it.
#[derive(Default)]
pub struct FakeSources {
    /// Commits by branch or tag.
    pub names: Mutex<BTreeMap<String, CommitHash>>,
    /// Files of every commit.
    pub files: Mutex<BTreeMap<String, String>>,
    /// While it is set every call fails with it.
    pub failure: Mutex<Option<SourceError>>,
    /// Commits as they were fetched.
    pub fetched: Mutex<Vec<CommitHash>>,
    /// Where they were fetched from, and with which token.
    pub origins: Mutex<Vec<(String, String)>>,
    /// While it is there a fetch waits for a permit.
    pub gate: Mutex<Option<Arc<Semaphore>>>,
    /// Fetches that go on.
    pub at_work: AtomicUsize,
}

impl FakeSources {
    /// From now on the branch is at this commit.
    pub fn push(&self, branch: &str, commit: CommitHash) {
        self.names.lock().unwrap().insert(branch.to_owned(), commit);
    }
}

#[async_trait]
impl Sources for FakeSources {
    async fn examine(&self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn resolve(&self, _: &Origin, name: &str) -> Result<Resolved, SourceError> {
        if let Some(failure) = self.failure.lock().unwrap().clone() {
            return Err(failure);
        }
        if let Ok(commit) = CommitHash::parse(name) {
            return Ok(Resolved { commit, kind: RefKind::Commit });
        }
        let found = self.names.lock().unwrap().get(name).cloned();
        let commit = found.ok_or_else(|| SourceError::NotFound(format!("there is no branch or tag {name}")))?;
        Ok(Resolved { commit, kind: RefKind::Branch })
    }

    async fn fetch(
        &self,
        origin: &Origin,
        commit: &CommitHash,
        into: &Path,
        _: SourceLimits,
        journal: &dyn Journal,
    ) -> Result<Fetched, SourceError> {
        let _at_work = AtWork::new(&self.at_work);
        wait_at(&self.gate).await;
        if let Some(failure) = self.failure.lock().unwrap().clone() {
            return Err(failure);
        }
        let token = origin.token.expose_secret().to_owned();
        self.origins.lock().unwrap().push((origin.url.clone(), token.clone()));
        self.fetched.lock().unwrap().push(commit.clone());
        journal.line(Output::System, &format!("Fetching {} with {token}", commit.short())).await;
        std::fs::create_dir_all(into).unwrap();
        let files = self.files.lock().unwrap().clone();
        for (name, text) in &files {
            let path = into.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Ok(Fetched {
            commit: commit.clone(),
            message: "Change the page\n\nAnd more.".to_owned(),
            author_name: "Ada".to_owned(),
            committed_at: DateTime::from_timestamp(1_790_000_000, 0),
            tree: format!("{files:?}"),
            files: files.len() as u64,
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
        let fetched = self.fetch(origin, commit, into, limits, journal).await?;
        std::fs::create_dir_all(into.join(".git")).unwrap();
        std::fs::write(into.join(".git/HEAD"), commit.as_str()).unwrap();
        Ok(fetched)
    }
}

/// One engine that builds.
pub struct FakeBuilder {
    /// What it calls itself.
    pub engine_id: Mutex<Option<String>>,
    /// Everything that was asked of it, in order: `build ID`, `push NAME`, `test ID`, `clear ID`, `forget NAME`.
    pub calls: Mutex<Vec<String>>,
    /// Requests to build, as they came.
    pub requests: Mutex<Vec<BuildRequest>>,
    /// Images that it holds.
    pub images: Mutex<BTreeSet<String>>,
    /// Failures by call (`build`, `push`, `test`, `info`), each taken once.
    pub failures: Mutex<BTreeMap<String, Vec<BuilderError>>>,
    /// How tests end.
    pub exit_code: Mutex<i64>,
    /// While there is one of a call's name the call waits for a permit.
    pub gates: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    /// Builds and tests that go on.
    pub at_work: AtomicUsize,
    /// The most that went on at once.
    pub most: AtomicUsize,
}

impl Default for FakeBuilder {
    fn default() -> Self {
        Self {
            engine_id: Mutex::new(Some("engine".to_owned())),
            calls: Mutex::default(),
            requests: Mutex::default(),
            images: Mutex::default(),
            failures: Mutex::default(),
            exit_code: Mutex::new(0),
            gates: Mutex::default(),
            at_work: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        }
    }
}

impl FakeBuilder {
    /// The next call of this name fails.
    pub fn fail(&self, call: &str, error: BuilderError) {
        self.failures.lock().unwrap().entry(call.to_owned()).or_default().push(error);
    }

    /// Calls of this name wait from now on; permits of what is given back let them go on.
    pub fn hold(&self, call: &str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.gates.lock().unwrap().insert(call.to_owned(), gate.clone());
        gate
    }

    /// How often something was called whose line begins like this.
    pub fn count(&self, call: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|line| line.starts_with(call)).count()
    }

    async fn enter(&self, call: &str, what: &str) -> Result<(), BuilderError> {
        self.calls.lock().unwrap().push(format!("{call} {what}"));
        let gate = self.gates.lock().unwrap().get(call).cloned();
        wait_at(&Mutex::new(gate)).await;
        let mut failures = self.failures.lock().unwrap();
        match failures.get_mut(call).filter(|waiting| !waiting.is_empty()) {
            Some(waiting) => Err(waiting.remove(0)),
            None => Ok(()),
        }
    }
}

/// Gives the one engine to whoever connects.
pub struct FakeBuilders(pub Arc<FakeBuilder>);

impl Builders for FakeBuilders {
    fn connect(&self, _: &BuilderConnection) -> Result<Arc<dyn Builder>, BuilderError> {
        Ok(Arc::new(Connected(self.0.clone())))
    }
}

struct Connected(Arc<FakeBuilder>);

#[async_trait]
impl Builder for Connected {
    async fn info(&self) -> Result<BuilderInfo, BuilderError> {
        self.0.enter("info", "").await?;
        Ok(BuilderInfo { version: "28.5.1".to_owned(), engine_id: self.0.engine_id.lock().unwrap().clone() })
    }

    fn keeps_images(&self) -> bool {
        true
    }

    async fn lacks(&self) -> Result<Option<Lacks>, BuilderError> {
        Ok(None)
    }

    async fn build(&self, request: &BuildRequest, journal: &dyn Journal) -> Result<BuiltImage, BuilderError> {
        let _at_work = AtWork::new(&self.0.at_work);
        self.0.most.fetch_max(self.0.at_work.load(Ordering::SeqCst), Ordering::SeqCst);
        self.0.requests.lock().unwrap().push(request.clone());
        journal.line(Output::Stdout, "building").await;
        for (_, secret) in &request.secrets {
            journal.line(Output::Stdout, &format!("a step prints {}", secret.expose_secret())).await;
        }
        self.0.enter("build", &request.mark.run_id).await?;
        let id = format!("sha256:{}", request.tag);
        self.0.images.lock().unwrap().insert(id.clone());
        Ok(BuiltImage { id, digest: None })
    }

    async fn push(
        &self,
        repository: &Repository,
        tag: &Tag,
        login: Option<&RegistryLogin>,
        journal: &dyn Journal,
    ) -> Result<Digest, BuilderError> {
        let _at_work = AtWork::new(&self.0.at_work);
        let login = login.map(|l| l.token.expose_secret().to_owned()).unwrap_or_default();
        journal.line(Output::System, &format!("pushing with {login}")).await;
        self.0.enter("push", &format!("{repository}:{tag}")).await?;
        Ok(Digest::parse(&format!("sha256:{}", "d".repeat(64))).unwrap())
    }

    async fn test(&self, request: &TestRequest, journal: &dyn Journal) -> Result<TestEnd, BuilderError> {
        let _at_work = AtWork::new(&self.0.at_work);
        journal.line(Output::Stderr, "testing").await;
        self.0.enter("test", &request.image_id).await?;
        Ok(TestEnd { exit_code: *self.0.exit_code.lock().unwrap(), out_of_memory: false })
    }

    async fn holds(&self, image_id: &str) -> Result<bool, BuilderError> {
        Ok(self.0.images.lock().unwrap().contains(image_id))
    }

    async fn clear(&self, run_id: &str) -> Result<(), BuilderError> {
        self.0.enter("clear", run_id).await
    }

    async fn forget(&self, repository: &Repository, tag: &Tag) -> Result<(), BuilderError> {
        self.0.images.lock().unwrap().remove(&format!("sha256:{tag}"));
        self.0.enter("forget", &format!("{repository}:{tag}")).await
    }
}

/// Counts for as long as it lives.
struct AtWork<'a>(&'a AtomicUsize);

impl<'a> AtWork<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn wait_at(gate: &Mutex<Option<Arc<Semaphore>>>) {
    let gate = gate.lock().unwrap().clone();
    if let Some(gate) = gate {
        gate.acquire().await.unwrap().forget();
    }
}
