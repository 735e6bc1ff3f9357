//! One call of [`Sources::fetch`](super::Sources::fetch): what is fetched is listed and judged, then written.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::address::{self, Place};
use super::commit::{self, Words};
use super::links::{Map, Node, Work};
use super::modules::{self, MAX_COUNT, MAX_DEPTH};
use super::objects::{Listing, Objects};
use super::process::{Git, in_repository};
use super::tree::{self, Budget, Entry, Kind};
use super::words::{self, Asked, shown, size};
use super::write::Writer;
use super::{Fetched, History, Origin, SourceError, SourceLimits};
use crate::builder::{Journal, Output};
use crate::domain::names::CommitHash;
use crate::net::Outbound;

/// Bytes of a commit object that is read.
const MAX_COMMIT: u64 = 4 * 1024 * 1024;
/// Bytes of all links' targets together: they are kept in memory until all are judged.
const MAX_TARGETS: u64 = 16 * 1024 * 1024;
/// Bytes of a `.gitmodules` as it is printed.
const MAX_PRINTED: usize = 4 * 1024 * 1024;
/// How often it is looked at how much was fetched.
const LOOK: Duration = Duration::from_millis(100);

/// What a repository is told that goes with a source.
const OF_SHA1: &str = "\
[core]
	repositoryFormatVersion = 0
	bare = false
	hooksPath = /dev/null
	fsmonitor = false
";
const OF_SHA256: &str = "\
[core]
	repositoryFormatVersion = 1
	bare = false
	hooksPath = /dev/null
	fsmonitor = false
[extensions]
	objectFormat = sha256
";

/// The folder beside `into` in which a call works. It is removed when this is dropped.
pub(super) struct Staging {
    folder: PathBuf,
    is_removed: bool,
}

impl Staging {
    /// A new one. What earlier calls for the same `into` have left is removed.
    ///
    /// # Errors
    /// [`SourceError::Broken`] with what the disk says.
    pub(super) async fn beside(into: &Path) -> Result<Self, SourceError> {
        let into = into.to_owned();
        // It is made within the thread, so that it goes too when nobody waits for it any more.
        let made = blocking(move || {
            let name = into.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
            let parent = into.parent().ok_or(io::ErrorKind::InvalidInput)?;
            fs::create_dir_all(parent)?;
            let prefix = format!(".{name}.fetch-");
            for entry in fs::read_dir(parent)?.flatten() {
                if entry.file_name().to_string_lossy().starts_with(&prefix) {
                    remove_folder(&entry.path())?;
                }
            }
            let folder = tempfile::Builder::new()
                .prefix(&prefix)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(parent)?
                .keep();
            let staging = Self { folder, is_removed: false };
            let tree = staging.tree();
            fs::create_dir(&tree)?;
            fs::set_permissions(tree, Permissions::from_mode(0o755))?;
            Ok(staging)
        });
        made.await
    }

    fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// Puts the repository with what was written, at a commit. What of it is not ours are objects, which were checked when they
    /// came; by its configuration nothing is run.
    ///
    /// # Errors
    /// [`SourceError::Broken`] with what the disk says.
    pub(super) async fn keep_repository(&self, commit: &CommitHash) -> Result<(), SourceError> {
        let (repository, kept, head) = (self.repository(), self.tree().join(".git"), format!("{}\n", commit.as_str()));
        let settings = if commit.as_str().len() == 64 { OF_SHA256 } else { OF_SHA1 };
        let keep = blocking(move || {
            fs::write(repository.join("HEAD"), head)?;
            fs::write(repository.join("config"), settings)?;
            for needless in ["hooks", "info", "branches"] {
                match fs::remove_dir_all(repository.join(needless)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            fs::rename(repository, kept)
        });
        keep.await
    }

    /// Puts what was written in the place of what is there.
    ///
    /// # Errors
    /// [`SourceError::Broken`] with what the disk says.
    pub(super) async fn appear(&self, into: &Path) -> Result<(), SourceError> {
        let (into, tree, replaced) = (into.to_owned(), self.tree(), self.folder.join("replaced"));
        let swap = blocking(move || {
            match fs::rename(&into, replaced) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::rename(tree, into)
        });
        swap.await
    }

    /// Removes it. What can't be removed now is removed by the next call.
    pub(super) async fn remove(mut self) {
        // From here on the thread goes on, whoever waits for it.
        self.is_removed = true;
        let folder = self.folder.clone();
        let removed = blocking(move || remove_folder(&folder));
        if let Err(error) = removed.await {
            tracing::warn!(%error, "what a source was fetched with can't be removed");
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.is_removed {
            return;
        }
        let folder = std::mem::take(&mut self.folder);
        let remove = move || {
            if let Err(error) = remove_folder(&folder) {
                tracing::warn!(%error, "what a source was fetched with can't be removed");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// All that a call needs.
pub(super) struct Call<'a> {
    pub(super) outbound: &'a Outbound,
    pub(super) git: Git<'a>,
    pub(super) origin: &'a Origin,
    pub(super) history: History,
    pub(super) staging: &'a Staging,
    pub(super) limits: SourceLimits,
    pub(super) journal: &'a dyn Journal,
}

/// A repository that is still to be fetched and listed.
struct Part {
    place: Place,
    commit: CommitHash,
    /// The folder that it is for, from the root of the tree; empty for the root.
    folder: Vec<u8>,
    depth: usize,
}

/// What is known of the tree.
struct Plan {
    budget: Budget,
    entries: Vec<Entry>,
    /// Says what the tree is.
    hash: Sha256,
    parts: VecDeque<Part>,
    modules: usize,
}

impl Call<'_> {
    /// Fetches, judges and writes a commit with its submodules below the staging folder.
    ///
    /// # Errors
    /// Any.
    pub(super) async fn fetch(&self, place: &Place, commit: &CommitHash) -> Result<Fetched, SourceError> {
        self.say(&format!("Fetching {} from {}", commit.short(), place.host())).await;
        self.make_repository(commit).await?;
        let root = Part { place: place.clone(), commit: commit.clone(), folder: Vec::new(), depth: 0 };
        let mut plan = Plan {
            budget: Budget::new(self.limits),
            entries: Vec::new(),
            hash: Sha256::new(),
            parts: VecDeque::new(),
            modules: 0,
        };
        let words = self.take_up(&root, &mut plan).await?;
        while let Some(mut part) = plan.parts.pop_front() {
            let folder = part.folder.clone();
            let taken = async {
                part.place = address::ask(self.outbound, &part.place, self.origin).await?;
                self.take_up(&part, &mut plan).await
            };
            taken.await.map_err(|error| of_module(error, &folder))?;
        }
        self.write(std::mem::take(&mut plan.entries)).await?;
        if self.history == History::Whole {
            self.staging.keep_repository(commit).await?;
        }
        let (files, bytes) = (plan.budget.files(), plan.budget.bytes());
        self.say(&format!("{files} files, {}", size(bytes))).await;
        Ok(Fetched {
            commit: commit.clone(),
            message: words.message,
            author_name: words.author_name,
            committed_at: words.committed_at,
            tree: hex::encode(plan.hash.finalize()),
            files,
            bytes,
        })
    }

    async fn make_repository(&self, commit: &CommitHash) -> Result<(), SourceError> {
        let format = if commit.as_str().len() == 64 { "sha256" } else { "sha1" };
        let mut args: Vec<std::ffi::OsString> = ["init", "--quiet", "--bare", "--template="].map(Into::into).into();
        args.push(format!("--object-format={format}").into());
        args.push("--".into());
        args.push(self.staging.repository().into());
        let ended = self.git.run(&args, 1024).await?;
        if ended.status.success() {
            return Ok(());
        }
        Err(SourceError::Broken("git can't make a repository on the server's disk".to_owned()))
    }

    /// Fetches one repository's commit and lists its tree.
    async fn take_up(&self, part: &Part, plan: &mut Plan) -> Result<Words, SourceError> {
        self.get(part).await?;
        let repository = self.staging.repository();
        let mut objects = Objects::of(&self.git, &repository)?;
        let object = objects.whole("commit", part.commit.as_str(), MAX_COMMIT).await?;
        let malformed = || SourceError::Refused(format!("the commit {} is malformed", part.commit.short()));
        let words = commit::read(&object).ok_or_else(malformed)?;
        for bytes in [part.folder.as_slice(), words.tree.as_bytes()] {
            plan.hash.update(bytes.len().to_le_bytes());
            plan.hash.update(bytes);
        }
        let within = if part.folder.is_empty() { Vec::new() } else { [part.folder.as_slice(), b"/"].concat() };
        let mut listing = Listing::of(&self.git, &repository, part.commit.as_str())?;
        let (mut record, first) = (Vec::new(), plan.entries.len());
        while listing.next(&mut record).await? {
            plan.entries.push(tree::judge(&record, &within, &mut plan.budget)?);
        }
        listing.end().await?;
        self.find_modules(part, &within, first, plan).await?;
        Ok(words)
    }

    /// Has `git` fetch one commit, and what it comes from where that is wanted; stops it when that is too much.
    async fn get(&self, part: &Part) -> Result<(), SourceError> {
        let mut args = vec![in_repository(&self.staging.repository()), "fetch".into()];
        if self.history == History::Without || part.depth > 0 {
            args.push("--depth=1".into());
        }
        args.extend(["--quiet", "--no-tags", "--no-recurse-submodules"].map(Into::into));
        args.extend(["--no-write-fetch-head", "--no-auto-maintenance", "--end-of-options"].map(Into::into));
        args.extend([part.place.as_str(), part.commit.as_str()].map(Into::into));
        let ended = tokio::select! {
            ended = self.git.run(&args, 64 * 1024) => ended?,
            error = self.watch() => return Err(error),
        };
        if ended.status.success() {
            return self.fits().await;
        }
        let asked = Asked { host: &part.place.host(), origin: self.origin, commit: Some(&part.commit) };
        Err(words::meaning(&ended, &asked))
    }

    /// Ends when more was fetched than may be.
    async fn watch(&self) -> SourceError {
        loop {
            tokio::time::sleep(LOOK).await;
            // A look that can't be made is made the next time.
            if let Err(error @ SourceError::Refused(_)) = self.fits().await {
                return error;
            }
        }
    }

    /// Whether what was fetched is no more than may be.
    async fn fits(&self) -> Result<(), SourceError> {
        let folder = self.staging.repository();
        match blocking(move || Ok(bytes_below(&folder))).await? > self.limits.bytes {
            true => Err(SourceError::Refused(format!("the source is larger than {}", size(self.limits.bytes)))),
            false => Ok(()),
        }
    }

    /// Decides about the submodules among the entries from `first` on.
    async fn find_modules(&self, part: &Part, within: &[u8], first: usize, plan: &mut Plan) -> Result<(), SourceError> {
        let listed = &plan.entries[first..];
        let modules: Vec<Entry> = listed.iter().filter(|entry| entry.kind == Kind::Module).cloned().collect();
        if modules.is_empty() {
            return Ok(());
        }
        let file = [within, b".gitmodules"].concat();
        let known = match listed.iter().find(|entry| entry.path == file) {
            Some(file) => self.read_modules(file).await?,
            None => HashMap::new(),
        };
        for module in modules {
            let named = known.get(&module.path[within.len()..]);
            let neighbour = match named {
                Some(url) => part.place.neighbour(url),
                None => Err("nothing in .gitmodules belongs to it".to_owned()),
            };
            let place = match neighbour {
                Ok(place) => place,
                Err(why) => {
                    self.say(&format!("The submodule {} is left out: {why}", shown(&module.path))).await;
                    continue;
                }
            };
            plan.modules += 1;
            if part.depth >= MAX_DEPTH || plan.modules > MAX_COUNT {
                return Err(SourceError::Refused(format!(
                    "the source has more than {MAX_COUNT} submodules, or some more than {MAX_DEPTH} deep in one another"
                )));
            }
            let commit = CommitHash::parse(&module.hash)
                .map_err(|_| SourceError::Refused(format!("the submodule {} is at no commit", shown(&module.path))))?;
            plan.parts.push_back(Part { place, commit, folder: module.path, depth: part.depth + 1 });
        }
        Ok(())
    }

    async fn read_modules(&self, file: &Entry) -> Result<HashMap<Vec<u8>, String>, SourceError> {
        let is_file = matches!(file.kind, Kind::File | Kind::Program) && file.size <= modules::MAX_FILE;
        if is_file {
            let mut args = vec![in_repository(&self.staging.repository()), "config".into(), "-z".into()];
            args.push(format!("--blob={}", file.hash).into());
            args.push("--list".into());
            let ended = self.git.run(&args, MAX_PRINTED).await?;
            if ended.status.success() {
                return Ok(modules::addresses(&ended.stdout));
            }
        }
        self.say(&format!("{} can't be read", shown(&file.path))).await;
        Ok(HashMap::new())
    }

    /// Writes all that was listed: links are judged before anything, and written after everything.
    async fn write(&self, entries: Vec<Entry>) -> Result<(), SourceError> {
        let repository = self.staging.repository();
        let mut objects = Objects::of(&self.git, &repository)?;
        let links = targets(&entries, &mut objects).await?;
        // It can take a second, in which the time limit holds and others are at work.
        let judging = tokio::task::spawn_blocking(move || judge_links(&entries, &links).map(|()| (entries, links)));
        let broken = |_| SourceError::Broken("the source's links can't be judged: their thread ended".to_owned());
        let (entries, links) = judging.await.map_err(broken)??;
        let mut writer = Writer::below(&self.staging.tree());
        for entry in entries.iter().filter(|entry| matches!(entry.kind, Kind::Folder | Kind::Module)) {
            writer.folder(&entry.path).await?;
        }
        let files: Vec<&Entry> =
            entries.iter().filter(|entry| matches!(entry.kind, Kind::File | Kind::Program)).collect();
        let stand_ins = objects.copy(&files, &mut writer).await?;
        for (entry, target) in &links {
            writer.link(&entry.path, target).await?;
        }
        writer.end().await?;
        if stand_ins > 0 {
            self.say(&format!("{stand_ins} files are kept in Git LFS, which is not fetched: only pointers are there"))
                .await;
        }
        Ok(())
    }

    async fn say(&self, line: &str) {
        self.journal.line(Output::System, line).await;
    }
}

async fn targets(entries: &[Entry], objects: &mut Objects) -> Result<Vec<(Entry, Vec<u8>)>, SourceError> {
    let links: Vec<&Entry> = entries.iter().filter(|entry| entry.kind == Kind::Link).collect();
    if links.iter().map(|entry| entry.size).sum::<u64>() > MAX_TARGETS {
        return Err(SourceError::Refused("the source's links are too many and too long".to_owned()));
    }
    let mut read = Vec::new();
    for entry in links {
        read.push((entry.clone(), objects.whole("blob", &entry.hash, entry.size).await?));
    }
    Ok(read)
}

fn judge_links(entries: &[Entry], links: &[(Entry, Vec<u8>)]) -> Result<(), SourceError> {
    let refused = |entry: &Entry, why: &str| {
        Err(SourceError::Refused(format!("the entry {} of the source {why}", shown(&entry.path))))
    };
    let mut map = Map::default();
    let targets: HashMap<&[u8], &[u8]> =
        links.iter().map(|(entry, target)| (entry.path.as_slice(), target.as_slice())).collect();
    for entry in entries {
        let node = match (entry.kind, targets.get(entry.path.as_slice())) {
            (Kind::Link, Some(target)) => Node::Link(target.to_vec()),
            (Kind::Folder | Kind::Module, _) => Node::Folder,
            _ => Node::File,
        };
        if !map.add(&entry.path, node) {
            return refused(entry, "is there twice, or within something that is no folder");
        }
    }
    let mut work = Work::default();
    for (entry, target) in links {
        if let Err(fault) = map.judge(&entry.path, target, &mut work) {
            return refused(entry, fault.words());
        }
    }
    Ok(())
}

/// The same error, which says in which submodule it is.
fn of_module(error: SourceError, folder: &[u8]) -> SourceError {
    let of = |message: String| format!("the submodule {}: {message}", shown(folder));
    match error {
        SourceError::NotFound(message) => SourceError::NotFound(of(message)),
        SourceError::Unauthorized(message) => SourceError::Unauthorized(of(message)),
        SourceError::Refused(message) => SourceError::Refused(of(message)),
        SourceError::TimedOut(message) => SourceError::TimedOut(of(message)),
        SourceError::Unreachable(message) => SourceError::Unreachable(of(message)),
        SourceError::Broken(message) => SourceError::Broken(of(message)),
    }
}

/// Removes a folder that others may be at: one that was killed writes its last, another removes it as well.
fn remove_folder(folder: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => return Ok(()),
            Err(_) if tries < 5 => std::thread::sleep(Duration::from_millis(20)),
            other => return other,
        }
        tries += 1;
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_below(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, SourceError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| SourceError::Broken(format!("the server's disk does not take the source: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_is_given_up_leaves_no_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let staging = Staging::beside(&folder.path().join("tree")).await.expect("a staging folder");
        fs::write(staging.tree().join("file"), "x").expect("a file");
        let at = staging.folder.clone();
        drop(staging);
        for _ in 0..500 {
            if !at.exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} is left", at.display());
    }
}
