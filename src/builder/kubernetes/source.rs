//! How the source comes into a build's pod: as an archive, by the API server, into the standard input of its first
//! container.
//!
//! Whoever works on a pipeline has its source, and reaches the API server, since it makes the Job there. So nothing has to
//! be reachable from the pod, no other server has to hold the files, no address of theirs is valid for anybody, and what was
//! fetched and judged is what is built. An archive that breaks off builds nothing; see [`super::archive`].

use std::io;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::AsyncWriteExt as _;

use super::archive;
use super::failure::error;
use super::manifest::SOURCE;
use crate::builder::BuilderError;
use crate::builder::buildkit::Context;
use crate::cluster::ClusterError;

/// Bytes on their way at once.
const ON_THE_WAY: usize = 256 * 1024;

/// What is sent.
pub(super) struct Source {
    pub context: Context,
    pub dockerfile: String,
    /// The time of every file.
    pub second: u64,
}

/// Sends the source to the pod, whose first container is at work. Returns when that has ended.
pub(super) async fn send(source: Arc<Source>, api: Api<Pod>, pod: String) -> Result<(), BuilderError> {
    let parameters = AttachParams {
        container: Some(SOURCE.to_owned()),
        stdin: true,
        stdout: false,
        stderr: false,
        max_stdin_buf_size: Some(ON_THE_WAY),
        ..AttachParams::default()
    };
    let mut attached = api.attach(&pod, &parameters).await.map_err(|why| error(ClusterError::from(why)))?;
    let Some(mut input) = attached.stdin() else {
        return Err(BuilderError::Engine("the cluster takes no source".to_owned()));
    };
    archive::write(&source.context, &source.dockerfile, source.second, &mut input).await.map_err(unsent)?;
    input.shutdown().await.map_err(unsent)?;
    drop(input);
    // How the container ended is known by its pod, and that the connection ended oddly then does not matter.
    let _ = attached.join().await;
    Ok(())
}

fn unsent(failure: io::Error) -> BuilderError {
    match failure.kind() {
        io::ErrorKind::BrokenPipe => {
            BuilderError::Unreachable("the connection to the cluster broke while the source was sent".to_owned())
        }
        _ => BuilderError::Refused(format!("the source could not be sent: {failure}")),
    }
}
