//! Places to deploy to, behind one trait.

pub mod docker;
pub mod kubernetes;
mod labels;
mod lines;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;

use crate::domain::image::{Digest, Repository, Tag};
use crate::domain::kubeconfig::ClusterAccess;
use crate::domain::secret::{RegistryLogin, SecretString};
use crate::domain::spec::{Spec, Target};

/// How a runtime is reached. Addresses were checked when it was registered; implementations check again.
#[derive(Clone)]
pub enum RuntimeConnection {
    /// A Docker engine.
    Docker(DockerConnection),
    /// A Kubernetes cluster.
    Kubernetes(ClusterAccess),
}

/// `unix:///var/run/docker.sock`, `tcp://host:2375` or, with TLS, `tcp://host:2376`.
#[derive(Clone)]
pub struct DockerConnection {
    /// Scheme and address.
    pub host: String,
    /// Client certificate login; all three parts are needed.
    pub tls: Option<DockerTls>,
}

/// PEM texts.
#[derive(Clone)]
pub struct DockerTls {
    /// The authority that signed the engine's certificate.
    pub ca: String,
    /// Our certificate.
    pub cert: String,
    /// Our private key.
    pub key: SecretString,
}

/// What a check of a runtime learned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeInfo {
    /// The engine's or API server's version, like `28.5.1`.
    pub version: String,
    /// The engine's own id: two addresses with one id are one engine. None when it does not say. A cluster's is the uid of
    /// its namespace kube-system.
    pub engine_id: Option<String>,
    /// Kubernetes: what our login may not do and would have to, one permission each: `create deployments.apps`.
    pub missing_permissions: Vec<String>,
    /// Kubernetes: the RBAC manifest (YAML) that grants what is missing; none when nothing is.
    pub grant_manifest: Option<String>,
}

/// Why a runtime did not do what was asked. Messages are for people: no credentials, no payloads.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    /// It does not answer, or the connection broke.
    #[error("{0}")]
    Unreachable(String),
    /// It answers and refuses us: certificate or permissions.
    #[error("{0}")]
    Unauthorized(String),
    /// The image could not be pulled; the message names image and registry.
    #[error("{0}")]
    Image(String),
    /// The image is wrong for certain (no such tag, login refused), so that trying again is no use.
    #[error("{0}")]
    ImageRefused(String),
    /// A container did not become healthy, exited, or did not start; the message quotes exit code and last lines.
    #[error("{0}")]
    Failed(String),
    /// The Kubernetes namespace is somebody else's; the message names it.
    #[error("{0}")]
    NotOwned(String),
    /// Nobody wants the revision any more.
    #[error("it is not wanted any more")]
    Unwanted,
    /// The rollout was still going on at its deadline.
    #[error("{0}")]
    TimedOut(String),
    /// Anything else that the engine said.
    #[error("{0}")]
    Engine(String),
}

/// Where a rollout tells what it does. Lines become SYSTEM lines of the deployment's log; implementations of the
/// trait never pass a secret.
#[async_trait]
pub trait Progress: Send + Sync {
    /// One line for the person who deploys.
    async fn line(&self, text: &str);

    /// Returns once nobody wants the revision any more: [`Runtime::apply`] then ends between two calls, with
    /// [`RuntimeError::Unwanted`]. Never, where nobody can say so.
    async fn unwanted(&self) {
        std::future::pending().await
    }
}

/// One revision to be brought up, with everything that the engine needs and the stored spec must not hold.
#[derive(Clone)]
pub struct Rollout {
    /// What should run. Every digest that could be resolved is filled in.
    pub spec: Spec,
    /// The revision's number: goes into labels.
    pub revision: i32,
    /// The values of the spec's secret variables, by their sealed row's id.
    pub secrets: BTreeMap<String, SecretString>,
    /// The login of each registry host that has one.
    pub logins: BTreeMap<String, RegistryLogin>,
    /// When waiting for health ends.
    pub deadline: std::time::Duration,
}

/// An image that the engine already holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    /// The repository digest it was pulled by; none for an image built on the engine.
    pub digest: Option<Digest>,
}

/// What a successful rollout learned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The host port of each container that is published, by container name.
    pub host_ports: BTreeMap<String, u16>,
    /// Kubernetes: `host:port` of each container that is reached from outside, by container name.
    pub addresses: BTreeMap<String, String>,
    /// What the person should know although it worked.
    pub warnings: Vec<String>,
}

/// A running (or stopped, or failed) container or pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceState {
    /// The engine's name for it.
    pub name: String,
    /// The service's name for it.
    pub container: String,
    /// repository:tag as it was started.
    pub image: String,
    /// The engine's word: running, exited, restarting, …
    pub state: String,
    /// It serves: running, and healthy where health is asked.
    pub ready: bool,
    /// How often the engine started it again.
    pub restarts: i32,
    /// When it was last started.
    pub started_at: Option<DateTime<Utc>>,
    /// `host:port`, as others reach it; empty when internal.
    pub endpoints: Vec<String>,
    /// Exit code, out of memory, failing health check.
    pub message: Option<String>,
}

/// Which lines of which instances to read.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Only this container of the service.
    pub container: Option<String>,
    /// Only this instance.
    pub instance: Option<String>,
    /// Only the last so many lines that are there already; none: all.
    pub tail: Option<u32>,
    /// Only lines after this moment.
    pub since: Option<DateTime<Utc>>,
    /// Go on as lines come (across restarts and replaced instances); else end with what is there.
    pub follow: bool,
}

/// A line that an instance printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceLine {
    /// The engine's time of it, with nanoseconds.
    pub at: DateTime<Utc>,
    /// The instance's name.
    pub instance: String,
    /// The service's name for the container.
    pub container: String,
    /// True for standard error.
    pub stderr: bool,
    /// Without its line end; control sequences neutralised, invalid UTF-8 replaced, cut at 16 KiB.
    pub text: String,
}

/// Something happened to one of our containers: its environment's status has to be looked at anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeEvent {
    /// From the labels.
    pub environment_id: String,
}

/// One place to deploy to.
///
/// Implementations are safe to call from several tasks at once for different environments; the queue's lanes see to
/// it that one environment has one caller at a time. Every changing call is idempotent and keyed by labels: after a
/// crash in the middle the same call is made again and goes on from what it finds.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Connects and asks for the version. Takes at most the connect timeout.
    async fn check(&self) -> Result<RuntimeInfo, RuntimeError>;

    /// Whether the place can take the target: on Kubernetes a namespace that is not ours, or is another environment's, can't.
    /// Changes nothing.
    ///
    /// # Errors
    /// [`RuntimeError::NotOwned`], or that it does not answer.
    async fn admit(&self, _target: &Target) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// What somebody changed by hand since the revision was applied, one sentence for each object; empty where the runtime
    /// can't tell.
    ///
    /// # Errors
    /// When it does not answer.
    async fn drift(&self, _serving: &Rollout) -> Result<Vec<String>, RuntimeError> {
        Ok(Vec::new())
    }

    /// Whether the engine holds the image, and by which digest.
    async fn local_image(&self, repository: &Repository, tag: &Tag) -> Result<Option<LocalImage>, RuntimeError>;

    /// Pulls every image of the rollout that the engine lacks, before anything that runs is touched.
    async fn pull(&self, rollout: &Rollout, progress: &dyn Progress) -> Result<(), RuntimeError>;

    /// Brings the revision up beside or instead of what runs, and returns when it is healthy. What it replaced stays
    /// (stopped) until [`Runtime::finish`]. On an error the caller calls [`Runtime::undo`]. Ends early when
    /// [`Progress::unwanted`] does.
    async fn apply(&self, rollout: &Rollout, progress: &dyn Progress) -> Result<Applied, RuntimeError>;

    /// After a successful apply: removes what it replaced and what the revision no longer has. Volumes stay.
    async fn finish(&self, rollout: &Rollout, progress: &dyn Progress) -> Result<(), RuntimeError>;

    /// After a failed apply of `failed`: removes what it made and brings back `previous` (none: nothing ran before)
    /// as it was, by starting the very containers that were replaced.
    async fn undo(
        &self,
        failed: &Rollout,
        previous: Option<&Rollout>,
        progress: &dyn Progress,
    ) -> Result<(), RuntimeError>;

    /// Stops every container of the environment and keeps them.
    async fn stop(&self, target: &Target) -> Result<(), RuntimeError>;

    /// Stops and starts every container of the environment, in the spec's order; starts stopped ones.
    async fn restart(&self, target: &Target) -> Result<(), RuntimeError>;

    /// Removes every container and network of the environment, and its volumes if asked. Nothing left is no error.
    async fn remove(&self, target: &Target, volumes: Volumes) -> Result<(), RuntimeError>;

    /// What is there now, asked at this moment; candidates and replaced containers are left out.
    async fn instances(&self, target: &Target) -> Result<Vec<InstanceState>, RuntimeError>;

    /// What the instances print. Lines of one instance come in order.
    async fn logs(
        &self,
        target: &Target,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<InstanceLine, RuntimeError>>, RuntimeError>;

    /// Events of all containers that KIOPS made there. Ends when the connection breaks; the caller connects anew and
    /// looks at everything once.
    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError>;
}

/// What becomes of volumes when an environment is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volumes {
    /// They stay, with their labels.
    Keep,
    /// They go.
    Delete,
}

/// Makes [`Runtime`]s from connections. The implementation in `boot` keeps one client for each connection.
pub trait Runtimes: Send + Sync {
    /// Makes a client; asks nothing yet.
    ///
    /// # Errors
    /// When the connection's parts make no client (a bad certificate, a host without an address).
    fn connect(&self, connection: &RuntimeConnection) -> Result<Arc<dyn Runtime>, RuntimeError>;

    /// The Kubernetes manifests (YAML) of a spec, secrets masked. The same spec always gives the same text; the revision is
    /// not in it. With `before`, a secret that has another value than there shows as changed, and nothing else about it.
    fn manifests(&self, spec: &Spec, before: Option<&Spec>) -> String;

    /// What the person should know of a spec on a Kubernetes cluster, although it can be applied: what is not as it looks.
    fn notices(&self, spec: &Spec) -> Vec<String>;
}
