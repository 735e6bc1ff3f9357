//! Putting a copy of an SQLite database back.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use entity::{Db, secret};
use migration::{Migrator, MigratorTrait as _};
use sea_orm::{EntityTrait as _, QuerySelect as _};

use super::backup::{Unfinished, beside, remove, sqlite_file, sync_folder_of};
use super::parts::SystemClock;
use super::{alone, keys};
use crate::config::Config;
use crate::domain::clock::Clock as _;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where it is now.
    pub database: PathBuf,
    /// Where what was there before is now.
    pub kept: Option<PathBuf>,
}

/// Puts a backup back, which stays where it is. The copy is looked at in whole before anything is changed, and there is a
/// database of that name at every moment.
///
/// # Errors
/// When a server uses the database, when the file is no whole backup that this program and this key can read, or when the
/// disk refuses. Nothing was changed then.
pub async fn restore(config: &Config, from: &Path) -> anyhow::Result<Restored> {
    let database = sqlite_file(config)?;
    // Until the end. It also makes the folder.
    let _alone = alone::hold_for_certain(&config.database.url)?;
    if beside(from, "-wal").metadata().is_ok_and(|log| log.len() > 0) {
        bail!("{} has a log beside it: it is a database in use, and not what `kiops backup` writes", from.display());
    }
    let mut source = File::open(from).with_context(|| from.display().to_string())?;
    let copy = Unfinished::beside(&database, ".restoring")?;
    let mut target = File::options().write(true).open(copy.path())?;
    std::io::copy(&mut source, &mut target).with_context(|| format!("{} could not be copied", from.display()))?;
    drop(target);
    examine(config, copy.path()).await.with_context(|| from.display().to_string())?;
    let kept = keep(&database).await?;
    copy.place(&database)?;
    Ok(Restored { database, kept })
}

/// Looks whether a server could start on it.
async fn examine(config: &Config, copy: &Path) -> anyhow::Result<()> {
    if copy.metadata()?.len() == 0 {
        bail!("it is empty");
    }
    let url = format!("sqlite://{}", copy.display());
    let db = Db::connect(&url, 1).await.context("it is damaged, or no database of SQLite")?;
    if let Some(damage) = db.damage().await.context("it is damaged")? {
        bail!("it is damaged: {damage}");
    }
    // An earlier version's is brought up to date at the next start. What is not known here is of a later one.
    let pending = Migrator::get_pending_migrations_read_only(db.read()).await;
    match pending {
        Ok(pending) if pending.len() == Migrator::migrations().len() => bail!("it is no database of KIOPS"),
        Ok(_) => {}
        Err(_) => bail!("it is of a later version of KIOPS, or of another program"),
    }
    if let Some(vault) = keys::existing(config, &db).await.context("its secrets could not be read")? {
        let used = secret::Entity::find().select_only().column(secret::Column::KeyId).distinct();
        let used: Vec<String> = used.into_tuple().all(db.read()).await?;
        if let Some(id) = used.iter().find(|id| !vault.knows(id)) {
            bail!("some of its secrets are sealed with the key {id}: add its file to secrets.previous_key_files");
        }
    }
    db.close().await?;
    if beside(copy, "-wal").metadata().is_ok_and(|log| log.len() > 0) {
        bail!("its log could not be copied into it");
    }
    Ok(())
}

/// Gives what is there another name as well, under which it can be opened as it was, and takes away what belongs to it alone: a
/// log that is left beside another database would be written into that.
async fn keep(database: &Path) -> anyhow::Result<Option<PathBuf>> {
    let kept = beside(database, &format!(".before-{}", SystemClock.now().format("%Y%m%dT%H%M%S%.3fZ")));
    let is_there = database.exists();
    if is_there {
        // Opened and closed, it has all that is in its log. One that is too damaged for that keeps its log.
        if let Ok(db) = Db::connect(&format!("sqlite://{}", database.display()), 1).await {
            let _folded = db.close().await;
        }
    }
    for end in ["", "-wal", "-shm", "-journal"] {
        let (from, to) = (beside(database, end), beside(&kept, end));
        if from.metadata().is_ok_and(|file| end.is_empty() || file.len() > 0) {
            let linked = fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop));
            linked.with_context(|| to.display().to_string())?;
        }
    }
    sync_folder_of(database)?;
    for end in ["-wal", "-shm", "-journal"] {
        remove(&beside(database, end))?;
    }
    sync_folder_of(database)?;
    Ok(is_there.then_some(kept))
}
