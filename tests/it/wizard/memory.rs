//! A tree in memory that knows what it was asked for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kiops::builder::wizard::{Files, Kind};

#[derive(Debug, Default)]
pub struct Memory {
    files: BTreeMap<String, Vec<u8>>,
    folders: BTreeSet<String>,
    /// Each path that was asked for.
    pub asked: RefCell<Vec<String>>,
    /// Each path that was read.
    pub read: RefCell<Vec<String>>,
}

impl Memory {
    /// A copy of what is in a folder.
    pub fn of_folder(folder: &Path) -> Self {
        let mut memory = Self::default();
        let mut waiting = vec![folder.to_owned()];
        while let Some(next) = waiting.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    memory.insert(&name, &std::fs::read(path).unwrap());
                }
            }
        }
        memory
    }

    pub fn insert(&mut self, path: &str, content: &[u8]) {
        let mut folder = path;
        while let Some((above, _)) = folder.rsplit_once('/') {
            self.folders.insert(above.to_owned());
            folder = above;
        }
        self.files.insert(path.to_owned(), content.to_owned());
    }

    /// One of the files, whichever number is given.
    pub fn nth(&self, n: usize) -> (String, Vec<u8>) {
        let (path, content) = self.files.iter().nth(n % self.files.len()).unwrap();
        (path.clone(), content.clone())
    }

    fn note(&self, path: &str) {
        self.asked.borrow_mut().push(path.to_owned());
    }
}

impl Files for Memory {
    fn kind(&self, path: &str) -> Option<Kind> {
        self.note(path);
        if self.files.contains_key(path) {
            return Some(Kind::File);
        }
        (path.is_empty() || self.folders.contains(path)).then_some(Kind::Folder)
    }

    fn read(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        self.note(path);
        self.read.borrow_mut().push(path.to_owned());
        self.files.get(path).filter(|content| content.len() as u64 <= limit).cloned()
    }

    fn names(&self, folder: &str, limit: usize) -> Vec<String> {
        self.note(folder);
        let all = self.files.keys().chain(&self.folders);
        let inside = all.filter_map(|path| match folder {
            "" => Some(path.as_str()),
            _ => path.strip_prefix(folder)?.strip_prefix('/'),
        });
        inside.filter(|name| !name.contains('/')).take(limit).map(str::to_owned).collect()
    }
}
