//! Reading pipelines.

use std::collections::HashMap;
use std::sync::Arc;

use entity::{RunStatus, deployment, pipeline};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder as _, Select};

use super::RUN;
use crate::app::page::{self, Page};
use crate::app::{Actor, App, Error, Result, Scope};
use crate::domain::paging::PageRequest;
use crate::queue;

pub use super::machine::stages_of;

/// Which pipelines; all of the organization's when nothing is named.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one service.
    pub service_id: Option<String>,
    /// Of this branch, tag or commit.
    pub ref_name: Option<String>,
    /// In one of these states.
    pub status: Option<Vec<RunStatus>>,
}

fn select(scope: &Scope, filter: &Filter) -> Select<pipeline::Entity> {
    let mut select = scope.pipelines();
    if let Some(service_id) = &filter.service_id {
        select = select.filter(pipeline::Column::ServiceId.eq(service_id));
    }
    if let Some(name) = &filter.ref_name {
        select = select.filter(pipeline::Column::RefName.eq(name.replace('\0', "\u{fffd}")));
    }
    if let Some(status) = &filter.status {
        select = select.filter(pipeline::Column::Status.is_in(page::each_once(status)));
    }
    select
}

/// Pipelines, newest first.
///
/// # Errors
/// BAD_USER_INPUT for a cursor of another list, INTERNAL when the database does not answer.
pub async fn page(app: &App, actor: &Actor, filter: &Filter, request: &PageRequest) -> Result<Page<pipeline::Model>> {
    page::by_id(app, select(&actor.scope, filter), pipeline::Column::Id, request, |row| row.id.clone()).await
}

/// One pipeline.
///
/// # Errors
/// NOT_FOUND.
pub async fn one(app: &App, actor: &Actor, id: &str) -> Result<pipeline::Model> {
    let found = actor.scope.pipelines().filter(pipeline::Column::Id.eq(id)).one(app.db.read()).await?;
    found.ok_or_else(|| Error::not_found("pipeline"))
}

/// What deploys the images of many pipelines at once, by pipeline, oldest first.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn deployments(
    app: &App,
    scope: &Scope,
    pipeline_ids: &[String],
) -> Result<HashMap<String, Arc<Vec<Arc<deployment::Model>>>>> {
    let rows = scope
        .deployments()
        .filter(deployment::Column::PipelineId.is_in(pipeline_ids))
        .order_by_asc(deployment::Column::Id)
        .all(app.db.read())
        .await?;
    let mut found: HashMap<String, Vec<Arc<deployment::Model>>> = HashMap::new();
    for row in rows {
        if let Some(pipeline) = row.pipeline_id.clone() {
            found.entry(pipeline).or_default().push(Arc::new(row));
        }
    }
    Ok(found.into_iter().map(|(id, rows)| (id, Arc::new(rows))).collect())
}

/// Where a pipeline stands among all that wait: 1 is next. None once it runs.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn position(app: &App, pipeline: &pipeline::Model) -> Result<Option<i32>> {
    if pipeline.status != RunStatus::Queued {
        return Ok(None);
    }
    let position = queue::position(app.db.read(), &pipeline.id, RUN).await?;
    Ok(position.map(|n| i32::try_from(n).unwrap_or(i32::MAX)))
}
