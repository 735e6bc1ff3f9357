//! Changing what a service is made of. What runs stays until the next deployment.

use entity::{environment, secret, service};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait as _, IntoActiveModel, QueryFilter, QuerySelect, Set,
};
use serde_json::json;

use super::check;
use super::definition::containers_of;
use super::input::{ContainerInput, RegistryAuth};
use super::register::runtime_for_use;
use crate::app::change::Change;
use crate::app::deployments::PRODUCTION;
use crate::app::deployments::request::refuse_while_removing;
use crate::app::events::ChangeKind;
use crate::app::{Actor, App, Error, Result, Scope, Violations, audit, secrets};

/// What becomes of a service; what is left out stays.
#[derive(Clone, Default)]
pub struct UpdateService {
    /// Which.
    pub id: String,
    /// For the next deployment.
    pub runtime_id: Change<String>,
    /// Replaces all of them.
    pub containers: Change<Vec<ContainerInput>>,
    /// The service's own login.
    pub registry_auth: Change<RegistryAuth>,
}

/// Saves what is given. A variable that is named without a value keeps its stored one.
///
/// # Errors
/// NOT_FOUND, BAD_USER_INPUT with every fault, FAILED_PRECONDITION while the service is being removed.
pub async fn update(app: &App, actor: &Actor, input: UpdateService) -> Result<service::Model> {
    let scope = &actor.scope;
    let tx = app.begin().await?;
    let stored = for_change(&tx, scope, &input.id).await?;
    refuse_while_removing(&stored)?;
    let before = containers_of(&stored)?;
    let runtime_changes = input.runtime_id.is_given();
    let runtime = match input.runtime_id.over(stored.runtime_id.clone()) {
        Some(id) => Some(runtime_for_use(&tx, scope, &id).await?),
        None => None,
    };
    let kind = runtime.as_ref().map(|r| r.kind);

    let mut v = Violations::default();
    let checked = match input.containers {
        Change::Set(containers) => Some(check::containers(&mut v, "input.containers", containers, &before, kind)),
        Change::Clear => {
            v.add("input.containers", "a service has at least one container");
            None
        }
        Change::Keep => {
            if let Some(kind) = kind.filter(|_| runtime_changes) {
                check::fit(&mut v, "input.runtimeId", &before, kind);
            }
            None
        }
    };
    if let Some(runtime) = runtime.as_ref().filter(|_| runtime_changes)
        && serves_elsewhere(&tx, scope, &stored.id, &runtime.id).await?
    {
        v.add(
            "input.runtimeId",
            "production serves on another runtime, and moving it isn't offered yet: remove that environment first, \
             with removeEnvironment",
        );
    }
    if let Change::Set(auth) = &input.registry_auth {
        check::login(&mut v, "input.registryAuth", auth);
    }
    v.finish()?;

    let mut changed = Vec::new();
    let mut row = stored.clone().into_active_model();
    if runtime_changes {
        changed.push("runtime");
        row.runtime_id = Set(runtime.as_ref().map(|r| r.id.clone()));
    }
    if let Some(checked) = checked {
        let containers = check::seal(app, &tx, scope, checked).await?;
        if containers != before {
            changed.push("containers");
            row.containers = Set(serde_json::to_value(&containers)?);
            row.definition_version = Set(stored.definition_version + 1);
        }
    }
    if input.registry_auth.is_given() {
        changed.push("registryAuth");
        let login = match input.registry_auth {
            Change::Set(auth) => Some((auth.username, secrets::store(app, &tx, scope, &auth.token).await?)),
            _ => None,
        };
        let (username, secret) = login.unzip();
        row.registry_username = Set(username);
        row.registry_secret_id = Set(secret);
    }
    row.changed_at = Set(app.clock.now());
    let row = row.update(&tx).await?;
    if row.registry_secret_id != stored.registry_secret_id
        && let Some(old) = &stored.registry_secret_id
    {
        forget_secret(&tx, scope, old).await?;
    }
    let entry = audit::Entry {
        action: "service.updated",
        subject_kind: "Service",
        subject_id: &row.id,
        subject_name: &row.name,
        detail: json!({ "changed": changed, "runtime": runtime.map(|r| r.name) }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    app.events.service(&row, ChangeKind::Changed);
    Ok(row)
}

/// Whether production was deployed to another runtime than this one.
async fn serves_elsewhere(
    tx: &impl ConnectionTrait,
    scope: &Scope,
    service_id: &str,
    runtime_id: &str,
) -> Result<bool> {
    let found = scope
        .environments()
        .filter(environment::Column::ServiceId.eq(service_id))
        .filter(environment::Column::Name.eq(PRODUCTION))
        .filter(environment::Column::LatestDeploymentId.is_not_null())
        .filter(environment::Column::RuntimeId.ne(runtime_id))
        .one(tx)
        .await?;
    Ok(found.is_some())
}

/// The row, held until the transaction ends.
pub(in crate::app) async fn for_change(tx: &impl ConnectionTrait, scope: &Scope, id: &str) -> Result<service::Model> {
    scope
        .services()
        .filter(service::Column::Id.eq(id))
        .lock_exclusive()
        .one(tx)
        .await?
        .ok_or_else(|| Error::not_found("service"))
}

/// Deletes a sealed row that nothing refers to any more.
pub(in crate::app) async fn forget_secret(tx: &impl ConnectionTrait, scope: &Scope, id: &str) -> Result<()> {
    secret::Entity::delete_many()
        .filter(secret::Column::OrganizationId.eq(&scope.organization_id))
        .filter(secret::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}
