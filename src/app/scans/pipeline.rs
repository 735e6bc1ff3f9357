//! What the SCAN stage of a pipeline needs: a scan for each kind that is asked for.

use entity::{PipelineTrigger, pipeline, scan, service};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _};

use super::start::{self, BRANCH_LANE, NewScan, Of};
use super::{look, settle};
use crate::app::{App, Event, Result};
use crate::domain::scan::ScanKind;
use crate::domain::status::RunStatus;
use crate::queue::Claim;

pub(in crate::app) use super::effect::take;
pub(in crate::app) use super::targets::Targets;
pub(in crate::app) use super::tools::host_of;
pub(in crate::app) use look::{Look, afresh};
pub(in crate::app) use settle::Ending;

/// The scans of a pipeline's SCAN stage, in the contract's order of kinds: those that are there, and those that are not yet.
/// None: the job is another's.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn rows(
    app: &App,
    claim: &Claim,
    (service, pipeline): (&service::Model, &pipeline::Model),
    kinds: &[ScanKind],
) -> Result<Option<Vec<scan::Model>>> {
    let tx = app.begin().await?;
    if !claim.renew(&tx, app.clock.now() + app.settings.job_lease).await? {
        return Ok(None);
    }
    let there = of_stage(&tx, &pipeline.id).await?;
    let mut rows = Vec::new();
    for kind in ScanKind::ALL.into_iter().filter(|kind| *kind != ScanKind::Dast && kinds.contains(kind)) {
        let row = match there.iter().find(|row| ScanKind::from(row.kind) == kind) {
            Some(row) => row.clone(),
            None => {
                let of = Of { pipeline: Some(pipeline), ..Of::default() };
                start::insert(app, &tx, NewScan { service, kind, lane: lane(pipeline), of }).await?
            }
        };
        rows.push(row);
    }
    tx.commit().await?;
    app.events.publish(Event::Pipeline { pipeline_id: pipeline.id.clone() });
    Ok(Some(rows))
}

/// What scans of a pipeline are compared within. A tag, or a merge request's branch, may be called as the service's branch is,
/// by somebody who may not push to that: what they hold says nothing of it.
fn lane(pipeline: &pipeline::Model) -> String {
    let name = &pipeline.ref_name;
    match pipeline.trigger {
        PipelineTrigger::Tag => format!("tag/{name}"),
        PipelineTrigger::MergeRequest => format!("merge/{name}"),
        PipelineTrigger::Manual | PipelineTrigger::Push | PipelineTrigger::Api => format!("{BRANCH_LANE}{name}"),
    }
}

/// Removes what scans of a pipeline have at work where builds run and on this server.
///
/// # Errors
/// What the engine or the cluster says.
pub(in crate::app) async fn clear(app: &App, pipeline_id: &str) -> std::result::Result<(), String> {
    let open = open(app.db.read(), pipeline_id).await.map_err(|error| error.message)?;
    for row in open.iter().filter(|row| row.started_at.is_some()) {
        afresh(app, row).await.map_err(|error| error.message)??;
    }
    Ok(())
}

/// Ends what has not ended of a pipeline's SCAN stage, with the transaction in which the pipeline ends. Nothing of it is at
/// work any more.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn close(
    app: &App,
    tx: &impl ConnectionTrait,
    pipeline: &pipeline::Model,
    ended: RunStatus,
) -> Result<Vec<scan::Model>> {
    let open = open(tx, &pipeline.id).await?;
    let Some(first) = open.first() else { return Ok(Vec::new()) };
    let scope = look::scope_of(first);
    let mut closed = Vec::new();
    for row in &open {
        let service = crate::app::services::update::for_change(tx, &scope, &row.service_id).await?;
        let verdict = match ended {
            RunStatus::Canceled => (RunStatus::Canceled, "the pipeline was canceled"),
            _ => (RunStatus::Failed, "the pipeline ended before it did"),
        };
        let verdict = (verdict.0, Some(verdict.1.to_owned()));
        closed.push(settle::finish(app, tx, (row, &service), verdict, None).await?);
    }
    Ok(closed)
}

async fn open(db: &impl ConnectionTrait, pipeline_id: &str) -> Result<Vec<scan::Model>> {
    let all = of_stage(db, pipeline_id).await?;
    Ok(all.into_iter().filter(|row| row.finished_at.is_none()).collect())
}

/// What was scanned after a deployment is a job of its own.
async fn of_stage(db: &impl ConnectionTrait, pipeline_id: &str) -> Result<Vec<scan::Model>> {
    Ok(scan::Entity::find()
        .filter(scan::Column::PipelineId.eq(pipeline_id))
        .filter(scan::Column::DeploymentId.is_null())
        .order_by_asc(scan::Column::Id)
        .all(db)
        .await?)
}
