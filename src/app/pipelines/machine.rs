//! Every change of a pipeline's status: a step of the state machine in `domain`, or nothing is written.

use chrono::{DateTime, Utc};
use entity::{RunStatus, pipeline};
use sea_orm::{ActiveEnum as _, Set};

use crate::app::{Error, Result};
use crate::domain::stage::Stages;
use crate::domain::status;
use crate::measure;

/// Where each stage stands.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn stages_of(row: &pipeline::Model) -> Result<Stages> {
    serde_json::from_value(row.stages.clone())
        .map_err(|e| Error::internal(format!("stages of pipeline {}: {e}", row.id)))
}

/// A row that stands like this from now on, for its caller to write. To stay where it is, is no step and no fault.
///
/// # Errors
/// INTERNAL when it can't come there from where it is.
pub(super) fn advance(
    row: &pipeline::Model,
    next: RunStatus,
    stages: &Stages,
    now: DateTime<Utc>,
) -> Result<pipeline::ActiveModel> {
    let mut change: pipeline::ActiveModel = row.clone().into();
    change.stages = Set(serde_json::to_value(stages)?);
    if row.status != next {
        let step = status::RunStatus::from(row.status).advance(next.into());
        step.map_err(|illegal| Error::internal(format!("pipeline {}: {illegal}", row.id)))?;
        change.status = Set(next);
    }
    if next == RunStatus::Running {
        change.started_at = Set(row.started_at.or(Some(now)));
    }
    Ok(change)
}

/// A row that has come to its end, for its caller to write: what it did not come to is skipped.
///
/// # Errors
/// INTERNAL when it can't end like this from where it is.
pub(super) fn end(
    row: &pipeline::Model,
    ended: RunStatus,
    mut stages: Stages,
    now: DateTime<Utc>,
) -> Result<pipeline::ActiveModel> {
    stages.close(now);
    let mut change = advance(row, ended, &stages, now)?;
    measure::ended("pipeline", ended.to_value());
    change.finished_at = Set(Some(now));
    Ok(change)
}
