//! How the source comes into a build's pod: as an archive, by the API server, into the standard input of its first
//! container.
//!
//! Whoever works on a pipeline has its source, and reaches the API server, since it makes the Job there. So nothing has to
//! be reachable from the pod, no other server has to hold the files, no address of theirs is valid for anybody, and what was
//! fetched and judged is what is built. An archive that breaks off builds nothing; see [`super::archive`].

use std::io;

use async_trait::async_trait;
use tokio::io::AsyncWrite;

use super::archive;
use crate::builder::buildkit::Context;
use crate::cluster::send::Content;

/// What is said of a source that did not arrive.
pub(super) const BROKEN: &str = "the connection to the cluster broke while the source was sent";

/// What is sent.
pub(super) struct Source {
    pub context: Context,
    pub dockerfile: String,
    /// The time of every file.
    pub second: u64,
}

#[async_trait]
impl Content for Source {
    async fn write(self: Box<Self>, mut to: &mut (dyn AsyncWrite + Unpin + Send)) -> io::Result<()> {
        archive::write(&self.context, &self.dockerfile, self.second, &mut to).await
    }
}
