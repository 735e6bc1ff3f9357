//! Git providers: the organization's access to them, what is listed with it, and services that come from there.

pub mod accounts;
pub mod branch;
pub mod check;
pub mod create;
pub(in crate::app) mod declare;
pub mod lists;
mod obstacle;
pub mod register;
mod seen;
pub mod settings;

use std::collections::HashMap;
use std::sync::Arc;

use entity::{git_settings, service};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder as _};

use super::{Actor, App, Error, Precondition, Result, Scope, secrets};
use crate::domain::git::{Provider, TokenRight};
use crate::domain::names::{InvalidName, ProjectPath};
use crate::git::{GitAccess, GitError, GitProvider, ProjectRef};

pub use crate::git::{Branch, Commit, Namespace, NamespaceKind, Project, Visibility};
pub(in crate::app) use obstacle::{mend, obstacle};

/// How often settings are read that are replaced all the time.
const TRIES: usize = 3;

/// A provider, reached with the organization's token.
pub(in crate::app) struct Connected {
    /// Which provider.
    pub(in crate::app) which: Provider,
    /// What is stored about it.
    pub(in crate::app) settings: git_settings::Model,
    /// Its client.
    pub(in crate::app) client: Arc<dyn GitProvider>,
}

/// Reaches a provider with the organization's token, which must have these rights.
///
/// # Errors
/// FAILED_PRECONDITION with GIT_NOT_CONFIGURED, GIT_TOKEN_REJECTED or GIT_SCOPE_MISSING and who can mend it.
pub(in crate::app) async fn connect(
    app: &App,
    actor: &Actor,
    which: Provider,
    needs: &[TokenRight],
) -> Result<Connected> {
    for _ in 0..TRIES {
        let settings = settings::of(app, &actor.scope, which).await?;
        if let Some((reason, message)) = obstacle(actor, which, settings.as_ref(), needs, app.clock.now())? {
            return Err(Error::precondition(reason, message));
        }
        let settings = settings.ok_or_else(|| Error::internal("settings without an obstacle are missing"))?;
        // Without its token the settings were replaced in between: the new ones are read.
        if let Some(client) = client(app, &settings).await? {
            return Ok(Connected { which, settings, client });
        }
    }
    Err(Error::internal(format!("the token of {which} is missing")))
}

/// Reaches the provider that a service comes from, where it is still the one that the settings name.
///
/// # Errors
/// As [`connect`], and FAILED_PRECONDITION (GIT_NOT_CONFIGURED) when the settings name another server by now.
pub(in crate::app) async fn connect_for(
    app: &App,
    actor: &Actor,
    source: &Source,
    needs: &[TokenRight],
) -> Result<Connected> {
    let connected = connect(app, actor, source.provider, needs).await?;
    if connected.settings.base_url != source.base_url {
        let message = format!(
            "the service comes from {}, and the organization's {} is {} by now: {}",
            source.base_url,
            source.provider,
            connected.settings.base_url,
            mend(actor, source.provider)
        );
        return Err(Error::precondition(Precondition::GitNotConfigured, message));
    }
    Ok(connected)
}

/// A client with what is stored; none when the token is gone, because other settings were stored since.
pub(in crate::app) async fn client(app: &App, settings: &git_settings::Model) -> Result<Option<Arc<dyn GitProvider>>> {
    let scope = Scope { organization_id: settings.organization_id.clone() };
    let mut opened = secrets::open_all(app, &scope, vec![settings.secret_id.clone()]).await?;
    let Some(token) = opened.remove(&settings.secret_id) else { return Ok(None) };
    let access = GitAccess {
        provider: of_stored(settings.provider),
        base_url: settings.base_url.clone(),
        token,
        organization_id: scope.organization_id,
        trusted: settings.declared,
    };
    app.gits.connect(&access).map(Some).map_err(|error| Error::upstream(error.to_string()))
}

impl Connected {
    /// What a failed call means to the caller. A token that is not taken any more is remembered as such.
    pub(in crate::app) async fn failed(&self, app: &App, actor: &Actor, error: GitError) -> Error {
        let provider = self.which;
        match error {
            GitError::Unauthorized(message) => {
                if let Err(error) = check::reject(app, &self.settings, &message).await {
                    return error;
                }
                let message = format!("{message}: {}", mend(actor, provider));
                Error::precondition(Precondition::GitTokenRejected, message)
            }
            GitError::Forbidden(message) => {
                Error::precondition(Precondition::GitScopeMissing, format!("{message}: {}", mend(actor, provider)))
            }
            GitError::Limited { message, retry_at } => Error { retry_at, ..Error::upstream(message) },
            GitError::NotFound(message)
            | GitError::Invalid(message)
            | GitError::Taken(message)
            | GitError::Refused(message)
            | GitError::Unreachable(message) => Error::upstream(message),
        }
    }
}

/// Where a service's source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Which provider.
    pub provider: Provider,
    /// Its address.
    pub base_url: String,
    /// The provider's own id of the project.
    pub external_id: String,
    /// Where the project was last seen.
    pub path: String,
    /// Its page there.
    pub web_url: String,
    /// The branch that is built.
    pub branch: String,
    /// The folder that is built.
    pub context_path: String,
}

/// The source of a Git service; none for one that is made of images.
#[must_use]
pub fn source_of(service: &service::Model) -> Option<Source> {
    let provider = match service.source {
        entity::SourceKind::Gitlab => Provider::Gitlab,
        entity::SourceKind::Github => Provider::Github,
        entity::SourceKind::DockerHub => return None,
    };
    Some(Source {
        provider,
        base_url: service.git_base_url.clone()?,
        external_id: service.git_project_id.clone()?,
        path: service.git_project_path.clone()?,
        web_url: service.git_web_url.clone()?,
        branch: service.git_branch.clone()?,
        context_path: service.git_context_path.clone()?,
    })
}

impl Source {
    /// The project, by its id.
    ///
    /// # Errors
    /// INTERNAL when the stored path is none.
    pub(in crate::app) fn project(&self) -> Result<ProjectRef> {
        let path =
            ProjectPath::parse(&self.path).map_err(|e| Error::internal(format!("a stored project path: {e}")))?;
        Ok(ProjectRef::Known { external_id: self.external_id.clone(), path })
    }
}

/// The services that come from these projects of a provider.
pub(in crate::app) fn services_of(
    scope: &Scope,
    which: Provider,
    base_url: &str,
    external_ids: Vec<String>,
) -> sea_orm::Select<service::Entity> {
    scope
        .services()
        .filter(service::Column::Source.eq(source_kind(which)))
        .filter(service::Column::GitBaseUrl.eq(base_url))
        .filter(service::Column::GitProjectId.is_in(external_ids))
}

/// What a project is known by among all of an organization's providers.
#[must_use]
pub fn project_key(which: Provider, base_url: &str, external_id: &str) -> String {
    format!("{external_id} {which} {base_url}")
}

/// The services of many projects at once, by [`project_key`], the newest first.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn services_by_project(
    app: &App,
    scope: &Scope,
    keys: &[String],
) -> Result<HashMap<String, Arc<Vec<Arc<service::Model>>>>> {
    let ids = keys.iter().filter_map(|key| key.split(' ').next().map(str::to_owned));
    let rows = scope
        .services()
        .filter(service::Column::GitProjectId.is_in(ids))
        .order_by_desc(service::Column::Id)
        .all(app.db.read())
        .await?;
    let mut found: HashMap<String, Vec<Arc<service::Model>>> = HashMap::new();
    for row in rows {
        if let Some(source) = source_of(&row) {
            let key = project_key(source.provider, &source.base_url, &source.external_id);
            found.entry(key).or_default().push(Arc::new(row));
        }
    }
    Ok(found.into_iter().map(|(key, rows)| (key, Arc::new(rows))).collect())
}

/// A project's path on this provider: GitHub has no groups in groups.
pub(in crate::app) fn project_path(which: Provider, text: &str) -> std::result::Result<ProjectPath, InvalidName> {
    let path = ProjectPath::parse(text)?;
    if which == Provider::Github && path.parts().count() != 2 {
        return Err(InvalidName("give the repository as owner/repository".to_owned()));
    }
    Ok(path)
}

/// The provider as it is stored.
pub(in crate::app) fn stored(which: Provider) -> entity::GitProvider {
    match which {
        Provider::Gitlab => entity::GitProvider::Gitlab,
        Provider::Github => entity::GitProvider::Github,
    }
}

/// The provider that is stored.
#[must_use]
pub fn of_stored(stored: entity::GitProvider) -> Provider {
    match stored {
        entity::GitProvider::Gitlab => Provider::Gitlab,
        entity::GitProvider::Github => Provider::Github,
    }
}

/// Where services of this provider come from.
pub(in crate::app) fn source_kind(which: Provider) -> entity::SourceKind {
    match which {
        Provider::Gitlab => entity::SourceKind::Gitlab,
        Provider::Github => entity::SourceKind::Github,
    }
}
