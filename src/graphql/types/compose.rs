//! Compose files.

use async_graphql::{Enum, SimpleObject};

use super::container::{EnvVar, HealthCheck, Volume};
use crate::app::services::export;
use crate::domain::compose;

/// What a Compose file holds that a service can be made from.
#[derive(SimpleObject)]
pub struct ComposeImport {
    /// The containers to register, in the file's order.
    containers: Vec<ImportedContainer>,
    /// What has no counterpart, one sentence each, beginning with its path in the file.
    warnings: Vec<String>,
}

/// One container of a Compose file.
#[derive(SimpleObject)]
pub struct ImportedContainer {
    /// The service's name in the file, made an RFC 1123 label.
    name: String,
    /// nginx, bitnami/redis, ghcr.io/acme/app.
    image: String,
    /// latest when the file names none.
    tag: String,
    /// The first port that is published, else the first that is exposed.
    port: Option<i32>,
    /// Environment variables; one that the file masks is a secret without a value.
    env: Vec<EnvVar>,
    /// Named volumes.
    volumes: Vec<Volume>,
    /// Replaces the image's command.
    command: Option<Vec<String>>,
    /// How its health is asked, where that could be recognised.
    health_check: Option<HealthCheck>,
}

/// What a service can be exported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "export::ExportFormat")]
pub enum ExportFormat {
    /// A Compose file.
    Compose,
    /// Kubernetes manifests.
    Kubernetes,
}

impl From<compose::Import> for ComposeImport {
    fn from(import: compose::Import) -> Self {
        Self {
            containers: import.containers.into_iter().map(ImportedContainer::from).collect(),
            warnings: import.warnings,
        }
    }
}

impl From<compose::ImportedContainer> for ImportedContainer {
    fn from(c: compose::ImportedContainer) -> Self {
        Self {
            name: c.name,
            image: c.repository.familiar(),
            tag: c.tag.to_string(),
            port: c.port.map(i32::from),
            env: c.env.into_iter().map(EnvVar::from).collect(),
            volumes: c.volumes.into_iter().map(Volume::from).collect(),
            command: c.command,
            health_check: c.health.map(HealthCheck::from),
        }
    }
}
