//! What a revision is on a cluster: typed objects made of a spec, and nothing that asks anybody.
//!
//! The same spec always gives the same objects. A container that did not change has the same pod template in the next
//! revision, so that its pods are left running: whatever changes with every revision stands on the objects alone.

mod network;
mod scale;
mod secrets;
mod shown;
mod storage;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
mod workload;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub use self::shown::shown;
pub(super) use self::storage::settle;
use crate::domain::spec::{ClusterSpec, ContainerSpec, Spec, Target};
use crate::runtime::labels::{self, CONTAINER, ENVIRONMENT, REVISION, SERVICE};
use crate::runtime::{Rollout, RuntimeError};

/// One object of a revision. Has no Debug: secrets are among them.
#[derive(Clone)]
pub enum Object {
    /// What everything else lies in.
    Namespace(Namespace),
    /// Secret variables of a container, or the logins of registries.
    Secret(Secret),
    /// A volume; it survives revisions.
    Claim(PersistentVolumeClaim),
    /// The name under which a container is reached.
    Service(Service),
    /// A container's pods.
    Deployment(Box<Deployment>),
    /// How many pods there are, by how busy they are.
    Autoscaler(HorizontalPodAutoscaler),
    /// How many pods may be away while a node is emptied.
    Budget(PodDisruptionBudget),
    /// The paths under which containers are reached from outside.
    Ingress(Box<Ingress>),
}

impl Object {
    /// The kind, as the API writes it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Namespace(_) => "Namespace",
            Self::Secret(_) => "Secret",
            Self::Claim(_) => "PersistentVolumeClaim",
            Self::Service(_) => "Service",
            Self::Deployment(_) => "Deployment",
            Self::Autoscaler(_) => "HorizontalPodAutoscaler",
            Self::Budget(_) => "PodDisruptionBudget",
            Self::Ingress(_) => "Ingress",
        }
    }

    /// The name inside of the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// Name and labels.
    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Namespace(o) => &o.metadata,
            Self::Secret(o) => &o.metadata,
            Self::Claim(o) => &o.metadata,
            Self::Service(o) => &o.metadata,
            Self::Deployment(o) => &o.metadata,
            Self::Autoscaler(o) => &o.metadata,
            Self::Budget(o) => &o.metadata,
            Self::Ingress(o) => &o.metadata,
        }
    }
}

impl Serialize for Object {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Namespace(o) => o.serialize(serializer),
            Self::Secret(o) => o.serialize(serializer),
            Self::Claim(o) => o.serialize(serializer),
            Self::Service(o) => o.serialize(serializer),
            Self::Deployment(o) => o.serialize(serializer),
            Self::Autoscaler(o) => o.serialize(serializer),
            Self::Budget(o) => o.serialize(serializer),
            Self::Ingress(o) => o.serialize(serializer),
        }
    }
}

/// All objects of a revision, in the order in which they are to be applied: what others refer to comes first.
///
/// # Errors
/// [`RuntimeError::Failed`] when a secret variable has no value, [`RuntimeError::ImageRefused`] for an image that is in no
/// registry, which no node could pull.
pub fn objects(rollout: &Rollout) -> Result<Vec<Object>, RuntimeError> {
    let spec = &rollout.spec;
    if let Some(container) = spec.containers.iter().find(|c| c.digest.is_none() && c.image_id.is_some()) {
        return Err(RuntimeError::ImageRefused(format!(
            "container {}: its image was built on a Docker engine and is in no registry, so that the cluster's nodes \
             can't pull it: give the service an image repository and build it again",
            container.name
        )));
    }
    let frame = Frame::of(spec, Some((rollout.revision, rollout.deadline)));
    let mut objects = vec![frame.namespace(), secrets::logins(&frame, &rollout.logins)];
    for container in &spec.containers {
        objects.extend(secrets::variables(&frame, container, &rollout.secrets)?);
    }
    objects.extend(frame.all_but_secrets());
    Ok(objects)
}

/// What the person should know of a spec's objects, although they can be applied.
#[must_use]
pub fn warnings(spec: &Spec) -> Vec<String> {
    let frame = Frame::of(spec, None);
    let mut warnings: Vec<String> = spec.containers.iter().flat_map(|c| scale::warnings(&frame, c)).collect();
    warnings.extend(network::warnings(&frame));
    warnings
}

/// What every object of a revision is made from.
struct Frame<'a> {
    spec: &'a Spec,
    cluster: ClusterSpec,
    /// The number, and how long a rollout may take: not known of what is only shown.
    revision: Option<(i32, Duration)>,
}

impl<'a> Frame<'a> {
    fn of(spec: &'a Spec, revision: Option<(i32, Duration)>) -> Self {
        Self { spec, cluster: spec.cluster.clone().unwrap_or_default(), revision }
    }

    fn target(&self) -> &'a Target {
        &self.spec.target
    }

    /// Name, namespace and labels of an object that belongs to all containers.
    fn meta(&self, name: &str) -> ObjectMeta {
        let mut labels: BTreeMap<String, String> = labels::of(self.target());
        labels.extend(self.revision.map(|(number, _)| (REVISION.to_owned(), number.to_string())));
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.target().namespace.clone()),
            labels: Some(labels),
            ..Default::default()
        }
    }

    /// The same for an object of one container.
    fn meta_of(&self, container: &ContainerSpec, name: &str) -> ObjectMeta {
        let mut meta = self.meta(name);
        meta.labels.get_or_insert_default().insert(CONTAINER.to_owned(), container.name.clone());
        meta
    }

    fn namespace(&self) -> Object {
        Object::Namespace(namespace(self.target()))
    }

    fn all_but_secrets(&self) -> Vec<Object> {
        let containers = &self.spec.containers;
        let mut objects: Vec<Object> = containers.iter().flat_map(|c| storage::claims(self, c)).collect();
        objects.extend(containers.iter().filter_map(|c| network::service(self, c)));
        objects.extend(containers.iter().map(|c| workload::deployment(self, c)));
        objects.extend(containers.iter().filter_map(|c| scale::autoscaler(self, c)));
        objects.extend(containers.iter().filter_map(|c| scale::budget(self, c)));
        objects.extend(network::ingress(self));
        objects
    }
}

/// The environment's namespace, with the labels that make it ours. It belongs to all revisions and names none.
#[must_use]
pub fn namespace(target: &Target) -> Namespace {
    Namespace {
        metadata: ObjectMeta {
            name: Some(target.namespace.clone()),
            labels: Some(labels::of(target)),
            ..Default::default()
        },
        ..Default::default()
    }
}

/// What tells a container's pods from all others. A Deployment's selector can never be changed, so that nothing is in here
/// that could.
fn selector(target: &Target, container: &ContainerSpec) -> BTreeMap<String, String> {
    [(SERVICE, &target.service_id), (ENVIRONMENT, &target.environment_id), (CONTAINER, &container.name)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// A container with a volume runs once; so does nothing else.
fn runs_once(container: &ContainerSpec) -> bool {
    !container.volumes.is_empty()
}

fn short_hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..5])
}
