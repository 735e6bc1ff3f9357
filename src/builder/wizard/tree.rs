//! All that the wizard reads goes through here, so that the bounds are in one place.

use std::cell::Cell;

use super::check;

/// Bytes of one file; what is larger is not read at all.
const MAX_FILE: u64 = 1024 * 1024;
/// Files read for one root.
const MAX_READS: usize = 300;
/// Entries of one folder that are looked at.
const MAX_ENTRIES: usize = 5_000;

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
}

/// Where files come from. Paths are relative, with `/`, without `.` or `..`; the root itself is the empty path.
/// Nothing outside of the root exists to it, and neither do pipes and devices.
pub trait Files {
    /// What is at the path, if it is a file or folder below the root.
    fn kind(&self, path: &str) -> Option<Kind>;
    /// The bytes of a file that has at most `limit` of them.
    fn read(&self, path: &str, limit: u64) -> Option<Vec<u8>>;
    /// The names in a folder, in any order, at most `limit`.
    fn names(&self, folder: &str, limit: usize) -> Vec<String>;
}

/// A root in which the wizard looks, with a number of files that it may read.
pub struct Tree<'a> {
    files: &'a dyn Files,
    root: String,
    reads: Cell<usize>,
}

impl<'a> Tree<'a> {
    /// The whole of `files`.
    pub fn new(files: &'a dyn Files) -> Self {
        Self { files, root: String::new(), reads: Cell::new(0) }
    }

    /// A folder below this root, as a root of its own.
    #[must_use]
    pub fn below(&self, folder: &str) -> Option<Self> {
        let root = self.place(folder)?;
        (self.files.kind(&root)? == Kind::Folder).then(|| Self { files: self.files, root, reads: Cell::new(0) })
    }

    /// Whether a file is there.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.place(path).is_some_and(|path| self.files.kind(&path) == Some(Kind::File))
    }

    /// Whether a folder is there.
    #[must_use]
    pub fn has_folder(&self, path: &str) -> bool {
        self.place(path).is_some_and(|path| self.files.kind(&path) == Some(Kind::Folder))
    }

    /// The first of these files that is there.
    #[must_use]
    pub fn first<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().find(|name| self.has(name)).copied()
    }

    /// Those of these files that are there.
    #[must_use]
    pub fn present<'n>(&self, names: &[&'n str]) -> Vec<&'n str> {
        names.iter().filter(|name| self.has(name)).copied().collect()
    }

    /// A file as text, without a byte order mark. None for one that is absent, too large, not UTF-8, or beyond the
    /// number of files that are read.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        let path = self.place(path)?;
        if self.files.kind(&path)? != Kind::File || self.reads.get() >= MAX_READS {
            return None;
        }
        self.reads.set(self.reads.get() + 1);
        let text = String::from_utf8(self.files.read(&path, MAX_FILE)?).ok()?;
        Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }

    /// A file as JSON.
    #[must_use]
    pub fn json(&self, path: &str) -> Option<serde_json::Value> {
        serde_json::from_str(&self.text(path)?).ok()
    }

    /// A file as TOML.
    #[must_use]
    pub fn toml(&self, path: &str) -> Option<toml::Table> {
        self.text(path)?.parse().ok()
    }

    /// The names of the files in a folder that may be written into a Dockerfile, in order.
    #[must_use]
    pub fn files(&self, folder: &str) -> Vec<String> {
        self.named(folder, Kind::File)
    }

    /// The names of the folders in a folder that may be written into a Dockerfile, in order.
    #[must_use]
    pub fn folders(&self, folder: &str) -> Vec<String> {
        self.named(folder, Kind::Folder)
    }

    fn named(&self, folder: &str, kind: Kind) -> Vec<String> {
        let Some(place) = self.place(folder) else { return Vec::new() };
        let mut names = self.files.names(&place, MAX_ENTRIES);
        names.retain(|name| check::is_path(name) && self.files.kind(&join(&place, name)) == Some(kind));
        names.sort();
        names
    }

    /// The path below the root of `files`; none if it says `..`, is absolute or otherwise not plain.
    fn place(&self, path: &str) -> Option<String> {
        if path.is_empty() || path == "." {
            return Some(self.root.clone());
        }
        let plain = path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']));
        plain.then(|| join(&self.root, path))
    }
}

/// `folder/name`, where the folder may be the root.
#[must_use]
pub fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
