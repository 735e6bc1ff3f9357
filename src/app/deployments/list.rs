//! Reading deployments, and keeping as many as are wanted.

use entity::{RunStatus, deployment, environment, log_line};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait as _, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};

use crate::app::{Actor, App, Error, Result, Scope};

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

/// A page's bounds, over ids that grow with time.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// Only older ones than this id.
    pub after: Option<String>,
    /// Only newer ones than this id.
    pub before: Option<String>,
    /// At most so many.
    pub limit: u64,
    /// The oldest within the bounds, not the newest.
    pub from_end: bool,
}

fn select(scope: &Scope, filter: &Filter) -> Select<deployment::Entity> {
    let mut select = scope.deployments();
    if let Some(service_id) = &filter.service_id {
        select = select.filter(deployment::Column::ServiceId.eq(service_id));
    }
    if let Some(status) = &filter.status {
        select = select.filter(deployment::Column::Status.is_in(status.iter().copied()));
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
/// INTERNAL when the database does not answer.
pub async fn page(app: &App, actor: &Actor, filter: &Filter, bounds: &Bounds) -> Result<Vec<deployment::Model>> {
    let mut select = select(&actor.scope, filter);
    if let Some(after) = &bounds.after {
        select = select.filter(deployment::Column::Id.lt(after));
    }
    if let Some(before) = &bounds.before {
        select = select.filter(deployment::Column::Id.gt(before));
    }
    let select = match bounds.from_end {
        true => select.order_by_asc(deployment::Column::Id),
        false => select.order_by_desc(deployment::Column::Id),
    };
    let mut rows = select.limit(bounds.limit).all(app.db.read()).await?;
    if bounds.from_end {
        rows.reverse();
    }
    Ok(rows)
}

/// How many there are.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn count(app: &App, actor: &Actor, filter: &Filter) -> Result<u64> {
    Ok(select(&actor.scope, filter).count(app.db.read()).await?)
}

/// One deployment.
///
/// # Errors
/// NOT_FOUND.
pub async fn one(app: &App, actor: &Actor, id: &str) -> Result<deployment::Model> {
    let found = actor.scope.deployments().filter(deployment::Column::Id.eq(id)).one(app.db.read()).await?;
    found.ok_or_else(|| Error::not_found("deployment"))
}

/// Removes the oldest ended revisions of an environment beyond the number that is kept. What serves stays.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn prune(app: &App, tx: &impl ConnectionTrait, environment_id: &str) -> Result<()> {
    let Some(environment) = environment::Entity::find_by_id(environment_id).one(tx).await? else { return Ok(()) };
    let kept = [environment.current_deployment_id, environment.latest_deployment_id];
    let surplus: Vec<String> = deployment::Entity::find()
        .select_only()
        .column(deployment::Column::Id)
        .filter(deployment::Column::EnvironmentId.eq(environment_id))
        .filter(deployment::Column::FinishedAt.is_not_null())
        .filter(deployment::Column::Id.is_not_in(kept.into_iter().flatten()))
        .order_by_desc(deployment::Column::Id)
        .offset(u64::from(app.settings.keep_revisions))
        .limit(10_000)
        .into_tuple()
        .all(tx)
        .await?;
    if !surplus.is_empty() {
        log_line::Entity::delete_many().filter(log_line::Column::RunId.is_in(surplus.clone())).exec(tx).await?;
        deployment::Entity::delete_many().filter(deployment::Column::Id.is_in(surplus)).exec(tx).await?;
    }
    Ok(())
}
