//! Parts of Jobs, as typed objects: nothing here asks anybody.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// How much longer than its time a run may go on on the cluster: whoever is there ends it before, and where nobody is the
/// cluster does.
const UNWATCHED: Duration = Duration::from_secs(60);
/// How long a Job that has ended is kept, when nobody removes it. Seconds.
const KEPT: i32 = 600;

/// A Job of one pod, suspended.
#[must_use]
pub fn job(name: &str, labels: &BTreeMap<String, String>, time: Duration, pod: PodSpec) -> Job {
    let seconds = i64::try_from(time.saturating_add(UNWATCHED).as_secs()).unwrap_or(i64::MAX);
    let of_pod = ObjectMeta { labels: Some(labels.clone()), annotations: Some(stays()), ..Default::default() };
    Job {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(labels.clone()), ..Default::default() },
        spec: Some(JobSpec {
            // What has failed is tried again by whoever asked for it, if at all.
            backoff_limit: Some(0),
            active_deadline_seconds: Some(seconds),
            ttl_seconds_after_finished: Some(KEPT),
            suspend: Some(true),
            template: PodTemplateSpec {
                metadata: Some(of_pod),
                spec: Some(PodSpec {
                    restart_policy: Some("Never".to_owned()),
                    // What runs is a stranger's: it gets no way to the cluster.
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    // The node holds to this by itself, also where nothing reaches it any more.
                    active_deadline_seconds: Some(seconds),
                    ..pod
                }),
            },
            ..Default::default()
        }),
        status: None,
    }
}

/// The owner of what goes with a Job.
#[must_use]
pub fn owner(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "batch/v1".to_owned(),
        kind: "Job".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        ..Default::default()
    }
}

/// Asks whoever takes nodes away for want of use to leave the run's alone: what was begun would be lost
/// (<https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md>,
/// <https://karpenter.sh/docs/concepts/disruption/>).
fn stays() -> BTreeMap<String, String> {
    [("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The nodes that can run what is for a platform, like `linux/arm64`.
#[must_use]
pub fn nodes(platform: Option<&str>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([("kubernetes.io/os".to_owned(), "linux".to_owned())]);
    if let Some(architecture) = platform.and_then(|platform| platform.split('/').nth(1)) {
        labels.insert("kubernetes.io/arch".to_owned(), architecture.to_owned());
    }
    labels
}

/// What a container may use, thousandths of a core and bytes; that much is also kept free for it.
#[must_use]
pub fn bounded(millis: u64, memory: u64, disk: u64) -> ResourceRequirements {
    let of = |disk: u64| {
        BTreeMap::from([
            ("cpu".to_owned(), Quantity(format!("{millis}m"))),
            ("memory".to_owned(), Quantity(memory.to_string())),
            ("ephemeral-storage".to_owned(), Quantity(disk.to_string())),
        ])
    };
    // A node's disk is seldom as free as its limit.
    ResourceRequirements { limits: Some(of(disk)), requests: Some(of(disk.min(1 << 30))), claims: None }
}

/// Thousandths of a core, rounded up: nought would be no limit.
#[must_use]
pub fn millis(cpu: f64) -> u64 {
    // A float becomes the nearest whole number, and nought for what is none.
    ((cpu * 1000.0).ceil() as u64).max(1)
}

/// What every container gets that does not need more.
#[must_use]
pub fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        seccomp_profile: Some(seccomp("RuntimeDefault")),
        ..Default::default()
    }
}

/// A profile of seccomp that Kubernetes knows by name.
#[must_use]
pub fn seccomp(kind: &str) -> SeccompProfile {
    SeccompProfile { type_: kind.to_owned(), localhost_profile: None }
}

/// An empty folder on the node's disk, of so many bytes at most.
#[must_use]
pub fn scratch(name: &str, bytes: u64) -> Volume {
    let folder = EmptyDirVolumeSource { medium: None, size_limit: Some(Quantity(bytes.to_string())) };
    Volume { name: name.to_owned(), empty_dir: Some(folder), ..Default::default() }
}

/// Where a volume is in a container.
#[must_use]
pub fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..Default::default() }
}

/// Where a volume is in a container that may not write to it.
#[must_use]
pub fn read_only(name: &str, path: &str) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount(name, path) }
}

/// A container of an image, with program and arguments.
#[must_use]
pub fn container(name: &str, image: &str, words: &[&str]) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(words.iter().map(|word| (*word).to_owned()).collect()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_of_a_core_is_never_none() {
        assert_eq!([0.0, 0.0001, 0.5, 2.0, 1.0005].map(millis), [1, 1, 500, 2000, 1001]);
    }
}
