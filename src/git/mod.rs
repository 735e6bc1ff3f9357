//! Git providers: who a token is, projects, branches, namespaces and accounts, behind one trait.

mod base;
mod call;
mod clients;
mod github;
mod gitlab;
mod hooks;
mod moment;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::domain::git::{MissingRight, Provider};
use crate::domain::names::{BranchName, ProjectPath};
use crate::domain::secret::SecretString;

pub use clients::{GitClientSettings, GitClients};
pub use hooks::{CommitState, CommitStatus, GitHooks, HookEvents, HookState, NewHook};

/// One organization's way to one provider.
#[derive(Clone)]
pub struct GitAccess {
    /// Which provider.
    pub provider: Provider,
    /// As [`GitProviders::base_url`] gave it.
    pub base_url: String,
    /// The organization's token.
    pub token: SecretString,
    /// The organization's id: what was listed for one is never shown to another.
    pub organization_id: String,
    /// The address is stated in kiops.toml: the operator's own, which passes no filter of addresses.
    pub trusted: bool,
}

/// What a check of a token learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// Whose token it is; none where the token may not ask.
    pub account: Option<String>,
    /// Scopes in the provider's words; empty where it names none.
    pub scopes: Vec<String>,
    /// What features need and the token lacks, by right in [`crate::domain::git::TokenRight`]'s order.
    pub missing: Vec<MissingRight>,
    /// When the token ends; none when it does not, or the provider does not say.
    pub expires_at: Option<DateTime<Utc>>,
}

impl TokenInfo {
    /// What a provider answered, without the control characters that no terminal and no database takes.
    fn new(
        account: Option<String>,
        scopes: Vec<String>,
        missing: Vec<MissingRight>,
        expires_at: Option<DateTime<Utc>>,
    ) -> Self {
        let clean = |text: String| text.chars().filter(|c| !c.is_control()).collect::<String>();
        Self { account: account.map(clean), scopes: scopes.into_iter().map(clean).collect(), missing, expires_at }
    }
}

/// A GitLab project or a GitHub repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The provider's own id, which survives renaming and moving.
    pub external_id: String,
    /// Its full path now.
    pub path: ProjectPath,
    /// Its name for people.
    pub name: String,
    /// Its one line.
    pub description: Option<String>,
    /// Its page.
    pub web_url: String,
    /// None while it is empty.
    pub default_branch: Option<String>,
    /// Not everybody may see it.
    pub private: bool,
    /// It can be read and no longer changed.
    pub archived: bool,
    /// When it was made, where the provider says.
    pub created_at: Option<DateTime<Utc>>,
    /// When anything last happened in it.
    pub last_activity_at: Option<DateTime<Utc>>,
}

impl Project {
    /// This project, whatever its path will be.
    #[must_use]
    pub fn reference(&self) -> ProjectRef {
        ProjectRef::Known { external_id: self.external_id.clone(), path: self.path.clone() }
    }
}

/// A branch and what it points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Without `refs/heads/`. Providers know branches that [`BranchName`] refuses; those are not listed.
    pub name: BranchName,
    /// Its newest commit.
    pub commit: Commit,
    /// The project's default branch.
    pub is_default: bool,
    /// The provider guards it.
    pub protected: bool,
}

/// A commit, as far as the provider's listing tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its full hash.
    pub sha: String,
    /// What its author wrote.
    pub message: Option<String>,
    /// Who wrote it.
    pub author_name: Option<String>,
    /// When it was committed.
    pub committed_at: Option<DateTime<Utc>>,
    /// Its page.
    pub web_url: Option<String>,
}

/// Where a project's source is fetched from over Git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceAddress {
    /// `https://gitlab.example.com/acme/shop.git`. Made of the stored settings and a path alone: no address that a
    /// provider answered, or a delivery named, is in it.
    pub url: String,
    /// The user name that goes with the organization's token.
    pub username: String,
    /// The address is of the operator's own configuration, and passes no filter.
    pub trusted: bool,
}

/// Where projects live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Its full path.
    pub path: String,
    /// Its name for people.
    pub name: String,
    /// Group or person.
    pub kind: NamespaceKind,
    /// Its picture.
    pub avatar_url: Option<String>,
}

/// What a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceKind {
    /// A GitLab group or a GitHub organization.
    Group,
    /// A person's own.
    User,
}

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListRequest {
    /// 1 to 100.
    pub first: u32,
    /// The [`Item::cursor`] after which to go on.
    pub after: Option<String>,
    /// Only what contains this; never empty, at most 255 bytes.
    pub search: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// In the list's order; at most [`ListRequest::first`], and fewer only at the end of the list or of patience.
    pub items: Vec<Item<T>>,
    /// There are more after the last one.
    pub has_next: bool,
}

impl<T> Listed<T> {
    /// Ends with a page that has nothing: there is no cursor to go on from.
    fn or_end(self) -> Self {
        Self { has_next: self.has_next && !self.items.is_empty(), ..self }
    }
}

/// One row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<T> {
    /// Where to go on after it. Opaque, and harmless when forged: whatever it says, only the caller's own list is read.
    pub cursor: String,
    /// The row.
    pub value: T,
}

/// Which project is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectRef {
    /// The one that has this path now, or had it before it was renamed.
    Path(ProjectPath),
    /// The one with this id, whatever its path is now. Providers without an address by id go by the path that it was
    /// last seen at and see to it that the answer has the id.
    Known {
        /// The provider's own id.
        external_id: String,
        /// Where it was last seen.
        path: ProjectPath,
    },
}

/// A project to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProject {
    /// The full path of a group, organization or user; the token's own account when left out.
    pub namespace: Option<String>,
    /// Its name, and the last part of its path.
    pub name: String,
    /// The first branch, with a README on it.
    pub branch: BranchName,
    /// Who may see it.
    pub visibility: Visibility,
}

/// Who may see a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Only who belongs to it.
    Private,
    /// Everybody.
    Public,
}

/// An account to be made on a GitLab server. Its owner chooses the password by a link that the server mails to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// Where the link goes.
    pub email: String,
    /// Their name.
    pub name: String,
    /// A free user name.
    pub username: String,
}

/// Why a provider did not do what was asked. Messages name the provider's address; they hold no credential, not even
/// one that the provider echoed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// There is no such thing, or none that this token may see.
    #[error("{0}")]
    NotFound(String),
    /// The token is not, or no longer, taken.
    #[error("{0}")]
    Unauthorized(String),
    /// The token is taken and may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The provider finds a fault with what it was given, in its own words.
    #[error("{0}")]
    Invalid(String),
    /// The name, path or address is another's already.
    #[error("{0}")]
    Taken(String),
    /// It asks us to come back later.
    #[error("{message}")]
    Limited {
        /// For people.
        message: String,
        /// When to try again, where it says.
        retry_at: Option<DateTime<Utc>>,
    },
    /// The address is not one that this server talks to; the message names the address, why, and `net.allow`.
    #[error("{0}")]
    Refused(String),
    /// It does not answer, or answers rubbish. Whether it did what was asked is not known.
    #[error("{0}")]
    Unreachable(String),
}

/// One provider, bound to one set of settings: address, token and organization. Cheap to clone and to share; every
/// call may run beside any other.
///
/// - What is listed is remembered for half a minute for each organization; after that the provider is asked whether
///   it has changed (ETag) where it can say so. [`GitProvider::project`] and [`GitProvider::branch`] always ask.
/// - Reads are repeated a few times, with growing pauses, while the provider breaks off or answers 5xx; what changes
///   something is sent once, and forgets what was listed. All of a call ends within eight seconds, and at most
///   ten requests are sent at once with one token.
/// - While a rate limit is spent nothing that it is about is sent: [`GitError::Limited`] says until when.
/// - `None` and an empty list mean that the provider answered and there is nothing that this token may see. Any
///   failure is an error; which one says who can mend it.
#[async_trait]
pub trait GitProvider: Send + Sync {
    /// Asks who the token is and what it may do. Never remembered.
    ///
    /// # Errors
    /// [`GitError::Unauthorized`] for a token that is not taken, and what any call may answer.
    async fn identify(&self) -> Result<TokenInfo, GitError>;

    /// Projects that the token's owner takes part in, newest first.
    ///
    /// # Errors
    /// [`GitError::Forbidden`] when the token may not list.
    async fn projects(&self, request: &ListRequest) -> Result<Listed<Project>, GitError>;

    /// One project that the token may read, archived ones too; none when there is none.
    ///
    /// # Errors
    /// As any call.
    async fn project(&self, project: &ProjectRef) -> Result<Option<Project>, GitError>;

    /// Branches of a project, the default one first. None when there is no such project.
    ///
    /// # Errors
    /// As any call.
    async fn branches(&self, project: &ProjectRef, request: &ListRequest) -> Result<Option<Listed<Branch>>, GitError>;

    /// One branch of a project; none when there is no such branch or project.
    ///
    /// # Errors
    /// As any call.
    async fn branch(&self, project: &ProjectRef, name: &BranchName) -> Result<Option<Branch>, GitError>;

    /// Where the token may make projects: its own account first, then groups or organizations.
    ///
    /// # Errors
    /// [`GitError::Forbidden`] when the token may not list them.
    async fn namespaces(&self, request: &ListRequest) -> Result<Listed<Namespace>, GitError>;

    /// Makes a project with a README. Its first branch is the provider's choice until
    /// [`GitProvider::first_branch`] has been called.
    ///
    /// # Errors
    /// [`GitError::Taken`] when the path is in use, [`GitError::NotFound`] for the namespace,
    /// [`GitError::Invalid`] and [`GitError::Forbidden`]: nothing was made. [`GitError::Unreachable`]: it may have been.
    async fn create_project(&self, new: &NewProject) -> Result<Project, GitError>;

    /// Sees to it that a project which was just made has this branch, as its default. Safe to repeat.
    ///
    /// # Errors
    /// As any call that changes something.
    async fn first_branch(&self, project: &Project, branch: &BranchName) -> Result<(), GitError>;

    /// Making accounts for people; none where the provider is not one to make them on.
    fn accounts(&self) -> Option<&dyn GitAccounts>;

    /// Webhooks and the status of commits.
    fn hooks(&self) -> &dyn GitHooks;

    /// Where the source of the project with this path is. Nothing is asked.
    fn source(&self, path: &ProjectPath) -> SourceAddress;
}

/// Making accounts on a GitLab server, which takes a token of an instance administrator.
#[async_trait]
pub trait GitAccounts: Send + Sync {
    /// The user name of who has this e-mail address, whether confirmed or not; none when nobody has.
    ///
    /// # Errors
    /// [`GitError::Forbidden`] when the token is no administrator's: others are not told addresses.
    async fn find_by_email(&self, email: &str) -> Result<Option<String>, GitError>;

    /// Whether a user name is free: no person's and no group's.
    ///
    /// # Errors
    /// As any call.
    async fn is_free(&self, username: &str) -> Result<bool, GitError>;

    /// Makes an account. The server mails its owner a link to choose a password; none passes through here.
    ///
    /// # Errors
    /// [`GitError::Taken`] when e-mail or user name is in use by now.
    async fn create(&self, new: &NewAccount) -> Result<(), GitError>;
}

/// Every provider there is.
pub trait GitProviders: Send + Sync {
    /// The address to be stored for what a person typed: without a slash, a login, a query or a fragment, its scheme
    /// and host in lower case. GitLab: where its pages are, path prefix and all. GitHub: of its API, the
    /// configuration's when nothing (or github.com) was typed, `https://api.SUBDOMAIN.ghe.com` for an Enterprise with
    /// data residency, `https://host/api/v3` for an Enterprise server.
    ///
    /// # Errors
    /// [`GitError::Refused`] with what is wrong with it.
    fn base_url(&self, provider: Provider, typed: Option<&str>) -> Result<String, GitError>;

    /// A client with these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// [`GitError::Refused`] when the stored address is no address, or the token can't be sent.
    fn connect(&self, access: &GitAccess) -> Result<Arc<dyn GitProvider>, GitError>;
}
