//! Telling the Git provider how a commit fares, as a job of its own: a provider that is away holds up no pipeline.

use entity::{RunStatus, pipeline};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter as _};

use super::machine::stages_of;
use super::{REPORT, origin};
use crate::app::deployments::environments;
use crate::app::deployments::perform::Outcome;
use crate::app::{App, Result, Scope};
use crate::domain::names::CommitHash;
use crate::domain::node;
use crate::domain::status::RunStatus as Status;
use crate::git::{CommitState, CommitStatus, GitError};
use crate::queue::{self, Claim, NewJob};

/// Claims of a job after which nobody is told any more.
const ATTEMPTS: i32 = 60;
/// Longest description that both providers take, in characters.
const LONGEST: usize = 140;

/// Lets the provider be told where a pipeline stands, with its caller's transaction.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn enqueue(app: &App, tx: &impl ConnectionTrait, row: &pipeline::Model) -> Result<()> {
    let subject = format!("report:{}", row.id);
    if row.commit_sha.is_none() || queue::is_busy(tx, &subject).await? && row.finished_at.is_none() {
        return Ok(());
    }
    let job = NewJob { organization_id: &row.organization_id, kind: REPORT, lane: &subject, subject: &subject };
    queue::enqueue(tx, job, app.clock.now()).await?;
    Ok(())
}

/// Tells the provider where the pipeline stands now.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn run(app: &App, claim: &Claim) -> Result<Outcome> {
    let id = claim.job.subject.strip_prefix("report:").unwrap_or_default();
    let told = match pipeline::Entity::find_by_id(id).one(app.db.read()).await? {
        Some(row) => tell(app, &row).await?,
        None => Ok(None),
    };
    let state = match told {
        Ok(state) => state,
        Err(why) if claim.job.attempts < ATTEMPTS => return Ok(Outcome::Again(why)),
        Err(why) => {
            tracing::warn!(pipeline = id, %why, "the Git provider was not told how a commit fares");
            None
        }
    };
    let tx = app.begin().await?;
    if let Some(state) = state {
        pipeline::Entity::update_many()
            .col_expr(pipeline::Column::Reported, Expr::value(state))
            .filter(pipeline::Column::Id.eq(id))
            .exec(&tx)
            .await?;
    }
    if !claim.complete(&tx).await? {
        return Ok(Outcome::Lost);
    }
    tx.commit().await?;
    Ok(Outcome::Done)
}

/// The word that was told; none when there is nothing to tell. The inner error is one that time may mend.
async fn tell(app: &App, row: &pipeline::Model) -> Result<std::result::Result<Option<&'static str>, String>> {
    let (state, word) = state(row.status);
    let commit = row.commit_sha.as_deref().and_then(|sha| CommitHash::parse(sha).ok());
    let (Some(commit), false) = (commit, row.reported.as_deref() == Some(word)) else { return Ok(Ok(None)) };
    let scope = Scope { organization_id: row.organization_id.clone() };
    let service = environments::service(app.db.read(), &scope, &row.service_id).await?;
    let place = match origin::place(app, &scope, &service).await? {
        Ok(place) => place,
        Err(why) => return Ok(Err(why)),
    };
    let status = CommitStatus {
        state,
        context: format!("kiops/{}", service.name),
        description: description(row)?,
        target_url: Some(format!("{}/logs/{}", app.settings.public_url, node::id(node::PIPELINE, &row.id))),
    };
    Ok(match place.client.hooks().report_status(&place.project, &commit, &status).await {
        Ok(()) => Ok(Some(word)),
        Err(GitError::Unreachable(why) | GitError::Limited { message: why, .. }) => Err(why),
        Err(other) => {
            tracing::warn!(pipeline = %row.id, error = %other, "the Git provider does not take how a commit fares");
            Ok(None)
        }
    })
}

fn state(status: RunStatus) -> (CommitState, &'static str) {
    match status {
        RunStatus::Queued => (CommitState::Pending, "pending"),
        RunStatus::Running | RunStatus::WaitingApproval => (CommitState::Running, "running"),
        RunStatus::Succeeded | RunStatus::Incomplete | RunStatus::Skipped => (CommitState::Success, "success"),
        RunStatus::Failed => (CommitState::Failure, "failure"),
        RunStatus::Canceled => (CommitState::Canceled, "canceled"),
    }
}

/// What went wrong, or how far it is.
fn description(row: &pipeline::Model) -> Result<String> {
    let stages = stages_of(row)?;
    let failed = stages.all().iter().find(|s| matches!(s.status, Status::Failed | Status::Canceled));
    let text = match failed {
        Some(stage) => format!("{}: {}", stage.kind.as_str(), stage.message.as_deref().unwrap_or("failed")),
        None => format!("pipeline {}", row.number),
    };
    Ok(text.lines().next().unwrap_or_default().chars().take(LONGEST).collect())
}
