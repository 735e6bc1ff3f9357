//! What the pod of a Job says of itself. Pure.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

use crate::domain::printed::neutralise;

/// What is in the way of a pod that has not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it is about.
    pub kind: Kind,
    /// In the cluster's words.
    pub text: String,
    /// The image of the container that it is about, where it is about one.
    pub image: Option<String>,
}

/// How long it may take to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No node has room.
    NoNode,
    /// The namespace has used what it may.
    Quota,
    /// The cluster makes no pod.
    NoPod,
    /// The registry does not give the image.
    NoImage,
    /// The image could not be pulled this time.
    Pull,
    /// The container can't be made.
    NoContainer,
}

impl Kind {
    /// How long it is waited for. Clusters that grow take minutes for a new node.
    #[must_use]
    pub fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::NoNode | Self::Quota => 600,
            Self::Pull => 90,
            Self::NoContainer => 30,
            Self::NoPod => 15,
            Self::NoImage => 3,
        })
    }
}

/// What a registry says that does not give an image, and a kubelet of a name that is none.
const NOT_GIVEN: [&str; 7] = [
    "not found",
    "denied",
    "unauthorized",
    "forbidden",
    "does not exist",
    "no match for platform",
    "invalid reference",
];

/// What container runtimes call the end of a container that could not be started.
const NOT_STARTED: [&str; 2] = ["StartError", "ContainerCannotRun"];

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Its exit code.
    pub exit_code: i64,
    /// The cluster's word for it: `Completed`, `Error`, `OOMKilled`.
    pub reason: String,
    /// Its termination message.
    pub message: String,
}

impl End {
    /// It wanted more memory than it may have.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.reason == "OOMKilled"
    }

    /// Why the container runtime could not start its program, where it could not.
    #[must_use]
    pub fn not_started(&self) -> Option<NotStarted> {
        if !NOT_STARTED.contains(&self.reason.as_str()) {
            return None;
        }
        let said = neutralise(&self.message);
        if said.contains("executable file not found") || said.contains("no such file or directory") {
            return Some(NotStarted::NoProgram);
        }
        if said.contains("permission denied") || said.contains("exec format error") {
            return Some(NotStarted::NotRun(said));
        }
        Some(NotStarted::Other(said))
    }
}

/// What a container runtime says of a program that it could not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotStarted {
    /// The image has no such program.
    NoProgram,
    /// The image has it, and it can't be run.
    NotRun(String),
    /// Anything else.
    Other(String),
}

/// Whether a container is at work.
#[must_use]
pub fn is_running(pod: &Pod, container: &str) -> bool {
    state(pod, container).is_some_and(|state| state.running.is_some())
}

/// How a container ended, if it has.
#[must_use]
pub fn end_of(pod: &Pod, container: &str) -> Option<End> {
    let ended = state(pod, container)?.terminated.as_ref()?;
    Some(End {
        exit_code: ended.exit_code.into(),
        reason: ended.reason.clone().unwrap_or_default(),
        message: ended.message.clone().unwrap_or_default(),
    })
}

/// Whether the pod as a whole has failed.
#[must_use]
pub fn has_failed(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed")
}

/// Why the cluster put the pod out, if it did: that is said of the pod alone, while its containers only seem killed. A node
/// says it as the pod's reason; what is done through the API (a node that is drained, an autoscaler, a pod with a higher
/// priority) is a condition only
/// (<https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>).
#[must_use]
pub fn put_out(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let told = |reason: &Option<String>, message: &Option<String>| {
        let reason = reason.as_deref().filter(|reason| !reason.is_empty())?;
        let message = neutralise(message.as_deref().unwrap_or_default().trim());
        Some(if message.is_empty() { reason.to_owned() } else { format!("{reason}: {message}") })
    };
    let by_node = told(&status.reason, &status.message).filter(|_| has_failed(pod));
    let disrupted = || {
        let mut all = status.conditions.iter().flatten();
        let found = all.find(|one| one.type_ == "DisruptionTarget" && one.status == "True")?;
        told(&found.reason, &found.message).or_else(|| Some("disrupted".to_owned()))
    };
    let is_done = status.phase.as_deref() == Some("Succeeded");
    by_node.or_else(|| disrupted().filter(|_| !is_done && (has_failed(pod) || is_leaving(pod))))
}

/// Whether it was told to go.
fn is_leaving(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// What is in the way.
#[must_use]
pub fn trouble(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let scheduled = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled");
    if let Some(condition) = scheduled.filter(|condition| condition.status == "False") {
        let text = condition.message.clone().unwrap_or_else(|| "no node has room for it".to_owned());
        return Some(of(Kind::NoNode, &text));
    }
    let all = statuses(status);
    let waiting = all.filter_map(|container| Some((container, container.state.as_ref()?.waiting.as_ref()?)));
    waiting
        .filter_map(|(container, waiting)| {
            let text = waiting.message.as_deref().unwrap_or_default();
            let kind = match waiting.reason.as_deref()? {
                "ErrImagePull" | "ImagePullBackOff" if is_not_given(text) => Kind::NoImage,
                "ErrImagePull" | "ImagePullBackOff" => Kind::Pull,
                "InvalidImageName" | "ErrImageNeverPull" => Kind::NoImage,
                "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => Kind::NoContainer,
                _ => return None,
            };
            let text = match kind {
                Kind::NoImage | Kind::Pull => format!("image {} can't be pulled: {text}", container.image),
                _ => text.to_owned(),
            };
            Some(Trouble { image: Some(container.image.clone()), ..of(kind, &text) })
        })
        .next()
}

/// What an event says of a Job that comes to no pod.
#[must_use]
pub fn trouble_of_job(message: &str) -> Trouble {
    of(if message.contains("exceeded quota") { Kind::Quota } else { Kind::NoPod }, message)
}

fn of(kind: Kind, text: &str) -> Trouble {
    Trouble { kind, text: neutralise(text), image: None }
}

fn is_not_given(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    NOT_GIVEN.iter().any(|sign| text.contains(sign))
}

fn statuses(status: &k8s_openapi::api::core::v1::PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
}

fn state<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerState> {
    statuses(pod.status.as_ref()?).find(|status| status.name == container)?.state.as_ref()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "p" }, "status": status })).unwrap()
    }

    fn waiting(reason: &str, message: &str) -> Pod {
        let state = json!({ "waiting": { "reason": reason, "message": message } });
        pod(json!({ "initContainerStatuses": [{
            "name": "build", "image": "r/x:1", "imageID": "", "ready": false, "restartCount": 0, "state": state,
        }] }))
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        let kind = |reason: &str, message: &str| trouble(&waiting(reason, message)).map(|trouble| trouble.kind);
        assert_eq!(kind("PodInitializing", ""), None);
        assert_eq!(kind("ErrImagePull", "r/x:1: not found"), Some(Kind::NoImage));
        assert_eq!(kind("ImagePullBackOff", "Back-off pulling image"), Some(Kind::Pull));
        assert_eq!(kind("ErrImagePull", "dial tcp: i/o timeout"), Some(Kind::Pull));
        assert_eq!(kind("InvalidImageName", "x"), Some(Kind::NoImage));
        assert_eq!(kind("CreateContainerConfigError", "secret \"x\" not found"), Some(Kind::NoContainer));
        let text = trouble(&waiting("ErrImagePull", "r/x:1: not found")).unwrap().text;
        assert_eq!(text, "image r/x:1 can't be pulled: r/x:1: not found");
        let nowhere = pod(json!({ "conditions": [
            { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available" },
        ] }));
        let trouble = trouble(&nowhere).unwrap();
        assert_eq!((trouble.kind, trouble.text.as_str()), (Kind::NoNode, "0/1 nodes are available"));
        assert_eq!(trouble_of_job("pods is forbidden: exceeded quota: x").kind, Kind::Quota);
        assert_eq!(trouble_of_job("admission webhook denied the request").kind, Kind::NoPod);
    }

    #[test]
    fn a_pod_that_was_put_out_says_why() {
        let evicted =
            pod(json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource.\n" }));
        assert_eq!(put_out(&evicted).as_deref(), Some("Evicted: The node was low on resource."));
        let drained = json!([{ "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastTransitionTime": "2026-11-01T00:00:00Z" }]);
        let failed = pod(json!({ "phase": "Failed", "conditions": drained.clone() }));
        assert_eq!(put_out(&failed).as_deref(), Some("EvictionByEvictionAPI: Eviction API: evicting"));
        // It was to go, and came to its own end before that.
        assert_eq!(put_out(&pod(json!({ "phase": "Succeeded", "conditions": drained }))), None);
        let failed = pod(json!({ "phase": "Failed" }));
        assert!(has_failed(&failed) && put_out(&failed).is_none());
    }
}
