//! What a deployment will be, before it is made: pure data from what is stored.

use std::collections::BTreeMap;

use entity::{deployment, environment, service};
use sha2::{Digest as _, Sha256};

use crate::app::services::definition::{self, ContainerDefinition};
use crate::app::{Error, Result, Violations};
use crate::domain::compose;
use crate::domain::image::Tag;
use crate::domain::spec::{ContainerSpec, EnvValue, Resources, Spec, Target};

/// The environment's part of a plan: stored, or as the first deployment will make it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The row; none before the first deployment.
    pub row: Option<environment::Model>,
    /// Its id, made already so that the plan can name it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Where it is.
    pub runtime_id: String,
}

/// What would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What would run.
    pub spec: Spec,
    /// The Compose file of it, secrets masked.
    pub manifest: String,
    /// Unified diff against what serves.
    pub diff: String,
    /// Why the service stops answering for a while; empty: it does not.
    pub downtime: Vec<String>,
    /// What the person should know.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Says whether a later plan is the same: a digest over everything that decides what runs.
    #[must_use]
    pub fn hash(&self) -> String {
        // Without the environment's id: before the first deployment it is made anew for each plan.
        let target = &self.spec.target;
        let facts = serde_json::json!({
            "place": [&target.service_id, &target.environment, &target.namespace],
            "containers": self.spec.containers,
            "diff": self.diff,
        });
        hex::encode(Sha256::digest(facts.to_string()))
    }
}

/// New tags for named containers.
pub type Tags = Vec<(String, String)>;

/// Puts new tags into a definition.
///
/// # Errors
/// BAD_USER_INPUT for a container that is not there or named twice, and for what is no tag.
pub fn with_tags(mut containers: Vec<ContainerDefinition>, tags: &Tags) -> Result<Vec<ContainerDefinition>> {
    let mut violations = Violations::default();
    let mut seen = Vec::new();
    for (i, (name, tag)) in tags.iter().enumerate() {
        if seen.contains(&name) {
            violations.add(format!("input.tags.{i}.container"), format!("{name} is named twice"));
        }
        seen.push(name);
        let tag = violations.check(format!("input.tags.{i}.tag"), Tag::parse(tag));
        match containers.iter_mut().find(|c| c.name == *name) {
            Some(container) => container.tag = tag.unwrap_or_else(|| container.tag.clone()),
            None => violations.add(
                format!("input.tags.{i}.container"),
                format!("the service has no container {name}"),
            ),
        }
    }
    violations.finish()?;
    Ok(containers)
}

/// What the environment should look like by the service's definition and its own settings.
///
/// # Errors
/// INTERNAL when what is stored can't be read.
pub fn spec_of(service: &service::Model, place: &Place, containers: Vec<ContainerDefinition>) -> Result<Spec> {
    let overrides: BTreeMap<String, EnvValue> = stored(place.row.as_ref().map(|e| &e.env))?;
    let defaults: Resources = stored(place.row.as_ref().map(|e| &e.resources))?;
    let host_ports: BTreeMap<String, u16> = stored(place.row.as_ref().map(|e| &e.host_ports))?;
    let containers = containers.into_iter().map(|c| {
        let mut env: BTreeMap<String, EnvValue> = c.env.into_iter().collect();
        env.extend(overrides.clone());
        let published = c.port.is_some() && !c.is_internal;
        ContainerSpec {
            host_port: host_ports.get(&c.name).copied().filter(|_| published),
            name: c.name,
            repository: c.repository,
            tag: c.tag,
            digest: None,
            port: c.port,
            env,
            volumes: c.volumes,
            ingress_path: c.ingress_path,
            is_internal: c.is_internal,
            health: c.health,
            command: c.command,
            resources: merged(c.resources, &defaults),
            restricted: c.restricted,
        }
    });
    Ok(Spec {
        containers: containers.collect(),
        target: Target {
            organization_id: service.organization_id.clone(),
            service_id: service.id.clone(),
            service: service.name.clone(),
            environment_id: place.id.clone(),
            environment: place.name.clone(),
            namespace: place.namespace.clone(),
        },
    })
}

/// The service's containers as they are stored.
///
/// # Errors
/// INTERNAL when they can't be read.
pub fn definition_of(service: &service::Model) -> Result<Vec<ContainerDefinition>> {
    definition::read(service)
}

/// The spec of a stored revision.
///
/// # Errors
/// INTERNAL when it can't be read.
pub fn spec_of_revision(deployment: &deployment::Model) -> Result<Spec> {
    Ok(serde_json::from_value(deployment.spec.clone())?)
}

/// Compares what should run with what serves.
#[must_use]
pub fn compare(spec: Spec, current: Option<&Spec>, warnings: Vec<String>) -> Plan {
    let manifest = compose::export(&spec);
    let before = current.map(compose::export).unwrap_or_default();
    let diff = if before == manifest { String::new() } else { compose::unified_diff(&before, &manifest) };
    let downtime = current.map(|current| downtime(&spec, current)).unwrap_or_default();
    Plan { manifest, diff, downtime, warnings, spec }
}

fn downtime(spec: &Spec, current: &Spec) -> Vec<String> {
    let mut reasons = Vec::new();
    for old in &current.containers {
        let Some(new) = spec.containers.iter().find(|c| c.name == old.name) else {
            reasons.push(format!("{} is removed", old.name));
            continue;
        };
        if new == old {
            continue;
        }
        if !new.volumes.is_empty() || !old.volumes.is_empty() {
            reasons.push(format!("{} has a volume, which only one container may use at a time", new.name));
        } else if let Some(port) = old.host_port.filter(|_| new.port.is_some() && !new.is_internal) {
            reasons.push(format!("{} keeps host port {port}, which must change hands", new.name));
        }
    }
    reasons
}

fn merged(own: Resources, defaults: &Resources) -> Resources {
    let or = |own: Option<String>, default: &Option<String>| own.or_else(|| default.clone());
    Resources {
        cpu_request: or(own.cpu_request, &defaults.cpu_request),
        memory_request: or(own.memory_request, &defaults.memory_request),
        cpu_limit: or(own.cpu_limit, &defaults.cpu_limit),
        memory_limit: or(own.memory_limit, &defaults.memory_limit),
    }
}

fn stored<T: serde::de::DeserializeOwned + Default>(value: Option<&serde_json::Value>) -> Result<T> {
    match value {
        Some(value) if !value.is_null() => serde_json::from_value(value.clone()).map_err(Error::from),
        _ => Ok(T::default()),
    }
}
