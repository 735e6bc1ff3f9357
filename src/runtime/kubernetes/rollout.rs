//! How far a rollout has come, and whether it will ever get there: pure judgement of what the cluster says.
//!
//! Readings are old at times: an API server that was restarted answers from a cache for some seconds, and a Deployment's
//! status is of the generation that its controller saw last. So nothing is believed of a Deployment before its
//! generation is the one that was applied, and observed.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, ReplicaSet};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use kube::ResourceExt as _;

use crate::runtime::labels::CONTAINER;

/// How often a container may have been started again until it is said to crash for ever: while everything else stands,
/// and while others that it may need are still coming up.
const RESTARTS: i32 = 3;
const RESTARTS_BESIDE_OTHERS: i32 = 5;

/// The number that a Deployment and its ReplicaSets carry: the newest template's is the Deployment's own.
const NUMBER: &str = "deployment.kubernetes.io/revision";

/// What stands in the way of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The service's name for the container.
    pub container: String,
    /// The pod that has it; none where there is no pod.
    pub pod: Option<String>,
    /// What kind it is.
    pub kind: Kind,
    /// The cluster's own words, or ours where it has none.
    pub text: String,
}

/// Kinds of trouble, by how sure it is that time will not mend them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is no such image, or nobody lets us have it.
    NoImage,
    /// The image can't be pulled for another reason: the registry may come back.
    Pull,
    /// The kubelet can't make the container as it is described.
    Config,
    /// It exits again and again.
    Crash,
    /// No node takes it: one may come, or be made.
    Unschedulable,
    /// The cluster takes no more pods: a quota, or an admission rule.
    Refused,
    /// The cluster has given up.
    GivenUp,
}

impl Kind {
    /// How long it may be seen until it counts, of a rollout that may take `deadline`.
    pub fn patience(self, deadline: Duration) -> Duration {
        let most = match self {
            Self::Crash | Self::GivenUp => Duration::ZERO,
            Self::NoImage => Duration::from_secs(5),
            Self::Config => Duration::from_secs(10),
            Self::Refused => Duration::from_secs(15),
            Self::Pull => Duration::from_secs(60),
            Self::Unschedulable => Duration::from_secs(120),
        };
        most.min(deadline / 4)
    }
}

/// Whether all pods of a Deployment are those of the generation that was applied, and serve.
pub fn is_complete(deployment: &Deployment, applied: i64) -> bool {
    let Some(status) = deployment.status.as_ref().filter(|_| is_observed(deployment, applied)) else { return false };
    let desired = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or_default();
    updated >= desired
        && status.replicas.unwrap_or_default() <= updated
        && status.available_replicas.unwrap_or_default() >= updated
}

/// Whether the controller's word on a Deployment is about what was applied.
pub fn is_observed(deployment: &Deployment, applied: i64) -> bool {
    let generation = deployment.metadata.generation.unwrap_or_default();
    let seen = deployment.status.as_ref().and_then(|status| status.observed_generation).unwrap_or_default();
    generation >= applied && seen >= generation
}

/// What the controller itself says is in the way.
pub fn trouble_of_deployment(deployment: &Deployment) -> Option<Trouble> {
    let conditions = deployment.status.as_ref()?.conditions.as_deref().unwrap_or_default();
    let condition = |kind: &str, status: &str| conditions.iter().find(|c| c.type_ == kind && c.status == status);
    let text = |c: &DeploymentCondition| c.message.clone().unwrap_or_default();
    let (kind, text) = if let Some(refused) = condition("ReplicaFailure", "True") {
        (Kind::Refused, text(refused))
    } else {
        let stuck = condition("Progressing", "False");
        let stuck = stuck.filter(|c| c.reason.as_deref() == Some("ProgressDeadlineExceeded"))?;
        (Kind::GivenUp, text(stuck))
    };
    Some(Trouble { container: deployment.name_any(), pod: None, kind, text })
}

/// What is wrong with a pod, or will be if it goes on like this. `others` says whether containers that it may need are
/// still coming up, `before` how often the pod had been started again when it was looked at first: one that the rollout
/// leaves as it is may have years behind it.
pub fn trouble_of_pod(pod: &Pod, others: Others, before: i32) -> Option<Trouble> {
    let (kind, text) = match main_status(pod) {
        Some(status) => of_container(status, others, before).or_else(|| unscheduled(pod)),
        None => unscheduled(pod),
    }?;
    Some(Trouble { container: container_of(pod).to_owned(), pod: Some(pod.name_any()), kind, text })
}

/// The other containers of the revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// All serve.
    Stand,
    /// Some are still coming up.
    Come,
}

fn of_container(status: &ContainerStatus, others: Others, before: i32) -> Option<(Kind, String)> {
    let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|w| w.reason.as_deref()).unwrap_or_default();
    let text = waiting.and_then(|w| w.message.clone()).unwrap_or_default();
    let told = |what: &str| if text.is_empty() { what.to_owned() } else { format!("{what}: {text}") };
    match reason {
        "InvalidImageName" | "ErrImageNeverPull" => return Some((Kind::NoImage, told(reason))),
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => {
            let kind = if is_refusal(&text) { Kind::NoImage } else { Kind::Pull };
            return Some((kind, told(reason)));
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" if status.restart_count == 0 => {
            return Some((Kind::Config, told(reason)));
        }
        _ => {}
    }
    let most = if others == Others::Come { RESTARTS_BESIDE_OTHERS } else { RESTARTS };
    let restarts = status.restart_count - before;
    if restarts < most || status.ready {
        return None;
    }
    let ended = last_end(status)?;
    Some((Kind::Crash, format!("{}, {} times by now", how_it_ended(ended), restarts)))
}

/// Whether a registry's answer is one that will not change by asking again.
pub fn is_refusal(text: &str) -> bool {
    const SAID: [&str; 10] = [
        "not found",
        "manifest unknown",
        "manifest_unknown",
        "name unknown",
        "does not exist",
        "pull access denied",
        "unauthorized",
        "authorization failed",
        "authentication required",
        "no match for platform",
    ];
    let text = text.to_ascii_lowercase();
    SAID.iter().any(|said| text.contains(said))
}

fn unscheduled(pod: &Pod) -> Option<(Kind, String)> {
    let conditions = pod.status.as_ref()?.conditions.as_deref().unwrap_or_default();
    let condition = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    (condition.reason.as_deref() == Some("Unschedulable"))
        .then(|| (Kind::Unschedulable, condition.message.clone().unwrap_or_default()))
}

/// `exits with code 7`, or that it used more memory than it may.
pub fn how_it_ended(ended: &ContainerStateTerminated) -> String {
    match ended.reason.as_deref() {
        Some("OOMKilled") => format!("runs out of memory (OOMKilled, exit code {})", ended.exit_code),
        Some("ContainerCannotRun" | "StartError") => {
            format!("can't be started: {}", ended.message.as_deref().unwrap_or("the node does not say why"))
        }
        _ => format!("exits with code {}", ended.exit_code),
    }
}

/// How the container ended last.
pub fn last_end(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let ended = |state: &'_ Option<ContainerState>| state.as_ref().is_some_and(|state| state.terminated.is_some());
    let state = if ended(&status.state) { &status.state } else { &status.last_state };
    state.as_ref()?.terminated.as_ref()
}

/// The one container that a pod of ours is about: others may have been put beside it.
pub fn main_status(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    statuses.iter().find(|status| status.name == container_of(pod)).or(statuses.first())
}

/// How often a pod's container was started again.
pub fn restarts(pod: &Pod) -> i32 {
    main_status(pod).map_or(0, |status| status.restart_count)
}

/// The service's name for a pod's container.
pub fn container_of(pod: &Pod) -> &str {
    pod.labels().get(CONTAINER).map_or("", String::as_str)
}

/// Whether a pod is on its way out: replaced, or put away by its node.
pub fn is_leaving(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Failed" | "Succeeded"))
}

/// The ReplicaSet that made a pod.
pub fn set_of(pod: &Pod) -> Option<&str> {
    pod.owner_references().iter().find(|owner| owner.kind == "ReplicaSet").map(|owner| owner.name.as_str())
}

/// Whether a ReplicaSet is that of a Deployment's newest template. Where neither carries a number the newest one is.
pub fn is_newest(set: &ReplicaSet, deployment: &Deployment, all: &[ReplicaSet]) -> bool {
    let number = |annotations: &std::collections::BTreeMap<String, String>| annotations.get(NUMBER).cloned();
    match (number(set.annotations()), number(deployment.annotations())) {
        (Some(of_set), Some(of_deployment)) => of_set == of_deployment,
        _ => {
            let container = set.labels().get(CONTAINER);
            let made = |set: &ReplicaSet| set.metadata.creation_timestamp.clone();
            let siblings = all.iter().filter(|other| other.labels().get(CONTAINER) == container);
            siblings.map(made).max() == Some(made(set))
        }
    }
}
