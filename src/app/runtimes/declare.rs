//! Runtimes that kiops.toml states: stored whether they answer or not, since checks find them later.

use std::collections::HashSet;

use entity::{RuntimeStatus, ServiceExposure, runtime};
use sea_orm::{ActiveModelTrait, ColumnTrait, IntoActiveModel, QueryFilter, QuerySelect as _, Set};

use super::Connection;
use super::save::{RegisterRuntime, entry, exposure_of};
use crate::app::declared::{Home, Round};
use crate::app::deployments::leftovers;
use crate::app::{App, Result, Scope, secrets};
use crate::domain::secret::ExposeSecret as _;

/// A runtime, checked.
pub(in crate::app) struct Stated {
    name: String,
    connection: Connection,
    ingress_class: Option<String>,
    storage_class: Option<String>,
    exposure: Option<ServiceExposure>,
}

impl Stated {
    /// What an input says, and how it says that the runtime is reached.
    pub(in crate::app) fn new(input: &RegisterRuntime, connection: Connection) -> Self {
        let exposure = exposure_of(connection.kind(), input.exposure);
        Self {
            name: input.name.clone(),
            connection,
            ingress_class: input.ingress_class.clone(),
            storage_class: input.storage_class.clone(),
            exposure,
        }
    }

    fn has_settings_of(&self, row: &runtime::Model) -> bool {
        (&self.ingress_class, &self.storage_class, self.exposure)
            == (&row.ingress_class, &row.storage_class, row.exposure)
    }
}

/// Sees that a runtime is stored as it is stated. Gives its id; none after a fault.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn declare(
    round: &mut Round<'_>,
    home: &Home,
    (at, stated): (&str, &Stated),
) -> Result<Option<String>> {
    let (app, scope) = (round.app, &home.scope);
    let found = scope.runtimes().filter(runtime::Column::Name.eq(&stated.name)).lock_exclusive().one(round.tx).await?;
    let Some(row) = found else {
        let mut row = runtime::ActiveModel {
            id: Set(app.ids.id()),
            organization_id: Set(scope.organization_id.clone()),
            name: Set(stated.name.clone()),
            kind: Set(stated.connection.kind()),
            ingress_class: Set(stated.ingress_class.clone()),
            storage_class: Set(stated.storage_class.clone()),
            exposure: Set(stated.exposure),
            declared: Set(true),
            created_at: Set(app.clock.now()),
            ..Default::default()
        };
        lead_to(round, scope, &mut row, &stated.connection).await?;
        let row = row.insert(round.tx).await?;
        round.note(home, entry("runtime.registered", &row)).await?;
        return Ok(Some(row.id));
    };
    if row.kind != stated.connection.kind() {
        let message = "a runtime of this name is there, and of the other kind: give this one another name";
        round.faults.add(format!("{at}.name"), message);
        return Ok(None);
    }
    let leads_there = leads_to(app, scope, &row, &stated.connection).await?;
    if row.declared && leads_there && stated.has_settings_of(&row) {
        return Ok(Some(row.id));
    }
    let action = if row.declared { "runtime.updated" } else { "runtime.declared" };
    let old_secret = row.secret_id.clone();
    let mut row = row.into_active_model();
    row.ingress_class = Set(stated.ingress_class.clone());
    row.storage_class = Set(stated.storage_class.clone());
    row.exposure = Set(stated.exposure);
    row.declared = Set(true);
    if !leads_there {
        lead_to(round, scope, &mut row, &stated.connection).await?;
    }
    let row = row.update(round.tx).await?;
    if !leads_there {
        if let Some(old) = old_secret {
            secrets::forget(round.tx, scope, &old).await?;
        }
        leftovers::hurry(app, round.tx, &row).await?;
    }
    round.note(home, entry(action, &row)).await?;
    Ok(Some(row.id))
}

/// Releases the runtimes that are stated no more. From then on their addresses are let through or not as anybody's are.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn release(round: &mut Round<'_>, home: &Home, kept: &HashSet<String>) -> Result<()> {
    let rows = home.scope.runtimes().filter(runtime::Column::Declared.eq(true)).all(round.tx).await?;
    for row in rows.into_iter().filter(|row| !kept.contains(&row.id)) {
        let mut row = row.into_active_model();
        row.declared = Set(false);
        let row = row.update(round.tx).await?;
        round.note(home, entry("runtime.released", &row)).await?;
    }
    Ok(())
}

/// Whether a row is reached in this way already.
async fn leads_to(app: &App, scope: &Scope, row: &runtime::Model, connection: &Connection) -> Result<bool> {
    let readable = (row.endpoint.clone(), (row.tls_ca.clone(), row.tls_cert.clone()));
    if readable != (connection.address(), connection.certificates()) {
        return Ok(false);
    }
    let Some(id) = &row.secret_id else { return Ok(connection.secret().is_none()) };
    // One that nobody can read any more is another one: the file has it.
    let Some(stored) = secrets::open_if_readable(app, scope, id).await? else { return Ok(false) };
    Ok(connection.secret().is_some_and(|secret| secret.expose_secret() == stored.expose_secret()))
}

/// Writes how a runtime is reached. What was known of it is of another place.
async fn lead_to(
    round: &Round<'_>,
    scope: &Scope,
    row: &mut runtime::ActiveModel,
    connection: &Connection,
) -> Result<()> {
    row.secret_id = Set(match connection.secret() {
        Some(secret) => Some(secrets::store(round.app, round.tx, scope, &secret).await?),
        None => None,
    });
    let (ca, cert) = connection.certificates();
    row.tls_ca = Set(ca);
    row.tls_cert = Set(cert);
    row.endpoint = Set(connection.address());
    row.status = Set(RuntimeStatus::Unknown);
    row.status_message = Set(Some("it was not checked yet".to_owned()));
    row.version = Set(None);
    row.engine_id = Set(None);
    row.missing_permissions = Set(None);
    row.grant_manifest = Set(None);
    // What was never checked is due.
    row.checked_at = Set(None);
    Ok(())
}
