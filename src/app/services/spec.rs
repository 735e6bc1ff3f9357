//! From a service and an environment to what should run: pure.

use std::collections::BTreeMap;

use entity::{DeployStrategy, RuntimeKind, ServiceExposure, environment, runtime, service};

use super::definition::{ContainerDefinition, EnvEntry, containers_of, env_of};
use crate::app::pipelines::image::Image;
use crate::app::{Error, Precondition, Result};
use crate::domain::image::{Digest, Repository, Tag};
use crate::domain::spec::{ClusterSpec, ContainerSpec, Exposure, Resources, Spec, Strategy, Target};

/// What the environment of the service should look like now, digests left open.
///
/// The environment's variables override those of the containers; a container's resources override the environment's,
/// field by field. `tags` replaces the tags of named containers. Host ports are those that the environment keeps. The
/// runtime is the one that it goes to.
///
/// # Errors
/// FAILED_PRECONDITION, NOTHING_BUILT for a container that a build is to fill in, INTERNAL when one of the rows holds no
/// definition.
pub fn spec_of(
    service: &service::Model,
    (environment, runtime): (&environment::Model, &runtime::Model),
    tags: &BTreeMap<String, Tag>,
    built: Option<&Image>,
) -> Result<Spec> {
    let unreadable = |what: &str, e| Error::internal(format!("{what} of environment {}: {e}", environment.id));
    let over = env_of(environment)?;
    let resources: Resources =
        serde_json::from_value(environment.resources.clone()).map_err(|e| unreadable("resources", e))?;
    let host_ports: BTreeMap<String, u16> =
        serde_json::from_value(environment.host_ports.clone()).map_err(|e| unreadable("host ports", e))?;
    let containers = containers_of(service)?
        .into_iter()
        .map(|c| {
            let tag = tags.get(&c.name).cloned();
            let host_port = host_ports.get(&c.name).copied();
            let image = image_of(&c, tag, built)?;
            Ok(container(c, image, host_port, &over, &resources))
        })
        .collect::<Result<_>>()?;
    Ok(Spec {
        target: target_of(service, environment),
        containers,
        strategy: strategy_of(environment),
        cluster: cluster_of(environment, runtime)?,
    })
}

/// What only Kubernetes takes from an environment and the runtime that it goes to; none for a Docker engine.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn cluster_of(environment: &environment::Model, runtime: &runtime::Model) -> Result<Option<ClusterSpec>> {
    if runtime.kind != RuntimeKind::Kubernetes {
        return Ok(None);
    }
    let exposure = match runtime.exposure {
        Some(ServiceExposure::LoadBalancer) => Exposure::LoadBalancer,
        Some(ServiceExposure::NodePort) | None => Exposure::NodePort,
    };
    Ok(Some(ClusterSpec {
        replicas: u16::try_from(environment.replicas).unwrap_or(1),
        autoscaling: environment.autoscaling.clone().map(serde_json::from_value).transpose()?,
        domain: environment.domain.clone(),
        tls: environment.tls.clone().map(serde_json::from_value).transpose()?,
        ingress_class: runtime.ingress_class.clone(),
        storage_class: runtime.storage_class.clone(),
        exposure,
        addresses: BTreeMap::new(),
    }))
}

/// How the environment's next revision takes over.
#[must_use]
pub fn strategy_of(environment: &environment::Model) -> Strategy {
    match environment.strategy {
        DeployStrategy::RollingUpdate => Strategy::RollingUpdate,
        DeployStrategy::Recreate => Strategy::Recreate,
    }
}

/// What the labels of everything in the environment say.
#[must_use]
pub fn target_of(service: &service::Model, environment: &environment::Model) -> Target {
    Target {
        organization_id: service.organization_id.clone(),
        service_id: service.id.clone(),
        service: service.name.clone(),
        environment_id: environment.id.clone(),
        environment: environment.name.clone(),
        namespace: environment.namespace.clone(),
    }
}

/// One container with its image and the environment's variables and resources.
pub(super) fn container(
    definition: ContainerDefinition,
    image: SpecImage,
    host_port: Option<u16>,
    over: &[EnvEntry],
    resources: &Resources,
) -> ContainerSpec {
    let entries = definition.env.into_iter().chain(over.iter().cloned());
    let own = definition.resources.unwrap_or_default();
    ContainerSpec {
        name: definition.name,
        repository: image.repository,
        tag: image.tag,
        digest: image.digest,
        image_id: image.id,
        port: definition.port,
        host_port: host_port.filter(|_| definition.port.is_some() && !definition.is_internal),
        env: entries.map(|e| (e.name, e.value)).collect(),
        volumes: definition.volumes,
        ingress_path: definition.ingress_path,
        is_internal: definition.is_internal,
        health: definition.health,
        command: definition.command,
        resources: Resources {
            cpu_request: own.cpu_request.or_else(|| resources.cpu_request.clone()),
            memory_request: own.memory_request.or_else(|| resources.memory_request.clone()),
            cpu_limit: own.cpu_limit.or_else(|| resources.cpu_limit.clone()),
            memory_limit: own.memory_limit.or_else(|| resources.memory_limit.clone()),
        },
        restricted: definition.restricted,
    }
}

/// What a container runs.
pub(super) struct SpecImage {
    repository: Repository,
    tag: Tag,
    digest: Option<Digest>,
    id: Option<String>,
}

/// The image that a container names, by this tag or its own, or the one that was built for it.
///
/// # Errors
/// FAILED_PRECONDITION, NOTHING_BUILT when it names none and none was built.
pub(super) fn image_of(container: &ContainerDefinition, tag: Option<Tag>, built: Option<&Image>) -> Result<SpecImage> {
    if let Some(named) = &container.image {
        let tag = tag.unwrap_or_else(|| named.tag.clone());
        return Ok(SpecImage { repository: named.repository.clone(), tag, digest: None, id: None });
    }
    let built = built.cloned().ok_or_else(nothing_built)?;
    // What is in a registry is pulled by its digest; the id is for an engine that has no other name for it.
    let id = built.digest.is_none().then_some(built.id);
    Ok(SpecImage { repository: built.repository, tag: built.tag, digest: built.digest, id })
}

/// There is no image yet for the container that a build fills in.
pub(in crate::app) fn nothing_built() -> Error {
    Error::precondition(
        Precondition::NothingBuilt,
        "nothing has been built of this service yet, so it has no image to run",
    )
}
