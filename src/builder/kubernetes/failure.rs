//! What a cluster's refusals mean for a run.

use super::source::BROKEN;
use crate::builder::{BuilderError, RunLimits};
use crate::cluster::ClusterError;
use crate::cluster::send::Unsent;
use crate::engine::neutralise;

pub(super) fn error(failure: ClusterError) -> BuilderError {
    let text = neutralise(&failure.to_string());
    match failure {
        _ if failure.is_passing() => BuilderError::Unreachable(text),
        ClusterError::Forbidden(_) => {
            BuilderError::Engine(format!("{text}; `kiops doctor` says what the login of build.runtime lacks"))
        }
        _ => BuilderError::Engine(text),
    }
}

/// Why the source did not get into the pod: its connection broke, which is worth another try, or it could not be read to its
/// end.
pub(super) fn unsent(why: Unsent) -> BuilderError {
    match why {
        Unsent::Broken(None) => BuilderError::Unreachable(BROKEN.to_owned()),
        Unsent::Broken(Some(why)) => BuilderError::Unreachable(format!("{BROKEN}: {why}")),
        Unsent::Unread(why) => BuilderError::Refused(format!("the source could not be sent: {why}")),
        Unsent::Cluster(failure) => error(failure),
    }
}

/// A container wanted more memory than it may have.
pub(super) fn out_of_memory(what: &str, limits: &RunLimits) -> BuilderError {
    let mebibytes = limits.memory >> 20;
    BuilderError::Failed(format!(
        "{what} was killed: it wanted more memory than profile {} has ({mebibytes} MiB)",
        limits.profile
    ))
}
