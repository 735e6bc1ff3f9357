//! What Git providers are called.

use serde::{Deserialize, Serialize};

/// A Git provider: the words of the contract's enum GitProvider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Provider {
    /// gitlab.com or a GitLab of one's own.
    Gitlab,
    /// github.com or a GitHub Enterprise server.
    Github,
}

impl Provider {
    /// Every provider, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::Gitlab, Self::Github];

    /// Its name, as people write it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Gitlab => "GitLab",
            Self::Github => "GitHub",
        }
    }

    /// What the admin's dialog is called in which its token is stored.
    #[must_use]
    pub const fn settings_title(self) -> &'static str {
        match self {
            Self::Gitlab => "GitLab Settings",
            Self::Github => "GitHub Settings",
        }
    }
}

impl std::fmt::Display for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.title())
    }
}

/// What a feature needs a token to be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TokenRight {
    /// List projects and branches.
    ReadProjects,
    /// Fetch source code.
    ReadSource,
    /// List the groups or organizations that a project can be made in.
    ReadNamespaces,
    /// Make projects.
    CreateProjects,
    /// Install webhooks.
    InstallWebhooks,
    /// Make accounts for other people.
    CreateAccounts,
}

impl TokenRight {
    /// What it is needed for: "creating projects".
    #[must_use]
    pub const fn needed_for(self) -> &'static str {
        match self {
            Self::ReadProjects => "listing projects and branches",
            Self::ReadSource => "fetching source code",
            Self::ReadNamespaces => "listing groups and organizations",
            Self::CreateProjects => "creating projects",
            Self::InstallWebhooks => "installing webhooks",
            Self::CreateAccounts => "creating GitLab accounts",
        }
    }
}

/// A right that a token lacks, by the provider's name for what would give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingRight {
    /// The scope or permission, in the provider's words: `api`, `repo`, `read:org`, `instance administrator`.
    pub scope: String,
    /// What can't be done without it.
    pub right: TokenRight,
}
