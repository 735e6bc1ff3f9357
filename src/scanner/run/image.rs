//! The image that is looked at, as a file: what `docker save` writes.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use super::container::{connect, error};
use super::watch::is_full;
use super::{EngineConnection, Host, ImageSource, Job};
use crate::engine::EngineError;
use crate::scanner::ScanError;

/// How often it is looked whether the disk has room.
const OFTEN: Duration = Duration::from_millis(500);

/// Saves it, at most so many bytes of it.
pub(super) async fn save(job: &Job<'_>, image: &str, to: &Path, most: u64) -> Result<(), ScanError> {
    match (job.host, job.images) {
        (Some(Host::Engine(engine)), _) => export(job, (engine, image), to, most).await,
        (Some(Host::Cluster(_)), Some(images)) => fetch(job, (images, image), to, most).await,
        _ => {
            let name = &job.tool.name;
            Err(ScanError::Missing(format!("{name} looks at an image, and nothing is there that has it")))
        }
    }
}

/// From a registry.
async fn fetch(
    job: &Job<'_>,
    (images, image): (&dyn ImageSource, &str),
    to: &Path,
    most: u64,
) -> Result<(), ScanError> {
    let full = async {
        while !is_full(to) {
            tokio::time::sleep(OFTEN).await;
        }
    };
    tokio::select! {
        saved = images.save(image, to, most) => saved,
        () = full => Err(no_room(job)),
    }
}

/// From an engine.
async fn export(
    job: &Job<'_>,
    (engine, image): (&EngineConnection, &str),
    to: &Path,
    most: u64,
) -> Result<(), ScanError> {
    let name = &job.tool.name;
    let engine = connect(engine)?;
    let api = engine.api().await.map_err(error)?;
    let unkept = |failure| ScanError::Failed(format!("the image can't be kept for {name}: {failure}"));
    let mut file = tokio::fs::File::create(to).await.map_err(unkept)?;
    let mut saved = std::pin::pin!(api.export_image(image));
    let mut bytes = 0;
    while let Some(part) = saved.next().await {
        let part = part.map_err(EngineError::from).map_err(|failure| match failure.is_missing() {
            true => ScanError::Failed(format!("the image that {name} looks at is not on the engine: {failure}")),
            false => error(failure),
        })?;
        bytes += part.len() as u64;
        if bytes > most {
            let text = format!("the image that {name} looks at is larger than {} MiB", most >> 20);
            return Err(ScanError::Failed(text));
        }
        if is_full(to) {
            return Err(no_room(job));
        }
        file.write_all(&part).await.map_err(unkept)?;
    }
    file.flush().await.map_err(unkept)
}

fn no_room(job: &Job<'_>) -> ScanError {
    let name = &job.tool.name;
    ScanError::Failed(format!("the image that {name} looks at has no room on the disk of this server"))
}
