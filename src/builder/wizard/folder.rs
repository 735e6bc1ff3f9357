//! A source tree on disk. The tree is hostile: its links, pipes and devices are somebody else's idea.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::tree::{Files, Kind};

/// A folder and what is really below it.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Takes a folder as the root of a tree.
    ///
    /// # Errors
    /// When it is not there or is no folder.
    pub fn open(root: &Path) -> std::io::Result<Self> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(std::io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { root })
    }

    /// Where a path leads when every link is followed; none if that is outside of the root.
    fn real(&self, path: &str) -> Option<PathBuf> {
        self.root.join(path).canonicalize().ok().filter(|real| real.starts_with(&self.root))
    }

    fn open_file(&self, path: &str) -> Option<File> {
        let real = self.real(path)?;
        if !real.symlink_metadata().ok()?.is_file() {
            return None;
        }
        // Should the file be replaced by a link or a pipe just now, it is neither followed nor waited for.
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).ok()?;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(real).ok()?;
        file.metadata().ok()?.is_file().then_some(file)
    }
}

impl Files for Folder {
    fn kind(&self, path: &str) -> Option<Kind> {
        let found = self.real(path)?.symlink_metadata().ok()?.file_type();
        match (found.is_file(), found.is_dir()) {
            (true, _) => Some(Kind::File),
            (_, true) => Some(Kind::Folder),
            _ => None,
        }
    }

    fn read(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        let file = self.open_file(path)?;
        let mut bytes = Vec::new();
        // One byte more tells a file that is too large from one that fits.
        file.take(limit + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= limit).then_some(bytes)
    }

    fn names(&self, folder: &str, limit: usize) -> Vec<String> {
        let entries = self.real(folder).and_then(|real| real.read_dir().ok());
        let names = entries.into_iter().flatten().take(limit).flatten();
        names.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}
