//! Copying an SQLite database while it is in use.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use entity::Db;

use crate::config::Config;
use crate::vault::{belong_to_owner_of, folder_of};

/// What SQLite may have of one database, by what its names end in.
const ENDS: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The database's file.
    pub database: PathBuf,
    /// Bytes of the copy.
    pub bytes: u64,
}

/// A file that is removed unless it was put in its place.
pub(super) struct Unfinished {
    path: PathBuf,
    placed: bool,
}

impl Unfinished {
    /// An empty one beside where it is to be, for its owner alone, who is that of the folder where root makes it. What was left
    /// of an earlier attempt is removed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn beside(place: &Path, end: &str) -> anyhow::Result<Self> {
        let path = beside(place, end);
        for end in ENDS {
            remove(&beside(&path, end))?;
        }
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        belong_to_owner_of(folder_of(&path), &file.with_context(|| path.display().to_string())?);
        Ok(Self { path, placed: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it through to the disk, and gives it its name.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn place(mut self, to: &Path) -> anyhow::Result<()> {
        File::open(&self.path).and_then(|file| file.sync_all()).with_context(|| self.path.display().to_string())?;
        fs::rename(&self.path, to).with_context(|| to.display().to_string())?;
        self.placed = true;
        sync_folder_of(to)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What SQLite had beside it is of no use under that name any more.
        for end in &ENDS[usize::from(self.placed)..] {
            // What can't be removed is removed by the next attempt.
            let _ = fs::remove_file(beside(&self.path, end));
        }
    }
}

/// A path with more at its end.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Removes a file that may be there.
///
/// # Errors
/// When the disk refuses.
pub(super) fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// Writes through to the disk which names there are beside a file.
///
/// # Errors
/// When the disk refuses.
pub(super) fn sync_folder_of(file: &Path) -> anyhow::Result<()> {
    let folder = folder_of(file);
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(|| folder.display().to_string())
}

/// The file of the configured database.
///
/// # Errors
/// When it is not one of SQLite.
pub(super) fn sqlite_file(config: &Config) -> anyhow::Result<PathBuf> {
    Db::file(&config.database.url).ok_or_else(|| {
        anyhow!("only a database in a file of SQLite is copied and put back: use pg_dump and pg_restore for PostgreSQL")
    })
}

/// Copies the database to a file that is not there yet.
///
/// # Errors
/// When it is none of SQLite or not there, when the file is there already, or when the disk refuses: then there is no file.
pub async fn backup(config: &Config, to: &Path) -> anyhow::Result<Backup> {
    let database = sqlite_file(config)?;
    if Db::missing_file(&config.database.url).is_some() {
        bail!("there is no database at {} (database.url)", database.display());
    }
    if to.symlink_metadata().is_ok() {
        bail!("{} is there already: name another file", to.display());
    }
    let copy = Unfinished::beside(to, ".kiops-part")?;
    let db = Db::connect(&config.database.url, 1).await.context("the database (database.url) does not answer")?;
    db.copy_to(copy.path()).await.context("the database could not be copied")?;
    db.close().await?;
    let bytes = copy.path().metadata()?.len();
    copy.place(to)?;
    Ok(Backup { database, bytes })
}
