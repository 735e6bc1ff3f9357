//! Containers as services define them.

use async_graphql::{InputObject, SimpleObject};

use crate::app::services::input;
use crate::app::services::{ContainerDefinition, EnvEntry};
use crate::domain::{compose, spec};

/// One container of a service.
#[derive(SimpleObject)]
pub struct Container {
    /// web, db: unique in the service.
    name: String,
    /// nginx, bitnami/redis, ghcr.io/acme/app; null for the container that a build fills in.
    image: Option<String>,
    /// The image's tag.
    tag: Option<String>,
    /// The port that it listens on.
    port: Option<i32>,
    /// Environment variables.
    env: Vec<EnvVar>,
    /// Named volumes; they survive deployments.
    volumes: Vec<Volume>,
    /// Kubernetes only.
    ingress_path: Option<String>,
    /// Not reachable from outside: ClusterIP on Kubernetes, no host port on Docker.
    is_internal: bool,
    /// How its health is asked; null: the image's own HEALTHCHECK, else running for 5 seconds without a restart.
    health_check: Option<HealthCheck>,
    /// Replaces the image's command.
    command: Option<Vec<String>>,
    /// Overrides the environment's.
    resources: Option<Resources>,
    /// Kubernetes: held to the restricted Pod Security Standard. Off unless asked for, since official images (nginx,
    /// mysql) start as root.
    restricted: bool,
}

/// An environment variable.
#[derive(SimpleObject)]
pub struct EnvVar {
    /// Its name.
    name: String,
    /// Null for a secret.
    value: Option<String>,
    /// Whether its value is never shown.
    secret: bool,
}

/// A named volume at a path.
#[derive(SimpleObject)]
pub struct Volume {
    /// Where it is mounted.
    mount_path: String,
    /// A Kubernetes quantity: 1Gi. Docker has no such limit for its volumes.
    size: String,
}

/// HTTP when path is given, else TCP on the container's port.
#[derive(SimpleObject)]
pub struct HealthCheck {
    /// The path that is asked.
    path: Option<String>,
    /// Seconds between two attempts.
    interval_seconds: i32,
    /// Seconds until an attempt has failed.
    timeout_seconds: i32,
    /// Failures in a row before it is unhealthy.
    retries: i32,
    /// Seconds of grace before failures count.
    start_seconds: i32,
}

/// CPU and memory in Kubernetes quantities; Docker takes the limits.
#[derive(SimpleObject)]
pub struct Resources {
    /// Reserved CPU: 250m.
    cpu_request: Option<String>,
    /// Reserved memory: 128Mi.
    memory_request: Option<String>,
    /// CPU at most.
    cpu_limit: Option<String>,
    /// Memory at most.
    memory_limit: Option<String>,
}

impl From<ContainerDefinition> for Container {
    fn from(c: ContainerDefinition) -> Self {
        Self {
            name: c.name,
            image: c.image.as_ref().map(|i| i.repository.familiar()),
            tag: c.image.as_ref().map(|i| i.tag.to_string()),
            port: c.port.map(i32::from),
            env: c.env.into_iter().map(EnvVar::from).collect(),
            volumes: c.volumes.into_iter().map(Volume::from).collect(),
            ingress_path: c.ingress_path,
            is_internal: c.is_internal,
            health_check: c.health.map(HealthCheck::from),
            command: c.command,
            resources: c.resources.map(Resources::from),
            restricted: c.restricted,
        }
    }
}

impl From<EnvEntry> for EnvVar {
    fn from(entry: EnvEntry) -> Self {
        let (value, secret) = match entry.value {
            spec::EnvValue::Plain(value) => (Some(value), false),
            spec::EnvValue::Secret(_) => (None, true),
        };
        Self { name: entry.name, value, secret }
    }
}

impl From<compose::ImportedVariable> for EnvVar {
    fn from(variable: compose::ImportedVariable) -> Self {
        Self { name: variable.name, secret: variable.value.is_none(), value: variable.value }
    }
}

impl From<spec::VolumeSpec> for Volume {
    fn from(volume: spec::VolumeSpec) -> Self {
        Self { mount_path: volume.mount_path, size: volume.size }
    }
}

impl From<spec::HealthCheck> for HealthCheck {
    fn from(health: spec::HealthCheck) -> Self {
        let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        Self {
            path: health.path,
            interval_seconds: number(health.interval_seconds),
            timeout_seconds: number(health.timeout_seconds),
            retries: number(health.retries),
            start_seconds: number(health.start_seconds),
        }
    }
}

impl From<spec::Resources> for Resources {
    fn from(r: spec::Resources) -> Self {
        Self {
            cpu_request: r.cpu_request,
            memory_request: r.memory_request,
            cpu_limit: r.cpu_limit,
            memory_limit: r.memory_limit,
        }
    }
}

/// One container to be defined.
#[derive(InputObject)]
pub struct ContainerInput {
    /// web, db: an RFC 1123 label, unique in the service.
    name: String,
    /// nginx, bitnami/redis, ghcr.io/acme/app.
    image: Option<String>,
    /// latest when left out.
    tag: Option<String>,
    /// The port that it listens on.
    port: Option<i32>,
    /// Environment variables.
    env: Option<Vec<EnvVarInput>>,
    /// Named volumes.
    volumes: Option<Vec<VolumeInput>>,
    /// Kubernetes only.
    ingress_path: Option<String>,
    /// Not reachable from outside.
    #[graphql(default_with = "Some(false)")]
    is_internal: Option<bool>,
    /// How its health is asked.
    health_check: Option<HealthCheckInput>,
    /// Replaces the image's command.
    command: Option<Vec<String>>,
    /// Overrides the environment's.
    resources: Option<ResourcesInput>,
    /// Kubernetes: held to the restricted Pod Security Standard.
    restricted: Option<bool>,
}

/// One environment variable to be set.
#[derive(InputObject)]
pub struct EnvVarInput {
    /// Letters, digits and underscores; not a digit first.
    pub name: String,
    /// Left out: the stored value of this variable stays; BAD_USER_INPUT where there is none.
    #[graphql(secret)]
    pub value: Option<String>,
    /// Left out: as stored, else false. To make a stored secret readable give a new value.
    pub secret: Option<bool>,
}

/// One volume to be mounted.
#[derive(InputObject)]
pub struct VolumeInput {
    /// An absolute path in the container.
    mount_path: String,
    /// A Kubernetes quantity.
    #[graphql(default_with = "Some(\"1Gi\".to_owned())")]
    size: Option<String>,
}

/// HTTP when path is given, else TCP on the container's port.
#[derive(InputObject)]
pub struct HealthCheckInput {
    /// The path to ask.
    path: Option<String>,
    /// Seconds between two attempts.
    #[graphql(default_with = "Some(10)")]
    interval_seconds: Option<i32>,
    /// Seconds until an attempt has failed.
    #[graphql(default_with = "Some(3)")]
    timeout_seconds: Option<i32>,
    /// Failures in a row before it is unhealthy.
    #[graphql(default_with = "Some(3)")]
    retries: Option<i32>,
    /// Seconds of grace before failures count.
    #[graphql(default_with = "Some(0)")]
    start_seconds: Option<i32>,
}

/// CPU and memory in Kubernetes quantities; Docker takes the limits.
#[derive(InputObject)]
pub struct ResourcesInput {
    /// Reserved CPU: 250m.
    cpu_request: Option<String>,
    /// Reserved memory: 128Mi.
    memory_request: Option<String>,
    /// CPU at most.
    cpu_limit: Option<String>,
    /// Memory at most.
    memory_limit: Option<String>,
}

impl From<ContainerInput> for input::ContainerInput {
    fn from(c: ContainerInput) -> Self {
        Self {
            name: c.name,
            image: c.image,
            tag: c.tag,
            port: c.port,
            env: c.env.unwrap_or_default().into_iter().map(Into::into).collect(),
            volumes: c.volumes.unwrap_or_default().into_iter().map(Into::into).collect(),
            ingress_path: c.ingress_path,
            is_internal: c.is_internal.unwrap_or_default(),
            health: c.health_check.map(Into::into),
            command: c.command,
            resources: c.resources.map(Into::into),
            restricted: c.restricted.unwrap_or_default(),
        }
    }
}

impl From<EnvVarInput> for input::EnvVarInput {
    fn from(v: EnvVarInput) -> Self {
        Self { name: v.name, value: v.value, secret: v.secret }
    }
}

impl From<VolumeInput> for input::VolumeInput {
    fn from(v: VolumeInput) -> Self {
        Self { mount_path: v.mount_path, size: v.size }
    }
}

impl From<HealthCheckInput> for input::HealthInput {
    fn from(h: HealthCheckInput) -> Self {
        Self {
            path: h.path,
            interval_seconds: h.interval_seconds.unwrap_or(10),
            timeout_seconds: h.timeout_seconds.unwrap_or(3),
            retries: h.retries.unwrap_or(3),
            start_seconds: h.start_seconds.unwrap_or(0),
        }
    }
}

impl From<ResourcesInput> for spec::Resources {
    fn from(r: ResourcesInput) -> Self {
        Self {
            cpu_request: r.cpu_request,
            memory_request: r.memory_request,
            cpu_limit: r.cpu_limit,
            memory_limit: r.memory_limit,
        }
    }
}
