//! The configuration: the built-in defaults, a file, the environment. The only room that reads the environment.

pub mod auth;
pub mod bootstrap;
pub mod build;
pub mod cluster;
pub mod database;
pub mod deploy;
pub mod jobs;
mod layers;
pub mod limits;
pub mod logs;
pub mod net;
pub mod organizations;
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

pub use layers::DEFAULTS;

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
    pub telemetry: telemetry::Telemetry,
    /// The cluster that this process is a pod of: told by Kubernetes, and no key of the file.
    #[serde(skip)]
    pub surroundings: Option<cluster::Surroundings>,
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

/// The first thing that is wrong with a configuration. Holds no value of a secret key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message} (in {origin})")]
pub struct ConfigError {
    /// The key's full name, like `build.profiles.small.cpu`.
    pub key: String,
    /// The layer that it came from.
    pub origin: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl ConfigError {
    fn new(key: impl Into<String>, origin: String, message: impl Into<String>) -> Self {
        Self { key: key.into(), origin, message: message.into() }
    }
}

impl Config {
    /// Reads all layers, then the files that secrets are in, then checks the whole.
    ///
    /// # Errors
    /// The first fault, with its key and the layer that it came from.
    pub fn load(source: &ConfigSource) -> Result<Self, ConfigError> {
        let layers = layers::Layers::read(source.file.as_deref(), &source.env, &source.dir)?;
        let mut config: Self = layers.figment.extract().map_err(|e| from_figment(&layers, e))?;
        let placed = |(key, message): (String, String)| ConfigError::new(&key, layers.origin(&key), message);
        secret_files::read(&mut config, &source.dir).map_err(placed)?;
        config.validate().map_err(placed)?;
        config.surroundings = cluster::surroundings(source);
        Ok(config)
    }
}

/// Names the key in full and says nothing of its value where that is a secret.
fn from_figment(layers: &layers::Layers, error: figment::Error) -> ConfigError {
    use figment::error::Kind;
    let mut path = error.path.clone();
    let message = match &error.kind {
        Kind::UnknownField(name, _) => {
            if path.last() != Some(name) {
                path.push(name.clone());
            }
            "there is no such key".to_owned()
        }
        Kind::MissingField(name) => {
            path.push(name.to_string());
            "this key is needed".to_owned()
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => format!("{expected} is needed"),
        other => other.to_string(),
    };
    let key = path.join(".");
    ConfigError::new(&key, layers.origin(&key), message)
}
