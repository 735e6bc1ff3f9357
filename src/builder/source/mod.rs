//! The source of a project: one commit, fetched over Git and written out so that nothing in it can do anything.

mod address;
mod commit;
mod fetch;
mod git;
mod home;
mod links;
mod modules;
mod objects;
mod process;
mod refs;
mod tree;
mod words;
mod write;

pub use git::GitSources;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Journal;
use crate::domain::names::CommitHash;
use crate::domain::secret::SecretString;

/// Where a project is fetched from, and with what.
#[derive(Clone)]
pub struct Origin {
    /// `https://gitlab.example.com/shop/api.git`; plain http only where the operator allows the address.
    pub url: String,
    /// The user name that goes with the token: `oauth2`, `x-access-token`.
    pub username: String,
    /// The organization's token.
    pub token: SecretString,
    /// The address is of the operator's own configuration and passes no filter.
    pub trusted: bool,
}

/// What is meant by a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefKind {
    /// A branch.
    Branch,
    /// A tag.
    Tag,
    /// A full hash.
    Commit,
}

/// What a name means now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The commit; for an annotated tag the one that it points at.
    pub commit: CommitHash,
    /// What the name is; a branch where there is a tag of the same name too.
    pub kind: RefKind,
}

/// What a tree may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceLimits {
    /// Bytes of all files together, and of what is fetched.
    pub bytes: u64,
    /// Files and links.
    pub files: u64,
    /// For everything together.
    pub time: Duration,
}

/// How much of a repository is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum History {
    /// One commit.
    Without,
    /// All that it comes from.
    Whole,
}

/// A commit that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its full hash.
    pub commit: CommitHash,
    /// The whole message.
    pub message: String,
    /// Who wrote it.
    pub author_name: String,
    /// When it was committed.
    pub committed_at: Option<DateTime<Utc>>,
    /// Says whether two trees are the same, submodules and all: a hash.
    pub tree: String,
    /// Files and links that were written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why a source could not be had. Messages are for people, and hold no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no such project, branch, tag or commit, or none that the token may see.
    #[error("{0}")]
    NotFound(String),
    /// The token is not taken, or may not read the source.
    #[error("{0}")]
    Unauthorized(String),
    /// The tree holds something that is not let through, or is too large; or the address is not one that this server
    /// talks to.
    #[error("{0}")]
    Refused(String),
    /// It took longer than [`SourceLimits::time`].
    #[error("{0}")]
    TimedOut(String),
    /// The server does not answer, or answers rubbish: trying again is of use.
    #[error("{0}")]
    Unreachable(String),
    /// Our own side: no `git` here, no room on the disk.
    #[error("{0}")]
    Broken(String),
}

/// Fetches sources. A call whose future is dropped is given up: no process of it goes on, and what [`Sources::fetch`]
/// has written to a folder beside `into` is removed soon after, or by the next call if the program ends before.
#[async_trait]
pub trait Sources: Send + Sync {
    /// Sees that what fetches is there and can what is asked of it.
    ///
    /// # Errors
    /// [`SourceError::Broken`], which says what to install.
    async fn examine(&self) -> Result<(), SourceError>;

    /// What a branch, a tag or a full hash means now.
    ///
    /// # Errors
    /// [`SourceError::NotFound`] when there is no such name.
    async fn resolve(&self, origin: &Origin, name: &str) -> Result<Resolved, SourceError>;

    /// Writes the tree of one commit to `into`, which appears whole or not at all; what was there before is replaced.
    /// It holds plain files, folders and links that stay inside of it: no `.git`, nothing that was run or filtered.
    ///
    /// # Errors
    /// Any.
    async fn fetch(
        &self,
        origin: &Origin,
        commit: &CommitHash,
        into: &Path,
        limits: SourceLimits,
        journal: &dyn Journal,
    ) -> Result<Fetched, SourceError>;

    /// The same with what the commit comes from: in `.git` is a repository with all of it, which is at the commit. It is ours
    /// but for the objects: nobody's hooks, no remote, no credential, and a configuration by which nothing is run. Of
    /// submodules there is no history. The limits hold for the history as for the rest.
    ///
    /// # Errors
    /// Any.
    async fn fetch_with_history(
        &self,
        origin: &Origin,
        commit: &CommitHash,
        into: &Path,
        limits: SourceLimits,
        journal: &dyn Journal,
    ) -> Result<Fetched, SourceError>;
}
