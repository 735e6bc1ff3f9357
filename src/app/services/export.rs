//! A service as a Compose file, secrets masked: nothing locks its owner in.

use std::collections::BTreeMap;

use entity::service;
use serde::Serialize;

use super::definition::{ContainerDefinition, containers_of};
use crate::app::{Error, Result};
use crate::domain::quantity;
use crate::domain::spec::{EnvValue, Resources, VolumeSpec};

#[derive(Serialize)]
struct File {
    name: String,
    services: BTreeMap<String, Entry>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Serialize)]
struct Entry {
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expose: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deploy: Option<Deploy>,
    restart: &'static str,
}

#[derive(Serialize)]
struct Deploy {
    resources: Amounts,
}

#[derive(Serialize)]
struct Amounts {
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservations: Option<Amount>,
}

#[derive(Serialize)]
struct Amount {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpus: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<String>,
}

/// The service as a Compose file. A secret is a variable of whoever runs it: `${NAME}`.
///
/// # Errors
/// INTERNAL when the row holds no definition.
pub fn compose(service: &service::Model) -> Result<String> {
    let containers = containers_of(service)?;
    let volumes = containers.iter().flat_map(|c| c.volumes.iter().map(|v| volume_name(&c.name, v)));
    let file = File {
        name: service.name.clone(),
        volumes: volumes.map(|name| (name, BTreeMap::new())).collect(),
        services: containers.into_iter().map(|c| (c.name.clone(), entry(c))).collect(),
    };
    serde_norway::to_string(&file).map_err(Error::internal)
}

/// What an export as manifests answers for now.
#[must_use]
pub fn no_kubernetes() -> Error {
    Error::bad_input("format", "this server doesn't export Kubernetes manifests yet: export as COMPOSE")
}

fn entry(c: ContainerDefinition) -> Entry {
    let port = c.port.map(|p| p.to_string());
    let (published, exposed) = if c.is_internal { (None, port) } else { (port, None) };
    let value = |name: &str, value: EnvValue| match value {
        EnvValue::Plain(text) => literal(&text),
        EnvValue::Secret(_) => format!("${{{name}}}"),
    };
    Entry {
        image: format!("{}:{}", c.repository, c.tag),
        command: c.command.map(|words| words.iter().map(|w| literal(w)).collect()),
        environment: c.env.into_iter().map(|e| (e.name.clone(), value(&e.name, e.value))).collect(),
        ports: published.map(|p| format!("{p}:{p}")).into_iter().collect(),
        expose: exposed.into_iter().collect(),
        volumes: c.volumes.iter().map(|v| format!("{}:{}", volume_name(&c.name, v), v.mount_path)).collect(),
        deploy: c.resources.as_ref().and_then(deploy),
        restart: "unless-stopped",
    }
}

/// Compose reads `$` as the beginning of a variable.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// `db` at `/var/lib/mysql` is `db-var-lib-mysql`; a hyphen is doubled, so that no two paths share a name.
fn volume_name(container: &str, volume: &VolumeSpec) -> String {
    format!("{container}{}", volume.mount_path.replace('-', "--").replace('/', "-"))
}

fn deploy(r: &Resources) -> Option<Deploy> {
    let limits = amount(r.cpu_limit.as_deref(), r.memory_limit.as_deref());
    let reservations = amount(r.cpu_request.as_deref(), r.memory_request.as_deref());
    (limits.is_some() || reservations.is_some()).then_some(Deploy { resources: Amounts { limits, reservations } })
}

/// Compose knows cores and bytes, and no Kubernetes units.
fn amount(cpu: Option<&str>, memory: Option<&str>) -> Option<Amount> {
    let millis = cpu.and_then(|c| quantity::cpu_millis(c).ok());
    let cpus = millis.map(|m| format!("{}.{:03}", m / 1000, m % 1000));
    let memory = memory.and_then(|m| quantity::bytes(m).ok()).map(|b| format!("{b}b"));
    (cpus.is_some() || memory.is_some()).then_some(Amount { cpus, memory })
}
