//! From source code to an image: fetching the source, planning a Dockerfile where there is none, building, testing and
//! pushing, behind two traits.

pub mod context;
pub mod docker;
pub mod source;
pub mod wizard;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::image::{Digest, Repository, Tag};
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
    /// `linux/amd64`; the engine's own when empty, and at most one.
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

/// An image on the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// The engine's own id of it: `sha256:…`.
    pub id: String,
}

/// A command to be run in a container of an image.
#[derive(Clone)]
pub struct TestRequest {
    /// Whose it is.
    pub mark: RunMark,
    /// The engine's own id of the image.
    pub image_id: String,
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
    /// The engine's own id: a runtime with the same one has its images. None when it does not say.
    pub engine_id: Option<String>,
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

    /// Builds an image, which then has its name on the engine.
    ///
    /// # Errors
    /// Any but those of a push.
    async fn build(&self, request: &BuildRequest, journal: &dyn Journal) -> Result<BuiltImage, BuilderError>;

    /// Pushes an image by its name. Tried a few times while the registry does not answer.
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
    /// gone when this returns.
    ///
    /// # Errors
    /// [`BuilderError::TimedOut`], [`BuilderError::Refused`] when the program is not there, or what the engine says.
    async fn test(&self, request: &TestRequest, journal: &dyn Journal) -> Result<TestEnd, BuilderError>;

    /// Whether the engine holds an image, by its own id.
    ///
    /// # Errors
    /// [`BuilderError::Unreachable`].
    async fn holds(&self, image_id: &str) -> Result<bool, BuilderError>;

    /// Stops and removes every container of a run, and waits until its build is no longer at work.
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
    fn connect(&self, connection: &EngineConnection) -> Result<Arc<dyn Builder>, BuilderError>;
}
