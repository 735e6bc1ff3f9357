//! Removing a runtime that nothing refers to.

use entity::{DeploymentPhase, RuntimeStatus, deployment, environment, leftover, runtime, service};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait as _, ModelTrait, PaginatorTrait as _, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::json;

use super::not_declared;
use crate::app::deployments::leftovers;
use crate::app::{Actor, App, Error, Result, audit, secrets};
use crate::domain::policy::Action;

/// How many names a refusal lists.
const NAMED: u64 = 10;

/// Forgets a runtime. Nothing is taken down, since nothing refers to it. What still had to be taken down there is given
/// up if the runtime does not answer, and named in the audit trail.
///
/// # Errors
/// FORBIDDEN for members, NOT_FOUND, FAILED_PRECONDITION DECLARED, CONFLICT naming what refers to it.
pub async fn remove(app: &App, actor: &Actor, id: &str) -> Result<()> {
    let scope = &actor.scope;
    let tx = app.begin().await?;
    let row = scope
        .runtimes()
        .filter(runtime::Column::Id.eq(id))
        .lock_exclusive()
        .one(&tx)
        .await?
        .ok_or_else(|| Error::not_found("runtime"))?;
    actor.require(Action::ChangeRuntimes)?;
    not_declared(&row)?;
    let services: Vec<String> = scope
        .services()
        .filter(service::Column::RuntimeId.eq(id))
        .order_by_asc(service::Column::Name)
        .limit(NAMED)
        .select_only()
        .column(service::Column::Name)
        .into_tuple()
        .all(&tx)
        .await?;
    let environments = scope
        .environments()
        .filter(
            Condition::any().add(environment::Column::RuntimeId.eq(id)).add(environment::Column::NextRuntimeId.eq(id)),
        )
        .order_by_asc(environment::Column::Id)
        .limit(NAMED)
        .all(&tx)
        .await?;
    let mut users: Vec<String> = services.iter().map(|name| format!("service {name}")).collect();
    for found in &environments {
        let owner = scope.services().filter(service::Column::Id.eq(&found.service_id)).one(&tx).await?;
        let owner = owner.map_or_else(|| "?".to_owned(), |s| s.name);
        users.push(format!("environment {} of {owner}", found.name));
    }
    let waiting = scope
        .deployments()
        .filter(deployment::Column::RuntimeId.eq(id))
        .filter(deployment::Column::Phase.ne(DeploymentPhase::Done))
        .count(&tx)
        .await?;
    if waiting > 0 {
        users.push(format!("deployments that have not ended ({waiting})"));
    }
    if !users.is_empty() {
        return Err(Error::conflict(
            "input.id",
            format!("runtime {} is in use by {}: move or remove them first", row.name, users.join(", ")),
        ));
    }
    let left = leftovers::waiting_on(&tx, scope, id).await?;
    if !left.is_empty() && row.status == RuntimeStatus::Ready {
        let why = leftovers::why_kept(&tx, &left).await?.join("; ");
        return Err(Error::conflict(
            "input.id",
            format!(
                "runtime {} is needed until all is taken down there, or a check says that it does not answer: {why}",
                row.name
            ),
        ));
    }
    // An engine that is gone for good would be asked for ever.
    let mut abandoned = Vec::new();
    for found in &left {
        leftovers::abandon(&tx, found).await?;
        abandoned.push(leftovers::name_of(found)?);
    }
    // Volumes that were left there are not KIOPS's to delete; there is nothing to do about them any more.
    leftover::Entity::delete_many().filter(leftover::Column::RuntimeId.eq(id)).exec(&tx).await?;
    row.clone().delete(&tx).await?;
    if let Some(secret) = &row.secret_id {
        secrets::forget(&tx, scope, secret).await?;
    }
    let entry = audit::Entry {
        action: "runtime.removed",
        subject_kind: "Runtime",
        subject_id: &row.id,
        subject_name: &row.name,
        detail: json!({ "endpoint": row.endpoint, "mayStillRunThere": abandoned }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    for what in abandoned {
        tracing::warn!(runtime = %row.name, endpoint = %row.endpoint, "what {what} left there may still run");
    }
    Ok(())
}
