//! Reading deployments, and keeping as many as are wanted.

use entity::{RunStatus, deployment, environment, log_line};
use sea_orm::sea_query::SimpleExpr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter, QueryOrder, QuerySelect, Select};

use crate::app::page::{self, Page};
use crate::app::{Actor, App, Error, Result, Scope, secrets};
use crate::domain::paging::PageRequest;

/// Which deployments; all of the organization's when nothing is named.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one service.
    pub service_id: Option<String>,
    /// Of environments of this name.
    pub environment: Option<String>,
    /// In one of these states.
    pub status: Option<Vec<RunStatus>>,
}

fn select(scope: &Scope, filter: &Filter) -> Select<deployment::Entity> {
    let mut select = scope.deployments();
    if let Some(service_id) = &filter.service_id {
        select = select.filter(deployment::Column::ServiceId.eq(service_id));
    }
    if let Some(status) = &filter.status {
        select = select.filter(deployment::Column::Status.is_in(page::each_once(status)));
    }
    if let Some(name) = &filter.environment {
        let named = scope
            .environments()
            .filter(environment::Column::Name.eq(name))
            .select_only()
            .column(environment::Column::Id);
        select = select.filter(deployment::Column::EnvironmentId.in_subquery(sea_orm::QueryTrait::into_query(named)));
    }
    select
}

/// Deployments, newest first.
///
/// # Errors
/// BAD_USER_INPUT for a cursor of another list, INTERNAL when the database does not answer.
pub async fn page(app: &App, actor: &Actor, filter: &Filter, request: &PageRequest) -> Result<Page<deployment::Model>> {
    page::by_id(app, select(&actor.scope, filter), deployment::Column::Id, request, |row| row.id.clone()).await
}

/// One deployment.
///
/// # Errors
/// NOT_FOUND.
pub async fn one(app: &App, actor: &Actor, id: &str) -> Result<deployment::Model> {
    let found = actor.scope.deployments().filter(deployment::Column::Id.eq(id)).one(app.db.read()).await?;
    found.ok_or_else(|| Error::not_found("deployment"))
}

/// Removes the oldest ended revisions of an environment beyond the number that is kept: as many that succeeded, and as
/// many others, so that failures never push out what can be gone back to. What serves stays, and so does the newest.
/// Secrets that only they referred to go with them.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn prune(app: &App, tx: &impl ConnectionTrait, environment_id: &str) -> Result<()> {
    let Some(environment) = environment::Entity::find_by_id(environment_id).one(tx).await? else { return Ok(()) };
    let succeeded = deployment::Column::Status.eq(RunStatus::Succeeded);
    let others = deployment::Column::Status.ne(RunStatus::Succeeded);
    let mut surplus = beyond(app, tx, environment_id, succeeded).await?;
    surplus.extend(beyond(app, tx, environment_id, others).await?);
    let kept = [environment.current_deployment_id, environment.latest_deployment_id];
    surplus.retain(|id| !kept.iter().flatten().any(|k| k == id));
    if !surplus.is_empty() {
        log_line::Entity::delete_many().filter(log_line::Column::RunId.is_in(surplus.clone())).exec(tx).await?;
        deployment::Entity::delete_many().filter(deployment::Column::Id.is_in(surplus)).exec(tx).await?;
    }
    secrets::sweep(app, tx, &Scope { organization_id: environment.organization_id }).await
}

/// The ended revisions of this outcome that are older than those that are kept.
async fn beyond(
    app: &App,
    tx: &impl ConnectionTrait,
    environment_id: &str,
    outcome: SimpleExpr,
) -> Result<Vec<String>> {
    let ids = deployment::Entity::find()
        .select_only()
        .column(deployment::Column::Id)
        .filter(deployment::Column::EnvironmentId.eq(environment_id))
        .filter(deployment::Column::FinishedAt.is_not_null())
        .filter(outcome)
        .order_by_desc(deployment::Column::Revision)
        .offset(u64::from(app.settings.keep_revisions))
        .limit(10_000)
        .into_tuple()
        .all(tx)
        .await?;
    Ok(ids)
}
