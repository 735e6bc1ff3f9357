//! Git providers: settings, accounts, and services that come from there.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::services::RegisterServicePayload;
use crate::app;
use crate::app::change::Change;
use crate::app::git::Visibility;
use crate::app::git::accounts::{self, CreateAccounts, Mode};
use crate::app::git::create::{CreateGitProject, create_project};
use crate::app::git::register::{GitService, RegisterGitProject, register_project};
use crate::app::git::settings::{self, SaveGitSettings};
use crate::domain::git::Provider;
use crate::domain::secret::SecretString;
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::container::ContainerInput;
use crate::graphql::types::enums::GitProvider;
use crate::graphql::types::git::GitSettings;
use crate::graphql::types::identity::User;
use crate::graphql::types::service::Service;

/// Access to a GitLab.
#[derive(InputObject)]
pub struct SaveGitlabSettingsInput {
    /// Where its pages are, path prefix and all: https://gitlab.example.com
    base_url: String,
    /// A token with the scope `api`; never returned.
    #[graphql(secret)]
    token: String,
}

/// Access to GitHub or a GitHub Enterprise server.
#[derive(InputObject)]
pub struct SaveGithubSettingsInput {
    /// Of an Enterprise server: https://github.example.com. Left out: as stored, or github.com where nothing is; null:
    /// github.com.
    base_url: MaybeUndefined<String>,
    /// A token with the scopes `repo` and `read:org`, or a fine-grained one; never returned.
    #[graphql(secret)]
    token: String,
}

/// The provider took the token, and it is stored.
#[derive(SimpleObject)]
pub struct SaveGitSettingsPayload {
    /// What is stored, without the token.
    git_settings: GitSettings,
}

/// Settings to be forgotten.
#[derive(InputObject)]
pub struct DeleteGitSettingsInput {
    /// Which.
    provider: GitProvider,
}

/// The token is forgotten; services that come from there stay.
#[derive(SimpleObject)]
pub struct DeleteGitSettingsPayload {
    /// Which provider's.
    provider: GitProvider,
}

/// For whom accounts are to be made.
#[derive(InputObject)]
pub struct CreateGitlabAccountsInput {
    /// These users; every user of the organization when left out.
    user_ids: Option<Vec<ID>>,
    /// Only say what would be done.
    #[graphql(default_with = "Some(false)")]
    dry_run: Option<bool>,
}

/// One result for each user.
#[derive(SimpleObject)]
pub struct CreateGitlabAccountsPayload {
    /// In the order in which the users were named.
    results: Vec<GitlabAccountResult>,
}

/// What came of one user.
#[derive(SimpleObject)]
pub struct GitlabAccountResult {
    /// Who.
    user: User,
    /// What came of it.
    outcome: GitlabAccountOutcome,
    /// Their user name on GitLab, where it is known.
    username: Option<String>,
    /// Why it failed.
    message: Option<String>,
}

/// What came of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "accounts::Outcome")]
pub enum GitlabAccountOutcome {
    /// They have an account now; GitLab mails them a link to choose a password.
    Created,
    /// They had one before.
    Exists,
    /// They have none.
    Failed,
    /// They would get one: this was a dry run.
    WouldCreate,
}

/// A project to be registered.
#[derive(InputObject)]
pub struct RegisterGitProjectInput {
    /// Which provider.
    provider: GitProvider,
    /// The project's path: group/subgroup/name or owner/name.
    project: String,
    /// A branch that it has.
    branch: String,
    /// RFC 1123 label, unique in the organization.
    name: String,
    /// Where it will run; it can be said later.
    runtime_id: Option<ID>,
    /// The Kubernetes namespace. GitLab only; the service's name when left out. BAD_USER_INPUT for GitHub.
    namespace: Option<String>,
    /// What runs: exactly one of them without an image, which the build fills in. One named app when left out.
    containers: Option<Vec<ContainerInput>>,
    /// The folder of the project that is built; its root when left out. One project may be several services.
    context_path: Option<String>,
}

/// A project to be made and registered.
#[derive(InputObject)]
pub struct CreateGitProjectInput {
    /// Which provider.
    provider: GitProvider,
    /// GitLab group or user, GitHub organization or user; the token's own account when left out.
    git_namespace: Option<String>,
    /// The project's name, and the last part of its path.
    project_name: String,
    /// RFC 1123 label, unique in the organization.
    name: String,
    /// The first branch, with a README on it.
    #[graphql(default_with = "Some(\"main\".to_owned())")]
    branch: Option<String>,
    /// Only who belongs to it may see it.
    #[graphql(default_with = "Some(true)")]
    private: Option<bool>,
    /// Where it will run; it can be said later.
    runtime_id: Option<ID>,
}

/// Git providers.
#[derive(Default)]
pub struct GitMutation;

#[Object]
impl GitMutation {
    /// [admin] Checks the token with the server before it is stored; replaces the earlier one.
    async fn save_gitlab_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where GitLab is, and the token.")] input: SaveGitlabSettingsInput,
    ) -> Result<Option<SaveGitSettingsPayload>> {
        save(ctx, Provider::Gitlab, Change::Set(input.base_url), input.token).await
    }

    /// [admin] Checks the token with the server before it is stored; replaces the earlier one.
    async fn save_github_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token, and where GitHub is if it is not github.com.")] input: SaveGithubSettingsInput,
    ) -> Result<Option<SaveGitSettingsPayload>> {
        save(ctx, Provider::Github, input.base_url.into(), input.token).await
    }

    /// [admin] Forgets a provider's token. Services that come from there stay.
    async fn delete_git_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: DeleteGitSettingsInput,
    ) -> Result<Option<DeleteGitSettingsPayload>> {
        settings::delete(app(ctx)?, actor(ctx)?, input.provider.into()).await?;
        Ok(Some(DeleteGitSettingsPayload { provider: input.provider }))
    }

    /// [admin] Makes an account on the organization's GitLab for each user who has none, by e-mail address. One result
    /// for each user; one failing does not stop the others; calling again makes no second account. GitLab mails each a
    /// link to choose a password.
    async fn create_gitlab_accounts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "For whom.")] input: CreateGitlabAccountsInput,
    ) -> Result<Option<CreateGitlabAccountsPayload>> {
        let ids = input.user_ids.map(|ids| ids.iter().map(|id| NodeKind::User.row(id)).collect::<app::Result<_>>());
        let mode = if input.dry_run.unwrap_or_default() { Mode::DryRun } else { Mode::Create };
        let create = CreateAccounts { user_ids: ids.transpose()?, mode };
        let results = accounts::create(app(ctx)?, actor(ctx)?, create).await?;
        Ok(Some(CreateGitlabAccountsPayload { results: results.into_iter().map(Into::into).collect() }))
    }

    /// Registers a project that is there as a service. Nothing is built or deployed yet.
    async fn register_git_project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project, a branch, and what the service is.")] input: RegisterGitProjectInput,
    ) -> Result<Option<RegisterServicePayload>> {
        let containers = input.containers.map(|all| all.into_iter().map(Into::into).collect());
        let register = RegisterGitProject {
            provider: input.provider.into(),
            project: input.project,
            branch: input.branch,
            service: service(input.name, input.runtime_id)?,
            namespace: input.namespace,
            containers,
            context_path: input.context_path,
        };
        let service = Service::from(register_project(app(ctx)?, actor(ctx)?, register).await?);
        Ok(Some(RegisterServicePayload { service }))
    }

    /// Makes the project on the provider and registers it. If the second half fails the message says that the project
    /// exists.
    async fn create_git_project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project, and what the service is.")] input: CreateGitProjectInput,
    ) -> Result<Option<RegisterServicePayload>> {
        let create = CreateGitProject {
            provider: input.provider.into(),
            git_namespace: input.git_namespace,
            project_name: input.project_name,
            branch: input.branch.unwrap_or_else(|| "main".to_owned()),
            visibility: if input.private.unwrap_or(true) { Visibility::Private } else { Visibility::Public },
            service: service(input.name, input.runtime_id)?,
        };
        let service = Service::from(create_project(app(ctx)?, actor(ctx)?, create).await?);
        Ok(Some(RegisterServicePayload { service }))
    }
}

async fn save(
    ctx: &Context<'_>,
    provider: Provider,
    base_url: Change<String>,
    token: String,
) -> Result<Option<SaveGitSettingsPayload>> {
    let save = SaveGitSettings { provider, base_url, token: SecretString::from(token) };
    let git_settings = GitSettings(settings::save(app(ctx)?, actor(ctx)?, save).await?);
    Ok(Some(SaveGitSettingsPayload { git_settings }))
}

fn service(name: String, runtime_id: Option<ID>) -> Result<GitService> {
    let runtime_id = runtime_id.map(|id| NodeKind::Runtime.row(&id)).transpose()?;
    Ok(GitService { name, runtime_id })
}

impl From<accounts::AccountResult> for GitlabAccountResult {
    fn from(result: accounts::AccountResult) -> Self {
        Self {
            user: User(result.person),
            outcome: result.outcome.into(),
            username: result.username,
            message: result.message,
        }
    }
}
