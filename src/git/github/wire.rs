//! GitHub's answers, as far as they are read: <https://docs.github.com/rest>. Fields that the schemas call optional
//! are optional here, and what is not read is not asked for.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::super::base::page;
use super::super::moment::moment;
use super::super::{Branch, Commit, Namespace, NamespaceKind, Project};
use crate::domain::names::{BranchName, ProjectPath};

/// GitHub calls the making of a repository, and of its README, a push.
const SETTLING: TimeDelta = TimeDelta::seconds(60);

/// The schemas `repository`, `full-repository` and `repo-search-result-item`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) full_name: String,
    pub(super) owner: Account,
    pub(super) private: bool,
    pub(super) html_url: String,
    pub(super) description: Option<String>,
    #[serde(default, deserialize_with = "moment")]
    pub(super) created_at: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "moment")]
    pub(super) updated_at: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "moment")]
    pub(super) pushed_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(super) archived: bool,
    pub(super) default_branch: Option<String>,
    /// In kilobytes; 0 while it is empty, and for a while after.
    pub(super) size: Option<u64>,
    pub(super) permissions: Option<Permissions>,
}

/// What the token's owner may do in a repository.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Permissions {
    pub(super) admin: bool,
    pub(super) maintain: bool,
    pub(super) push: bool,
    pub(super) triage: bool,
}

/// The schemas `simple-user`, `public-user`, `organization-simple` and `organization-full`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Account {
    pub(super) login: String,
    pub(super) name: Option<String>,
    pub(super) avatar_url: Option<String>,
    /// Organizations alone, and there only for who may see it.
    pub(super) members_can_create_repositories: Option<bool>,
}

/// The schema `org-membership`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Membership {
    pub(super) state: String,
    pub(super) role: String,
    pub(super) organization: Account,
}

/// The schemas `short-branch` and `branch-with-protection`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct BranchRow {
    pub(super) name: String,
    pub(super) commit: CommitRow,
    #[serde(default)]
    pub(super) protected: bool,
}

/// The schema `commit`; a listing of branches gives the hash alone.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct CommitRow {
    pub(super) sha: String,
    pub(super) commit: Option<CommitText>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct CommitText {
    pub(super) message: Option<String>,
    pub(super) author: Option<Signature>,
    pub(super) committer: Option<Signature>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Signature {
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "moment")]
    pub(super) date: Option<DateTime<Utc>>,
}

/// The schema `hook`. Its secret is answered as stars.
#[derive(Debug, Deserialize)]
pub(super) struct HookRow {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) config: HookConfig,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct HookConfig {
    pub(super) url: Option<String>,
}

/// The answer of a search.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    pub(super) items: Vec<Repository>,
}

/// The body of "create a repository".
#[derive(Debug, Serialize)]
pub(super) struct NewRepository<'a> {
    pub(super) name: &'a str,
    pub(super) private: bool,
    pub(super) auto_init: bool,
}

/// The body of "rename a branch".
#[derive(Debug, Serialize)]
pub(super) struct NewName<'a> {
    pub(super) new_name: &'a str,
}

impl Repository {
    /// None when its path is none that KIOPS can write, or its page is no web page.
    pub(super) fn project(&self) -> Option<Project> {
        Some(Project {
            external_id: self.id.to_string(),
            path: ProjectPath::parse(&self.full_name).ok()?,
            name: self.name.clone(),
            description: self.description.clone().filter(|text| !text.is_empty()),
            web_url: page(&self.html_url)?,
            default_branch: self.default_branch.clone().filter(|name| !name.is_empty()),
            private: self.private,
            archived: self.archived,
            created_at: self.created_at,
            last_activity_at: self.pushed_at.max(self.updated_at),
        })
    }

    /// Whether it may have no branch: nothing is known to be in it, and nothing was pushed since it was made.
    pub(super) fn may_be_empty(&self) -> bool {
        let pushed = self.pushed_at.zip(self.created_at).is_some_and(|(pushed, made)| pushed - made >= SETTLING);
        self.size == Some(0) && !pushed
    }

    /// Where it stands among repositories that are sorted by when they were made; the id tells those of one second
    /// apart.
    pub(super) fn made(&self) -> Option<String> {
        Some(format!("{}/{:020}", self.created_at?.to_rfc3339_opts(SecondsFormat::Secs, true), self.id))
    }

    /// Whether the token's owner has more to do with it than everybody.
    pub(super) fn is_shared_with_owner(&self) -> bool {
        let may = self.permissions.unwrap_or_default();
        self.private || may.admin || may.maintain || may.push || may.triage
    }
}

impl BranchRow {
    /// None for a name that [`BranchName`] refuses.
    pub(super) fn branch(&self, repository: &Repository) -> Option<Branch> {
        let name = BranchName::parse(&self.name).ok()?;
        let text = self.commit.commit.as_ref();
        let author = text.and_then(|text| text.author.as_ref());
        let committed = text.and_then(|text| text.committer.as_ref()).or(author);
        Some(Branch {
            is_default: repository.default_branch.as_deref() == Some(name.as_str()),
            protected: self.protected,
            commit: Commit {
                message: text.and_then(|text| text.message.clone()),
                author_name: author.and_then(|author| author.name.clone()),
                committed_at: committed.and_then(|signature| signature.date),
                web_url: page(&repository.html_url).map(|page| format!("{page}/commit/{}", self.commit.sha)),
                sha: self.commit.sha.clone(),
            },
            name,
        })
    }
}

impl Account {
    pub(super) fn namespace(&self, kind: NamespaceKind) -> Namespace {
        let name = self.name.clone().filter(|name| !name.trim().is_empty());
        Namespace {
            path: self.login.clone(),
            name: name.unwrap_or_else(|| self.login.clone()),
            kind,
            avatar_url: self.avatar_url.as_deref().and_then(page),
        }
    }
}
