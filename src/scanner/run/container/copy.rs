//! Copying into a container and out of one, a part at a time.

use std::io::{self, Write as _};

use bollard::Docker;
use bollard::query_parameters::{DownloadFromContainerOptions, UploadToContainerOptions};
use futures_util::StreamExt as _;
use tokio::sync::mpsc::channel;
use tokio_stream::wrappers::ReceiverStream;

use super::sdk;
use crate::engine::EngineError;
use crate::scanner::ScanError;
use crate::scanner::run::pipe::{ON_THE_WAY, Parts, Received};
use crate::scanner::run::{Run, archive, inside};

/// Copies what the tool looks at into the container's volume. Returns when all of it is there.
pub(super) async fn to(api: &Docker, id: &str, run: &Run<'_>) -> Result<(), ScanError> {
    let tool = run.job.tool;
    let content = archive::Content {
        source: run.places.source.clone().map(Into::into),
        image: run.places.image.clone().map(Into::into),
        files: inside::places(&run.places).files(tool),
        folders: 0o555,
        last: None,
    };
    let (parts, stream) = channel(ON_THE_WAY);
    // It ends when nobody takes its parts any more.
    let writing = tokio::task::spawn_blocking(move || {
        let mut to = io::BufWriter::with_capacity(64 * 1024, Parts(parts.clone()));
        let written = archive::write(&content, &mut to).and_then(|()| to.flush());
        if written.is_err() {
            // The engine must not take what is there for all of it.
            let _ = parts.blocking_send(Err(io::Error::other("the archive broke off")));
        }
        written
    });
    let options = UploadToContainerOptions { path: inside::VOLUME.to_owned(), ..Default::default() };
    let body = bollard::body_try_stream(ReceiverStream::new(stream));
    let sent = api.upload_to_container(id, Some(options), body).await;
    match (writing.await.map_err(io::Error::other).flatten(), sent) {
        // Who does not take the archive any more says why.
        (Err(failure), Ok(())) => Err(unsent(&tool.name, &failure)),
        (Err(failure), Err(_)) if failure.kind() != io::ErrorKind::BrokenPipe => Err(unsent(&tool.name, &failure)),
        (_, Err(failure)) => Err(sdk(failure)),
        (Ok(()), Ok(())) => Ok(()),
    }
}

/// Copies the report out of the container into the run's folder, if there is one: at most one byte more than it may
/// have.
pub(super) async fn from(api: &Docker, id: &str, run: &Run<'_>) -> Result<(), ScanError> {
    let (name, most) = (&run.job.tool.name, run.job.tool.max_report_bytes);
    let options = DownloadFromContainerOptions { path: inside::REPORT.to_owned() };
    let mut stream = std::pin::pin!(api.download_from_container(id, Some(options)));
    let (parts, received) = channel(ON_THE_WAY);
    let to = run.folder.report();
    let reading = tokio::task::spawn_blocking(move || archive::read(Received::new(received), &to, most));
    let mut failed = None;
    while let Some(part) = stream.next().await {
        match part {
            Ok(part) => {
                // Whoever reads has enough.
                if parts.send(part).await.is_err() {
                    break;
                }
            }
            Err(failure) => {
                failed = Some(EngineError::from(failure));
                break;
            }
        }
    }
    drop(parts);
    let read = reading.await.map_err(io::Error::other).flatten();
    match (failed, read) {
        // There is none, which is said by whoever looks for it.
        (Some(failure), _) if failure.is_missing() => Ok(()),
        (Some(failure), _) => Err(super::error(failure)),
        (None, Ok(())) => Ok(()),
        (None, Err(failure)) if failure.kind() == io::ErrorKind::InvalidData => {
            Err(ScanError::Unreadable(format!("what {name} left as its report is no file of its own")))
        }
        (None, Err(failure)) => Err(ScanError::Failed(format!("the report of {name} can't be had: {failure}"))),
    }
}

fn unsent(name: &str, failure: &io::Error) -> ScanError {
    ScanError::Failed(format!("what {name} looks at can't be sent to the engine: {failure}"))
}
