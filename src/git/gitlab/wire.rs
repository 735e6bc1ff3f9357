//! What GitLab answers, as far as it is used, and what it becomes.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;

use super::super::base::page;
use super::super::moment::moment;
use super::super::{Branch, Commit, Project};
use crate::domain::names::{BranchName, ProjectPath};

/// <https://docs.gitlab.com/api/projects/>
#[derive(Deserialize)]
pub(super) struct ProjectRow {
    pub(super) id: u64,
    name: String,
    path_with_namespace: String,
    description: Option<String>,
    web_url: String,
    pub(super) default_branch: Option<String>,
    /// Only in the full answer.
    visibility: Option<String>,
    archived: Option<bool>,
    /// An empty project is given the branch that it would have.
    empty_repo: Option<bool>,
    #[serde(default, deserialize_with = "moment")]
    created_at: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "moment")]
    last_activity_at: Option<DateTime<Utc>>,
}

impl ProjectRow {
    /// None where its path is none that a project can have, or its page is no web page.
    pub(super) fn project(self) -> Option<Project> {
        let path = ProjectPath::parse(&self.path_with_namespace).ok()?;
        let line = self.description.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        let empty = self.empty_repo == Some(true);
        Some(Project {
            external_id: self.id.to_string(),
            path,
            name: self.name,
            description: Some(line).filter(|line| !line.is_empty()),
            web_url: page(&self.web_url)?,
            default_branch: self.default_branch.filter(|name| !name.is_empty() && !empty),
            // "internal" is for whoever is signed in.
            private: self.visibility.as_deref() != Some("public"),
            archived: self.archived == Some(true),
            created_at: self.created_at,
            last_activity_at: self.last_activity_at,
        })
    }
}

/// <https://docs.gitlab.com/api/branches/>
#[derive(Deserialize)]
pub(super) struct BranchRow {
    pub(super) name: String,
    #[serde(default)]
    default: bool,
    #[serde(default)]
    protected: bool,
    commit: CommitRow,
}

#[derive(Deserialize)]
struct CommitRow {
    id: String,
    message: Option<String>,
    author_name: Option<String>,
    #[serde(default, deserialize_with = "moment")]
    committed_date: Option<DateTime<Utc>>,
    web_url: Option<String>,
}

impl BranchRow {
    /// None where Git would not take its name.
    pub(super) fn branch(self) -> Option<Branch> {
        Some(Branch {
            name: BranchName::parse(&self.name).ok()?,
            commit: Commit {
                sha: self.commit.id,
                message: self.commit.message,
                author_name: self.commit.author_name,
                committed_at: self.commit.committed_date,
                web_url: self.commit.web_url.as_deref().and_then(page),
            },
            is_default: self.default,
            protected: self.protected,
        })
    }
}

/// <https://docs.gitlab.com/api/users/>
#[derive(Deserialize)]
pub(super) struct Me {
    pub(super) id: u64,
    pub(super) username: String,
    pub(super) name: String,
    pub(super) avatar_url: Option<String>,
    /// Told to administrators alone.
    #[serde(default)]
    pub(super) is_admin: bool,
    /// The account of a project's or a group's token, which has no projects of its own.
    #[serde(default)]
    pub(super) bot: bool,
    pub(super) can_create_project: Option<bool>,
    pub(super) projects_limit: Option<i64>,
}

/// <https://docs.gitlab.com/api/personal_access_tokens/#self-inform>
#[derive(Deserialize)]
pub(super) struct TokenRow {
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    pub(super) active: Option<bool>,
    pub(super) revoked: Option<bool>,
    /// A date: the token ends as it begins, in UTC
    /// (<https://docs.gitlab.com/user/profile/personal_access_tokens/#access-token-expiration>).
    pub(super) expires_at: Option<NaiveDate>,
}

/// <https://docs.gitlab.com/api/users/>, as administrators are answered.
#[derive(Deserialize)]
pub(super) struct UserRow {
    pub(super) id: u64,
    pub(super) username: String,
    #[serde(default)]
    name: String,
    pub(super) email: Option<String>,
    pub(super) commit_email: Option<String>,
    pub(super) public_email: Option<String>,
}

impl UserRow {
    /// Whether their name or user name contains a text, whatever the case.
    pub(super) fn is_named(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        [&self.username, &self.name].iter().any(|name| name.to_lowercase().contains(&text))
    }
}

/// <https://docs.gitlab.com/api/user_email_addresses/>
#[derive(Deserialize)]
pub(super) struct EmailRow {
    pub(super) email: String,
}

/// <https://docs.gitlab.com/api/namespaces/>
#[derive(Deserialize)]
pub(super) struct NamespaceRow {
    pub(super) id: u64,
    pub(super) full_path: String,
}

/// <https://docs.gitlab.com/api/project_webhooks/>. Tokens are never answered; that they are there is, by servers that
/// know of signing tokens.
#[derive(Deserialize)]
pub(super) struct HookRow {
    pub(super) id: u64,
    pub(super) url: String,
    pub(super) token_present: Option<bool>,
    pub(super) signing_token_present: Option<bool>,
    /// `executable`, or what the server calls having stopped to send after failures
    /// (<https://docs.gitlab.com/user/project/integrations/webhooks/#auto-disabled-webhooks>).
    alert_status: Option<String>,
}

impl HookRow {
    /// The server sends nothing to it any more.
    pub(super) fn is_off(&self) -> bool {
        self.alert_status.as_deref().is_some_and(|status| status != "executable")
    }
}
