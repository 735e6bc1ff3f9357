//! Folders of sources that nobody needs any more.

use std::io;
use std::path::Path;

use entity::pipeline;
use sea_orm::EntityTrait as _;

use crate::app::{App, Error, Result};

/// Removes the folder of a pipeline, and what a fetch that was given up has left beside it.
///
/// # Errors
/// When the disk refuses.
pub(super) async fn remove(app: &App, id: &str) -> io::Result<()> {
    let work_dir = &app.settings.builds.work_dir;
    gone(&work_dir.join(id)).await?;
    for name in names(work_dir).await? {
        if name.strip_prefix('.').is_some_and(|rest| rest.starts_with(id)) {
            gone(&work_dir.join(name)).await?;
        }
    }
    Ok(())
}

/// Removes what a server that was killed has left in the work folder: of pipelines that have ended, and of looks at
/// projects. Call it when this server begins, before it works on anything.
///
/// # Errors
/// INTERNAL when the database does not answer or the disk refuses.
pub async fn leftovers(app: &App) -> Result<()> {
    let work_dir = &app.settings.builds.work_dir;
    for name in names(work_dir).await.map_err(Error::internal)? {
        let bare = name.trim_start_matches('.');
        let id: String = bare.chars().take_while(|c| c.is_ascii_hexdigit() || *c == '-').collect();
        let needed = match bare.starts_with("plan-") {
            true => false,
            // Only what looks like ours is touched.
            false if id.len() != 36 => true,
            false => {
                let row = pipeline::Entity::find_by_id(&id).one(app.db.read()).await?;
                row.is_some_and(|row| row.finished_at.is_none())
            }
        };
        if !needed {
            gone(&work_dir.join(name)).await.map_err(Error::internal)?;
        }
    }
    Ok(())
}

async fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut entries = match tokio::fs::read_dir(folder).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        found.extend(entry.file_name().into_string());
    }
    Ok(found)
}

async fn gone(folder: &Path) -> io::Result<()> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
