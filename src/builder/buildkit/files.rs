//! A build's context: the list of a folder's files, and their bytes when the engine asks for them.
//!
//! The same folder, rules and time make the same list. No link is followed. Everything belongs to root, and only
//! the right to run a file is kept of its permissions, because the rest depends on who fetched the source.

use std::fs::{self, FileType, Metadata};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::ignore::{Rules, Steps};
use crate::builder::BuilderError;
use crate::engine::messages::Stat;

/// Longest `.dockerignore` that is read.
const MAX_RULES: u64 = 1024 * 1024;
/// Deepest folder that is gone into.
const MAX_DEPTH: usize = 256;
/// Where the rules are.
const IGNORE_FILE: &str = ".dockerignore";

/// What the engine may ask for, in the order in which it learns of it.
#[derive(Debug)]
pub struct Context {
    entries: Vec<Entry>,
}

/// A folder, link or file.
#[derive(Debug)]
pub struct Entry {
    /// What the engine is told of it.
    pub stat: Stat,
    content: Content,
}

/// Where an entry's bytes are.
#[derive(Debug)]
enum Content {
    Nothing,
    File(PathBuf),
    Text(Bytes),
}

/// What a context is made of.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The folder.
    pub root: PathBuf,
    /// Rules for a folder without a `.dockerignore`.
    pub rules: Option<String>,
    /// The time of every entry.
    pub at: DateTime<Utc>,
    /// Bytes of all names and files at most.
    pub max_bytes: u64,
    /// Becomes true when nobody waits for the list any more.
    pub given_up: Arc<AtomicBool>,
}

impl Context {
    /// Lists a folder. Blocks.
    ///
    /// # Errors
    /// [`BuilderError::Refused`] when it is too large or holds what cannot be sent.
    pub fn list(wanted: &Wanted) -> Result<Self, BuilderError> {
        let rules = rules(wanted)?;
        let mut list = List { wanted, rules, steps: Steps::default(), entries: Vec::new(), bytes: 0 };
        list.folder(&wanted.root, "", 0)?;
        Ok(Self { entries: list.entries })
    }

    /// One file of a given text.
    pub fn text(name: &str, text: &str, at: DateTime<Utc>) -> Self {
        let stat = stat(name, 0o644, text.len() as u64, at);
        Self { entries: vec![Entry { stat, content: Content::Text(Bytes::copy_from_slice(text.as_bytes())) }] }
    }

    /// Nothing at all.
    pub fn empty() -> Self {
        Self { entries: Vec::new() }
    }

    /// All of them, parents before what is in them.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Entry {
    /// Opens what the engine asked for; none for a folder or link.
    ///
    /// # Errors
    /// When the file is gone, or has become a link.
    pub async fn open(&self) -> std::io::Result<Option<Box<dyn tokio::io::AsyncRead + Send + Unpin>>> {
        match &self.content {
            Content::Nothing => Ok(None),
            Content::Text(text) => Ok(Some(Box::new(std::io::Cursor::new(text.clone())))),
            Content::File(path) => {
                let mut options = tokio::fs::OpenOptions::new();
                options.read(true).custom_flags(no_follow());
                Ok(Some(Box::new(options.open(path).await?)))
            }
        }
    }
}

struct List<'a> {
    wanted: &'a Wanted,
    rules: Rules,
    steps: Steps,
    entries: Vec<Entry>,
    bytes: u64,
}

impl List<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), BuilderError> {
        if depth > MAX_DEPTH {
            return Err(refused(format!("the build context has folders in more than {MAX_DEPTH} others")));
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(|error| unreadable(prefix, &error))? {
            let entry = entry.map_err(|error| unreadable(prefix, &error))?;
            let name = entry.file_name().into_string().map_err(|name| {
                refused(format!("the build context has a name that is no UTF-8: {}", name.to_string_lossy()))
            })?;
            names.push((name, entry.file_type().map_err(|error| unreadable(prefix, &error))?));
        }
        // The engine takes them in the order of their bytes only.
        names.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, kind) in names {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            self.entry(&folder.join(name), path, kind, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, file: &Path, path: String, kind: FileType, depth: usize) -> Result<(), BuilderError> {
        if self.wanted.given_up.load(Ordering::Relaxed) {
            return Err(refused("the build was given up".to_owned()));
        }
        let stays_out = self.rules.leaves_out(&path, &mut self.steps).map_err(refused)?;
        if stays_out && !(kind.is_dir() && self.rules.take_back()) {
            return Ok(());
        }
        let meta = fs::symlink_metadata(file).map_err(|error| unreadable(&path, &error))?;
        if kind.is_dir() {
            let (place, before) = (self.entries.len(), self.bytes);
            self.add(stat(&path, Stat::FOLDER | 0o755, 0, self.wanted.at), Content::Nothing)?;
            self.folder(file, &path, depth + 1)?;
            // A folder that stays out is sent only for what comes in again.
            if stays_out && self.entries.len() == place + 1 {
                self.entries.truncate(place);
                self.bytes = before;
            }
            return Ok(());
        }
        if kind.is_symlink() {
            let target = fs::read_link(file).map_err(|error| unreadable(&path, &error))?;
            let Some(target) = target.to_str() else {
                return Err(refused(format!("the build context has a link to a name that is no UTF-8: {path}")));
            };
            let mut entry = stat(&path, Stat::LINK | 0o777, 0, self.wanted.at);
            target.clone_into(&mut entry.link);
            return self.add(entry, Content::Nothing);
        }
        if kind.is_file() {
            let entry = stat(&path, permissions(&meta), meta.len(), self.wanted.at);
            return self.add(entry, Content::File(file.to_owned()));
        }
        let what = if kind.is_fifo() { "a pipe" } else { "a device or socket" };
        Err(refused(format!("the build context holds {what}, which cannot be sent: {path}")))
    }

    fn add(&mut self, stat: Stat, content: Content) -> Result<(), BuilderError> {
        let size = u64::try_from(stat.size).unwrap_or_default();
        self.bytes = self.bytes.saturating_add(size).saturating_add(stat.path.len() as u64);
        if self.bytes > self.wanted.max_bytes {
            return Err(refused(format!(
                "the build context is larger than {} bytes: a .dockerignore keeps out what the build does not need",
                self.wanted.max_bytes
            )));
        }
        self.entries.push(Entry { stat, content });
        Ok(())
    }
}

fn rules(wanted: &Wanted) -> Result<Rules, BuilderError> {
    use std::io::Read;
    let own = fs::OpenOptions::new().read(true).custom_flags(no_follow()).open(wanted.root.join(IGNORE_FILE));
    let text = match own {
        Ok(file) => {
            let mut text = Vec::new();
            file.take(MAX_RULES + 1).read_to_end(&mut text).map_err(|error| unreadable(IGNORE_FILE, &error))?;
            if text.len() as u64 > MAX_RULES {
                return Err(refused(format!("{IGNORE_FILE} is larger than {MAX_RULES} bytes")));
            }
            String::from_utf8(text).map_err(|_| refused(format!("{IGNORE_FILE} is no UTF-8")))?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => wanted.rules.clone().unwrap_or_default(),
        Err(error) => return Err(unreadable(IGNORE_FILE, &error)),
    };
    Rules::parse(&text).map_err(refused)
}

fn stat(path: &str, mode: u32, size: u64, at: DateTime<Utc>) -> Stat {
    Stat {
        path: path.to_owned(),
        mode,
        size: i64::try_from(size).unwrap_or(i64::MAX),
        changed: at.timestamp_nanos_opt().unwrap_or_default(),
        ..Default::default()
    }
}

fn permissions(meta: &Metadata) -> u32 {
    if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 }
}

fn no_follow() -> i32 {
    (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed()
}

fn unreadable(path: &str, error: &std::io::Error) -> BuilderError {
    let what = if path.is_empty() { "its folder" } else { path };
    refused(format!("the build context cannot be read at {what}: {}", error.kind()))
}

fn refused(text: String) -> BuilderError {
    BuilderError::Refused(text)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    fn wanted(root: &Path) -> Wanted {
        Wanted {
            root: root.to_owned(),
            rules: None,
            at: DateTime::UNIX_EPOCH,
            max_bytes: 1_000_000,
            given_up: Arc::default(),
        }
    }

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn paths(context: &Context) -> Vec<&str> {
        context.entries.iter().map(|entry| entry.stat.path.as_str()).collect()
    }

    #[test]
    fn folders_come_before_what_is_in_them_and_names_in_the_order_of_their_bytes() {
        let tree = tree(&[("a/b", ""), ("a.txt", ""), ("a/a/z", ""), ("Z", ""), ("a-b", "")]);
        let context = Context::list(&wanted(tree.path())).unwrap();
        assert_eq!(
            paths(&context),
            ["Z", "a", "a/a", "a/a/z", "a/b", "a-b", "a.txt"].map(String::from).to_vec().as_slice()
        );
    }

    #[test]
    fn rules_hold_and_what_they_take_back_brings_its_folders() {
        let tree = tree(&[("x/y/keep", ""), ("x/y/drop", ""), ("x/z/drop", ""), (".dockerignore", "x\n!x/y/keep\n")]);
        let context = Context::list(&wanted(tree.path())).unwrap();
        assert_eq!(paths(&context), [".dockerignore", "x", "x/y", "x/y/keep"]);
        let mut own = wanted(tree.path());
        fs::remove_file(tree.path().join(".dockerignore")).unwrap();
        own.rules = Some("*\n!x/z".to_owned());
        assert_eq!(paths(&Context::list(&own).unwrap()), ["x", "x/z", "x/z/drop"]);
    }

    #[tokio::test]
    async fn links_are_sent_as_links_and_never_followed() {
        let tree = tree(&[("file", "text")]);
        std::os::unix::fs::symlink("/etc/passwd", tree.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc", tree.path().join("folder")).unwrap();
        let context = Context::list(&wanted(tree.path())).unwrap();
        assert_eq!(paths(&context), ["file", "folder", "link"]);
        assert_eq!(context.entries[2].stat.link, "/etc/passwd");
        assert!(context.entries[2].open().await.unwrap().is_none());
        let mut text = String::new();
        context.entries[0].open().await.unwrap().unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "text");
        // What becomes a link after it was listed is not followed either.
        fs::remove_file(tree.path().join("file")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", tree.path().join("file")).unwrap();
        assert!(context.entries[0].open().await.is_err());
        // Nor are rules read through one.
        std::os::unix::fs::symlink("/etc/passwd", tree.path().join(IGNORE_FILE)).unwrap();
        assert!(matches!(Context::list(&wanted(tree.path())), Err(BuilderError::Refused(_))));
    }

    #[test]
    fn a_list_that_nobody_waits_for_ends() {
        let tree = tree(&[("a", "")]);
        let wanted = wanted(tree.path());
        wanted.given_up.store(true, Ordering::Relaxed);
        assert!(Context::list(&wanted).is_err());
    }

    #[test]
    fn what_is_too_large_is_refused_with_a_sentence() {
        let tree = tree(&[("big", &"x".repeat(2000)), ("node_modules/y", "z")]);
        let mut small = wanted(tree.path());
        small.max_bytes = 1999;
        let Err(BuilderError::Refused(why)) = Context::list(&small) else { panic!("it is taken") };
        assert!(why.contains("1999") && why.contains(".dockerignore"), "{why}");
        small.rules = Some("big".to_owned());
        assert_eq!(paths(&Context::list(&small).unwrap()), ["node_modules", "node_modules/y"]);
    }

    #[test]
    fn pipes_are_refused_and_the_right_to_run_is_kept() {
        let tree = tree(&[("run", ""), ("read", "")]);
        fs::set_permissions(tree.path().join("run"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(tree.path().join("read"), fs::Permissions::from_mode(0o600)).unwrap();
        let context = Context::list(&wanted(tree.path())).unwrap();
        let modes: Vec<u32> = context.entries.iter().map(|entry| entry.stat.mode).collect();
        assert_eq!(modes, [0o644, 0o755]);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            tree.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let Err(BuilderError::Refused(why)) = Context::list(&wanted(tree.path())) else { panic!("it is taken") };
        assert!(why.contains("pipe"), "{why}");
    }
}
