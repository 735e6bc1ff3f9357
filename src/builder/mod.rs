//! From source code to an image: fetching the source, planning a Dockerfile where there is none, building, testing and
//! pushing, behind two traits.

mod buildkit;
pub mod context;
pub mod docker;
pub mod kubernetes;
pub mod source;
pub mod wizard;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::cluster::ground::{KIOPS, MANAGED_BY};
use crate::domain::image::{Digest, Repository, Tag};
use crate::domain::kubeconfig::ClusterAccess;
use crate::domain::secret::{RegistryLogin, SecretString};

/// Where a line of a run's log comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// What a program of the project printed.
    Stdout,
    /// What it printed to its standard error.
    Stderr,
    /// What KIOPS or the builder says.
    System,
}

/// Where a run tells what happens. Lines are masked by whoever stores them; implementations of the traits give them in
/// order, without line ends, with control sequences neutralised and each cut at 16 KiB.
#[async_trait]
pub trait Journal: Send + Sync {
    /// One line.
    async fn line(&self, output: Output, text: &str);
}

/// How a Docker engine that builds is reached. `unix:///var/run/docker.sock`, `tcp://host:2375` or, with TLS,
/// `tcp://host:2376`.
#[derive(Clone)]
pub struct EngineConnection {
    /// Scheme and address.
    pub host: String,
    /// Client certificate login: authority, our certificate, our private key; PEM texts.
    pub tls: Option<(String, String, SecretString)>,
}

/// How what builds is reached.
#[derive(Clone)]
pub enum BuilderConnection {
    /// A Docker engine.
    Engine(EngineConnection),
    /// A Kubernetes cluster.
    Cluster(Box<ClusterConnection>),
}

/// How a cluster that builds is reached, and what there is to know for building on it.
#[derive(Clone)]
pub struct ClusterConnection {
    /// Its login.
    pub access: ClusterAccess,
    /// How it builds.
    pub place: ClusterPlace,
}

/// How a cluster builds: what the configuration says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterPlace {
    /// The namespace that all runs are in. It is made, and holds nothing else.
    pub namespace: String,
    /// The image of rootless BuildKit.
    pub image: String,
    /// Bytes of a node's disk that a run may use.
    pub disk: u64,
    /// Registries that are spoken to without TLS: `host:port`.
    pub plain_http: Vec<String>,
    /// `linux/amd64`: of builds and tests that ask for none. None: of whatever node they come to, each by itself.
    pub platform: Option<String>,
    /// Whether tools of scans run there too: its login is then asked for more.
    pub scans: bool,
}

/// Whose a run is: goes into the labels of all that it makes, by which all of it is found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMark {
    /// The pipeline's id.
    pub run_id: String,
    /// The service's id.
    pub service_id: String,
    /// The organization's id.
    pub organization_id: String,
}

/// The run's id.
pub(in crate::builder) const RUN: &str = "kiops.dev/run";
const SERVICE: &str = "kiops.dev/service";
const ORGANIZATION: &str = "kiops.dev/organization";

impl RunMark {
    /// As labels.
    fn labels<M: FromIterator<(String, String)>>(&self) -> M {
        let pairs = [
            (MANAGED_BY, KIOPS),
            (RUN, &self.run_id),
            (SERVICE, &self.service_id),
            (ORGANIZATION, &self.organization_id),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

/// What a run may use. Times hold everywhere; the others where the builder can keep them.
#[derive(Debug, Clone, PartialEq)]
pub struct RunLimits {
    /// The profile's name, for the log.
    pub profile: String,
    /// Cores.
    pub cpu: f64,
    /// Bytes of memory.
    pub memory: u64,
    /// For the whole stage.
    pub time: Duration,
}

/// An image to be built.
#[derive(Clone)]
pub struct BuildRequest {
    /// Whose it is.
    pub mark: RunMark,
    /// A folder that [`source::Sources::fetch`] made, or one of its folders. Nothing outside of it is read.
    pub context: PathBuf,
    /// The Dockerfile's text.
    pub dockerfile: String,
    /// Rules for what stays out of the context, when the context has no `.dockerignore` of its own.
    pub dockerignore: Option<String>,
    /// Build arguments that everybody may read: in the image's history.
    pub args: Vec<(String, String)>,
    /// Secret arguments: files below `/run/secrets` for `RUN --mount=type=secret,id=NAME`, and nothing else.
    pub secrets: Vec<(String, SecretString)>,
    /// The stage to build; the last when left out.
    pub target: Option<String>,
    /// `linux/amd64`; the builder's own when empty, and at most one.
    pub platforms: Vec<String>,
    /// Where base images come from that need a login, by registry host.
    pub logins: Vec<(String, RegistryLogin)>,
    /// What the image is called.
    pub repository: Repository,
    /// And its tag.
    pub tag: Tag,
    /// Labels of the image, by key.
    pub labels: Vec<(String, String)>,
    /// What it may use.
    pub limits: RunLimits,
    /// Bytes of the context at most, as it is sent.
    pub max_context_bytes: u64,
}

/// An image that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// The builder's own id of it: `sha256:…` on an engine, `repository@sha256:…` where it keeps none itself.
    pub id: String,
    /// What the registry calls it, where it was pushed as it was built: then nothing is left to be pushed.
    pub digest: Option<Digest>,
}

/// A command to be run in a container of an image.
#[derive(Clone)]
pub struct TestRequest {
    /// Whose it is.
    pub mark: RunMark,
    /// The builder's own id of the image.
    pub image_id: String,
    /// The platform that the image is for, where one was asked for.
    pub platform: Option<String>,
    /// The login of the registry that the image is in.
    pub login: Option<(String, RegistryLogin)>,
    /// Program and arguments, instead of the image's entry point and command.
    pub command: Vec<String>,
    /// What it may use.
    pub limits: RunLimits,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestEnd {
    /// Its exit code.
    pub exit_code: i64,
    /// It was killed because it wanted more memory than it may have.
    pub out_of_memory: bool,
}

/// Why a builder did not do what was asked. Messages are for people: no credentials, no payloads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuilderError {
    /// It does not answer, or the connection broke: trying again is of use.
    #[error("{0}")]
    Unreachable(String),
    /// The build itself failed; the message names the step and what it said last.
    #[error("{0}")]
    Failed(String),
    /// What was asked can't be built: context too large, a Dockerfile that can't be read, no such stage or platform.
    #[error("{0}")]
    Refused(String),
    /// It was still going on when its time was over.
    #[error("{0}")]
    TimedOut(String),
    /// The registry does not take the image: login, rights, no such place. Trying again is no use.
    #[error("{0}")]
    PushRefused(String),
    /// The registry could not be reached, after several tries.
    #[error("{0}")]
    PushFailed(String),
    /// Anything else that the engine said.
    #[error("{0}")]
    Engine(String),
}

/// What is known of a builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderInfo {
    /// Its version, like `28.5.1`.
    pub version: String,
    /// The engine's own id: a runtime with the same one has its images. None when it does not say, or keeps no images.
    pub engine_id: Option<String>,
}

/// What a builder's login may not do, and would have to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacks {
    /// Each for people: `create jobs.batch in namespace kiops-builds`.
    pub permissions: Vec<String>,
    /// The manifest that grants all that is needed.
    pub grant: String,
}

/// What builds images and runs commands in them.
///
/// Calls for different runs may be made side by side. A call whose future is dropped is given up: the caller then
/// calls [`Builder::clear`], after which nothing of the run is at work or left there. The same is done after a crash,
/// before a call is repeated.
#[async_trait]
pub trait Builder: Send + Sync {
    /// Asks who it is.
    ///
    /// # Errors
    /// [`BuilderError::Unreachable`].
    async fn info(&self) -> Result<BuilderInfo, BuilderError>;

    /// Whether an image can stay where it was built. Else it is pushed as it is built, and there is no build without a
    /// repository of a registry.
    fn keeps_images(&self) -> bool;

    /// What its login may not do and would have to; none when there is nothing.
    ///
    /// # Errors
    /// [`BuilderError::Unreachable`].
    async fn lacks(&self) -> Result<Option<Lacks>, BuilderError>;

    /// Builds an image, which then has its name where it is.
    ///
    /// # Errors
    /// Any; those of a push only where it pushes as it builds.
    async fn build(&self, request: &BuildRequest, journal: &dyn Journal) -> Result<BuiltImage, BuilderError>;

    /// Pushes an image that was not pushed as it was built, by its name. Tried a few times while the registry does not
    /// answer.
    ///
    /// # Errors
    /// [`BuilderError::PushRefused`], [`BuilderError::PushFailed`], [`BuilderError::Unreachable`] for the engine itself.
    async fn push(
        &self,
        repository: &Repository,
        tag: &Tag,
        login: Option<&RegistryLogin>,
        journal: &dyn Journal,
    ) -> Result<Digest, BuilderError>;

    /// Runs a command in a container of an image: no published port, no volume, a network of its own. The container is
    /// gone when this returns, or, where that can't be had, was told to go.
    ///
    /// # Errors
    /// [`BuilderError::TimedOut`], [`BuilderError::Refused`] when the program is not there, or what the engine says.
    async fn test(&self, request: &TestRequest, journal: &dyn Journal) -> Result<TestEnd, BuilderError>;

    /// Whether an image of this id can be used as it is: whether the engine holds it, or, where images are in registries
    /// alone, whether the id is one of theirs.
    ///
    /// # Errors
    /// [`BuilderError::Unreachable`].
    async fn holds(&self, image_id: &str) -> Result<bool, BuilderError>;

    /// Stops and removes all that is at work for a run, and waits until nothing of it is.
    ///
    /// # Errors
    /// [`BuilderError::Unreachable`].
    async fn clear(&self, run_id: &str) -> Result<(), BuilderError>;

    /// Takes a name from an image, and the image with it when it was its last name and no container uses it. Nothing
    /// there is no error.
    ///
    /// # Errors
    /// [`BuilderError::Unreachable`].
    async fn forget(&self, repository: &Repository, tag: &Tag) -> Result<(), BuilderError>;
}

/// Makes [`Builder`]s from connections.
pub trait Builders: Send + Sync {
    /// Makes a client; asks nothing yet.
    ///
    /// # Errors
    /// When the connection's parts make no client.
    fn connect(&self, connection: &BuilderConnection) -> Result<Arc<dyn Builder>, BuilderError>;
}
