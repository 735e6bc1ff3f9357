//! Ending a deployment before its time: one that waits at once, one that is at work as soon as it hears of it.

use std::time::Duration;

use entity::{DeploymentPhase, RunStatus, ServiceStatus, deployment, environment};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter, QueryOrder, QuerySelect, Set,
};

use super::enqueue::job_of;
use super::{built, environments, jobs, machine, status};
use crate::app::events::{ChangeKind, hear};
use crate::app::{App, Event, Result, Scope};
use crate::queue;

/// How often it is looked at whether a deployment at work is to end, should nobody say so.
const LOOK: Duration = Duration::from_secs(1);

/// Ends a deployment, with its caller's transaction, which holds nothing of its environment and its service yet. One that
/// nobody has begun is CANCELED at once. One that is at work hears of it within a second: what ran before serves on, and
/// then it is CANCELED. One that serves already goes on to its end, and so does one that is being undone. After the
/// commit its caller publishes with [`publish`].
///
/// `why` goes into the message, like `the pipeline was canceled`.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn cancel(app: &App, tx: &impl ConnectionTrait, deployment: &deployment::Model, why: &str) -> Result<()> {
    let scope = Scope { organization_id: deployment.organization_id.clone() };
    let message = format!("canceled: {why}");
    loop {
        let Some(row) = read(tx, &scope, &deployment.id).await? else { return Ok(()) };
        match row.status {
            RunStatus::WaitingApproval => {
                // Whoever approves holds the environment too.
                environments::held(tx, &scope, &row.environment_id).await?;
                match read(tx, &scope, &row.id).await? {
                    Some(now) if now.status == RunStatus::WaitingApproval => {
                        end(app, tx, &now, message).await?;
                        return Ok(());
                    }
                    // Approved or rejected in this very moment.
                    _ => continue,
                }
            }
            // What is out of the queue is nobody's: no worker can begin it any more.
            RunStatus::Queued if queue::withdraw(tx, &row.id, jobs::DEPLOYMENT).await? > 0 => {
                let environment = environments::held(tx, &scope, &row.environment_id).await?;
                let ended = end(app, tx, &row, message).await?;
                return match environment {
                    Some(environment) => look_after(app, tx, environment, &ended).await,
                    None => Ok(()),
                };
            }
            RunStatus::Queued | RunStatus::Running => return ask(app, tx, &row, message).await,
            _ => return Ok(()),
        }
    }
}

/// Tells of a deployment that [`cancel`] was asked for, after the commit.
pub fn publish(app: &App, deployment: &deployment::Model) {
    app.events.publish(Event::Deployment { deployment_id: deployment.id.clone() });
    let (organization_id, service_id) = (deployment.organization_id.clone(), deployment.service_id.clone());
    app.events.publish(Event::Service { organization_id, service_id, kind: ChangeKind::Changed });
    app.events.publish(Event::Jobs);
}

/// Ends all deployments of an environment that still wait for an approval, but for one, and gives them. The environment
/// is held.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn waiting(
    app: &App,
    tx: &impl ConnectionTrait,
    environment_id: &str,
    (why, but): (&str, Option<&str>),
) -> Result<Vec<deployment::Model>> {
    let rows = deployment::Entity::find()
        .filter(deployment::Column::EnvironmentId.eq(environment_id))
        .filter(deployment::Column::Status.eq(RunStatus::WaitingApproval))
        .filter(deployment::Column::Id.ne(but.unwrap_or_default()))
        .order_by_asc(deployment::Column::Revision)
        .lock_exclusive()
        .all(tx)
        .await?;
    let mut ended = Vec::new();
    for row in rows {
        ended.push(end(app, tx, &row, why.to_owned()).await?);
    }
    Ok(ended)
}

/// Returns once a deployment is to end.
pub(super) async fn wanted(app: &App, deployment_id: &str) {
    let mut events = app.events.listen();
    loop {
        let asked = deployment::Entity::find_by_id(deployment_id)
            .select_only()
            .column(deployment::Column::CancelRequested)
            .into_tuple()
            .one(app.db.read())
            .await;
        match asked {
            Ok(Some(true)) => return,
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "whether a deployment is to end can't be read"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = hear(&mut events, |event| matches!(event, Event::Deployment { deployment_id: id } if id == deployment_id)) => {}
        }
    }
}

async fn read(tx: &impl ConnectionTrait, scope: &Scope, id: &str) -> Result<Option<deployment::Model>> {
    Ok(scope.deployments().filter(deployment::Column::Id.eq(id)).one(tx).await?)
}

/// Ends one that nobody is at work on.
async fn end(
    app: &App,
    tx: &impl ConnectionTrait,
    row: &deployment::Model,
    message: String,
) -> Result<deployment::Model> {
    let ended = machine::end(row, RunStatus::Canceled, Some(message), app.clock.now())?.update(tx).await?;
    built::tell_pipeline(app, tx, &ended).await?;
    Ok(ended)
}

/// Asks the worker to end it, who has come as far as APPLY at most: later there is nothing to stop any more.
async fn ask(app: &App, tx: &impl ConnectionTrait, row: &deployment::Model, message: String) -> Result<()> {
    deployment::Entity::update_many()
        .col_expr(deployment::Column::CancelRequested, Expr::value(true))
        .col_expr(deployment::Column::Message, Expr::value(message))
        .filter(deployment::Column::Id.eq(&row.id))
        .filter(deployment::Column::CancelRequested.eq(false))
        .filter(deployment::Column::Phase.is_in([DeploymentPhase::Prepare, DeploymentPhase::Apply]))
        .exec(tx)
        .await?;
    // It may be waiting for its next try.
    queue::hurry(tx, &row.id, app.clock.now()).await?;
    Ok(())
}

/// What an environment is that was to be deployed to: as far as is stored, until a job in its lane has looked at what runs.
async fn look_after(
    app: &App,
    tx: &impl ConnectionTrait,
    environment: environment::Model,
    ended: &deployment::Model,
) -> Result<()> {
    let comes = status::is_under_way(tx, &environment.id).await?;
    if comes || environment.status == ServiceStatus::Removing {
        return Ok(());
    }
    let (now, message) = status::as_stored(tx, &environment).await?;
    let service_id = environment.service_id.clone();
    let mut change: environment::ActiveModel = environment.into();
    change.status = Set(now);
    change.status_message = Set(message);
    change.update(tx).await?;
    status::settle(app, tx, &service_id).await?;
    // Of a deployment that has ended nothing is left to do but this.
    queue::enqueue(tx, job_of(ended), app.clock.now()).await?;
    Ok(())
}
