//! What a tool is given, as an archive on its way into the pod.

use std::io::{self, Write as _};

use async_trait::async_trait;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc::channel;

use super::manifest::LAST;
use crate::cluster::send::Content;
use crate::scanner::run::pipe::{ON_THE_WAY, Parts};
use crate::scanner::run::{Run, archive, inside};

/// What is sent.
pub(super) struct Given(archive::Content);

impl Given {
    /// What a run's tool looks at.
    pub(super) fn of(run: &Run<'_>) -> Self {
        Self(archive::Content {
            source: run.places.source.clone().map(Into::into),
            image: run.places.image.clone().map(Into::into),
            files: inside::places(&run.places).files(run.job.tool),
            // Who unpacks it is no root; the tool sees it on a volume that it can't write to.
            folders: 0o755,
            last: Some(LAST),
        })
    }
}

#[async_trait]
impl Content for Given {
    async fn write(self: Box<Self>, to: &mut (dyn AsyncWrite + Unpin + Send)) -> io::Result<()> {
        let (parts, mut written) = channel(ON_THE_WAY);
        // It ends when nobody takes its parts any more.
        let writing = tokio::task::spawn_blocking(move || {
            let mut to = io::BufWriter::with_capacity(64 * 1024, Parts(parts));
            archive::write(&self.0, &mut to).and_then(|()| to.flush())
        });
        while let Some(part) = written.recv().await {
            to.write_all(&part?).await?;
        }
        writing.await.map_err(io::Error::other).flatten()?;
        to.flush().await
    }
}
