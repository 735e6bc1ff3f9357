//! The one transaction that queues a deployment, or lets it wait for an approval.

use entity::{DeploymentPhase, RunStatus, ServiceStatus, WriteTx, deployment, environment, service};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, IntoActiveModel, QueryFilter, QuerySelect, Set};
use serde_json::json;

use super::approvals::Approval;
use super::draft::Draft;
use super::request::{refuse_while_removing, with_key};
use super::{cancel, environments, jobs, list, status};
use crate::app::audit::{self, By, Entry};
use crate::app::error::is_unique_violation;
use crate::app::services::update::for_change;
use crate::app::{App, Error, Event, Precondition, Result, Scope};
use crate::queue::{self, NewJob};

/// Writes the deployment, and its job unless it waits for an approval. Those that still wait in its environment give way
/// to it. None when the facts of the draft are no longer so: plan anew.
///
/// # Errors
/// FAILED_PRECONDITION while service or environment are being removed, INTERNAL when the database refuses.
pub(super) async fn enqueue(
    app: &App,
    by: &By,
    draft: &Draft,
    key: Option<String>,
) -> Result<Option<deployment::Model>> {
    let scope = by.scope();
    let tx = app.begin().await?;
    let Some((service, environment)) = held(&tx, &scope, draft, key.as_deref()).await? else { return Ok(None) };
    let Some(asked) = insert(app, &tx, by, (draft, &environment, key)).await? else { return Ok(None) };
    let why = format!("revision {} took its place", asked.revision);
    let replaced = cancel::waiting(app, &tx, &environment.id, (&why, Some(&asked.id))).await?;
    let waits = asked.status == RunStatus::WaitingApproval;
    let mut change: environment::ActiveModel = environment.clone().into();
    change.next_revision = Set(environment.next_revision + 1);
    change.latest_deployment_id = Set(Some(asked.id.clone()));
    if !waits {
        change.status = Set(ServiceStatus::Deploying);
        change.status_message = Set(None);
    }
    change.update(&tx).await?;
    status::settle(app, &tx, &service.id).await?;
    if !waits {
        queue::enqueue(&tx, job_of(&asked), app.clock.now()).await?;
    }
    record(app, &tx, by, (draft, &service, &asked)).await?;
    if !replaced.is_empty() {
        list::prune(app, &tx, &environment.id).await?;
    }
    tx.commit().await?;
    environments::changed(app, &service);
    for deployment in replaced {
        app.events.publish(Event::Deployment { deployment_id: deployment.id });
    }
    app.events.publish(Event::Jobs);
    Ok(Some(asked))
}

/// The job that a queued deployment is.
pub(super) fn job_of(deployment: &deployment::Model) -> NewJob<'_> {
    NewJob {
        organization_id: &deployment.organization_id,
        kind: jobs::DEPLOYMENT,
        lane: &deployment.environment_id,
        subject: &deployment.id,
    }
}

/// The service, and the environment, which is made if it has to be; both held. None when the facts of the draft are no
/// longer so, or the key was used meanwhile.
async fn held(
    tx: &WriteTx,
    scope: &Scope,
    draft: &Draft,
    key: Option<&str>,
) -> Result<Option<(service::Model, environment::Model)>> {
    if !hold(tx, scope, draft).await? {
        return Ok(None);
    }
    let service = for_change(tx, scope, &draft.service.id).await?;
    refuse_while_removing(&service)?;
    let row = environments::meant(tx, scope, &service.id, Some(&draft.place.row.name)).await?;
    let row = match row {
        // Made meanwhile. Its lock comes before the service's, which is held already: plan anew, not in a circle.
        Some(_) if !draft.place.exists => return Ok(None),
        Some(row) => environments::held(tx, scope, &row.id).await?,
        None => None,
    };
    let facts = |e: &environment::Model| {
        (e.settings_version, e.current_deployment_id.clone(), e.runtime_id.clone(), e.next_runtime_id.clone())
    };
    let same = service.definition_version == draft.service.definition_version
        && (draft.place.exists || service.runtime_id.as_ref() == Some(&draft.place.row.runtime_id))
        && row.as_ref().map(facts) == draft.place.exists.then(|| facts(&draft.place.row));
    if !same || with_key(tx, scope, &service.id, key).await?.is_some() {
        return Ok(None);
    }
    let environment = match row {
        Some(row) => row,
        None => match draft.place.row.clone().into_active_model().reset_all().insert(tx).await {
            Ok(row) => row,
            // Another first deployment made it meanwhile.
            Err(error) if is_unique_violation(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        },
    };
    if environment.status == ServiceStatus::Removing {
        return Err(Error::precondition(Precondition::InProgress, "the environment is being removed"));
    }
    Ok(Some((service, environment)))
}

/// Holds what the plan came from until the transaction ends, the environment before its service as everywhere. False
/// when the revision to go back to is gone.
async fn hold(tx: &impl ConnectionTrait, scope: &Scope, draft: &Draft) -> Result<bool> {
    let place = scope.environments().filter(environment::Column::Id.eq(&draft.place.row.id));
    place.lock_exclusive().one(tx).await?;
    let Some(to) = &draft.rollback_of else { return Ok(true) };
    let to = scope.deployments().filter(deployment::Column::Id.eq(&to.id));
    Ok(to.lock_shared().one(tx).await?.is_some())
}

async fn insert(
    app: &App,
    tx: &impl ConnectionTrait,
    by: &By,
    (draft, environment, key): (&Draft, &environment::Model, Option<String>),
) -> Result<Option<deployment::Model>> {
    let (plan, now) = (&draft.plan, app.clock.now());
    let (status, approval) = match environment.require_approval {
        true => (RunStatus::WaitingApproval, Some(serde_json::to_value(Approval::requested(now))?)),
        false => (RunStatus::Queued, None),
    };
    let row = deployment::ActiveModel {
        id: Set(app.ids.id()),
        organization_id: Set(environment.organization_id.clone()),
        service_id: Set(environment.service_id.clone()),
        environment_id: Set(environment.id.clone()),
        runtime_id: Set(plan.course.to.id.clone()),
        moved_from: Set(None),
        revision: Set(environment.next_revision),
        trigger: Set(draft.trigger),
        triggered_by: Set(by.user_id.clone()),
        rollback_of: Set(draft.rollback_of.as_ref().map(|d| d.id.clone())),
        status: Set(status),
        phase: Set(DeploymentPhase::Prepare),
        message: Set(None),
        spec: Set(serde_json::to_value(&plan.spec)?),
        manifest: Set(plan.manifest.clone()),
        warnings: Set(json!(plan.warnings)),
        tags: Set(serde_json::to_value(&draft.tags)?),
        plan_hash: Set(plan.hash()),
        pipeline_id: Set(draft.pipeline_id.clone()),
        approval: Set(approval),
        gate: Set(draft.gate.as_ref().map(serde_json::to_value).transpose()?),
        cancel_requested: Set(false),
        definition_version: Set(draft.service.definition_version),
        settings_version: Set(environment.settings_version),
        idempotency_key: Set(key),
        created_at: Set(now),
        started_at: Set(None),
        finished_at: Set(None),
    };
    match row.insert(tx).await {
        Ok(row) => Ok(Some(row)),
        // The same key, in another environment of the service at the same moment.
        Err(error) if is_unique_violation(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn record(
    app: &App,
    tx: &impl ConnectionTrait,
    by: &By,
    (draft, service, asked): (&Draft, &service::Model, &deployment::Model),
) -> Result<()> {
    let entry = Entry {
        action: if draft.rollback_of.is_some() { "deployment.rolled_back" } else { "deployment.started" },
        subject_kind: "Deployment",
        subject_id: &asked.id,
        subject_name: &service.name,
        detail: json!({
            "environment": draft.place.row.name,
            "revision": asked.revision,
            "backTo": draft.rollback_of.as_ref().map(|d| d.revision),
            "trigger": asked.trigger,
            "waitsForApproval": asked.status == RunStatus::WaitingApproval,
            "gate": draft.gate.as_ref().map(|gate| gate.outcome),
            "gateOverride": draft.gate.as_ref().and_then(|gate| gate.override_reason.as_ref()),
        }),
    };
    audit::record(app, tx, by.clone(), entry).await
}
