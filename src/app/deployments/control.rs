//! Stopping and starting what an environment runs.

use entity::{ServiceStatus, environment, service};
use sea_orm::{ActiveModelTrait, EntityTrait as _, Set};
use serde_json::json;

use super::perform::Outcome;
use super::{environments, jobs, request, status};
use crate::app::audit::{self, Entry};
use crate::app::services::spec::target_of;
use crate::app::{Actor, App, Error, Event, Precondition, Result, Scope, runtimes};
use crate::queue::{self, Claim, NewJob};
use crate::runtime::RuntimeError;

/// Stops every container of an environment, as a job.
///
/// # Errors
/// NOT_FOUND, FAILED_PRECONDITION when nothing was deployed there.
pub async fn stop(
    app: &App,
    actor: &Actor,
    service_id: &str,
    environment: Option<&str>,
) -> Result<(service::Model, environment::Model)> {
    ask(app, actor, (service_id, environment), jobs::STOP).await
}

/// Starts every container of an environment anew, also those of a stopped one, as a job.
///
/// # Errors
/// NOT_FOUND, FAILED_PRECONDITION when nothing was deployed there.
pub async fn restart(
    app: &App,
    actor: &Actor,
    service_id: &str,
    environment: Option<&str>,
) -> Result<(service::Model, environment::Model)> {
    ask(app, actor, (service_id, environment), jobs::RESTART).await
}

async fn ask(
    app: &App,
    actor: &Actor,
    (service_id, name): (&str, Option<&str>),
    kind: &'static str,
) -> Result<(service::Model, environment::Model)> {
    let tx = app.begin().await?;
    let service = environments::service(&tx, &actor.scope, service_id).await?;
    request::refuse_while_removing(&service)?;
    let row = environments::meant(&tx, &actor.scope, &service.id, name).await?;
    let row = row
        .filter(|e| e.current_deployment_id.is_some())
        .ok_or_else(|| Error::precondition(Precondition::NothingDeployed, "nothing is deployed there: deploy first"))?;
    let mut change: environment::ActiveModel = row.into();
    change.stopped = Set(kind == jobs::STOP);
    if kind == jobs::RESTART {
        change.status = Set(ServiceStatus::Deploying);
        change.status_message = Set(None);
    }
    let row = change.update(&tx).await?;
    status::settle(app, &tx, &service.id).await?;
    let job = NewJob { organization_id: &row.organization_id, kind, lane: &row.id, subject: &row.id };
    queue::enqueue(&tx, job, app.clock.now()).await?;
    let entry = Entry {
        action: if kind == jobs::STOP { "service.stopped" } else { "service.restarted" },
        subject_kind: "Service",
        subject_id: &service.id,
        subject_name: &service.name,
        detail: json!({ "environment": row.name }),
    };
    audit::record(app, &tx, actor, entry).await?;
    let service = environments::service(&tx, &actor.scope, &service.id).await?;
    tx.commit().await?;
    environments::changed(app, &service);
    app.events.publish(Event::Jobs);
    Ok((service, row))
}

/// Does a stop or restart job.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn run(app: &App, claim: &Claim) -> Result<Outcome> {
    let db = app.db.read();
    let found = environment::Entity::find_by_id(&claim.job.subject).one(db).await?;
    let mut failure = None;
    if let Some(row) = &found {
        let scope = Scope { organization_id: row.organization_id.clone() };
        let service = environments::service(db, &scope, &row.service_id).await?;
        let target = target_of(&service, row);
        let runtime = environments::runtime(db, &scope, &row.runtime_id).await?;
        let done = match (runtimes::connect(app, &runtime).await, claim.job.kind.as_str()) {
            (Err(error), _) => Err(RuntimeError::Unreachable(error.message)),
            (Ok(client), jobs::STOP) => client.stop(&target).await,
            (Ok(client), _) => client.restart(&target).await,
        };
        match done {
            Err(RuntimeError::Unreachable(why)) if claim.job.attempts < 8 => return Ok(Outcome::Again(why)),
            other => failure = other.err().map(|e| e.to_string()),
        }
    }
    let tx = app.begin().await?;
    if !claim.complete(&tx).await? {
        return Ok(Outcome::Lost);
    }
    let Some(row) = found else {
        tx.commit().await?;
        return Ok(Outcome::Done);
    };
    let status = match (&failure, claim.job.kind.as_str()) {
        (Some(_), _) => ServiceStatus::Degraded,
        (None, jobs::STOP) => ServiceStatus::Stopped,
        (None, _) => ServiceStatus::Running,
    };
    let service_id = row.service_id.clone();
    let organization_id = row.organization_id.clone();
    let id = row.id.clone();
    let mut change: environment::ActiveModel = row.into();
    // Deployments that were at work when it was asked for have said something else since. What could not be stopped runs.
    change.stopped = Set(claim.job.kind == jobs::STOP && failure.is_none());
    change.status = Set(status);
    change.status_message = Set(failure);
    change.update(&tx).await?;
    status::settle(app, &tx, &service_id).await?;
    tx.commit().await?;
    let scope = Scope { organization_id };
    environments::changed(app, &environments::service(db, &scope, &service_id).await?);
    status::observe(app, &id).await?;
    Ok(Outcome::Done)
}
