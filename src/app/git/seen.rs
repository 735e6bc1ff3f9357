//! Projects move and are renamed: whenever a provider shows one, what is stored of it is brought up to date.

use std::collections::HashMap;

use entity::{git_settings, service};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait as _, QueryFilter as _};

use super::{Connected, of_stored, services_of, source_kind, source_of};
use crate::app::events::ChangeKind;
use crate::app::{App, Result, Scope};
use crate::git::{GitError, GitProvider, Project};

/// Projects of one list that are asked for once more because they seem to have moved.
const ASKED: usize = 5;

/// Looks whether projects have moved, for the services that come from them. A list may be half a minute old, so whoever
/// seems to have moved is asked for by its id. Whoever reads a list is not troubled with what goes wrong here.
pub(super) async fn note(app: &App, scope: &Scope, connected: &Connected, projects: impl Iterator<Item = &Project>) {
    let paths: HashMap<&str, &str> = projects.map(|p| (p.external_id.as_str(), p.path.as_str())).collect();
    if paths.is_empty() {
        return;
    }
    if let Err(error) = ask_again(app, scope, connected, &paths).await {
        tracing::warn!(%error, "where projects are now could not be noted");
    }
}

async fn ask_again(app: &App, scope: &Scope, connected: &Connected, paths: &HashMap<&str, &str>) -> Result<()> {
    let ids = paths.keys().map(|id| (*id).to_owned()).collect();
    let services = services_of(scope, connected.which, &connected.settings.base_url, ids).all(app.db.read()).await?;
    let elsewhere = services.into_iter().filter(|service| {
        let listed = service.git_project_id.as_deref().and_then(|id| paths.get(id).copied());
        listed.is_some() && listed != service.git_project_path.as_deref()
    });
    look(app, connected.client.as_ref(), elsewhere.take(ASKED).collect()).await
}

/// Asks for every project that a service of the organization comes from.
///
/// # Errors
/// INTERNAL when the database does not answer. A provider that does not answer leaves things as they are.
pub(super) async fn refresh(app: &App, settings: &git_settings::Model, client: &dyn GitProvider) -> Result<()> {
    let scope = Scope { organization_id: settings.organization_id.clone() };
    let services = scope
        .services()
        .filter(service::Column::Source.eq(source_kind(of_stored(settings.provider))))
        .filter(service::Column::GitBaseUrl.eq(&settings.base_url))
        .all(app.db.read())
        .await?;
    look(app, client, services).await
}

/// Asks for the projects of these services, each once, and notes where they are.
async fn look(app: &App, client: &dyn GitProvider, services: Vec<service::Model>) -> Result<()> {
    let mut found: HashMap<String, Option<Project>> = HashMap::new();
    for service in services {
        let Some(source) = source_of(&service) else { continue };
        if !found.contains_key(&source.external_id) {
            let project = match client.project(&source.project()?).await {
                Ok(project) => project,
                // The next project may be another matter.
                Err(GitError::Forbidden(message) | GitError::NotFound(message) | GitError::Invalid(message)) => {
                    tracing::warn!(service = %service.name, %message, "the project of a service can't be looked at");
                    None
                }
                Err(error) => {
                    tracing::info!(%error, "the projects of services could not be looked at");
                    return Ok(());
                }
            };
            found.insert(source.external_id.clone(), project);
        }
        if let Some(Some(project)) = found.get(&source.external_id) {
            moved(app, &service, project).await?;
        }
    }
    Ok(())
}

async fn moved(app: &App, service: &service::Model, project: &Project) -> Result<()> {
    let here = (service.git_project_path.as_deref(), service.git_web_url.as_deref());
    if here == (Some(project.path.as_str()), Some(project.web_url.as_str())) {
        return Ok(());
    }
    service::Entity::update_many()
        .col_expr(service::Column::GitProjectPath, Expr::value(project.path.as_str()))
        .col_expr(service::Column::GitWebUrl, Expr::value(project.web_url.as_str()))
        .filter(service::Column::OrganizationId.eq(&service.organization_id))
        .filter(service::Column::Id.eq(&service.id))
        .exec(app.db.read_write())
        .await?;
    app.events.service(service, ChangeKind::Changed);
    Ok(())
}
