//! SQLite is for one server: a second one on the same file is refused. What one server's memory knows (who listens to
//! whom, which door a webhook comes in by) would be false for the other.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use entity::Db;

use crate::vault::{belong_to_owner_of, folder_of, make_folder};

/// Keeps other servers from an SQLite database for as long as it is held, and the system lets go of it however this
/// process ends. None for PostgreSQL, which serves any number. Where the file system knows no locks there is a warning.
///
/// # Errors
/// When another server holds it, or the disk refuses.
pub(super) fn hold(url: &str) -> anyhow::Result<Option<File>> {
    let Some(held) = lock(url)? else { return Ok(None) };
    if let Some(doubt) = held.doubt {
        tracing::warn!("{doubt:#}");
    }
    Ok(Some(held.file))
}

/// The same for whoever must be alone.
///
/// # Errors
/// Also where the file system knows no locks.
pub(super) fn hold_for_certain(url: &str) -> anyhow::Result<Option<File>> {
    let Some(held) = lock(url)? else { return Ok(None) };
    held.doubt.map_or(Ok(Some(held.file)), Err)
}

/// A lock that nobody else has.
struct Held {
    file: File,
    /// Why that is not certain.
    doubt: Option<anyhow::Error>,
}

fn lock(url: &str) -> anyhow::Result<Option<Held>> {
    let Some(database) = Db::file(url) else { return Ok(None) };
    let mut name = database.clone().into_os_string();
    // Beside the database and not on it: a lock of the file itself could meet those of SQLite.
    name.push(".lock");
    let path = PathBuf::from(name);
    let folder = folder_of(&path);
    // For its owner alone: SQLite makes its files for all to read, and all else that is stored is in it, too.
    make_folder(folder).with_context(|| folder.display().to_string())?;
    let made = File::options().create_new(true).write(true).open(&path);
    let file = match made {
        Ok(file) => {
            belong_to_owner_of(folder, &file);
            Ok(file)
        }
        // Whatever somebody may have put there is not given away.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => File::options().write(true).open(&path),
        Err(error) => Err(error),
    };
    let file = file.with_context(|| path.display().to_string())?;
    let doubt = match file.try_lock() {
        Ok(()) => None,
        Err(TryLockError::WouldBlock) => return Err(taken(&database)),
        Err(TryLockError::Error(error)) => {
            let what = format!("it can't be seen whether another server is using {}", database.display());
            Some(anyhow::Error::new(error).context(what))
        }
    };
    Ok(Some(Held { file, doubt }))
}

fn taken(database: &Path) -> anyhow::Error {
    anyhow!(
        "another KIOPS server or worker is using {}, and SQLite serves one: stop that one, or give all of them a \
         PostgreSQL database (database.url = \"postgres://…\")",
        database.display()
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn one_at_a_time_and_again_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/data/kiops.db", folder.path().display());
        let first = hold(&url).unwrap();
        assert!(first.is_some());
        let mode = folder.path().join("data").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let refused = hold(&url).unwrap_err().to_string();
        assert!(refused.contains("data/kiops.db, and SQLite serves one"), "{refused}");
        drop(first);
        assert!(hold(&url).unwrap().is_some());
        assert!(hold("postgres://kiops@127.0.0.1/kiops").unwrap().is_none());
    }
}
