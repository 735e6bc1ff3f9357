//! Deployments that wait until an admin lets them go on, or stops them.

use chrono::{DateTime, Utc};
use entity::{RunStatus, ServiceStatus, deployment, environment, service};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, QueryFilter, QuerySelect as _, Set};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::enqueue::job_of;
use super::{built, environments, list, machine, request, status};
use crate::app::audit::{self, Entry};
use crate::app::identity::users;
use crate::app::services::update::for_change;
use crate::app::{Actor, App, Error, Event, Precondition, Result};
use crate::domain::policy::Action;
use crate::queue;

/// Characters of a comment at most.
const LONGEST_COMMENT: usize = 2000;

/// Who was asked for leave, and what they said, as a deployment's row keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When it was given or refused.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Who gave or refused it.
    pub resolved_by: Option<String>,
    /// Whether it was given.
    pub approved: Option<bool>,
    /// What they said.
    pub comment: Option<String>,
}

/// What `resolveApproval` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveApproval {
    /// The deployment's id.
    pub id: String,
    /// It may go on; else it is canceled.
    pub approve: bool,
    /// Why, for whoever asked.
    pub comment: Option<String>,
}

impl Approval {
    /// One that is asked for now.
    pub(super) fn requested(now: DateTime<Utc>) -> Self {
        Self { requested_at: now, resolved_at: None, resolved_by: None, approved: None, comment: None }
    }
}

/// The approval of a deployment; none where none was needed.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn approval_of(deployment: &deployment::Model) -> Result<Option<Approval>> {
    let Some(stored) = deployment.approval.clone() else { return Ok(None) };
    let read = serde_json::from_value(stored);
    read.map(Some).map_err(|e| Error::internal(format!("approval of deployment {}: {e}", deployment.id)))
}

/// Whether somebody may approve or reject a deployment now.
#[must_use]
pub fn can_resolve(actor: &Actor, deployment: &deployment::Model) -> bool {
    deployment.status == RunStatus::WaitingApproval && actor.may(Action::ResolveApproval)
}

/// Lets a deployment that waits go on: it is queued; or stops it: it is canceled. Of two at once one is too late.
///
/// # Errors
/// NOT_FOUND, FORBIDDEN for members, BAD_USER_INPUT for a comment that is too long, CONFLICT when it does not wait any
/// more, FAILED_PRECONDITION for letting one go on whose service or environment is being removed.
pub async fn resolve(app: &App, actor: &Actor, input: &ResolveApproval) -> Result<deployment::Model> {
    let seen = list::one(app, actor, &input.id).await?;
    actor.require(Action::ResolveApproval)?;
    let comment = checked(input.comment.as_deref())?;
    let me = users::by_ids(app, &actor.scope, std::slice::from_ref(&actor.user_id)).await?;
    let name = me.get(&actor.user_id).map_or("an admin", |person| person.name.as_str());

    let tx = app.begin().await?;
    // Always the environment first, then its service.
    let environment = environments::held(&tx, &actor.scope, &seen.environment_id).await?;
    let environment = environment.ok_or_else(|| Error::not_found("deployment"))?;
    let service = for_change(&tx, &actor.scope, &seen.service_id).await?;
    let found = actor.scope.deployments().filter(deployment::Column::Id.eq(&seen.id)).lock_exclusive().one(&tx);
    let row = found.await?.ok_or_else(|| Error::not_found("deployment"))?;
    let waits = approval_of(&row)?.filter(|_| row.status == RunStatus::WaitingApproval);
    let asked = waits.ok_or_else(|| Error::conflict("input.id", why_not(&row)))?;
    if input.approve {
        request::refuse_while_removing(&service)?;
        if environment.status == ServiceStatus::Removing {
            return Err(Error::precondition(Precondition::InProgress, "the environment is being removed"));
        }
    }
    let now = app.clock.now();
    let said = Approval {
        resolved_at: Some(now),
        resolved_by: Some(actor.user_id.clone()),
        approved: Some(input.approve),
        comment: comment.clone(),
        ..asked
    };
    let mut change = match input.approve {
        true => machine::queue(&row)?,
        false => {
            let because = comment.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
            machine::end(&row, RunStatus::Canceled, Some(format!("rejected by {name}{because}")), now)?
        }
    };
    change.approval = Set(Some(serde_json::to_value(&said)?));
    let row = change.update(&tx).await?;
    if input.approve {
        let mut change: environment::ActiveModel = environment.clone().into();
        change.status = Set(ServiceStatus::Deploying);
        change.status_message = Set(None);
        change.update(&tx).await?;
        status::settle(app, &tx, &service.id).await?;
        queue::enqueue(&tx, job_of(&row), now).await?;
    }
    built::tell_pipeline(app, &tx, &row).await?;
    record(app, &tx, actor, (&service, &environment, &row)).await?;
    tx.commit().await?;
    app.events.publish(Event::Deployment { deployment_id: row.id.clone() });
    environments::changed(app, &service);
    app.events.publish(Event::Jobs);
    Ok(row)
}

fn checked(comment: Option<&str>) -> Result<Option<String>> {
    let Some(text) = comment.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > LONGEST_COMMENT {
        return Err(Error::bad_input("input.comment", format!("a comment has at most {LONGEST_COMMENT} characters")));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Error::bad_input("input.comment", "a comment has no control characters but line ends and tabs"));
    }
    Ok(Some(text.to_owned()))
}

/// Why nobody can approve or reject it.
fn why_not(row: &deployment::Model) -> String {
    let approved = approval_of(row).ok().flatten().and_then(|approval| approval.approved);
    match approved {
        Some(true) => "it was approved already".to_owned(),
        Some(false) => "it was rejected already".to_owned(),
        None => {
            let status = crate::domain::status::RunStatus::from(row.status);
            format!("it does not wait for an approval: it is {status}")
        }
    }
}

async fn record(
    app: &App,
    tx: &impl ConnectionTrait,
    actor: &Actor,
    (service, environment, row): (&service::Model, &environment::Model, &deployment::Model),
) -> Result<()> {
    let approval = approval_of(row)?;
    let entry = Entry {
        action: match row.status {
            RunStatus::Queued => "deployment.approved",
            _ => "deployment.rejected",
        },
        subject_kind: "Deployment",
        subject_id: &row.id,
        subject_name: &service.name,
        detail: json!({
            "environment": environment.name,
            "revision": row.revision,
            "comment": approval.and_then(|a| a.comment),
        }),
    };
    audit::record(app, tx, actor, entry).await
}
