//! Ending a pipeline before its time: what is at work is stopped first, then the state says so, then the next one runs.

use entity::{
    DeploymentTrigger, PipelineTrigger, RunStatus, deployment, job, log_line, pipeline, service, webhook_delivery,
};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait as _, PaginatorTrait as _, QueryFilter,
    QuerySelect as _, Set,
};
use serde_json::json;

use super::machine::{self, stages_of};
use super::{RUN, start, wake};
use crate::app::audit::{self, Entry};
use crate::app::deployments::{self, environments};
use crate::app::{Actor, App, Error, Event, Result};
use crate::domain::stage::Stages;
use crate::domain::status;
use crate::queue;

/// Ends a pipeline: at once while it waits, else as soon as nothing of it is at work.
///
/// # Errors
/// NOT_FOUND; CONFLICT when it has come to another end already.
pub async fn cancel(app: &App, actor: &Actor, id: &str) -> Result<pipeline::Model> {
    let tx = app.begin().await?;
    let found = actor.scope.pipelines().filter(pipeline::Column::Id.eq(id)).lock_exclusive().one(&tx).await?;
    let row = found.ok_or_else(|| Error::not_found("pipeline"))?;
    if row.status == RunStatus::Canceled {
        return Ok(row);
    }
    if row.finished_at.is_some() {
        return Err(Error::conflict("input.id", format!("pipeline {} has ended already", row.number)));
    }
    let service = environments::service(&tx, &actor.scope, &row.service_id).await?;
    let row = stop(app, &tx, row, "it was canceled").await?;
    let entry = Entry {
        action: "pipeline.canceled",
        subject_kind: "Pipeline",
        subject_id: &row.id,
        subject_name: &service.name,
        detail: json!({ "number": row.number }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    told(app, &row);
    environments::changed(app, &service);
    Ok(row)
}

/// Ends all pipelines of a service that is removed, each in a transaction of its own, which holds nothing else. Safe to
/// repeat.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn all_of(app: &App, service: &service::Model) -> Result<()> {
    let open = pipeline::Entity::find()
        .filter(pipeline::Column::ServiceId.eq(&service.id))
        .filter(pipeline::Column::FinishedAt.is_null());
    for row in open.all(app.db.read_write()).await? {
        let tx = app.begin().await?;
        let held = pipeline::Entity::find_by_id(&row.id).lock_exclusive().one(&tx).await?;
        let Some(row) = held.filter(|row| row.finished_at.is_none()) else { continue };
        let row = stop(app, &tx, row, "the service is being removed").await?;
        tx.commit().await?;
        told(app, &row);
    }
    Ok(())
}

/// Tells whoever works on a pipeline or follows it that it is to end. For after the commit.
fn told(app: &App, row: &pipeline::Model) {
    app.events.publish(Event::Pipeline { pipeline_id: row.id.clone() });
    app.events.publish(Event::Jobs);
}

/// Whether any pipeline of a service has not ended yet.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(in crate::app) async fn any_left(db: &impl ConnectionTrait, service_id: &str) -> Result<bool> {
    let left = pipeline::Entity::find()
        .filter(pipeline::Column::ServiceId.eq(service_id))
        .filter(pipeline::Column::FinishedAt.is_null());
    Ok(left.count(db).await? > 0)
}

/// Deletes what is stored of a service's pipelines and deliveries: none of them is at work any more.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn forget_all(tx: &impl ConnectionTrait, service_id: &str) -> Result<()> {
    let ids = pipeline::Entity::find()
        .select_only()
        .column(pipeline::Column::Id)
        .filter(pipeline::Column::ServiceId.eq(service_id));
    let logs = log_line::Column::RunId.in_subquery(sea_orm::QueryTrait::into_query(ids));
    log_line::Entity::delete_many().filter(logs).exec(tx).await?;
    webhook_delivery::Entity::delete_many().filter(webhook_delivery::Column::ServiceId.eq(service_id)).exec(tx).await?;
    pipeline::Entity::delete_many().filter(pipeline::Column::ServiceId.eq(service_id)).exec(tx).await?;
    Ok(())
}

/// What a new push to a branch finds waiting for the same branch because of an earlier one is no longer of use.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn replace_queued(
    app: &App,
    tx: &impl ConnectionTrait,
    (lane, trigger): (&str, PipelineTrigger),
    number: i32,
) -> Result<()> {
    for job in start::waiting(tx, lane).await? {
        let Some(row) = pipeline::Entity::find_by_id(&job.subject).lock_exclusive().one(tx).await? else { continue };
        // A merge request or a tag of the branch's name is deployed nowhere: it must not take a push's place.
        if row.trigger != trigger || row.retry_of.is_some() || !withdrawn(tx, &job).await? {
            continue;
        }
        let why = format!("a newer push took its place: pipeline {number}");
        end_queued(app, tx, row, &why).await?;
    }
    Ok(())
}

async fn withdrawn(tx: &impl ConnectionTrait, job: &job::Model) -> Result<bool> {
    Ok(queue::withdraw(tx, &job.subject, RUN).await? > 0)
}

async fn stop(app: &App, tx: &impl ConnectionTrait, row: pipeline::Model, why: &str) -> Result<pipeline::Model> {
    if row.status == RunStatus::Queued && queue::withdraw(tx, &row.id, RUN).await? > 0 {
        return end_queued(app, tx, row, why).await;
    }
    pipeline::Entity::update_many()
        .col_expr(pipeline::Column::CancelRequested, Expr::value(true))
        .filter(pipeline::Column::Id.eq(&row.id))
        .exec(tx)
        .await?;
    let deployments = deployment::Entity::find()
        .filter(deployment::Column::PipelineId.eq(&row.id))
        // What somebody deployed by hand is theirs.
        .filter(deployment::Column::Trigger.eq(DeploymentTrigger::Pipeline))
        .filter(deployment::Column::FinishedAt.is_null())
        .all(tx)
        .await?;
    for deployment in deployments {
        deployments::cancel::cancel(app, tx, &deployment, why).await?;
    }
    // Whatever it waits for: it looks at once whether it is wanted.
    wake::wake(app, tx, &row.id).await?;
    queue::hurry(tx, &row.id, app.clock.now()).await?;
    Ok(pipeline::Model { cancel_requested: true, ..row })
}

/// Ends what a pipeline deploys, if somebody has wanted it ended before that was stored.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn end_deployments(app: &App, id: &str) -> Result<()> {
    if !is_wanted(app, id).await? {
        return Ok(());
    }
    let tx = app.begin().await?;
    if let Some(row) = pipeline::Entity::find_by_id(id).lock_exclusive().one(&tx).await? {
        stop(app, &tx, row, "the pipeline was canceled").await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn end_queued(app: &App, tx: &impl ConnectionTrait, row: pipeline::Model, why: &str) -> Result<pipeline::Model> {
    let now = app.clock.now();
    let mut stages = stages_of(&row)?;
    note(&mut stages, why, now)?;
    let mut change = machine::end(&row, RunStatus::Canceled, stages, now)?;
    change.cancel_requested = Set(true);
    Ok(change.update(tx).await?)
}

/// The stage that is next says why it never comes to it.
pub(super) fn note(stages: &mut Stages, why: &str, now: chrono::DateTime<chrono::Utc>) -> Result<()> {
    let Some(next) = stages.next().cloned() else { return Ok(()) };
    let status = match next.status {
        status::RunStatus::Queued => status::RunStatus::Canceled,
        other => other.advance(status::RunStatus::Canceled).map_err(Error::internal)?,
    };
    stages.advance(next.kind, status, Some(why.to_owned()), now).map_err(Error::internal)
}

/// Whether somebody wants a pipeline ended, as far as is stored.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(super) async fn is_wanted(app: &App, id: &str) -> Result<bool> {
    let row = pipeline::Entity::find_by_id(id).one(app.db.read()).await?;
    Ok(row.is_none_or(|row| row.cancel_requested))
}
