//! Stand-ins for time, ids, registries and runtimes. They keep state and can be told to fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use kiops::domain::clock::{Clock, Ids};
use kiops::domain::image::{Digest, Repository, Tag};
use kiops::domain::kubeconfig::ClusterAccess;
use kiops::domain::secret::RegistryLogin;
use kiops::domain::spec::{Spec, Target};
use kiops::registry::{HubRepository, ListedTag, Registries, RegistryError, TagPage, TagRequest, Wanted};
use kiops::runtime::kubernetes::manifest::{self, shown};
use kiops::runtime::{
    Applied, InstanceLine, InstanceState, LocalImage, LogQuery, Progress, Rollout, Runtime, RuntimeConnection,
    RuntimeError, RuntimeEvent, RuntimeInfo, Runtimes, Volumes,
};
use tokio::sync::Semaphore;

/// Time stands still until a test moves it.
pub struct FakeClock(Mutex<DateTime<Utc>>);

impl Default for FakeClock {
    fn default() -> Self {
        Self(Mutex::new(Utc.with_ymd_and_hms(2026, 11, 23, 12, 0, 0).unwrap()))
    }
}

impl FakeClock {
    /// Time goes by.
    pub fn advance(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for FakeClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// Ids that count up, in the shape of UUIDs.
#[derive(Default)]
pub struct FakeIds(AtomicU64);

impl FakeIds {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Ids for FakeIds {
    fn id(&self) -> String {
        format!("01900000-0000-7000-8000-{:012x}", self.next())
    }

    fn random(&self) -> [u8; 32] {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes
    }
}

/// A registry that knows the tags it was told of.
#[derive(Default)]
pub struct FakeRegistries {
    /// Digests by `repository:tag`.
    pub tags: Mutex<BTreeMap<String, Digest>>,
    /// While it is set every call fails with it.
    pub failure: Mutex<Option<RegistryError>>,
    /// Hosts that refuse every login.
    pub refused_hosts: Mutex<Vec<String>>,
}

impl FakeRegistries {
    /// From now on there is such an image; its digest is made of `seed`.
    pub fn push(&self, image: &str, seed: u8) -> Digest {
        let digest = Digest::parse(&format!("sha256:{}", format!("{seed:02x}").repeat(32))).unwrap();
        self.tags.lock().unwrap().insert(image.to_owned(), digest.clone());
        digest
    }

    fn answer(&self) -> Result<(), RegistryError> {
        self.failure.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Registries for FakeRegistries {
    async fn search(&self, text: &str, limit: u32) -> Result<Vec<HubRepository>, RegistryError> {
        self.answer()?;
        let one = HubRepository { name: text.to_owned(), description: None, official: true, stars: 1, pulls: 3e9 };
        Ok(vec![one].into_iter().take(limit as usize).collect())
    }

    async fn tags(
        &self,
        repository: &Repository,
        search: Option<&str>,
        page: TagRequest,
        _login: Option<&RegistryLogin>,
    ) -> Result<TagPage, RegistryError> {
        self.answer()?;
        let prefix = format!("{}:", repository.familiar());
        let tags = self.tags.lock().unwrap();
        let all = tags.iter().filter_map(|(image, digest)| Some((image.strip_prefix(&prefix)?, digest)));
        let found: Vec<ListedTag> = all
            .filter(|(name, _)| search.is_none_or(|s| name.contains(s)))
            .filter(|(name, _)| page.after.as_deref().is_none_or(|after| *name > after))
            .map(|(name, digest)| ListedTag {
                name: name.to_owned(),
                digest: Some(digest.as_str().to_owned()),
                size_bytes: None,
                platforms: vec!["linux/amd64".to_owned()],
                pushed_at: None,
            })
            .collect();
        let more = found.len() > page.first as usize;
        let tags: Vec<_> = found.into_iter().take(page.first as usize).collect();
        let next = tags.last().map(|t| t.name.clone()).filter(|_| more);
        Ok(TagPage { tags, next, total: None })
    }

    async fn resolve(
        &self,
        repository: &Repository,
        tag: &Tag,
        _login: Option<&RegistryLogin>,
    ) -> Result<Digest, RegistryError> {
        self.answer()?;
        let image = format!("{}:{tag}", repository.familiar());
        let known = self.tags.lock().unwrap().get(&image).cloned();
        known.ok_or_else(|| RegistryError::NotFound(format!("{image} is not there")))
    }

    async fn save(&self, wanted: &Wanted<'_>, _: Option<&RegistryLogin>) -> Result<(), RegistryError> {
        self.answer()?;
        let text = format!("{}@{} for {}", wanted.repository, wanted.digest, wanted.platform);
        std::fs::write(wanted.to, text).unwrap();
        Ok(())
    }

    async fn check_login(&self, host: &str, _login: &RegistryLogin) -> Result<(), RegistryError> {
        self.answer()?;
        if self.refused_hosts.lock().unwrap().iter().any(|h| h == host) {
            return Err(RegistryError::Unauthorized(format!("{host} refused the login")));
        }
        Ok(())
    }
}

/// What runs for one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The revision that serves.
    pub revision: i32,
    /// Its containers and their images.
    pub containers: Vec<(String, String)>,
    /// Stopped on purpose.
    pub stopped: bool,
}

/// One engine that keeps what was brought up.
#[derive(Default)]
pub struct FakeRuntimes {
    /// By environment id.
    pub running: Mutex<BTreeMap<String, Running>>,
    /// Every call, like `apply 01900000-… 3`.
    pub calls: Mutex<Vec<String>>,
    /// Errors by the name of the call: each is answered once, in order.
    pub failures: Mutex<Vec<(&'static str, RuntimeError)>>,
    /// While it is set, nobody answers.
    pub away: Mutex<Option<RuntimeError>>,
    /// Engines of their own, by their addresses; all other addresses lead to this one.
    others: Mutex<BTreeMap<String, Arc<FakeRuntimes>>>,
    /// A cluster: what its login may not do.
    pub missing: Mutex<Vec<String>>,
    /// A cluster: what was changed there by hand.
    pub drift: Mutex<Vec<String>>,
    /// What it says it is; `fake` when nothing else was said.
    engine_id: Mutex<Option<String>>,
    /// While there is one of a call's name (`pull`, `apply`) the call waits for a permit, or to be told to stop.
    pub gates: Mutex<BTreeMap<&'static str, Arc<Semaphore>>>,
    /// After so many more beginnings and ends of calls whoever calls dies.
    fuse: Arc<Mutex<Option<usize>>>,
}

impl FakeRuntimes {
    /// The next call of that name fails.
    pub fn fail(&self, call: &'static str, error: RuntimeError) {
        self.failures.lock().unwrap().push((call, error));
    }

    /// Another engine, at an address of its own.
    pub fn another(&self, host: &str) -> Arc<FakeRuntimes> {
        let engine = Arc::new(FakeRuntimes { fuse: self.fuse.clone(), ..FakeRuntimes::default() });
        *engine.engine_id.lock().unwrap() = Some(host.to_owned());
        self.others.lock().unwrap().insert(host.to_owned(), engine.clone());
        engine
    }

    /// An address leads to an engine that is there already.
    pub fn alias(&self, host: &str, engine: &Arc<FakeRuntimes>) {
        self.others.lock().unwrap().insert(host.to_owned(), engine.clone());
    }

    /// From now on it says that it is another one.
    pub fn call_yourself(&self, other: &FakeRuntimes) {
        *self.engine_id.lock().unwrap() = Some(other.id());
    }

    fn id(&self) -> String {
        self.engine_id.lock().unwrap().clone().unwrap_or_else(|| "fake".to_owned())
    }

    /// The revision that it runs for an environment.
    pub fn revision(&self, environment_id: &str) -> Option<i32> {
        self.running.lock().unwrap().get(environment_id).map(|running| running.revision)
    }

    /// Calls so far that begin with this.
    pub fn count(&self, call: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|c| c.starts_with(call)).count()
    }

    /// Whoever calls one of the engines dies at one of the next moments, as a killed server does: before a call has
    /// an effect, or after it and before its answer. None: nobody does any more.
    pub fn die_after(&self, moments: Option<usize>) {
        *self.fuse.lock().unwrap() = moments;
    }

    /// Whether somebody is still to die.
    pub fn is_lit(&self) -> bool {
        self.fuse.lock().unwrap().is_some()
    }

    fn moment(&self) {
        let dies = {
            let mut fuse = self.fuse.lock().unwrap();
            let dies = *fuse == Some(0);
            *fuse = fuse.and_then(|left| left.checked_sub(1));
            dies
        };
        assert!(!dies, "killed");
    }

    fn call(&self, name: &'static str, about: &str) -> Result<(), RuntimeError> {
        self.moment();
        if let Some(away) = self.away.lock().unwrap().clone() {
            return Err(away);
        }
        self.calls.lock().unwrap().push(format!("{name} {about}"));
        let mut failures = self.failures.lock().unwrap();
        match failures.iter().position(|(call, _)| *call == name) {
            Some(at) => Err(failures.remove(at).1),
            None => Ok(()),
        }
    }

    /// From now on such calls wait for a permit.
    pub fn hold(&self, call: &'static str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.gates.lock().unwrap().insert(call, gate.clone());
        gate
    }

    async fn wait_at(&self, call: &'static str, progress: &dyn Progress) -> Result<(), RuntimeError> {
        let gate = self.gates.lock().unwrap().get(call).cloned();
        let Some(gate) = gate else { return Ok(()) };
        tokio::select! {
            permit = gate.acquire() => permit.unwrap().forget(),
            () = progress.unwanted() => return Err(RuntimeError::Unwanted),
        }
        Ok(())
    }

    fn bring_up(&self, rollout: &Rollout) {
        let containers = rollout.spec.containers.iter();
        let containers = containers.map(|c| (c.name.clone(), format!("{}:{}", c.repository, c.tag))).collect();
        let running = Running { revision: rollout.revision, containers, stopped: false };
        self.running.lock().unwrap().insert(rollout.spec.target.environment_id.clone(), running);
    }
}

/// Where [`FakeRuntimes::another`] puts the cluster that the server runs in.
pub const OWN_CLUSTER: &str = "in-cluster";

/// All connections lead to the same engine, but those to addresses of others.
pub struct FakeEngine(pub Arc<FakeRuntimes>);

impl Runtimes for FakeEngine {
    fn connect(&self, connection: &RuntimeConnection) -> Result<Arc<dyn Runtime>, RuntimeError> {
        let address = match connection {
            RuntimeConnection::Docker(docker) => docker.host.as_str(),
            RuntimeConnection::Kubernetes(ClusterAccess::Login(login)) => login.server.as_str(),
            RuntimeConnection::Kubernetes(ClusterAccess::InCluster) => OWN_CLUSTER,
        };
        let engine = self.0.others.lock().unwrap().get(address).cloned().unwrap_or_else(|| self.0.clone());
        engine.call("connect", "")?;
        Ok(Arc::new(FakeEngine(engine)))
    }

    fn manifests(&self, spec: &Spec, before: Option<&Spec>) -> String {
        shown(spec, before)
    }

    fn notices(&self, spec: &Spec) -> Vec<String> {
        manifest::warnings(spec)
    }
}

fn about(rollout: &Rollout) -> String {
    format!("{} {}", rollout.spec.target.environment_id, rollout.revision)
}

#[async_trait]
impl Runtime for FakeEngine {
    async fn check(&self) -> Result<RuntimeInfo, RuntimeError> {
        self.0.call("check", "")?;
        let missing = self.0.missing.lock().unwrap().clone();
        Ok(RuntimeInfo {
            version: "28.5.1".to_owned(),
            engine_id: Some(self.0.id()),
            grant_manifest: (!missing.is_empty()).then(|| "kind: ClusterRole\n".to_owned()),
            missing_permissions: missing,
        })
    }

    async fn admit(&self, target: &Target) -> Result<(), RuntimeError> {
        self.0.call("admit", &target.namespace)
    }

    async fn drift(&self, serving: &Rollout) -> Result<Vec<String>, RuntimeError> {
        self.0.call("drift", &about(serving))?;
        Ok(self.0.drift.lock().unwrap().clone())
    }

    async fn local_image(&self, _repository: &Repository, _tag: &Tag) -> Result<Option<LocalImage>, RuntimeError> {
        self.0.call("local_image", "")?;
        Ok(None)
    }

    async fn pull(&self, rollout: &Rollout, progress: &dyn Progress) -> Result<(), RuntimeError> {
        progress.line("pulling").await;
        self.0.call("pull", &about(rollout))?;
        self.0.wait_at("pull", progress).await
    }

    async fn apply(&self, rollout: &Rollout, progress: &dyn Progress) -> Result<Applied, RuntimeError> {
        progress.line("applying").await;
        self.0.call("apply", &about(rollout))?;
        self.0.wait_at("apply", progress).await?;
        self.0.bring_up(rollout);
        self.0.moment();
        let published = rollout.spec.containers.iter().filter(|c| !c.is_internal);
        if rollout.spec.cluster.is_some() {
            let published = published.filter(|c| c.port.is_some() && c.ingress_path.is_none());
            let addresses = published.map(|c| (c.name.clone(), "192.0.2.10:30080".to_owned())).collect();
            return Ok(Applied { addresses, ..Default::default() });
        }
        let host_ports = published.filter_map(|c| Some((c.name.clone(), c.host_port.or(c.port)?))).collect();
        Ok(Applied { host_ports, ..Default::default() })
    }

    async fn finish(&self, rollout: &Rollout, _progress: &dyn Progress) -> Result<(), RuntimeError> {
        self.0.call("finish", &about(rollout))
    }

    async fn undo(
        &self,
        failed: &Rollout,
        previous: Option<&Rollout>,
        _progress: &dyn Progress,
    ) -> Result<(), RuntimeError> {
        self.0.call("undo", &about(failed))?;
        match previous {
            Some(previous) => self.0.bring_up(previous),
            None => {
                self.0.running.lock().unwrap().remove(&failed.spec.target.environment_id);
            }
        }
        Ok(())
    }

    async fn stop(&self, target: &Target) -> Result<(), RuntimeError> {
        self.0.call("stop", &target.environment_id)?;
        if let Some(running) = self.0.running.lock().unwrap().get_mut(&target.environment_id) {
            running.stopped = true;
        }
        Ok(())
    }

    async fn restart(&self, target: &Target) -> Result<(), RuntimeError> {
        self.0.call("restart", &target.environment_id)?;
        if let Some(running) = self.0.running.lock().unwrap().get_mut(&target.environment_id) {
            running.stopped = false;
        }
        Ok(())
    }

    async fn remove(&self, target: &Target, volumes: Volumes) -> Result<(), RuntimeError> {
        self.0.call("remove", &format!("{} {volumes:?}", target.environment_id))?;
        self.0.running.lock().unwrap().remove(&target.environment_id);
        self.0.moment();
        Ok(())
    }

    async fn instances(&self, target: &Target) -> Result<Vec<InstanceState>, RuntimeError> {
        self.0.call("instances", &target.environment_id)?;
        let running = self.0.running.lock().unwrap().get(&target.environment_id).cloned();
        let Some(running) = running else { return Ok(Vec::new()) };
        let instance = |(container, image): &(String, String)| InstanceState {
            name: format!("{}-{container}", target.service),
            container: container.clone(),
            image: image.clone(),
            state: if running.stopped { "exited" } else { "running" }.to_owned(),
            ready: !running.stopped,
            restarts: 0,
            started_at: None,
            endpoints: Vec::new(),
            message: None,
        };
        Ok(running.containers.iter().map(instance).collect())
    }

    async fn logs(
        &self,
        target: &Target,
        _query: LogQuery,
    ) -> Result<BoxStream<'static, Result<InstanceLine, RuntimeError>>, RuntimeError> {
        self.0.call("logs", &target.environment_id)?;
        Ok(stream::empty().boxed())
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
        self.0.call("events", "")?;
        Ok(stream::pending().boxed())
    }
}
