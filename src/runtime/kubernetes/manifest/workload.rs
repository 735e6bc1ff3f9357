//! A container's pods: its Deployment.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, HTTPGetAction, LocalObjectReference, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecurityContext, TCPSocketAction,
    TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Frame, Object, network, runs_once, scale, secrets, selector, storage};
use crate::domain::spec::{ContainerSpec, HealthCheck, Resources, Strategy, Target};
use crate::runtime::labels::{self, CONTAINER, IMAGE};

/// Without a health check a container is well once it has run this many seconds without a restart.
const PROOF_SECONDS: i32 = 5;
/// Earlier pod templates that the cluster keeps. Revisions are kept by KIOPS; one is enough for an old Deployment's pods.
const HISTORY: i32 = 2;
/// How much longer than for "not ready" a health check has to fail until the container is started again.
const LIVENESS_PATIENCE: u32 = 3;
/// Seconds between two attempts while a container starts, at most: it serves as soon as it can.
const STARTUP_PERIOD: u32 = 2;
/// The group that a volume belongs to where the container must not be root. Any would do: processes get it as one more.
const VOLUME_GROUP: i64 = 10_001;

/// The Deployment of a container.
pub(super) fn deployment(frame: &Frame<'_>, container: &ContainerSpec) -> Object {
    let mut metadata = frame.meta_of(container, &container.name);
    let image = format!("{}:{}", container.repository, container.tag);
    metadata.annotations = Some(BTreeMap::from([(IMAGE.to_owned(), image)]));
    let proof = health(container).is_none().then_some(PROOF_SECONDS);
    let deadline = frame.revision.map(|(_, deadline)| i32::try_from(deadline.as_secs()).unwrap_or(i32::MAX));
    Object::Deployment(Box::new(Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas: scale::replicas(frame, container),
            selector: LabelSelector { match_labels: Some(selector(frame.target(), container)), ..Default::default() },
            strategy: Some(strategy(frame.spec.strategy, container)),
            min_ready_seconds: proof,
            progress_deadline_seconds: deadline.map(|seconds| seconds.max(proof.unwrap_or_default() + 1)),
            revision_history_limit: Some(HISTORY),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels(frame.target(), container)),
                    ..Default::default()
                }),
                spec: Some(pod(frame, container)),
            },
            ..Default::default()
        }),
        status: None,
    }))
}

/// The labels of the pods: none that a later revision would change.
fn pod_labels(target: &Target, container: &ContainerSpec) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = labels::of(target);
    all.insert(CONTAINER.to_owned(), container.name.clone());
    all
}

/// The old pods serve until the new ones do, except where two must not run at once.
fn strategy(wanted: Strategy, container: &ContainerSpec) -> DeploymentStrategy {
    if runs_once(container) || wanted == Strategy::Recreate {
        return DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None };
    }
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::Int(1)),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}

fn pod(frame: &Frame<'_>, container: &ContainerSpec) -> PodSpec {
    let needs_group = container.restricted && runs_once(container);
    PodSpec {
        containers: vec![main(frame, container)],
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        image_pull_secrets: Some(vec![LocalObjectReference { name: secrets::LOGINS.to_owned() }]),
        security_context: Some(PodSecurityContext {
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            run_as_non_root: container.restricted.then_some(true),
            // A fresh volume is root's. Images that start as root settle that themselves, and some (PostgreSQL) refuse
            // a folder that a group may write to; whoever must not be root can only write by a group.
            fs_group: needs_group.then_some(VOLUME_GROUP),
            fs_group_change_policy: needs_group.then(|| "OnRootMismatch".to_owned()),
            ..Default::default()
        }),
        // Whether it has one pod or ten, the template is the same, so that scaling starts nothing anew.
        topology_spread_constraints: (!runs_once(container)).then(|| spread(frame.target(), container)),
        volumes: storage::volumes(container),
        ..Default::default()
    }
}

/// Over zones and nodes, as far as that goes.
fn spread(target: &Target, container: &ContainerSpec) -> Vec<TopologySpreadConstraint> {
    let over = |key: &str| TopologySpreadConstraint {
        topology_key: key.to_owned(),
        max_skew: 1,
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector { match_labels: Some(selector(target, container)), ..Default::default() }),
        ..Default::default()
    };
    ["topology.kubernetes.io/zone", "kubernetes.io/hostname"].map(over).to_vec()
}

fn main(frame: &Frame<'_>, container: &ContainerSpec) -> Container {
    let words = container.command.as_ref().filter(|words| !words.is_empty());
    let probes = health(container).map(|(health, port)| Probes { health, port: i32::from(port) });
    Container {
        name: container.name.clone(),
        image: Some(image(container)),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        // The service's command replaces the image's CMD and leaves its ENTRYPOINT, which is what `args` do.
        args: words.map(|words| words.iter().map(|word| secrets::literal(word)).collect()),
        env: secrets::env(frame, container),
        ports: container.port.map(|port| {
            vec![ContainerPort {
                name: Some(network::PORT.to_owned()),
                container_port: i32::from(port),
                protocol: Some("TCP".to_owned()),
                ..Default::default()
            }]
        }),
        resources: resources(&container.resources),
        startup_probe: probes.as_ref().map(Probes::startup),
        readiness_probe: probes.as_ref().map(Probes::readiness),
        liveness_probe: probes.as_ref().map(Probes::liveness),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: container.restricted.then(|| Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..Default::default()
        }),
        volume_mounts: storage::mounts(container),
        ..Default::default()
    }
}

/// With its registry's name, since nodes may know other registries than Docker Hub for a short one.
fn image(container: &ContainerSpec) -> String {
    let repository = format!("{}/{}", container.repository.host(), container.repository.path());
    match &container.digest {
        Some(digest) => format!("{repository}@{digest}"),
        None => format!("{repository}:{}", container.tag),
    }
}

fn resources(wanted: &Resources) -> Option<ResourceRequirements> {
    let amounts = |cpu: &Option<String>, memory: &Option<String>| {
        let pairs = [("cpu", cpu), ("memory", memory)].into_iter();
        let amounts: BTreeMap<String, Quantity> =
            pairs.filter_map(|(name, amount)| Some((name.to_owned(), Quantity(amount.clone()?)))).collect();
        (!amounts.is_empty()).then_some(amounts)
    };
    let limits = amounts(&wanted.cpu_limit, &wanted.memory_limit);
    let requests = amounts(&wanted.cpu_request, &wanted.memory_request);
    (limits.is_some() || requests.is_some()).then_some(ResourceRequirements { limits, requests, claims: None })
}

/// What is asked, and at which port; a container without a port has nothing to ask.
fn health(container: &ContainerSpec) -> Option<(&HealthCheck, u16)> {
    container.health.as_ref().zip(container.port)
}

/// One health check as the three that Kubernetes knows.
struct Probes<'a> {
    health: &'a HealthCheck,
    port: i32,
}

impl Probes<'_> {
    /// Until it succeeds once, the others are not asked: the grace, and then as many failures as are allowed.
    fn startup(&self) -> Probe {
        let period = self.health.interval_seconds.clamp(1, STARTUP_PERIOD);
        let retries = self.health.retries.max(1);
        let time =
            self.health.interval_seconds.max(1).saturating_mul(retries).saturating_add(self.health.start_seconds);
        self.probe(period, time.div_ceil(period).max(retries))
    }

    /// A failing one gets no requests.
    fn readiness(&self) -> Probe {
        self.probe(self.health.interval_seconds, self.health.retries)
    }

    /// One that goes on failing is started anew.
    fn liveness(&self) -> Probe {
        self.probe(self.health.interval_seconds, self.health.retries.max(1).saturating_mul(LIVENESS_PATIENCE))
    }

    fn probe(&self, period: u32, failures: u32) -> Probe {
        let number = |n: u32| Some(i32::try_from(n.max(1)).unwrap_or(i32::MAX));
        let port = IntOrString::Int(self.port);
        let path = self.health.path.clone();
        Probe {
            http_get: path.map(|path| HTTPGetAction { path: Some(path), port: port.clone(), ..Default::default() }),
            tcp_socket: self.health.path.is_none().then_some(TCPSocketAction { port, host: None }),
            period_seconds: number(period),
            timeout_seconds: number(self.health.timeout_seconds),
            failure_threshold: number(failures),
            ..Default::default()
        }
    }
}
