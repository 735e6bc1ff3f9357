//! `[build]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::value::{self, Size};

/// Builds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// `organization/runtime` that builds and scans; empty: the local Docker engine.
    pub runtime: String,
    /// For one build.
    #[serde(deserialize_with = "value::duration")]
    pub timeout: Duration,
    /// Bytes of a build's context.
    pub max_context_bytes: u64,
    /// Where sources are while pipelines work on them.
    pub work_dir: PathBuf,
    /// Pipelines at work at once, over all servers.
    pub at_once: u64,
    /// Pipelines of one organization at work at once, over all servers.
    pub at_once_per_organization: u64,
    /// The image of rootless BuildKit, where a cluster builds.
    pub buildkit_image: String,
    /// The namespace of builds, where a cluster builds.
    pub namespace: String,
    /// What a build may use of a node's disk, where a cluster builds.
    pub disk: Size,
    /// `linux/amd64`: of a service that asks for none, where a cluster builds; empty: the node's.
    pub platform: String,
    /// The profile of a service that names none.
    pub default_profile: String,
    /// What a build may use, by name.
    pub profiles: BTreeMap<String, BuildProfile>,
}

/// What a build may use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildProfile {
    /// Cores.
    pub cpu: f64,
    /// Memory.
    pub memory: Size,
}
