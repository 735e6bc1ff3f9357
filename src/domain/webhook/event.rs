//! What a delivery says, whichever provider says it.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::json::Part;
use super::{Headers, MAX_BODY_BYTES, github, gitlab};
use crate::domain::git::Provider;
use crate::domain::names::{BranchName, CommitHash, ProjectPath};

/// Longest name of an event that is repeated, in bytes.
const NAME: usize = 64;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A branch or tag was made, moved or deleted.
    Push(Push),
    /// Something happened to a merge request, or pull request.
    MergeRequest(MergeRequest),
    /// GitHub's `create`: a branch or tag was made, by a push that is told of too.
    Created {
        /// What was made.
        kind: RefKind,
        /// Its name.
        name: BranchName,
        /// Where.
        source: Source,
    },
    /// GitHub's `delete`: a branch or tag was deleted, by a push that is told of too.
    Deleted {
        /// What was deleted.
        kind: RefKind,
        /// Its name.
        name: BranchName,
        /// Where.
        source: Source,
    },
    /// The provider tries the webhook.
    Ping,
    /// Anything else.
    Other {
        /// The provider's name for it, in characters that need no care.
        name: String,
    },
}

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefKind {
    /// A branch.
    Branch,
    /// A tag.
    Tag,
}

impl RefKind {
    /// For people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Tag => "tag",
        }
    }
}

/// The project that a delivery is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The provider's own id, which survives renaming and moving.
    pub external_id: String,
    /// Its path now.
    pub path: Option<ProjectPath>,
}

/// A commit, as far as a delivery tells of it. Texts are cut at stated lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadCommit {
    /// Its hash.
    pub commit: Option<CommitHash>,
    /// What its author wrote; at most 8 KiB of it.
    pub message: String,
    /// The message asks for no pipeline: `[skip ci]` or `[ci skip]`, in any case, anywhere.
    pub skips: bool,
    /// Who wrote it.
    pub author_name: Option<String>,
    /// When it was committed.
    pub committed_at: Option<DateTime<Utc>>,
    /// Its page. For people: it is never gone to.
    pub url: Option<String>,
}

/// A branch or tag, and where it points now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Branch or tag.
    pub kind: RefKind,
    /// Its whole name, slashes and all, without `refs/heads/`.
    pub name: BranchName,
    /// Where it pointed before; none when it was made.
    pub before: Option<CommitHash>,
    /// Where it points now: for an annotated tag the object that holds the annotation. None when it was deleted.
    pub after: Option<CommitHash>,
    /// The commit that this leads to. None when it was deleted, or the provider could not say.
    pub commit: Option<CommitHash>,
    /// It is gone.
    pub deleted: bool,
    /// Commits that were there before are there no more. GitLab does not say, and never sets it.
    pub forced: bool,
    /// The newest commit, where the provider tells of it.
    pub head: Option<HeadCommit>,
    /// New commits. May be none: a branch that is made of, or set back to, what was there before.
    pub commits: u64,
    /// The push itself asked for no pipeline: `git push -o ci.skip`.
    pub skips: bool,
    /// Where.
    pub source: Source,
}

/// What happened to a merge request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeRequestAction {
    /// It was made.
    Opened,
    /// Its source branch has other commits now.
    Updated,
    /// It was opened again.
    Reopened,
    /// It was closed, or merged.
    Closed,
    /// Something that changes no code: labels, reviewers, texts.
    Other(String),
}

/// A merge request, or pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRequest {
    /// Its number in its project.
    pub number: u64,
    /// What happened.
    pub action: MergeRequestAction,
    /// What is to be merged.
    pub source_branch: BranchName,
    /// Into what.
    pub target_branch: BranchName,
    /// The newest commit of the source branch.
    pub commit: CommitHash,
    /// The source branch is in another project than the target, or in one that is gone.
    pub from_fork: bool,
    /// Its author is not done.
    pub draft: bool,
    /// Its title.
    pub title: Option<String>,
    /// The newest commit. GitHub does not tell of it.
    pub head: Option<HeadCommit>,
    /// Its page. For people: it is never gone to.
    pub url: Option<String>,
    /// The project of the target branch.
    pub source: Source,
}

/// Why a delivery could not be read: which field is missing or refused. Never quotes the payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPayload(pub(super) String);

/// Reads a delivery whose signature holds. Fields that are not needed may be missing or of any kind; addresses to clone
/// from are never looked at.
///
/// # Errors
/// A sentence that names the field at fault.
pub fn read(provider: Provider, headers: &Headers<'_>, body: &[u8]) -> Result<Event, InvalidPayload> {
    if body.len() > MAX_BODY_BYTES {
        return Err(InvalidPayload(format!("the body has more than {MAX_BODY_BYTES} bytes")));
    }
    let Some(event) = headers.event else {
        let header = match provider {
            Provider::Gitlab => "X-Gitlab-Event",
            Provider::Github => "X-GitHub-Event",
        };
        return Err(InvalidPayload(format!("the header {header} is missing")));
    };
    let value: Value = serde_json::from_slice(body).map_err(|_| {
        InvalidPayload("the body is no JSON: the webhook's content type must be application/json".to_owned())
    })?;
    if !value.is_object() {
        return Err(InvalidPayload("the body is no JSON object".to_owned()));
    }
    match provider {
        Provider::Gitlab => gitlab::read(event, Part(&value)),
        Provider::Github => github::read(event, Part(&value)),
    }
}

/// An event that starts nothing, whatever is in it.
pub(super) fn other(name: &str) -> Event {
    Event::Other { name: harmless(name) }
}

/// A provider's word for something, without what a log or a page would have to be careful with.
pub(super) fn harmless(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || " _-.".contains(*c)).take(NAME).collect()
}
