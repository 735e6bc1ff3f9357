//! Environments: found, made, saved.

use std::collections::HashMap;
use std::sync::Arc;

use entity::{DeployStrategy, ServiceStatus, environment, runtime, service};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect as _, Set,
};
use serde_json::json;

use super::{PRODUCTION, cancel, jobs};
use crate::app::audit::{self, Entry};
use crate::app::events::ChangeKind;
use crate::app::{Actor, App, Error, Event, Precondition, Result, Scope};
use crate::domain::names::EnvironmentName;
use crate::queue::{self, NewJob};

/// The service, if the caller may see it.
///
/// # Errors
/// NOT_FOUND.
pub async fn service(db: &impl ConnectionTrait, scope: &Scope, id: &str) -> Result<service::Model> {
    let found = scope.services().filter(service::Column::Id.eq(id)).one(db).await?;
    found.ok_or_else(|| Error::not_found("service"))
}

/// A service's environments, oldest first.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn of_service(db: &impl ConnectionTrait, scope: &Scope, service_id: &str) -> Result<Vec<environment::Model>> {
    Ok(scope
        .environments()
        .filter(environment::Column::ServiceId.eq(service_id))
        .order_by_asc(environment::Column::Id)
        .all(db)
        .await?)
}

/// The environment that is meant: the named one, else production, else the only one there is.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn meant(
    db: &impl ConnectionTrait,
    scope: &Scope,
    service_id: &str,
    name: Option<&str>,
) -> Result<Option<environment::Model>> {
    Ok(pick(of_service(db, scope, service_id).await?, |row| &row.name, name))
}

/// Where a service is where no environment is named: what its own fields show of that environment.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Main {
    /// The service.
    pub service_id: String,
    /// The environment's name.
    pub name: String,
    /// The Kubernetes namespace.
    pub namespace: String,
    /// Where it is deployed to.
    pub runtime_id: String,
    /// The revision that serves.
    pub current_deployment_id: Option<String>,
    /// The newest, whatever came of it.
    pub latest_deployment_id: Option<String>,
}

/// By service: the environment that is meant where none is named, production or the only one there is.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn main(app: &App, scope: &Scope, service_ids: &[String]) -> Result<HashMap<String, Arc<Main>>> {
    let rows = scope
        .environments()
        .filter(environment::Column::ServiceId.is_in(service_ids))
        .select_only()
        .columns([
            environment::Column::ServiceId,
            environment::Column::Name,
            environment::Column::Namespace,
            environment::Column::RuntimeId,
            environment::Column::CurrentDeploymentId,
            environment::Column::LatestDeploymentId,
        ])
        .into_model::<Main>()
        .all(app.db.read())
        .await?;
    let mut by_service: HashMap<String, Vec<Main>> = HashMap::new();
    for row in rows {
        by_service.entry(row.service_id.clone()).or_default().push(row);
    }
    let main = by_service.into_iter();
    Ok(main.filter_map(|(id, rows)| Some((id, Arc::new(pick(rows, |row| &row.name, None)?)))).collect())
}

/// Of a service's environments the named one, else production, else the only one there is. Lists of services say the same in SQL:
/// `services::brief::main_environment`.
fn pick<T>(mut all: Vec<T>, named: impl Fn(&T) -> &String, name: Option<&str>) -> Option<T> {
    let wanted = name.unwrap_or(PRODUCTION);
    if let Some(at) = all.iter().position(|one| named(one) == wanted) {
        return Some(all.swap_remove(at));
    }
    if name.is_none() && all.len() == 1 { all.pop() } else { None }
}

/// An environment as it is now, held until the transaction ends: revisions are counted in it.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn held(tx: &impl ConnectionTrait, scope: &Scope, id: &str) -> Result<Option<environment::Model>> {
    Ok(scope.environments().filter(environment::Column::Id.eq(id)).lock_exclusive().one(tx).await?)
}

/// A service's environment of this name, held until the transaction ends.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn held_by_name(
    tx: &impl ConnectionTrait,
    scope: &Scope,
    service_id: &str,
    name: &str,
) -> Result<Option<environment::Model>> {
    let found = scope
        .environments()
        .filter(environment::Column::ServiceId.eq(service_id))
        .filter(environment::Column::Name.eq(name))
        .lock_exclusive();
    Ok(found.one(tx).await?)
}

/// Lets an environment, which is held, go to a runtime with its next deployment; at once if nothing was deployed yet.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn go_to(tx: &impl ConnectionTrait, environment: environment::Model, runtime_id: &str) -> Result<()> {
    let deployed = is_deployed(&environment);
    let mut change: environment::ActiveModel = environment.into();
    match deployed {
        true => change.next_runtime_id = Set(Some(runtime_id.to_owned())),
        false => change.runtime_id = Set(runtime_id.to_owned()),
    }
    change.update(tx).await?;
    Ok(())
}

/// Whether a deployment was ever asked for: it may be at work, and says itself where the environment is.
#[must_use]
pub fn is_deployed(environment: &environment::Model) -> bool {
    environment.latest_deployment_id.is_some() || environment.current_deployment_id.is_some()
}

/// Where a deployment would go: the named environment or production, else the row that the first deployment will write.
///
/// # Errors
/// BAD_USER_INPUT for a name that is none, FAILED_PRECONDITION without a runtime.
pub async fn meant_or_new(
    app: &App,
    db: &impl ConnectionTrait,
    scope: &Scope,
    service: &service::Model,
    name: Option<&str>,
) -> Result<Place> {
    // Unlike where something is looked at, the only environment there is does not stand in for production here.
    let name = name.unwrap_or(PRODUCTION);
    if let Some(row) = meant(db, scope, &service.id, Some(name)).await? {
        return Ok(Place { row, exists: true });
    }
    let name = EnvironmentName::parse(name).map_err(|e| Error::bad_input("input.environment", e.to_string()))?;
    let runtime_id = service.runtime_id.clone().ok_or_else(no_runtime)?;
    let row = fresh(app, service, name.as_str(), runtime_id);
    Ok(Place { row, exists: false })
}

/// Where the next deployment of an environment goes.
#[must_use]
pub fn destination(environment: &environment::Model) -> &str {
    environment.next_runtime_id.as_deref().unwrap_or(&environment.runtime_id)
}

/// Nobody said where to deploy to.
pub(in crate::app) fn no_runtime() -> Error {
    Error::precondition(
        Precondition::NoRuntime,
        "the service has no runtime: choose one with updateService (an admin registers them)",
    )
}

/// An environment, stored or about to be.
#[derive(Debug, Clone)]
pub struct Place {
    /// The row.
    pub row: environment::Model,
    /// Whether it is stored.
    pub exists: bool,
}

/// A new environment of a service, with the defaults.
#[must_use]
pub fn fresh(app: &App, service: &service::Model, name: &str, runtime_id: String) -> environment::Model {
    environment::Model {
        id: app.ids.id(),
        organization_id: service.organization_id.clone(),
        service_id: service.id.clone(),
        name: name.to_owned(),
        runtime_id,
        next_runtime_id: None,
        namespace: default_namespace(service, name),
        status: ServiceStatus::Registered,
        status_message: None,
        replicas: 1,
        strategy: DeployStrategy::RollingUpdate,
        domain: None,
        env: json!([]),
        resources: json!({}),
        autoscaling: None,
        tls: None,
        auto_deploy: false,
        require_approval: false,
        settings_version: 1,
        current_deployment_id: None,
        latest_deployment_id: None,
        next_revision: 1,
        stopped: false,
        host_ports: json!({}),
        created_at: app.clock.now(),
    }
}

/// The namespace of an environment for which none was given.
pub(super) fn default_namespace(service: &service::Model, name: &str) -> String {
    match name {
        PRODUCTION => service.namespace.clone(),
        other => format!("{}-{other}", service.namespace),
    }
}

/// The runtime of an environment.
///
/// # Errors
/// NOT_FOUND.
pub async fn runtime(db: &impl ConnectionTrait, scope: &Scope, id: &str) -> Result<runtime::Model> {
    let found = scope.runtimes().filter(runtime::Column::Id.eq(id)).one(db).await?;
    found.ok_or_else(|| Error::not_found("runtime"))
}

/// Takes an environment down and removes it, as a job; its volumes stay.
///
/// # Errors
/// NOT_FOUND, or FAILED_PRECONDITION while the service itself is removed.
pub async fn remove(app: &App, actor: &Actor, id: &str) -> Result<()> {
    let tx = app.begin().await?;
    let row = held(&tx, &actor.scope, id).await?.ok_or_else(|| Error::not_found("environment"))?;
    let service = service(&tx, &actor.scope, &row.service_id).await?;
    super::request::refuse_while_removing(&service)?;
    let mut change: environment::ActiveModel = row.clone().into();
    change.status = Set(ServiceStatus::Removing);
    change.update(&tx).await?;
    let canceled = cancel::waiting(app, &tx, &row.id, ("the environment is being removed", None)).await?;
    super::status::settle(app, &tx, &service.id).await?;
    let job = NewJob {
        organization_id: &row.organization_id,
        kind: jobs::REMOVE_ENVIRONMENT,
        lane: &row.id,
        subject: &row.id,
    };
    queue::enqueue(&tx, job, app.clock.now()).await?;
    let entry = Entry {
        action: "environment.removed",
        subject_kind: "Service",
        subject_id: &service.id,
        subject_name: &service.name,
        detail: json!({ "environment": row.name }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    changed(app, &service);
    for deployment in canceled {
        app.events.publish(Event::Deployment { deployment_id: deployment.id });
    }
    app.events.publish(Event::Jobs);
    Ok(())
}

/// Tells the subscribers that a service changed.
pub fn changed(app: &App, service: &service::Model) {
    app.events.service(service, ChangeKind::Changed);
}
