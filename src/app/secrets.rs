//! Sealed rows. What a row holds never changes: a new value is a new row, so that old revisions keep theirs.

mod key;
pub mod rotate;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use entity::{deployment, environment, git_settings, pipeline, registry, runtime, secret, service};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter, QueryOrder as _, QuerySelect, Set,
};
use serde_json::Value;

use super::{App, Error, Result, Scope};
use crate::domain::secret::SecretString;
use crate::vault::Sealed;

pub use key::Mark;
pub(in crate::app) use key::seal;

/// How old a row is before it may be swept.
const SWEPT_AFTER: TimeDelta = TimeDelta::hours(1);

/// How many specs, or settings of pipelines, are read at once.
const SPECS: u64 = 200;

/// How many rows one statement deletes.
const BATCH: usize = 500;

fn context(organization_id: &str, id: &str) -> String {
    format!("secret:{organization_id}:{id}")
}

/// Seals a value into a new row and gives its id. Whoever keeps that id must write it in the same transaction, to a
/// place that [`sweep`] looks at: a new place is added there.
///
/// # Errors
/// INTERNAL when sealing or writing fails.
pub async fn store(app: &App, tx: &impl ConnectionTrait, scope: &Scope, value: &SecretString) -> Result<String> {
    let id = app.ids.id();
    let sealed = seal(app, tx, (value, &context(&scope.organization_id, &id))).await?;
    secret::ActiveModel {
        id: Set(id.clone()),
        organization_id: Set(scope.organization_id.clone()),
        key_id: Set(sealed.key_id),
        sealed: Set(sealed.blob),
        created_at: Set(app.clock.now()),
    }
    .insert(tx)
    .await?;
    Ok(id)
}

/// Deletes a row that nothing refers to any more.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn forget(tx: &impl ConnectionTrait, scope: &Scope, id: &str) -> Result<()> {
    secret::Entity::delete_many()
        .filter(secret::Column::OrganizationId.eq(&scope.organization_id))
        .filter(secret::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

/// Opens one row.
///
/// # Errors
/// INTERNAL when it is missing or does not open: the log says which.
pub async fn open(app: &App, scope: &Scope, id: &str) -> Result<SecretString> {
    let mut opened = open_all(app, scope, vec![id.to_owned()]).await?;
    opened.remove(id).ok_or_else(|| Error::internal(format!("secret {id} is missing")))
}

/// Opens one row, where it can be opened: of what is missing or does not open, the log says so.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn open_if_readable(app: &App, scope: &Scope, id: &str) -> Result<Option<SecretString>> {
    let row = scope.secrets().filter(secret::Column::Id.eq(id)).one(app.db.read()).await?;
    let opened = row.map(|row| unseal(app, row)).transpose();
    if !matches!(opened, Ok(Some(_))) {
        tracing::warn!(id, "a sealed secret is missing, or does not open");
    }
    Ok(opened.ok().flatten().map(|(_, value)| value))
}

/// Opens many rows, by id; ids of other organizations are not among the result.
///
/// # Errors
/// INTERNAL when one does not open: the log says which.
pub async fn open_all(app: &App, scope: &Scope, ids: Vec<String>) -> Result<BTreeMap<String, SecretString>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = scope.secrets().filter(secret::Column::Id.is_in(ids)).all(app.db.read()).await?;
    rows.into_iter().map(|row| unseal(app, row)).collect()
}

fn unseal(app: &App, row: secret::Model) -> Result<(String, SecretString)> {
    let sealed = Sealed { key_id: row.key_id, blob: row.sealed };
    let value = app
        .vault
        .unseal(&sealed, &context(&row.organization_id, &row.id))
        .map_err(|e| Error::internal(format!("secret {}: {e}", row.id)))?;
    Ok((row.id, value))
}

/// Deletes the sealed rows of an organization that nothing refers to any more.
///
/// A reference only ever moves from a service or an environment to a deployment or a pipeline, and from one of those to
/// a later one while both are held; so they are read in that order, and what moves meanwhile is met again. Any text in those
/// places that is a row's id counts as a reference, wherever it stands.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn sweep(app: &App, tx: &impl ConnectionTrait, scope: &Scope) -> Result<()> {
    let old: Vec<String> = scope
        .secrets()
        .select_only()
        .column(secret::Column::Id)
        .filter(secret::Column::CreatedAt.lt(app.clock.now() - SWEPT_AFTER))
        .into_tuple()
        .all(tx)
        .await?;
    let mut unused: BTreeSet<String> = old.into_iter().collect();
    strike_places(tx, scope, &mut unused).await?;
    strike_specs(tx, scope, &mut unused).await?;
    strike_settings(tx, scope, &mut unused).await?;
    let unused: Vec<String> = unused.into_iter().collect();
    for batch in unused.chunks(BATCH) {
        secret::Entity::delete_many()
            .filter(secret::Column::OrganizationId.eq(&scope.organization_id))
            .filter(secret::Column::Id.is_in(batch))
            .exec(tx)
            .await?;
    }
    Ok(())
}

/// Takes out what registries, Git settings, runtimes, services and environments refer to.
async fn strike_places(tx: &impl ConnectionTrait, scope: &Scope, unused: &mut BTreeSet<String>) -> Result<()> {
    if unused.is_empty() {
        return Ok(());
    }
    let registries = scope.registries().select_only().column(registry::Column::SecretId);
    let registries: Vec<String> = registries.into_tuple().all(tx).await?;
    let tokens = scope.git_settings().select_only().column(git_settings::Column::SecretId);
    let tokens: Vec<String> = tokens.into_tuple().all(tx).await?;
    let runtimes = scope.runtimes().select_only().column(runtime::Column::SecretId);
    let runtimes: Vec<Option<String>> = runtimes.into_tuple().all(tx).await?;
    let kept = [service::Column::RegistrySecretId, service::Column::WebhookSecretId];
    let kept: Vec<(Option<String>, Option<String>)> =
        scope.services().select_only().columns(kept).into_tuple().all(tx).await?;
    let definitions = [service::Column::Containers, service::Column::Build];
    let definitions: Vec<(Value, Option<Value>)> =
        scope.services().select_only().columns(definitions).into_tuple().all(tx).await?;
    let environments = scope.environments().select_only().column(environment::Column::Env);
    let environments: Vec<Value> = environments.into_tuple().all(tx).await?;

    let of_services = kept.iter().flat_map(|(login, webhook)| login.iter().chain(webhook));
    for id in registries.iter().chain(&tokens).chain(runtimes.iter().flatten()).chain(of_services) {
        unused.remove(id);
    }
    let definitions = definitions.iter().flat_map(|(containers, build)| [Some(containers), build.as_ref()]);
    for value in definitions.flatten().chain(&environments) {
        strike(value, unused);
    }
    Ok(())
}

/// Takes out what kept deployments refer to.
async fn strike_specs(tx: &impl ConnectionTrait, scope: &Scope, unused: &mut BTreeSet<String>) -> Result<()> {
    let mut after = String::new();
    while !unused.is_empty() {
        let specs: Vec<(String, Value)> = scope
            .deployments()
            .select_only()
            .column(deployment::Column::Id)
            .column(deployment::Column::Spec)
            .filter(deployment::Column::Id.gt(after))
            .order_by_asc(deployment::Column::Id)
            .limit(SPECS)
            .into_tuple()
            .all(tx)
            .await?;
        let Some((last, _)) = specs.last() else { break };
        after = last.clone();
        for (_, spec) in &specs {
            strike(spec, unused);
        }
    }
    Ok(())
}

/// Takes out what kept pipelines refer to: the build arguments of their time.
async fn strike_settings(tx: &impl ConnectionTrait, scope: &Scope, unused: &mut BTreeSet<String>) -> Result<()> {
    let mut after = String::new();
    while !unused.is_empty() {
        let settings: Vec<(String, Value)> = scope
            .pipelines()
            .select_only()
            .column(pipeline::Column::Id)
            .column(pipeline::Column::Settings)
            .filter(pipeline::Column::Id.gt(after))
            .order_by_asc(pipeline::Column::Id)
            .limit(SPECS)
            .into_tuple()
            .all(tx)
            .await?;
        let Some((last, _)) = settings.last() else { break };
        after = last.clone();
        for (_, settings) in &settings {
            strike(settings, unused);
        }
    }
    Ok(())
}

fn strike(value: &Value, unused: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            unused.remove(text);
        }
        Value::Array(items) => items.iter().for_each(|item| strike(item, unused)),
        Value::Object(fields) => fields.values().for_each(|field| strike(field, unused)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
