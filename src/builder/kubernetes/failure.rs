//! What a cluster's refusals mean for a run.

use crate::builder::{BuilderError, RunLimits};
use crate::cluster::ClusterError;
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

/// A container wanted more memory than it may have.
pub(super) fn out_of_memory(what: &str, limits: &RunLimits) -> BuilderError {
    let mebibytes = limits.memory >> 20;
    BuilderError::Failed(format!(
        "{what} was killed: it wanted more memory than profile {} has ({mebibytes} MiB)",
        limits.profile
    ))
}
