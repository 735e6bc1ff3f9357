//! The configuration: the built-in defaults, a file, the environment. The only room that reads the environment.

pub mod audit;
pub mod auth;
pub mod bootstrap;
pub mod build;
pub mod cluster;
pub mod database;
pub mod deploy;
mod document;
mod draft;
mod extract;
mod faults;
pub mod jobs;
mod layers;
pub mod limits;
pub mod logs;
pub mod net;
pub mod organizations;
mod places;
pub mod providers;
pub mod runtimes;
pub mod scan;
mod scan_rules;
mod secret_files;
pub mod secrets;
pub mod server;
pub mod telemetry;
mod validate;
pub mod value;

#[cfg(test)]
mod scan_tests;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::Deserialize;

pub use draft::Draft;
pub use faults::{ConfigFault, ConfigFaults};
pub use layers::DEFAULTS;
pub use places::Places;

/// The whole configuration, typed and checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the section of its name, which says what it is")]
pub struct Config {
    pub server: server::Server,
    pub database: database::Database,
    pub secrets: secrets::Secrets,
    pub auth: auth::Auth,
    pub bootstrap: bootstrap::Bootstrap,
    #[serde(default)]
    pub organizations: Vec<organizations::DeclaredOrganization>,
    pub net: net::Net,
    pub runtimes: runtimes::Runtimes,
    pub docker_hub: providers::DockerHub,
    pub github: providers::Github,
    pub jobs: jobs::Jobs,
    pub build: build::Build,
    pub deploy: deploy::Deploy,
    pub scan: scan::Scan,
    pub limits: limits::Limits,
    pub logs: logs::Logs,
    pub audit: audit::Audit,
    pub telemetry: telemetry::Telemetry,
    /// The cluster that this process is a pod of: told by Kubernetes, and no key of the file.
    #[serde(skip)]
    pub surroundings: Option<cluster::Surroundings>,
    /// Where each key stands, for what is found to be wrong later.
    #[serde(skip)]
    pub places: Places,
    /// What is not wrong, and better otherwise: keys and why.
    #[serde(skip)]
    pub warnings: Vec<(String, String)>,
}

/// Where a configuration is read from.
#[derive(Debug, Clone, Default)]
pub struct ConfigSource {
    /// `--config FILE`, which must exist; none: `kiops.toml` in `dir`, where there is one.
    pub file: Option<PathBuf>,
    /// The environment's variables.
    pub env: Vec<(String, String)>,
    /// What relative paths start from.
    pub dir: PathBuf,
}

impl ConfigSource {
    /// This process's environment and working directory.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let text =
            |(k, v): (std::ffi::OsString, std::ffi::OsString)| Some((k.into_string().ok()?, v.into_string().ok()?));
        Self { file, env: std::env::vars_os().filter_map(text).collect(), dir: PathBuf::from(".") }
    }
}

impl Config {
    /// Reads all layers, then the files that secrets are in, then checks the whole by the rules of this room.
    ///
    /// # Errors
    /// Every fault, with its key and where that stands.
    pub fn load(source: &ConfigSource) -> Result<Self, ConfigFaults> {
        Draft::read(source)?.finish()
    }
}
