//! Running a declared tool to its end: as a process of this server, or, in an image, where builds run: as a container on the
//! Docker engine, or as a Job on the cluster.
//!
//! What a tool may take, and what of it holds where:
//!
//! | | process | container | Job |
//! | --- | --- | --- | --- |
//! | time | its whole tree is killed | the container is killed | the Job is removed; the node ends it a minute later where nobody is there to |
//! | report | its size is looked at five times a second | once a second, and no file may be larger | when it is read; what is much larger the node puts out |
//! | disk | what it writes is looked at each second, and no file may be larger | each file; how many there are, an engine does not limit | `build.disk`, by the node |
//! | memory | looked at each second; data of one process (`RLIMIT_DATA`) | control group, no swap | control group |
//! | cores | those that it is put on, at low priority; it could ask for others | control group | control group |
//! | network | as the server has it | none, unless the tool declares it or a service is scanned | the same, where the cluster's network keeps to policies |
//! | files | as the server may read | what is copied in, and its mounts | what is sent in; no mounts |
//! | its words | are not kept | are not kept | the node keeps them until the pod is gone |
//!
//! So a tool that looks at what strangers wrote, and is not trusted with all that the server may read, belongs in an
//! image.

mod archive;
mod cluster;
mod container;
mod fill;
mod folder;
mod image;
mod inside;
mod left;
mod pipe;
mod process;
mod said;
mod watch;

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use self::fill::Places;
use self::folder::RunFolder;
use self::said::Listener;
use super::{ScanError, Target, Tool};
use crate::cluster::InCluster;
use crate::domain::kubeconfig::ClusterAccess;
use crate::domain::secret::SecretString;

/// Bytes that a run may write beside its report, the saved image among them, unless it is said otherwise.
const MOST_SCRATCH: u64 = 4 << 30;

/// Where a tool's own words go, line by line: control sequences neutralised, each line cut at 16 KiB. Masked by
/// whoever stores them.
#[async_trait]
pub trait Said: Send + Sync {
    /// One line of its standard output or standard error.
    async fn line(&self, text: &str);
}

/// How the Docker engine is reached that tools run on and that holds the image. `unix:///var/run/docker.sock`,
/// `tcp://host:2375` or, with TLS, `tcp://host:2376`.
#[derive(Clone)]
pub struct EngineConnection {
    /// Scheme and address.
    pub host: String,
    /// Client certificate login: authority, our certificate, our private key; PEM texts.
    pub tls: Option<(String, String, SecretString)>,
}

/// How the cluster is reached that tools run on, and what there is to know for that: all of it is as for builds.
#[derive(Clone)]
pub struct ClusterConnection {
    /// Its login.
    pub access: ClusterAccess,
    /// The namespace that runs are in, builds among them. It is made, and holds nothing else.
    pub namespace: String,
    /// An image with busybox's `tar`, by which a tool is given what it looks at: BuildKit's.
    pub image: String,
    /// Bytes of a node's disk that a run may use.
    pub disk: u64,
    /// `linux/amd64`: of the nodes that it runs on. None: of any.
    pub platform: Option<String>,
}

/// What runs tools that are in an image.
#[derive(Clone)]
pub enum Host {
    /// A Docker engine, which also has the images that are looked at.
    Engine(EngineConnection),
    /// A Kubernetes cluster, which has none: they are in registries.
    Cluster(Box<ClusterConnection>),
}

/// Where a service is that is scanned while it runs, for tools in an image that run on the same host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beside {
    /// In this network of the engine.
    Network(String),
    /// In this namespace of the cluster.
    Namespace(String),
}

/// Gives images that are in registries.
#[async_trait]
pub trait ImageSource: Send + Sync {
    /// Writes an image of one platform into a file, as `docker save` does it: `repository@sha256:…` or `repository:tag`, at
    /// most `most` bytes. Its layers may be compressed. A file of that name is replaced.
    ///
    /// # Errors
    /// [`ScanError::Failed`], [`ScanError::Unreachable`]; for people.
    async fn save(&self, image: &str, to: &Path, most: u64) -> Result<(), ScanError>;
}

/// Whose a run is: in the labels of all that it makes, by which all of it is found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The scan's id: letters, digits and hyphens.
    pub scan_id: String,
    /// The service's id.
    pub service_id: String,
    /// The organization's id.
    pub organization_id: String,
}

/// One run of one tool.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The tool.
    pub tool: &'a Tool,
    /// What it is let at.
    pub target: &'a Target,
    /// Whose the run is.
    pub mark: &'a Mark,
    /// What it runs on, if it runs in an image. None: there is nothing.
    pub host: Option<&'a Host>,
    /// Where the image comes from that it looks at, where no engine has it.
    pub images: Option<&'a dyn ImageSource>,
    /// Where its report is left. The folder is there; a file of that name is replaced.
    pub report: &'a Path,
    /// Where the service is that it scans, if that is on the same host; for tools in an image.
    pub join: Option<&'a Beside>,
}

/// How a run ended that left a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    /// One of the tool's `ok_exit_codes`.
    pub exit_code: i64,
    /// Bytes of its report.
    pub report_bytes: u64,
}

/// What runs tools.
///
/// Calls may be made side by side, also for the same scan. A call whose future is dropped is given up: the caller then
/// calls [`Scanners::clear`], after which nothing of the scan is at work or left on the host and on this server. The
/// same is done after a crash, before a run is repeated.
#[async_trait]
pub trait Scanners: Send + Sync {
    /// Runs a tool to its end, and leaves its report at [`Job::report`].
    ///
    /// # Errors
    /// All but [`ScanError::LookedAtNothing`]; the report was not looked into.
    async fn run(&self, job: &Job<'_>, said: &dyn Said) -> Result<Ran, ScanError>;

    /// Stops and removes all that is at work for a scan, and what is left of it.
    ///
    /// # Errors
    /// [`ScanError::Unreachable`] when the host does not answer; what is on this server is gone by then.
    async fn clear(&self, scan_id: &str, host: Option<&Host>) -> Result<(), ScanError>;
}

/// Runs tools as processes here, as containers on engines and as Jobs on clusters.
pub struct ToolRunner {
    /// Where runs have their folders.
    root: PathBuf,
    /// Where programs are.
    path: OsString,
    most_scratch: u64,
    /// The cluster that this server is a pod of.
    surroundings: Option<InCluster>,
}

impl ToolRunner {
    /// With a folder for what runs write, which is made. What a server that is no more has left there is removed, and
    /// its processes are ended.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn new(root: &Path) -> std::io::Result<Self> {
        let root = folder::root(root)?;
        folder::sweep(&root);
        Ok(Self { root, path: search_path(), most_scratch: MOST_SCRATCH, surroundings: None })
    }

    /// With another limit for what one run may write beside its report, in bytes.
    #[must_use]
    pub fn with_most_scratch(self, most_scratch: u64) -> Self {
        Self { most_scratch, ..self }
    }

    /// In a pod of this cluster, if it is in one.
    #[must_use]
    pub fn within(self, surroundings: Option<InCluster>) -> Self {
        Self { surroundings, ..self }
    }

    /// What a run has on this server, and what of the placeholders is there.
    async fn prepare(&self, job: &Job<'_>) -> Result<(RunFolder, Places), ScanError> {
        let name = &job.tool.name;
        let failed = |error| ScanError::Failed(format!("no folder can be made for {name}: {error}"));
        let folder = RunFolder::make(&self.root, &job.mark.scan_id).map_err(failed)?;
        let mut places = Places { report: text(&folder.report()), files: text(&folder.files()), ..Places::default() };
        let lacks = |what: &str| ScanError::Failed(format!("{name} looks at {what}, and there is none"));
        if job.tool.wants("source") {
            let source = job.target.source.as_ref().ok_or_else(|| lacks("source code"))?;
            places.source = Some(text(&source.canonicalize().map_err(failed)?));
        }
        if job.tool.wants("url") {
            places.url = Some(fill::address(job.target.url.as_ref().ok_or_else(|| lacks("an address"))?)?);
        }
        if job.tool.wants("image") {
            let image = job.target.image.as_ref().ok_or_else(|| lacks("an image"))?;
            image::save(job, image, &folder.image(), self.most_scratch).await?;
            places.image = Some(text(&folder.image()));
        }
        Ok((folder, places))
    }
}

#[async_trait]
impl Scanners for ToolRunner {
    async fn run(&self, job: &Job<'_>, said: &dyn Said) -> Result<Ran, ScanError> {
        let end = Instant::now() + job.tool.timeout;
        let (folder, places) = timeout_at(end, self.prepare(job)).await.map_err(|_| late(job.tool))??;
        let run = Run { job, folder: &folder, places, end, most_scratch: self.most_scratch };
        let outcome = match &job.tool.image {
            None => process::run(&run, &self.path, said).await,
            Some(image) => match job.host {
                Some(Host::Engine(engine)) => container::run(&run, (image, engine), said).await,
                Some(Host::Cluster(on)) => cluster::run(&run, (image, on), (said, self.surroundings.as_ref())).await,
                None => {
                    let name = &job.tool.name;
                    Err(ScanError::Missing(format!("scan.tools.{name} is in an image, and nothing is there to run it")))
                }
            },
        };
        // It may be large.
        let _ = tokio::task::spawn_blocking(move || drop(folder)).await;
        outcome
    }

    async fn clear(&self, scan_id: &str, host: Option<&Host>) -> Result<(), ScanError> {
        let (root, id) = (self.root.clone(), scan_id.to_owned());
        // It only ends with the program otherwise.
        let _ = tokio::task::spawn_blocking(move || folder::clear(&root, &id)).await;
        match host {
            Some(Host::Engine(engine)) => container::clear(engine, scan_id).await,
            Some(Host::Cluster(on)) => cluster::clear(on, self.surroundings.as_ref(), scan_id).await,
            None => Ok(()),
        }
    }
}

/// A run that is at work.
struct Run<'a> {
    job: &'a Job<'a>,
    folder: &'a RunFolder,
    /// As they are on this server.
    places: Places,
    /// When its time is over.
    end: Instant,
    most_scratch: u64,
}

impl Run<'_> {
    /// What came of a tool in an image, which ended with this code, or did not end in time.
    async fn deliver_after(
        &self,
        outcome: Result<Result<i64, ScanError>, Elapsed>,
        mut listener: Listener<'_>,
    ) -> Result<Ran, ScanError> {
        listener.end().await;
        match outcome.unwrap_or_else(|_| Err(late(self.job.tool))) {
            Ok(exit_code) => {
                let report_bytes = self.deliver().await?;
                Ok(Ran { exit_code, report_bytes })
            }
            Err(ScanError::Failed(text)) => Err(ScanError::Failed(listener.quoting(text))),
            Err(failure) => Err(failure),
        }
    }

    /// Moves the report that came into the run's folder to where it is wanted, and says its length.
    ///
    /// # Errors
    /// [`ScanError::Failed`] when there is none, [`ScanError::Unreadable`] when it is no file or too large.
    async fn deliver(&self) -> Result<u64, ScanError> {
        let (tool, from, to) = (self.job.tool, self.folder.report(), self.job.report.to_owned());
        let name = &tool.name;
        let meta = match tokio::fs::symlink_metadata(&from).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ScanError::Failed(format!("{name} wrote no report")));
            }
            meta => meta.map_err(|error| ScanError::Failed(format!("the report of {name} can't be had: {error}")))?,
        };
        // A link could lead to anything that the server may read; so could a second name of a file.
        if !meta.is_file() || meta.nlink() > 1 {
            return Err(ScanError::Unreadable(format!("what {name} left as its report is no file of its own")));
        }
        if meta.len() == 0 {
            return Err(ScanError::Failed(format!("{name} wrote nothing into its report")));
        }
        if meta.len() > tool.max_report_bytes {
            return Err(watch::too_large(tool));
        }
        let moved = tokio::task::spawn_blocking(move || folder::take(&from, &to)).await;
        let moved = moved.map_err(std::io::Error::other).flatten();
        moved.map_err(|error| ScanError::Failed(format!("the report of {name} can't be kept: {error}")))?;
        Ok(meta.len())
    }
}

/// Its time is over.
fn late(tool: &Tool) -> ScanError {
    let (name, limit) = (&tool.name, humantime::format_duration(tool.timeout));
    ScanError::TimedOut(format!("{name} took longer than {limit} (scan.tools.{name}.timeout)"))
}

/// How a tool may not end.
fn ended_badly(tool: &Tool, exit_code: i64) -> Option<ScanError> {
    let is_ok = tool.ok_exit_codes.iter().any(|code| i64::from(*code) == exit_code);
    (!is_ok).then(|| ScanError::Failed(format!("{} ended with exit code {exit_code}", tool.name)))
}

/// A path as an argument.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// How long what a tool printed may arrive after its end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Where programs are.
#[expect(clippy::disallowed_methods, reason = "where programs are is said by the environment alone")]
fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}
