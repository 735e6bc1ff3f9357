//! How many pods a container has, and how many of them may be away.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
    ResourceMetricSource,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Frame, Object, runs_once, selector};
use crate::domain::spec::{Autoscaling, ContainerSpec};

/// Percent of the requested CPU to aim at where nothing is said: what Kubernetes aims at.
const DEFAULT_CPU_PERCENT: i32 = 80;

/// The number of pods; none where an autoscaler says it.
pub(super) fn replicas(frame: &Frame<'_>, container: &ContainerSpec) -> Option<i32> {
    if runs_once(container) {
        return Some(1);
    }
    frame.cluster.autoscaling.is_none().then(|| i32::from(frame.cluster.replicas))
}

/// The autoscaler of a container, where one is asked for.
pub(super) fn autoscaler(frame: &Frame<'_>, container: &ContainerSpec) -> Option<Object> {
    let wanted = autoscaling(frame, container)?;
    let metric = |(name, percent): (&str, i32)| MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: name.to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(percent),
                ..Default::default()
            },
        }),
        ..Default::default()
    };
    Some(Object::Autoscaler(HorizontalPodAutoscaler {
        metadata: frame.meta_of(container, &container.name),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: container.name.clone(),
            },
            min_replicas: Some(wanted.min_replicas),
            max_replicas: wanted.max_replicas,
            metrics: Some(targets(wanted).into_iter().map(metric).collect()),
            behavior: None,
        }),
        status: None,
    }))
}

/// Lets a node be emptied although a container's pods run on it, one pod at a time: with any number of pods that leaves
/// all but one serving, and it never blocks, as `minAvailable` would once an autoscaler is at one. A container that always
/// runs once has no budget: one could only forbid to empty its node.
pub(super) fn budget(frame: &Frame<'_>, container: &ContainerSpec) -> Option<Object> {
    let most = match autoscaling(frame, container) {
        Some(wanted) => wanted.max_replicas,
        None => replicas(frame, container).unwrap_or_default(),
    };
    (most > 1).then(|| {
        Object::Budget(PodDisruptionBudget {
            metadata: frame.meta_of(container, &container.name),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                selector: Some(LabelSelector {
                    match_labels: Some(selector(frame.target(), container)),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            status: None,
        })
    })
}

/// An autoscaler measures use against requests; a limit alone counts as a request too.
pub(super) fn warnings(frame: &Frame<'_>, container: &ContainerSpec) -> Vec<String> {
    let Some(wanted) = autoscaling(frame, container) else { return Vec::new() };
    let resources = &container.resources;
    let lacks = |what: &&(&str, i32)| match what.0 {
        "cpu" => resources.cpu_request.is_none() && resources.cpu_limit.is_none(),
        _ => resources.memory_request.is_none() && resources.memory_limit.is_none(),
    };
    let told = |(what, _): &(&str, i32)| {
        format!(
            "container {}: it can't be scaled by its use of {what} as long as it requests none: give it a {what} request",
            container.name
        )
    };
    targets(wanted).iter().filter(lacks).map(told).collect()
}

fn autoscaling<'a>(frame: &'a Frame<'_>, container: &ContainerSpec) -> Option<&'a Autoscaling> {
    frame.cluster.autoscaling.as_ref().filter(|_| !runs_once(container))
}

/// What is measured, and the percentage to aim at.
fn targets(wanted: &Autoscaling) -> Vec<(&'static str, i32)> {
    let cpu = wanted.target_cpu_percent;
    let memory = wanted.target_memory_percent;
    let cpu = if memory.is_none() { Some(cpu.unwrap_or(DEFAULT_CPU_PERCENT)) } else { cpu };
    [cpu.map(|percent| ("cpu", percent)), memory.map(|percent| ("memory", percent))].into_iter().flatten().collect()
}
