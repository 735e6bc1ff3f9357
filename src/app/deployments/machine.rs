//! Every change of a deployment's status: a step of the state machine in `domain`, or nothing is written.

use chrono::{DateTime, Utc};
use entity::{DeploymentPhase, RunStatus, deployment};
use sea_orm::{ActiveEnum as _, Set};

use crate::app::{Error, Result};
use crate::domain::status;
use crate::measure;

/// The same states, as the machine knows them.
impl From<RunStatus> for status::RunStatus {
    fn from(stored: RunStatus) -> Self {
        match stored {
            RunStatus::Queued => Self::Queued,
            RunStatus::Running => Self::Running,
            RunStatus::WaitingApproval => Self::WaitingApproval,
            RunStatus::Succeeded => Self::Succeeded,
            RunStatus::Incomplete => Self::Incomplete,
            RunStatus::Failed => Self::Failed,
            RunStatus::Canceled => Self::Canceled,
            RunStatus::Skipped => Self::Skipped,
        }
    }
}

/// The same states, as they are stored.
impl From<status::RunStatus> for RunStatus {
    fn from(state: status::RunStatus) -> Self {
        match state {
            status::RunStatus::Queued => Self::Queued,
            status::RunStatus::Running => Self::Running,
            status::RunStatus::WaitingApproval => Self::WaitingApproval,
            status::RunStatus::Succeeded => Self::Succeeded,
            status::RunStatus::Incomplete => Self::Incomplete,
            status::RunStatus::Failed => Self::Failed,
            status::RunStatus::Canceled => Self::Canceled,
            status::RunStatus::Skipped => Self::Skipped,
        }
    }
}

/// A row that is to be at work, for its caller to write. One that is at work already stays so: a worker that goes on
/// from where another was killed begins nothing.
///
/// # Errors
/// INTERNAL when it can't be at work from where it is.
pub(super) fn begin(row: &deployment::Model, now: DateTime<Utc>) -> Result<deployment::ActiveModel> {
    let mut change: deployment::ActiveModel = row.clone().into();
    if row.status != RunStatus::Running {
        step(row, RunStatus::Running)?;
        change.status = Set(RunStatus::Running);
        change.started_at = Set(row.started_at.or(Some(now)));
    }
    Ok(change)
}

/// A row that waited for an approval and is queued now, for its caller to write.
///
/// # Errors
/// INTERNAL when it can't be queued from where it is.
pub(super) fn queue(row: &deployment::Model) -> Result<deployment::ActiveModel> {
    step(row, RunStatus::Queued)?;
    let mut change: deployment::ActiveModel = row.clone().into();
    change.status = Set(RunStatus::Queued);
    Ok(change)
}

/// A row that has come to its end, for its caller to write: the status, what came of it, and when.
///
/// # Errors
/// INTERNAL when it can't end like this from where it is.
pub(super) fn end(
    row: &deployment::Model,
    ended: RunStatus,
    message: Option<String>,
    now: DateTime<Utc>,
) -> Result<deployment::ActiveModel> {
    step(row, ended)?;
    // Before it is written, so that one whose server dies now is counted twice.
    measure::ended("deployment", ended.to_value());
    let mut change: deployment::ActiveModel = row.clone().into();
    change.status = Set(ended);
    change.message = Set(message);
    change.phase = Set(DeploymentPhase::Done);
    change.finished_at = Set(Some(now));
    Ok(change)
}

fn step(row: &deployment::Model, next: RunStatus) -> Result<()> {
    let step = status::RunStatus::from(row.status).advance(next.into());
    step.map(|_| ()).map_err(|illegal| Error::internal(format!("deployment {}: {illegal}", row.id)))
}
