//! How the source comes into a build's pod: as an archive, by the API server, into the standard input of its first
//! container.
//!
//! Whoever works on a pipeline has its source, and reaches the API server, since it makes the Job there. So nothing has to
//! be reachable from the pod, no other server has to hold the files, no address of theirs is valid for anybody, and what was
//! fetched and judged is what is built. An archive that breaks off builds nothing; see [`super::archive`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess};
use tokio::io::AsyncWriteExt as _;

use super::archive;
use super::failure::error;
use super::manifest::SOURCE;
use crate::builder::BuilderError;
use crate::builder::buildkit::Context;
use crate::cluster::ClusterError;
use crate::engine::neutralise;

/// Bytes on their way at once.
const ON_THE_WAY: usize = 256 * 1024;
/// Until a connection that did not come about is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What is said of a source that did not arrive.
pub(super) const BROKEN: &str = "the connection to the cluster broke while the source was sent";

/// What is sent.
pub(super) struct Source {
    pub context: Context,
    pub dockerfile: String,
    /// The time of every file.
    pub second: u64,
}

/// Sends the source to the pod, whose first container is at work. Returns when the cluster says that this has ended, or when
/// the connection has.
///
/// # Errors
/// [`BuilderError::Unreachable`] when the connection ended before all was written to it, [`BuilderError::Refused`] when the
/// source could not be read to its end. That all was written does not say that all arrived: the archive's own end does.
pub(super) async fn send(source: Arc<Source>, api: Api<Pod>, pod: String) -> Result<(), BuilderError> {
    let mut attached = attach(&api, &pod).await?;
    let (Some(mut input), Some(end)) = (attached.stdin(), attached.take_status()) else {
        return Err(BuilderError::Engine("the cluster takes no source".to_owned()));
    };
    let mut end = std::pin::pin!(end);
    let writing = async {
        archive::write(&source.context, &source.dockerfile, source.second, &mut input).await?;
        input.shutdown().await
    };
    // What is written to goes on when nobody reads it any more, until it is full: the connection's end is heard beside it.
    tokio::select! {
        written = writing => written.map_err(unsent)?,
        said = &mut end => return ended_early(said),
    }
    // How the container ended is known by its pod, and that the connection ended oddly then does not matter.
    let _ = end.await;
    Ok(())
}

/// Connects to the container's standard input. A cluster that is away for a moment is asked again, as often as whoever waits
/// for this allows: nothing was sent yet.
async fn attach(api: &Api<Pod>, pod: &str) -> Result<AttachedProcess, BuilderError> {
    let parameters = AttachParams {
        container: Some(SOURCE.to_owned()),
        stdin: true,
        stdout: false,
        stderr: false,
        max_stdin_buf_size: Some(ON_THE_WAY),
        ..AttachParams::default()
    };
    loop {
        match api.attach(pod, &parameters).await.map_err(ClusterError::from) {
            Err(failure) if failure.is_passing() => tokio::time::sleep(AGAIN).await,
            answer => return answer.map_err(error),
        }
    }
}

/// The container's input ended while there was more to be written. Where the container itself ended, its pod says why.
fn ended_early(said: Option<Status>) -> Result<(), BuilderError> {
    let Some(status) = said else {
        return Err(BuilderError::Unreachable(BROKEN.to_owned()));
    };
    match status.status.as_deref() {
        Some("Success") => Ok(()),
        _ => {
            let why = neutralise(status.message.as_deref().unwrap_or_default());
            Err(BuilderError::Unreachable(format!("{BROKEN}: {why}")))
        }
    }
}

fn unsent(failure: io::Error) -> BuilderError {
    match failure.kind() {
        io::ErrorKind::BrokenPipe => BuilderError::Unreachable(BROKEN.to_owned()),
        _ => BuilderError::Refused(format!("the source could not be sent: {failure}")),
    }
}
