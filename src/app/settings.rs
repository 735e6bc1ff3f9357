//! What the configuration says to the use cases.

use std::path::PathBuf;
use std::time::Duration;

use crate::builder::ClusterPlace;
use crate::domain::paging::PageLimits;
pub use crate::scanner::Tool;

/// Plain values; `boot` fills them from kiops.toml.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a session lasts.
    pub session_ttl: Duration,
    /// Failed logins per account and per address in a minute.
    pub login_attempts_per_minute: u32,
    /// The organization that the first start makes.
    pub bootstrap_organization: String,
    /// Who may register this machine's own engine.
    pub local_engine: LocalEngine,
    /// How long a mutation may take.
    pub mutation_timeout: Duration,
    /// How long a deployment may take.
    pub deploy_timeout: Duration,
    /// How long a worker may be silent before its job is given to another.
    pub job_lease: Duration,
    /// How many revisions of an environment are kept.
    pub keep_revisions: u32,
    /// Bounds of lists.
    pub pages: PageLimits,
    /// Lines of a log in a page at most.
    pub log_page_max: u32,
    /// Bytes of a run's log at most.
    pub log_max_bytes: u64,
    /// How long logs are kept after the end of what they are of.
    pub log_retention: Duration,
    /// How long the audit trail is kept; none: for ever.
    pub audit_retention: Option<Duration>,
    /// What links point at, without a slash at the end.
    pub public_url: String,
    /// How much a GraphQL document may ask for, lists counted by their size.
    pub query_complexity: usize,
    /// This build's version.
    pub version: String,
    /// Builds.
    pub builds: Builds,
    /// The limits that a build may ask for.
    pub build_profiles: Vec<BuildProfile>,
    /// The tools that scans run.
    pub scanners: Vec<Tool>,
    /// Tools of one scan that are at work side by side.
    pub tools_at_once: usize,
}

/// What `[build]` says, but for the profiles.
#[derive(Debug, Clone)]
pub struct Builds {
    /// The runtime that builds, as the organization's slug and the runtime's name; none: this machine's own engine.
    pub runtime: Option<(String, String)>,
    /// How long one stage of a pipeline may take.
    pub timeout: Duration,
    /// Bytes of a source tree, and of what is sent to the builder.
    pub max_context_bytes: u64,
    /// Where sources are while a pipeline works on them.
    pub work_dir: PathBuf,
    /// Pipelines at work at once, over all servers.
    pub at_once: u64,
    /// Pipelines of one organization at work at once, over all servers.
    pub at_once_per_organization: u64,
    /// How a cluster builds, where a cluster does.
    pub cluster: ClusterPlace,
}

/// The limits of a build, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildProfile {
    /// small, medium, large, …
    pub name: String,
    /// Cores.
    pub cpu: f64,
    /// As a Kubernetes quantity.
    pub memory: String,
    /// Taken where a service names none.
    pub is_default: bool,
}

/// Who may register this machine's own engine, and so be root here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalEngine {
    /// The bootstrap organization.
    Bootstrap,
    /// These slugs.
    Only(Vec<String>),
    /// Nobody.
    Nobody,
}
