//! Putting a copy of an SQLite database back.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use entity::Db;
use migration::{Migrator, MigratorTrait as _};

use super::backup::{Unfinished, sqlite_file};
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

/// Puts a backup back, which stays where it is. The copy is looked at in whole before anything is changed.
///
/// # Errors
/// When a server uses the database, when the file is no whole backup that this program and this key can read, or when the
/// disk refuses. Nothing was changed then.
pub async fn restore(config: &Config, from: &Path) -> anyhow::Result<Restored> {
    let database = sqlite_file(config)?;
    // Held until the end. It also makes the folder.
    let _alone = alone::hold(&config.database.url)?;
    if beside(from, "-wal").metadata().is_ok_and(|log| log.len() > 0) {
        bail!("{} has a log beside it: it is a database in use, and not what `kiops backup` writes", from.display());
    }
    let copy = Unfinished::beside(&database, ".restoring")?;
    let mut source = File::open(from).with_context(|| from.display().to_string())?;
    let mut target = File::options().write(true).open(copy.path())?;
    std::io::copy(&mut source, &mut target).with_context(|| format!("{} could not be copied", from.display()))?;
    drop(target);
    examine(config, copy.path()).await.with_context(|| from.display().to_string())?;
    let kept = move_away(&database)?;
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
    keys::existing(config, &db).await.context("its secrets could not be read")?;
    db.close().await?;
    if beside(copy, "-wal").metadata().is_ok_and(|log| log.len() > 0) {
        bail!("its log could not be copied into it");
    }
    Ok(())
}

/// Gives a database and its log another name, under which it can be opened as it was.
fn move_away(database: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !database.exists() {
        return Ok(None);
    }
    let kept = beside(database, &format!(".before-{}", SystemClock.now().format("%Y%m%dT%H%M%S%.3fZ")));
    // First the database: without it a log that is left here is of no effect.
    for end in ["", "-wal", "-shm"] {
        let (from, to) = (beside(database, end), beside(&kept, end));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            moved => moved.with_context(|| from.display().to_string())?,
        }
    }
    Ok(Some(kept))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}
