//! Changing what a service is made of. What runs stays until the next deployment.

use entity::{ServiceStatus, WriteTx, environment, service};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, IntoActiveModel, QueryFilter, QuerySelect, Set};
use serde_json::json;

use super::check::{self, Against};
use super::definition::containers_of;
use super::input::{ContainerInput, RegistryAuth};
use super::list::by_id;
use super::register::runtime_for_use;
use crate::app::change::Change;
use crate::app::deployments::request::refuse_while_removing;
use crate::app::deployments::{PRODUCTION, environments, save};
use crate::app::events::ChangeKind;
use crate::app::git;
use crate::app::{Actor, App, Code, Error, Result, Scope, Violations, audit, secrets};

/// How often it is tried when something is made meanwhile.
const TRIES: usize = 5;

/// What becomes of a service; what is left out stays.
#[derive(Clone, Default)]
pub struct UpdateService {
    /// Which.
    pub id: String,
    /// The branch of a Git service.
    pub branch: Change<String>,
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
/// NOT_FOUND, BAD_USER_INPUT with every fault, as any call of the Git provider when another branch is given,
/// FAILED_PRECONDITION while the service is being removed.
pub async fn update(app: &App, actor: &Actor, input: UpdateService) -> Result<service::Model> {
    let scope = &actor.scope;
    let branch = branch_fault(app, actor, &input).await?;
    let (tx, production, stored) = held(app, scope, &input).await?;
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
        Change::Set(containers) => {
            let against = Against { source: stored.source, stored: &before, kind };
            Some(check::containers(&mut v, "input.containers", containers, against))
        }
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
    // One that is being removed goes nowhere.
    let moves = production.zip(runtime.as_ref()).filter(|(e, _)| e.status != ServiceStatus::Removing);
    if let Some((environment, runtime)) = &moves {
        save::refuse_misfit(&mut v, &stored, environment, runtime.kind);
    }
    if let Change::Set(auth) = &input.registry_auth {
        check::login(&mut v, "input.registryAuth", auth);
    }
    if input.branch == Change::Clear && stored.git_branch.is_some() {
        v.add("input.branch", "a Git service is built from a branch: name another one");
    }
    // The provider's trouble comes last: what is wrong with the input is wrong in any case.
    let trouble = match branch {
        Some(fault) if fault.code == Code::BadUserInput => {
            v.add("input.branch", fault);
            None
        }
        other => other,
    };
    v.finish()?;
    if let Some(trouble) = trouble {
        return Err(trouble);
    }

    let mut changed = Vec::new();
    let mut row = stored.clone().into_active_model();
    if runtime_changes {
        changed.push("runtime");
        row.runtime_id = Set(runtime.as_ref().map(|r| r.id.clone()));
    }
    if let Change::Set(branch) = input.branch
        && stored.git_branch.as_ref() != Some(&branch)
    {
        changed.push("branch");
        row.git_branch = Set(Some(branch));
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
    if let Some((environment, runtime)) = moves {
        environments::go_to(&tx, environment, &runtime.id).await?;
    }
    if row.registry_secret_id != stored.registry_secret_id
        && let Some(old) = &stored.registry_secret_id
    {
        secrets::forget(&tx, scope, old).await?;
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

/// What is wrong with another branch than the stored one. The provider is asked before any row is held.
async fn branch_fault(app: &App, actor: &Actor, input: &UpdateService) -> Result<Option<Error>> {
    let Change::Set(branch) = &input.branch else { return Ok(None) };
    let service = by_id(app, &actor.scope, &input.id).await?.ok_or_else(|| Error::not_found("service"))?;
    if service.git_branch.as_ref() == Some(branch) {
        return Ok(None);
    }
    Ok(git::branch::check(app, actor, &service, branch).await.err())
}

/// A transaction that holds the service, and production where its runtime changes. Always the environment first, then
/// its service: whoever takes both takes them in this order.
async fn held(
    app: &App,
    scope: &Scope,
    input: &UpdateService,
) -> Result<(WriteTx, Option<environment::Model>, service::Model)> {
    for _ in 0..TRIES {
        let tx = app.begin().await?;
        if !matches!(input.runtime_id, Change::Set(_)) {
            let stored = for_change(&tx, scope, &input.id).await?;
            return Ok((tx, None, stored));
        }
        let production = environments::held_by_name(&tx, scope, &input.id, PRODUCTION).await?;
        let stored = for_change(&tx, scope, &input.id).await?;
        // Made in between, it is not held: once more, from the beginning.
        let same =
            environments::meant(&tx, scope, &stored.id, Some(PRODUCTION)).await?.is_some() == production.is_some();
        if same {
            return Ok((tx, production, stored));
        }
    }
    Err(Error::conflict("input.id", "the service is being changed by others all the time; try again"))
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
