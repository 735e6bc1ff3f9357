//! How a service is built, as its row keeps it, and as a pipeline's row keeps it from the moment it was started.

use entity::{pipeline, service};
use serde::{Deserialize, Serialize};

use crate::app::services::definition::EnvEntry;
use crate::app::{Error, Result};
use crate::domain::scan::ScanKind;

/// Where the Dockerfile comes from: the words of the contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DockerfileMode {
    /// It is found in the folder that is built.
    #[default]
    AutoDetect,
    /// It is named by its path.
    Path,
    /// The Build Wizard's, or an edited one that is stored.
    Wizard,
}

/// How a service is built.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildDefinition {
    /// Where the Dockerfile comes from.
    pub mode: DockerfileMode,
    /// Relative to the context.
    pub dockerfile_path: Option<String>,
    /// An edited one; none takes what the wizard proposes at build time.
    pub dockerfile: Option<String>,
    /// Build arguments; secret ones are mounted.
    pub args: Vec<EnvEntry>,
    /// The stage that is built; none: the last.
    pub target: Option<String>,
    /// Platforms, like `linux/amd64`; none: the engine's own.
    pub platforms: Vec<String>,
    /// Where the image is pushed; none: below the prefix of the organization's registry, or nowhere.
    pub image_repository: Option<String>,
    /// The profile; none: the default one.
    pub profile: Option<String>,
    /// What is run in the image before it is deployed; none: nothing.
    pub test_command: Option<Vec<String>>,
    /// What is looked for.
    pub scans: Vec<ScanKind>,
}

/// What a pipeline works by, whatever is saved later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// How the service was to be built.
    pub build: BuildDefinition,
    /// The folder of the project that is built.
    pub context_path: String,
}

/// How a service is built.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn build_of(service: &service::Model) -> Result<BuildDefinition> {
    match service.build.clone() {
        None => Ok(BuildDefinition::default()),
        Some(stored) => serde_json::from_value(stored)
            .map_err(|e| Error::internal(format!("build settings of service {}: {e}", service.id))),
    }
}

/// What a pipeline works by.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn snapshot_of(pipeline: &pipeline::Model) -> Result<Snapshot> {
    serde_json::from_value(pipeline.settings.clone())
        .map_err(|e| Error::internal(format!("settings of pipeline {}: {e}", pipeline.id)))
}
