//! Statuses kept true: what runs is looked at whenever an engine says that something happened.

use entity::{RunStatus, ServiceStatus, deployment, environment, runtime, service};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter, Set};

use super::{environments, plan};
use crate::app::services::spec::target_of;
use crate::app::{App, Result, Scope, runtimes};
use crate::queue;
use crate::runtime::InstanceState;

/// Writes a service's status: the worst of its environments.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn settle(app: &App, tx: &impl ConnectionTrait, service_id: &str) -> Result<()> {
    let Some(service) = service::Entity::find_by_id(service_id).one(tx).await? else { return Ok(()) };
    let scope = Scope { organization_id: service.organization_id.clone() };
    let environments = environments::of_service(tx, &scope, service_id).await?;
    let (status, message) = match (service.removing, worst(&environments)) {
        (true, _) => (ServiceStatus::Removing, service.status_message.clone()),
        (false, Some(environment)) => (environment.status, environment.status_message.clone()),
        (false, None) => (ServiceStatus::Registered, None),
    };
    let mut change: service::ActiveModel = service.into();
    change.status = Set(status);
    change.status_message = Set(message);
    change.changed_at = Set(app.clock.now());
    change.update(tx).await?;
    Ok(())
}

fn worst(environments: &[environment::Model]) -> Option<&environment::Model> {
    environments.iter().rev().max_by_key(|e| rank(e.status))
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

/// Looks at what runs and writes down what that means. Does nothing while a job is at work on the environment or
/// its service is removed: the job says how it ends.
///
/// # Errors
/// INTERNAL when the database refuses. A runtime that does not answer is no error: nothing is known then.
pub async fn observe(app: &App, environment_id: &str) -> Result<()> {
    let db = app.db.read();
    let Some(before) = environment::Entity::find_by_id(environment_id).one(db).await? else { return Ok(()) };
    if before.current_deployment_id.is_none() || !queue::busy_lanes(db, vec![before.id.clone()]).await?.is_empty() {
        return Ok(());
    }
    let scope = Scope { organization_id: before.organization_id.clone() };
    let service = environments::service(db, &scope, &before.service_id).await?;
    if service.removing {
        return Ok(());
    }
    let target = target_of(&service, &before);
    let runtime = environments::runtime(db, &scope, &before.runtime_id).await?;
    let Ok(client) = runtimes::connect(app, &runtime).await else { return Ok(()) };
    let Ok(instances) = client.instances(&target).await else { return Ok(()) };

    let tx = app.begin().await?;
    let Some(now) = environment::Entity::find_by_id(environment_id).one(&tx).await? else { return Ok(()) };
    let busy = !queue::busy_lanes(&tx, vec![now.id.clone()]).await?.is_empty();
    if busy || now.current_deployment_id != before.current_deployment_id {
        return Ok(());
    }
    let (status, message) = judge(&tx, &now, &instances).await?;
    if (now.status, &now.status_message) == (status, &message) {
        return Ok(());
    }
    let mut change: environment::ActiveModel = now.into();
    change.status = Set(status);
    change.status_message = Set(message);
    change.update(&tx).await?;
    settle(app, &tx, &service.id).await?;
    tx.commit().await?;
    environments::changed(app, &service);
    Ok(())
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
    match failed_since(db, environment).await? {
        Some(message) => Ok((ServiceStatus::DeployFailed, message)),
        None => Ok((ServiceStatus::Running, None)),
    }
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

/// The message of the newest deployment, if that one failed.
async fn failed_since(db: &impl ConnectionTrait, environment: &environment::Model) -> Result<Option<Option<String>>> {
    let Some(latest) = &environment.latest_deployment_id else { return Ok(None) };
    let latest = deployment::Entity::find_by_id(latest).one(db).await?;
    Ok(latest.filter(|d| d.status == RunStatus::Failed).map(|d| d.message))
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
