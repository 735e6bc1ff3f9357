//! What a run is on a cluster, as typed objects: nothing here asks anybody.
//!
//! A run's Job and the Secret that goes with it have one name, made of the stage and the run's id. The Job owns the Secret,
//! so that whoever removes the Job, the cluster itself after a while among them, removes both. A Job is made suspended:
//! its Secret needs the Job's uid, and its pod needs the Secret.

mod arguments;
mod build;
mod ground;
mod test;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile,
    Secret, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sha2::{Digest as _, Sha256};

pub use self::build::{AppArmor, RESULT, SOURCE, build_job, build_secret};
pub use self::ground::{PURPOSE, PURPOSE_BUILDS, namespace, network_policy};
pub use self::test::{test_job, test_secret};
use crate::builder::{RUN, RunLimits, RunMark};

/// Which stage of a run something is for.
pub const STAGE: &str = "kiops.dev/stage";
/// The container that a stage is about.
pub const BUILD: &str = "build";
/// The container that a stage is about.
pub const TEST: &str = "test";
/// How much longer than its time a run may go on on the cluster: whoever is there ends it before, and where nobody is the
/// cluster does.
const UNWATCHED: Duration = Duration::from_secs(60);
/// How long a Job that has ended is kept, when nobody removes it. Seconds.
const KEPT: i32 = 600;
/// How long a pod may take to end when it is told to. Seconds: nothing in it has anything to save.
const GRACE: i64 = 5;

/// A stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The image is built.
    Build,
    /// A command runs in it.
    Test,
}

impl Stage {
    /// As labels and names have it; also the name of its container.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => BUILD,
            Self::Test => TEST,
        }
    }

    /// The name of a run's Job and Secret.
    pub fn name(self, run_id: &str) -> String {
        let is_name = (1..=40).contains(&run_id.len())
            && run_id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !run_id.ends_with('-');
        let id = if is_name { run_id.to_owned() } else { hex::encode(&Sha256::digest(run_id)[..16]) };
        format!("kiops-{}-{id}", self.as_str())
    }

    /// What chooses the pods of a run's stage.
    pub fn selector(self, run_id: &str) -> String {
        format!("{RUN}={run_id},{STAGE}={}", self.as_str())
    }
}

/// The owner of what goes with a Job.
pub fn owner(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "batch/v1".to_owned(),
        kind: "Job".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        ..Default::default()
    }
}

fn job(stage: Stage, mark: &RunMark, time: Duration, pod: PodSpec) -> Job {
    let labels = labels(stage, mark);
    let seconds = i64::try_from(time.saturating_add(UNWATCHED).as_secs()).unwrap_or(i64::MAX);
    Job {
        metadata: ObjectMeta {
            name: Some(stage.name(&mark.run_id)),
            labels: Some(labels.clone()),
            ..Default::default()
        },
        spec: Some(JobSpec {
            // What has failed is tried again by whoever asked for it, if at all.
            backoff_limit: Some(0),
            active_deadline_seconds: Some(seconds),
            ttl_seconds_after_finished: Some(KEPT),
            suspend: Some(true),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels), annotations: Some(stays()), ..Default::default() }),
                spec: Some(PodSpec {
                    restart_policy: Some("Never".to_owned()),
                    // What runs is a stranger's: it gets no way to the cluster.
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    termination_grace_period_seconds: Some(GRACE),
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

/// Asks whoever takes nodes away for want of use to leave the run's alone: what was begun would be lost
/// (<https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md>,
/// <https://karpenter.sh/docs/concepts/disruption/>).
fn stays() -> BTreeMap<String, String> {
    [("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn secret(stage: Stage, mark: &RunMark, owner: OwnerReference, data: BTreeMap<String, ByteString>) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(stage.name(&mark.run_id)),
            labels: Some(labels(stage, mark)),
            owner_references: Some(vec![owner]),
            ..Default::default()
        },
        immutable: Some(true),
        data: Some(data),
        ..Default::default()
    }
}

fn labels(stage: Stage, mark: &RunMark) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = mark.labels();
    labels.insert(STAGE.to_owned(), stage.as_str().to_owned());
    labels
}

/// The nodes that can run what is for a platform.
fn nodes(platform: Option<&str>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([("kubernetes.io/os".to_owned(), "linux".to_owned())]);
    if let Some(architecture) = platform.and_then(|platform| platform.split('/').nth(1)) {
        labels.insert("kubernetes.io/arch".to_owned(), architecture.to_owned());
    }
    labels
}

/// What a profile lets a container use: that much is also kept free for it.
fn resources(limits: &RunLimits, disk: u64) -> ResourceRequirements {
    bounded(millis(limits.cpu), limits.memory, disk)
}

fn bounded(millis: u64, memory: u64, disk: u64) -> ResourceRequirements {
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
fn millis(cpu: f64) -> u64 {
    // A float becomes the nearest whole number, and nought for what is none.
    ((cpu * 1000.0).ceil() as u64).max(1)
}

/// What every container gets that does not need more.
fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        seccomp_profile: Some(seccomp("RuntimeDefault")),
        ..Default::default()
    }
}

fn seccomp(kind: &str) -> SeccompProfile {
    SeccompProfile { type_: kind.to_owned(), localhost_profile: None }
}

fn scratch(name: &str, bytes: u64) -> Volume {
    let folder = EmptyDirVolumeSource { medium: None, size_limit: Some(Quantity(bytes.to_string())) };
    Volume { name: name.to_owned(), empty_dir: Some(folder), ..Default::default() }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..Default::default() }
}

fn read_only(name: &str, path: &str) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount(name, path) }
}

fn container(name: &str, image: &str, words: &[&str]) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(words.iter().map(|word| (*word).to_owned()).collect()),
        ..Default::default()
    }
}
