//! Deployments that wait until an admin lets them go on, or stops them.

use chrono::{DateTime, Utc};
use entity::{DeploymentTrigger, RunStatus, ServiceStatus, deployment, environment, service};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, QueryFilter, QuerySelect as _, Set};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::enqueue::job_of;
use super::{built, draft, environments, list, machine, plan, request, status};
use crate::app::audit::{self, By, Entry};
use crate::app::identity::users;
use crate::app::scans::gates::judge::{self, Wish};
use crate::app::services::update::for_change;
use crate::app::{Actor, App, Error, Event, Precondition, Result};
use crate::domain::policy::Action;
use crate::queue;
use crate::scanner::gate::{Outcome, Verdict, Way};

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
    /// Why it goes on although the gate keeps it back.
    pub gate_override: Option<String>,
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

/// Lets a deployment that waits go on: it is queued; or stops it: it is canceled. Of two at once one is too late. The security
/// gate is asked again before it goes on: it says what is known by now, which may be more than when it was asked for.
///
/// # Errors
/// NOT_FOUND, FORBIDDEN for members, BAD_USER_INPUT for a comment that is too long or a reason that is none, CONFLICT
/// when it does not wait any more, FAILED_PRECONDITION for letting one go on whose service or environment is being removed, or
/// which the gate keeps back by now (GATE_BLOCKED).
pub async fn resolve(app: &App, actor: &Actor, input: &ResolveApproval) -> Result<deployment::Model> {
    let seen = list::one(app, actor, &input.id).await?;
    actor.require(Action::ResolveApproval)?;
    let comment = checked(input.comment.as_deref())?;
    if input.gate_override.is_some() {
        actor.require(Action::OverrideGate)?;
    }
    let gate = match input.approve {
        true if seen.status == RunStatus::WaitingApproval => said_now(app, actor, (&seen, input)).await?,
        _ => seen.gate.clone(),
    };
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
    change.gate = Set(gate);
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

/// What the gate says of a deployment by now, as it is stored. What an admin has overridden when it was asked for stays
/// overridden as long as the same is against it.
async fn said_now(
    app: &App,
    actor: &Actor,
    (row, input): (&deployment::Model, &ResolveApproval),
) -> Result<Option<serde_json::Value>> {
    let (db, scope) = (app.db.read(), &actor.scope);
    let service = environments::service(db, scope, &row.service_id).await?;
    let place = scope.environments().filter(environment::Column::Id.eq(&row.environment_id)).one(db).await?;
    let place = place.ok_or_else(|| Error::not_found("deployment"))?;
    let pipeline = built::pipeline_of(db, scope, row).await?;
    let (spec, current) = (plan::spec_of_revision(row)?, request::current_spec(db, scope, &place).await?);
    let what = draft::what(pipeline.as_ref(), &spec, current.as_ref());
    let way = if row.trigger == DeploymentTrigger::Rollback { Way::Back } else { Way::Forward };
    let wish = Wish { service: &service, what, environment: &place, way };
    let now = judge::verdict(app, db, scope, &wish).await?;
    let then: Option<Verdict> = row.gate.clone().map(serde_json::from_value).transpose()?;
    let same = |then: &Verdict| now.as_ref().is_some_and(|now| now.violations == then.violations);
    let verdict = match then.filter(|then| then.outcome == Outcome::Overridden && same(then)) {
        Some(then) if input.gate_override.is_none() => Some(then),
        _ => judge::admit(&By::from(actor), now, input.gate_override.as_deref())?,
    };
    Ok(verdict.map(serde_json::to_value).transpose()?)
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
            "gate": row.gate.as_ref().map(|gate| &gate["outcome"]),
            "gateOverride": row.gate.as_ref().map(|gate| &gate["overrideReason"]),
        }),
    };
    audit::record(app, tx, actor, entry).await
}
