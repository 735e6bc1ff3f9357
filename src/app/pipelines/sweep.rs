//! Folders of sources that nobody needs any more.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use entity::{pipeline, scan};
use sea_orm::EntityTrait as _;

use crate::app::{App, Error, Result, scans};

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

/// Looks at projects are over by then.
const LOOKED_AT: Duration = Duration::from_secs(600);

/// Removes from the work folder what nobody needs any more: sources of pipelines that have ended, here or on another
/// server, and what looks at projects have left. Other servers of this machine may be using the same folder.
///
/// # Errors
/// INTERNAL when the database does not answer or the disk refuses.
pub async fn leftovers(app: &App) -> Result<()> {
    let work_dir = &app.settings.builds.work_dir;
    for name in names(work_dir).await.map_err(Error::internal)? {
        let bare = name.trim_start_matches('.');
        let id: String = bare.chars().take_while(|c| c.is_ascii_hexdigit() || *c == '-').collect();
        let needed = match bare.starts_with("plan-") {
            true => !is_old(app, &work_dir.join(&name)).await,
            // Its own id stands behind the word.
            false if bare.starts_with(scans::FOLDER) => {
                let id = bare.trim_start_matches(scans::FOLDER);
                let row = scan::Entity::find_by_id(id).one(app.db.read()).await?;
                row.is_some_and(|row| row.finished_at.is_none())
            }
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

/// Whether a folder was made so long ago that nobody looks at it any more.
async fn is_old(app: &App, folder: &Path) -> bool {
    let Ok(found) = tokio::fs::metadata(folder).await else { return false };
    let age = found.modified().ok().and_then(|at| SystemTime::from(app.clock.now()).duration_since(at).ok());
    age.is_some_and(|age| age > LOOKED_AT)
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
