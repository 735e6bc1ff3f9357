//! What a service is made of, as its row keeps it.

use std::collections::BTreeMap;

use sea_orm::{ActiveModelTrait as _, ConnectionTrait, Set};
use serde::{Deserialize, Serialize};

use crate::app::{Error, Result, Scope};
use crate::domain::image::{Repository, Tag};
use crate::domain::spec::{EnvValue, HealthCheck, Resources, VolumeSpec};

/// One container of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerDefinition {
    /// Unique in the service.
    pub name: String,
    /// What is run; none for the container that a build fills in.
    #[serde(flatten)]
    pub image: Option<NamedImage>,
    /// The port that it listens on.
    pub port: Option<u16>,
    /// Environment variables in the order in which they were given; names are unique.
    #[serde(default)]
    pub env: Vec<EnvEntry>,
    /// Named volumes; paths are unique.
    #[serde(default)]
    pub volumes: Vec<VolumeSpec>,
    /// Kubernetes only.
    #[serde(default)]
    pub ingress_path: Option<String>,
    /// Not reachable from outside.
    #[serde(default)]
    pub is_internal: bool,
    /// How its health is asked.
    #[serde(default)]
    pub health: Option<HealthCheck>,
    /// Replaces the image's CMD.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Overrides the environment's, field by field.
    #[serde(default)]
    pub resources: Option<Resources>,
    /// Kubernetes only.
    #[serde(default)]
    pub restricted: bool,
}

/// An image by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedImage {
    /// Where it comes from.
    pub repository: Repository,
    /// What the next deployment asks for.
    pub tag: Tag,
}

/// A variable with its value, or with the id of the row that seals it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvEntry {
    /// The variable's name.
    pub name: String,
    /// Its value.
    pub value: EnvValue,
}

/// How a service is taken down, as its row keeps it for the job that does it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// What was deployed goes on running, and KIOPS forgets it.
    pub keep_deployments: bool,
    /// The volumes go too.
    pub delete_volumes: bool,
}

/// The containers of a service's row.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn containers_of(service: &entity::service::Model) -> Result<Vec<ContainerDefinition>> {
    let unreadable = |why: &str| Error::internal(format!("containers of service {}: {why}", service.id));
    let containers: Vec<ContainerDefinition> =
        serde_json::from_value(service.containers.clone()).map_err(|e| unreadable(&e.to_string()))?;
    // An image that can't be read must not pass for one that is still to be built.
    let named = service.containers.as_array().into_iter().flatten().map(|c| !c["repository"].is_null());
    if containers.iter().zip(named).any(|(container, named)| named && container.image.is_none()) {
        return Err(unreadable("an image is none"));
    }
    Ok(containers)
}

/// The variables of an environment's row: a list of [`EnvEntry`].
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn env_of(environment: &entity::environment::Model) -> Result<Vec<EnvEntry>> {
    serde_json::from_value(environment.env.clone())
        .map_err(|e| Error::internal(format!("variables of environment {}: {e}", environment.id)))
}

/// How the service is to be taken down; by default everything but its volumes.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn removal_of(service: &entity::service::Model) -> Result<Removal> {
    match service.removal.clone() {
        None => Ok(Removal::default()),
        Some(stored) => serde_json::from_value(stored)
            .map_err(|e| Error::internal(format!("removal of service {}: {e}", service.id))),
    }
}

/// Keeps tags that a deployment has proven. What was changed meanwhile keeps its other fields.
///
/// # Errors
/// NOT_FOUND when the service is gone, INTERNAL when the database refuses or the row holds something else.
pub async fn keep_tags(
    tx: &impl ConnectionTrait,
    scope: &Scope,
    service_id: &str,
    tags: &BTreeMap<String, Tag>,
) -> Result<()> {
    let row = super::update::for_change(tx, scope, service_id).await?;
    let mut containers = containers_of(&row)?;
    for container in &mut containers {
        if let (Some(image), Some(tag)) = (&mut container.image, tags.get(&container.name)) {
            image.tag = tag.clone();
        }
    }
    let version = row.definition_version;
    let mut change: entity::service::ActiveModel = row.into();
    change.containers = Set(serde_json::to_value(containers)?);
    change.definition_version = Set(version + 1);
    change.update(tx).await?;
    Ok(())
}
