//! Projects move and are renamed: whenever a provider shows one, what is stored of it is brought up to date.

use std::collections::HashMap;

use entity::{git_settings, service};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait as _, QueryFilter as _};

use super::{Connected, of_stored, services_of, source_kind, source_of};
use crate::app::events::ChangeKind;
use crate::app::{App, Result, Scope};
use crate::git::{GitProvider, Project};

/// Notes where projects are now, for the services that come from them.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(super) async fn note(app: &App, scope: &Scope, connected: &Connected, projects: &[&Project]) -> Result<()> {
    if projects.is_empty() {
        return Ok(());
    }
    let now: HashMap<&str, &Project> = projects.iter().map(|p| (p.external_id.as_str(), *p)).collect();
    let ids = now.keys().map(|id| (*id).to_owned()).collect();
    let services = services_of(scope, connected.which, &connected.settings.base_url, ids).all(app.db.read()).await?;
    for service in services {
        let project = service.git_project_id.as_deref().and_then(|id| now.get(id));
        if let Some(project) = project {
            moved(app, &service, project).await?;
        }
    }
    Ok(())
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
    for service in services {
        let Some(source) = source_of(&service) else { continue };
        match client.project(&source.project()?).await {
            Ok(Some(project)) => moved(app, &service, &project).await?,
            Ok(None) => tracing::warn!(service = %service.name, "the project of a service is gone or out of sight"),
            Err(error) => {
                tracing::info!(service = %service.name, %error, "the project of a service could not be looked at");
                return Ok(());
            }
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
