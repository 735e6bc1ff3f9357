//! The image that is scanned, as a file: what `docker save` writes.

use std::path::Path;

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use super::Job;
use super::container::{connect, error};
use super::watch::is_full;
use crate::engine::EngineError;
use crate::scanner::ScanError;

/// Saves it, at most so many bytes of it.
pub(super) async fn save(job: &Job<'_>, image: &str, to: &Path, most: u64) -> Result<(), ScanError> {
    let name = &job.tool.name;
    let Some(engine) = job.engine else {
        let text = format!("{name} looks at an image, and the image is not on a Docker engine");
        return Err(ScanError::Missing(text));
    };
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
            let text = format!("the image that {name} looks at has no room on the disk of this server");
            return Err(ScanError::Failed(text));
        }
        file.write_all(&part).await.map_err(unkept)?;
    }
    file.flush().await.map_err(unkept)
}
