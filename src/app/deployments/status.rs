//! Statuses kept true: what runs is looked at whenever an engine says that something happened.

use entity::{PipelineTrigger, RunStatus, ServiceStatus, deployment, environment, pipeline, runtime, service};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait as _, ExprTrait as _, PaginatorTrait as _,
    QueryFilter, QueryOrder, QuerySelect, QueryTrait as _, Set,
};

use super::{environments, plan};
use crate::app::services::spec::target_of;
use crate::app::{App, Result, Scope, runtimes};
use crate::domain::stage::{StageKind, Stages};
use crate::domain::status as domain;
use crate::queue;
use crate::runtime::InstanceState;

/// Writes a service's status: BUILDING while a pipeline builds it, else DEPLOYING, else the worst of its environments
/// and of its last build.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn settle(app: &App, tx: &impl ConnectionTrait, service_id: &str) -> Result<()> {
    // Held before the rest is read: of two who settle at once the later one must see what the earlier one did.
    let held = service::Entity::find_by_id(service_id).lock_exclusive().one(tx).await?;
    let Some(service) = held else { return Ok(()) };
    let scope = Scope { organization_id: service.organization_id.clone() };
    let environments = environments::of_service(tx, &scope, service_id).await?;
    let (status, message) = match service.removing {
        true => (ServiceStatus::Removing, service.status_message.clone()),
        false => {
            let of_environments = environments.into_iter().rev().map(|e| (e.status, e.status_message));
            let all = of_environments.chain(of_builds(tx, &scope, service_id).await?);
            all.max_by_key(|(status, _)| rank(*status)).unwrap_or((ServiceStatus::Registered, None))
        }
    };
    let mut change: service::ActiveModel = service.into();
    change.status = Set(status);
    change.status_message = Set(message);
    change.changed_at = Set(app.clock.now());
    change.update(tx).await?;
    Ok(())
}

/// What a service's pipelines make of it: that it is being built, or that its last build failed. What comes of their
/// deployments is for its environments to say.
async fn of_builds(
    db: &impl ConnectionTrait,
    scope: &Scope,
    service_id: &str,
) -> Result<Option<(ServiceStatus, Option<String>)>> {
    let ended = [RunStatus::Succeeded, RunStatus::Failed];
    let last = scope
        .pipelines()
        .select_only()
        .expr(pipeline::Column::Number.max())
        .filter(pipeline::Column::ServiceId.eq(service_id))
        // What somebody proposes is not the service yet.
        .filter(pipeline::Column::Trigger.ne(PipelineTrigger::MergeRequest))
        .filter(pipeline::Column::Status.is_in(ended));
    let relevant = Condition::any()
        .add(pipeline::Column::Status.eq(RunStatus::Running).and(pipeline::Column::StartedAt.is_not_null()))
        .add(pipeline::Column::Number.in_subquery(last.into_query()));
    let rows = scope
        .pipelines()
        .filter(pipeline::Column::ServiceId.eq(service_id))
        .filter(relevant)
        .order_by_asc(pipeline::Column::Number)
        .all(db)
        .await?;
    let mut found = None;
    for row in rows {
        let stages: Stages = serde_json::from_value(row.stages)?;
        match row.status {
            RunStatus::Running if stages.next().is_some_and(|stage| stage.kind < StageKind::Deploy) => {
                return Ok(Some((ServiceStatus::Building, None)));
            }
            RunStatus::Failed => {
                let failed = stages.all().iter().find(|stage| stage.status == domain::RunStatus::Failed);
                let failed = failed.filter(|stage| stage.kind < StageKind::Deploy);
                found = failed.map(|stage| (ServiceStatus::BuildFailed, stage.message.clone()));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// What is under way comes before what is wrong: the contract's order of a service's statuses.
const fn rank(status: ServiceStatus) -> u8 {
    match status {
        ServiceStatus::Removing => 8,
        ServiceStatus::Building => 7,
        ServiceStatus::Deploying => 6,
        ServiceStatus::Degraded => 5,
        ServiceStatus::DeployFailed => 4,
        ServiceStatus::BuildFailed => 3,
        ServiceStatus::Stopped => 2,
        ServiceStatus::Running => 1,
        ServiceStatus::Registered => 0,
    }
}

/// Looks that one observation takes at most.
const LOOKS: usize = 5;

/// Looks at what runs and writes down what that means. Does nothing while a job is at work on the environment or
/// its service is removed: the job says how it ends.
///
/// Several servers follow one engine, and one may have looked before another and write after it. So whoever has written
/// looks again, until there is nothing to write: what is stored in the end was seen after the last write.
///
/// # Errors
/// INTERNAL when the database refuses. A runtime that does not answer is no error: nothing is known then.
pub async fn observe(app: &App, environment_id: &str) -> Result<()> {
    for _ in 0..LOOKS {
        if !look(app, environment_id).await? {
            break;
        }
    }
    Ok(())
}

/// Looks once. Whether there was something to write.
async fn look(app: &App, environment_id: &str) -> Result<bool> {
    let db = app.db.read();
    let Some(before) = environment::Entity::find_by_id(environment_id).one(db).await? else { return Ok(false) };
    if before.current_deployment_id.is_none() || !queue::busy_lanes(db, vec![before.id.clone()]).await?.is_empty() {
        return Ok(false);
    }
    let scope = Scope { organization_id: before.organization_id.clone() };
    let service = environments::service(db, &scope, &before.service_id).await?;
    if service.removing {
        return Ok(false);
    }
    let target = target_of(&service, &before);
    let runtime = environments::runtime(db, &scope, &before.runtime_id).await?;
    let Ok(client) = runtimes::connect(app, &runtime).await else { return Ok(false) };
    let Ok(instances) = client.instances(&target).await else { return Ok(false) };

    let tx = app.begin().await?;
    let Some(now) = environment::Entity::find_by_id(environment_id).one(&tx).await? else { return Ok(false) };
    let busy = !queue::busy_lanes(&tx, vec![now.id.clone()]).await?.is_empty();
    if busy || now.current_deployment_id != before.current_deployment_id {
        return Ok(false);
    }
    let (status, message) = judge(&tx, &now, &instances).await?;
    if (now.status, &now.status_message) == (status, &message) {
        return Ok(false);
    }
    let mut change: environment::ActiveModel = now.into();
    change.status = Set(status);
    change.status_message = Set(message);
    change.update(&tx).await?;
    settle(app, &tx, &service.id).await?;
    tx.commit().await?;
    environments::changed(app, &service);
    Ok(true)
}

/// What the instances of an idle environment say about it.
///
/// # Errors
/// INTERNAL when the database does not answer or a stored revision can't be read.
pub async fn judge(
    db: &impl ConnectionTrait,
    environment: &environment::Model,
    instances: &[InstanceState],
) -> Result<(ServiceStatus, Option<String>)> {
    if environment.stopped {
        return Ok((ServiceStatus::Stopped, None));
    }
    let Some(current) = &environment.current_deployment_id else { return nothing_serves(db, environment).await };
    let Some(current) = deployment::Entity::find_by_id(current).one(db).await? else {
        return Ok((ServiceStatus::Registered, None));
    };
    let spec = plan::spec_of_revision(&current)?;
    for container in &spec.containers {
        let mine: Vec<_> = instances.iter().filter(|i| i.container == container.name).collect();
        if mine.is_empty() {
            return Ok((ServiceStatus::Degraded, Some(format!("{} is gone from the runtime", container.name))));
        }
        if let Some(bad) = mine.iter().find(|i| !i.ready) {
            let why = bad.message.clone().unwrap_or_else(|| bad.state.clone());
            return Ok((ServiceStatus::Degraded, Some(format!("{} is not ready: {why}", container.name))));
        }
    }
    as_stored(db, environment).await
}

/// What an environment is as far as is stored, as if all that it should run were well.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(super) async fn as_stored(
    db: &impl ConnectionTrait,
    environment: &environment::Model,
) -> Result<(ServiceStatus, Option<String>)> {
    if environment.stopped {
        return Ok((ServiceStatus::Stopped, None));
    }
    if environment.current_deployment_id.is_none() {
        return nothing_serves(db, environment).await;
    }
    match failed_since(db, environment).await? {
        Some(message) => Ok((ServiceStatus::DeployFailed, message)),
        None => Ok((ServiceStatus::Running, None)),
    }
}

/// Whether a deployment is at work on an environment or waits for its turn. One that waits for an approval does neither.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(super) async fn is_under_way(db: &impl ConnectionTrait, environment_id: &str) -> Result<bool> {
    let found = deployment::Entity::find()
        .filter(deployment::Column::EnvironmentId.eq(environment_id))
        .filter(deployment::Column::Status.is_in([RunStatus::Queued, RunStatus::Running]));
    Ok(found.count(db).await? > 0)
}

async fn nothing_serves(
    db: &impl ConnectionTrait,
    environment: &environment::Model,
) -> Result<(ServiceStatus, Option<String>)> {
    Ok(match failed_since(db, environment).await? {
        Some(message) => (ServiceStatus::DeployFailed, message),
        None => (ServiceStatus::Registered, None),
    })
}

/// The message of the newest deployment that was tried, if that one failed. One that was canceled, or that nobody has
/// approved yet, says nothing about it.
async fn failed_since(db: &impl ConnectionTrait, environment: &environment::Model) -> Result<Option<Option<String>>> {
    let tried = deployment::Entity::find()
        .filter(deployment::Column::EnvironmentId.eq(&environment.id))
        .filter(deployment::Column::Status.is_in([RunStatus::Succeeded, RunStatus::Failed]))
        .order_by_desc(deployment::Column::Revision)
        .one(db)
        .await?;
    Ok(tried.filter(|d| d.status == RunStatus::Failed).map(|d| d.message))
}

/// Every environment that something was deployed to on a runtime.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn observed_on(app: &App, runtime_id: &str) -> Result<Vec<String>> {
    let rows = environment::Entity::find()
        .filter(environment::Column::RuntimeId.eq(runtime_id))
        .filter(environment::Column::CurrentDeploymentId.is_not_null())
        .all(app.db.read())
        .await?;
    Ok(rows.into_iter().map(|e| e.id).collect())
}

/// Every runtime: what the watchers watch.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn watched(app: &App) -> Result<Vec<runtime::Model>> {
    Ok(runtime::Entity::find().all(app.db.read()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_comes_first_and_then_the_worst() {
        use ServiceStatus as S;
        let order = [
            S::Removing,
            S::Building,
            S::Deploying,
            S::Degraded,
            S::DeployFailed,
            S::BuildFailed,
            S::Stopped,
            S::Running,
            S::Registered,
        ];
        assert!(order.is_sorted_by(|a, b| rank(*a) > rank(*b)));
    }
}
