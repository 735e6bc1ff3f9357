//! What people give to define a service, before it is checked.

use crate::domain::secret::SecretString;
use crate::domain::spec::Resources;

/// One container.
#[derive(Clone, Default)]
pub struct ContainerInput {
    /// Unique in the service.
    pub name: String,
    /// `nginx`, `ghcr.io/acme/app`.
    pub image: Option<String>,
    /// `latest` when left out.
    pub tag: Option<String>,
    /// The port that it listens on.
    pub port: Option<i32>,
    /// Environment variables.
    pub env: Vec<EnvVarInput>,
    /// Named volumes.
    pub volumes: Vec<VolumeInput>,
    /// Kubernetes only.
    pub ingress_path: Option<String>,
    /// Not reachable from outside.
    pub is_internal: bool,
    /// How its health is asked.
    pub health: Option<HealthInput>,
    /// Replaces the image's CMD.
    pub command: Option<Vec<String>>,
    /// Overrides the environment's.
    pub resources: Option<Resources>,
    /// Kubernetes only.
    pub restricted: bool,
}

/// One environment variable. It has no Debug: the value may be a secret.
#[derive(Clone, Default)]
pub struct EnvVarInput {
    /// Its name.
    pub name: String,
    /// Left out: what is stored stays.
    pub value: Option<String>,
    /// Left out: as stored, else readable.
    pub secret: Option<bool>,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeInput {
    /// Where it is mounted.
    pub mount_path: String,
    /// A Kubernetes quantity; `1Gi` when left out.
    pub size: Option<String>,
}

/// How health is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthInput {
    /// HTTP when given, else TCP.
    pub path: Option<String>,
    /// Seconds between two attempts.
    pub interval_seconds: i32,
    /// Seconds until an attempt has failed.
    pub timeout_seconds: i32,
    /// Failures in a row before it is unhealthy.
    pub retries: i32,
    /// Seconds of grace.
    pub start_seconds: i32,
}

/// A login that a service brings.
#[derive(Clone)]
pub struct RegistryAuth {
    /// The account.
    pub username: String,
    /// Its token or password.
    pub token: SecretString,
}
