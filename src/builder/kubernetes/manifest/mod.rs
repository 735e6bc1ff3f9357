//! What a run is on a cluster, as typed objects: nothing here asks anybody.
//!
//! A run's Job and the Secret that goes with it have one name, made of the stage and the run's id. The Job owns the Secret,
//! so that whoever removes the Job, the cluster itself after a while among them, removes both. A Job is made suspended:
//! its Secret needs the Job's uid, and its pod needs the Secret.

mod arguments;
mod build;
mod test;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sha2::{Digest as _, Sha256};

pub use self::build::{AppArmor, RESULT, SOURCE, build_job, build_secret};
pub use self::test::{test_job, test_secret};
use crate::builder::{RUN, RunLimits, RunMark};
use crate::cluster::job::{self, bounded, millis};

/// Which stage of a run something is for.
pub const STAGE: &str = "kiops.dev/stage";
/// The container that a stage is about.
pub const BUILD: &str = "build";
/// The container that a stage is about.
pub const TEST: &str = "test";
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

fn job(stage: Stage, mark: &RunMark, time: Duration, pod: PodSpec) -> Job {
    let pod = PodSpec { termination_grace_period_seconds: Some(GRACE), ..pod };
    job::job(&stage.name(&mark.run_id), &labels(stage, mark), time, pod)
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

/// What a profile lets a container use: that much is also kept free for it.
fn resources(limits: &RunLimits, disk: u64) -> ResourceRequirements {
    bounded(millis(limits.cpu), limits.memory, disk)
}
