//! What an environment should look like: pure data, stored whole with each revision.
//!
//! A spec holds no secret value. A secret variable names the sealed row that holds it, and such rows never change,
//! so a stored spec restores the secrets of its time too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::image::{Digest, Repository, Tag};

/// One environment of one service, as one revision wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Whose it is and where it belongs: goes into the labels.
    pub target: Target,
    /// In the order in which the service lists them; names are unique.
    pub containers: Vec<ContainerSpec>,
    /// How it takes over from the revision before.
    #[serde(default)]
    pub strategy: Strategy,
    /// What only Kubernetes takes: there exactly when the runtime is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterSpec>,
}

/// What an environment and its runtime say about a deployment to Kubernetes, frozen with the revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// How many instances of a container without a volume; one with a volume runs once.
    pub replicas: u16,
    /// Their number by how busy they are, instead.
    pub autoscaling: Option<Autoscaling>,
    /// Host name of the ingresses; none: whatever name they are asked by.
    pub domain: Option<String>,
    /// The certificate of the ingresses.
    pub tls: Option<IngressTls>,
    /// The class of the ingresses; none: the cluster's default.
    pub ingress_class: Option<String>,
    /// The class of the volumes; none: the cluster's default.
    pub storage_class: Option<String>,
    /// How a container that is neither internal nor behind an ingress is reached.
    pub exposure: Exposure,
    /// `host:port` of each container that is reached from outside, as the rollout learned it; a plan knows none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<String, String>,
}

impl Default for ClusterSpec {
    /// One instance, and whatever is the cluster's default.
    fn default() -> Self {
        Self {
            replicas: 1,
            autoscaling: None,
            domain: None,
            tls: None,
            ingress_class: None,
            storage_class: None,
            exposure: Exposure::default(),
            addresses: BTreeMap::new(),
        }
    }
}

/// How many instances there are, by how busy they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autoscaling {
    /// Never fewer.
    pub min_replicas: i32,
    /// Never more.
    pub max_replicas: i32,
    /// Percent of the requested CPU to aim at.
    pub target_cpu_percent: Option<i32>,
    /// Percent of the requested memory to aim at.
    pub target_memory_percent: Option<i32>,
}

/// The certificate of an ingress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressTls {
    /// The name of a TLS secret in the namespace; cert-manager writes it where an issuer is named.
    pub secret_name: Option<String>,
    /// The name of a cert-manager issuer.
    pub issuer: Option<String>,
}

/// How a published port is reached on Kubernetes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// A port of every node.
    #[default]
    NodePort,
    /// A load balancer of the cluster's provider.
    LoadBalancer,
}

/// How a new revision takes over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Beside the old one where that can be, which stops once the new one is healthy.
    #[default]
    RollingUpdate,
    /// After all that changes has stopped.
    Recreate,
}

/// The labels' values: what tells our objects on an engine apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The organization's id.
    pub organization_id: String,
    /// The service's id.
    pub service_id: String,
    /// The service's name, an RFC 1123 label.
    pub service: String,
    /// The environment's id.
    pub environment_id: String,
    /// The environment's name, an RFC 1123 label.
    pub environment: String,
    /// The Kubernetes namespace.
    pub namespace: String,
}

/// One container, with everything that decides what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Unique in the service; the name under which its neighbours reach it.
    pub name: String,
    /// Where the image comes from.
    pub repository: Repository,
    /// The tag that was asked for.
    pub tag: Tag,
    /// What the tag meant when the revision was made; none when neither registry nor engine could say.
    pub digest: Option<Digest>,
    /// The engine's own id of an image that was built there and is in no registry. It is run as it is, and never pulled.
    #[serde(default)]
    pub image_id: Option<String>,
    /// The port that it listens on.
    pub port: Option<u16>,
    /// The host port that it is published on, kept over revisions; none before the first start or when internal.
    pub host_port: Option<u16>,
    /// Environment variables, the service's overridden by the environment's.
    pub env: BTreeMap<String, EnvValue>,
    /// Named volumes; they survive revisions.
    pub volumes: Vec<VolumeSpec>,
    /// Kubernetes only.
    pub ingress_path: Option<String>,
    /// True: nothing is published.
    pub is_internal: bool,
    /// How its health is asked; none: the image's HEALTHCHECK, else running for 5 seconds without a restart.
    pub health: Option<HealthCheck>,
    /// Replaces the image's CMD.
    pub command: Option<Vec<String>>,
    /// Limits and requests, already merged from environment and container.
    pub resources: Resources,
    /// Kubernetes only: the restricted Pod Security Standard.
    pub restricted: bool,
}

/// A variable's value, or where it is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvValue {
    /// Readable by every member.
    Plain(String),
    /// The id of the sealed row; its value never changes.
    Secret(String),
}

/// A named volume at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Absolute, normalised.
    pub mount_path: String,
    /// A Kubernetes quantity, like `1Gi`. Docker has no such limit for local volumes and ignores it.
    pub size: String,
}

/// HTTP when `path` is given, else TCP, on the container's port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Starts with a slash.
    pub path: Option<String>,
    /// Seconds between two attempts.
    pub interval_seconds: u32,
    /// Seconds until an attempt has failed.
    pub timeout_seconds: u32,
    /// Failures in a row before it is unhealthy.
    pub retries: u32,
    /// Seconds of grace before failures count.
    pub start_seconds: u32,
}

/// CPU and memory as Kubernetes quantities (`500m`, `256Mi`); Docker takes the limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Reserved CPU.
    pub cpu_request: Option<String>,
    /// Reserved memory.
    pub memory_request: Option<String>,
    /// CPU at most.
    pub cpu_limit: Option<String>,
    /// Memory at most.
    pub memory_limit: Option<String>,
}
