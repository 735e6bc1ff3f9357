//! Git providers: settings, projects, branches and namespaces.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};
use entity::git_settings;

use super::enums::GitProvider;
use super::identity::User;
use super::service::Service;
use crate::app::git::lists::{self, FoundProject};
use crate::app::git::{self, Source, settings};
use crate::app::pipelines::start::CommitInfo;
use crate::graphql::connection::{ASKED_ELSEWHERE, Uncounted, Window, listed};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::loaders::loaders;
use crate::graphql::whole::whole;

/// The organization's stored access to one Git provider.
pub struct GitSettings(pub git_settings::Model);

/// The organization's stored access to one Git provider. The token itself is never returned.
#[Object]
impl GitSettings {
    /// Opaque and stable.
    pub async fn id(&self) -> ID {
        NodeKind::GitSettings.id(&self.0.id)
    }

    /// Which provider.
    async fn provider(&self) -> GitProvider {
        git::of_stored(self.0.provider).into()
    }

    /// https://gitlab.example.com; for GitHub https://api.github.com unless it is an Enterprise server.
    async fn base_url(&self) -> &str {
        &self.0.base_url
    }

    /// The last four characters, to recognise the token by; empty for a token that is too short to show any.
    async fn token_hint(&self) -> &str {
        &self.0.token_hint
    }

    /// Whose token it is; null where the token may not ask.
    async fn account(&self) -> Option<&str> {
        self.0.account.as_deref()
    }

    /// What the token may do, in the provider's words; empty where the provider names none, as GitHub does for
    /// fine-grained tokens.
    async fn scopes(&self) -> Result<Vec<String>> {
        Ok(settings::scopes_of(&self.0)?)
    }

    /// Scopes that features need and the token lacks.
    async fn missing_scopes(&self) -> Result<Vec<MissingScope>> {
        let missing = settings::missing_of(&self.0)?.into_iter();
        Ok(missing.map(|m| MissingScope { scope: m.scope, needed_for: m.right.needed_for().to_owned() }).collect())
    }

    /// When the token ends; null when it does not, or the provider does not say.
    async fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// When the token was last tried: when it was saved, and then daily.
    async fn checked_at(&self) -> DateTime<Utc> {
        self.0.checked_at
    }

    /// What was wrong with it then; null when nothing was.
    async fn status_message(&self) -> Option<&str> {
        self.0.status_message.as_deref()
    }

    /// Who stored it; null once they no longer belong to the organization.
    async fn saved_by(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        nullable(self.load_saver(ctx).await)
    }

    /// Stated in kiops.toml; mutations that would change it are FAILED_PRECONDITION, DECLARED.
    async fn declared(&self) -> bool {
        self.0.declared
    }
}

impl GitSettings {
    async fn load_saver(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match &self.0.saved_by {
            Some(id) => Ok(loaders(ctx)?.person(id).await?.map(User)),
            None => Ok(None),
        }
    }
}

/// A scope that the token lacks.
#[derive(SimpleObject)]
pub struct MissingScope {
    /// The scope or permission, in the provider's words.
    scope: String,
    /// What can't be done without it.
    needed_for: String,
}

/// What a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::app::git::NamespaceKind")]
pub enum GitNamespaceKind {
    /// A GitLab group or a GitHub organization.
    Group,
    /// A person's own.
    User,
}

/// A GitLab group or user namespace, a GitHub organization or user.
#[derive(SimpleObject)]
pub struct GitNamespace {
    /// What to pass as `gitNamespace`: a full path.
    path: String,
    /// For people.
    name: String,
    /// Group or person.
    kind: GitNamespaceKind,
    /// Its picture.
    avatar_url: Option<String>,
}

impl From<git::Namespace> for GitNamespace {
    fn from(n: git::Namespace) -> Self {
        Self { path: n.path, name: n.name, kind: n.kind.into(), avatar_url: n.avatar_url }
    }
}

/// A GitLab project or a GitHub repository, as the organization's token sees it.
pub struct GitProject(pub FoundProject);

/// A GitLab project or a GitHub repository, as the organization's token sees it.
#[Object]
impl GitProject {
    /// Where it is.
    async fn provider(&self) -> GitProvider {
        self.0.provider.into()
    }

    /// The provider's own id, as text. It stays when the project is renamed or moved.
    async fn external_id(&self) -> &str {
        &self.0.project.external_id
    }

    /// group/subgroup/name or owner/name.
    async fn path(&self) -> &str {
        self.0.project.path.as_str()
    }

    /// For people.
    async fn name(&self) -> &str {
        &self.0.project.name
    }

    /// Its one line.
    async fn description(&self) -> Option<&str> {
        self.0.project.description.as_deref()
    }

    /// Its page.
    async fn web_url(&self) -> &str {
        &self.0.project.web_url
    }

    /// Null while it is empty.
    async fn default_branch(&self) -> Option<&str> {
        self.0.project.default_branch.as_deref()
    }

    /// Not everybody may see it.
    async fn private(&self) -> bool {
        self.0.project.private
    }

    /// It can be read and no longer changed; it can't be registered.
    async fn archived(&self) -> bool {
        self.0.project.archived
    }

    /// When anything last happened in it.
    async fn last_activity_at(&self) -> Option<DateTime<Utc>> {
        self.0.project.last_activity_at
    }

    /// Services of this organization that already use the project, the newest first.
    async fn services(&self, ctx: &Context<'_>) -> Result<Vec<Service>> {
        let FoundProject { provider, base_url, project } = &self.0;
        let key = git::project_key(*provider, base_url, &project.external_id);
        let found = whole(ctx, loaders(ctx)?.services_of_project(&key)).await?;
        Ok(found.iter().cloned().map(Service::shared).collect())
    }

    /// Its branches, the default one first.
    #[graphql(complexity = "ASKED_ELSEWHERE + crate::graphql::connection::cost(first, None, child_complexity)")]
    async fn branches(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Part of the name.")] search: Option<String>,
        #[graphql(desc = "How many at most; 20 when left out, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Option<Result<Uncounted<GitBranch>>> {
        Some(self.load_branches(ctx, search, Window::forward(first, after)).await)
    }
}

impl GitProject {
    async fn load_branches(
        &self,
        ctx: &Context<'_>,
        search: Option<String>,
        window: Window,
    ) -> Result<Uncounted<GitBranch>> {
        let (app, actor) = (app(ctx)?, actor(ctx)?);
        let page = window.check(app)?;
        let (which, project) = (self.0.provider, self.0.project.reference());
        let found = lists::branches(app, actor, which, project, search.as_deref(), &page).await?;
        Ok(listed(found, GitBranch::from))
    }
}

/// A branch of a project.
#[derive(SimpleObject)]
pub struct GitBranch {
    /// Without refs/heads/.
    name: String,
    /// What it points at.
    commit: Commit,
    /// The project's default branch.
    is_default: bool,
    /// The provider guards it.
    protected: bool,
}

impl From<git::Branch> for GitBranch {
    fn from(b: git::Branch) -> Self {
        Self { name: b.name.into(), commit: b.commit.into(), is_default: b.is_default, protected: b.protected }
    }
}

/// A commit, as far as the provider's listing tells of it: GitHub's list of branches tells the hash alone.
#[derive(SimpleObject)]
pub struct Commit {
    /// Its full hash.
    sha: String,
    /// What its author wrote.
    message: Option<String>,
    /// Who wrote it.
    author_name: Option<String>,
    /// When it was committed.
    committed_at: Option<DateTime<Utc>>,
    /// Its page.
    web_url: Option<String>,
}

impl From<git::Commit> for Commit {
    fn from(c: git::Commit) -> Self {
        Self {
            sha: c.sha,
            message: c.message,
            author_name: c.author_name,
            committed_at: c.committed_at,
            web_url: c.web_url,
        }
    }
}

impl From<CommitInfo> for Commit {
    fn from(c: CommitInfo) -> Self {
        Self {
            sha: c.sha,
            message: c.message,
            author_name: c.author_name,
            committed_at: c.committed_at,
            web_url: c.web_url,
        }
    }
}

/// Where the source of a service is.
#[derive(SimpleObject)]
pub struct GitSource {
    /// Which provider.
    provider: GitProvider,
    /// Where the project was last seen: group/subgroup/name or owner/name.
    project_path: String,
    /// Its page.
    web_url: String,
    /// The branch that is built.
    branch: String,
    /// The folder of the project that is built: `.` is its root.
    context_path: String,
}

impl From<Source> for GitSource {
    fn from(s: Source) -> Self {
        Self {
            provider: s.provider.into(),
            project_path: s.path,
            web_url: s.web_url,
            branch: s.branch,
            context_path: s.context_path,
        }
    }
}
