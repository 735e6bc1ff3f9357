//! Logins to image registries, stored once by an admin and used silently.

pub(in crate::app) mod declare;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use entity::{registry, service};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, IntoActiveModel, ModelTrait, QueryFilter, QueryOrder, Set,
};
use serde_json::json;

use super::change::Change;
use super::identity::lock_organization;
use super::pipelines::definition::build_of;
use super::services::{check, definition::containers_of};
use super::{Actor, App, Error, Precondition, Result, Scope, Violations, audit, secrets};
use crate::domain::image::{Repository, normalise_host};
use crate::domain::policy::Action;
use crate::domain::secret::{RegistryLogin, SecretString};
use crate::registry::RegistryError;

/// A login to be stored.
#[derive(Clone)]
pub struct SaveRegistry {
    /// `docker.io`, `ghcr.io`, `registry.example.com:5000`.
    pub host: String,
    /// The account.
    pub username: String,
    /// Password or token.
    pub token: SecretString,
    /// Where builds go that name no repository.
    pub repository_prefix: Change<String>,
}

/// The organization's logins, by host.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn list(app: &App, scope: &Scope) -> Result<Vec<registry::Model>> {
    let rows = scope.registries().order_by_asc(registry::Column::Host).all(app.db.read());
    Ok(rows.await?)
}

/// One login by its id; none for what this organization does not have.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn by_id(app: &App, scope: &Scope, id: &str) -> Result<Option<registry::Model>> {
    let row = scope.registries().filter(registry::Column::Id.eq(id)).one(app.db.read());
    Ok(row.await?)
}

/// Tries the login, then stores it instead of an earlier one of the same host.
///
/// # Errors
/// FORBIDDEN for members, BAD_USER_INPUT with every fault or when the registry refuses the login, UPSTREAM_ERROR when
/// it does not answer, CONFLICT when another registry already has a prefix, FAILED_PRECONDITION (DECLARED) for a login that
/// kiops.toml states.
pub async fn save(app: &App, actor: &Actor, input: SaveRegistry) -> Result<registry::Model> {
    actor.require(Action::ChangeRegistries)?;
    let mut v = Violations::default();
    let host = check_input(&mut v, &input);
    v.finish()?;
    let Some(host) = host else {
        return Err(Error::internal("a registry's host was neither read nor refused"));
    };
    if by_host(app.db.read(), &actor.scope, &host).await?.is_some_and(|row| row.declared) {
        return Err(declared(&host));
    }
    let login = RegistryLogin { username: input.username.clone(), token: input.token.clone(), trusted: false };
    let tried = app.registries.check_login(&host, &login).await;
    tried.map_err(refused)?;

    let scope = &actor.scope;
    let tx = app.begin().await?;
    // Two admins who save at once must not both set a prefix.
    lock_organization(app, &tx, &scope.organization_id).await?;
    let stored = by_host(&tx, scope, &host).await?;
    if stored.as_ref().is_some_and(|row| row.declared) {
        return Err(declared(&host));
    }
    let prefix = input.repository_prefix.over(stored.as_ref().and_then(|r| r.repository_prefix.clone()));
    if prefix.is_some() {
        only_prefix(&tx, scope, &host).await?;
    }
    let secret_id = secrets::store(app, &tx, scope, &input.token).await?;
    let now = app.clock.now();
    let row = match stored.clone() {
        Some(row) => {
            let mut row = row.into_active_model();
            row.username = Set(input.username);
            row.secret_id = Set(secret_id);
            row.repository_prefix = Set(prefix);
            row.checked_at = Set(now);
            row.status_message = Set(None);
            row.update(&tx).await?
        }
        None => {
            let row = registry::ActiveModel {
                id: Set(app.ids.id()),
                organization_id: Set(scope.organization_id.clone()),
                host: Set(host),
                username: Set(input.username),
                secret_id: Set(secret_id),
                repository_prefix: Set(prefix),
                checked_at: Set(now),
                status_message: Set(None),
                declared: Set(false),
            };
            row.insert(&tx).await?
        }
    };
    if let Some(old) = &stored {
        secrets::forget(&tx, scope, &old.secret_id).await?;
    }
    let entry = audit::Entry {
        action: "registry.saved",
        subject_kind: "Registry",
        subject_id: &row.id,
        subject_name: &row.host,
        detail: detail(&row),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    Ok(row)
}

/// Forgets a host's login and gives the host's normalised name.
///
/// # Errors
/// FORBIDDEN for members, NOT_FOUND when there is no login for the host, FAILED_PRECONDITION (DECLARED) for one that kiops.toml
/// states.
pub async fn delete(app: &App, actor: &Actor, host: &str) -> Result<String> {
    actor.require(Action::ChangeRegistries)?;
    let scope = &actor.scope;
    let tx = app.begin().await?;
    // Somebody who saves at the same time is waited for.
    lock_organization(app, &tx, &scope.organization_id).await?;
    let row = by_host(&tx, scope, &normalise_host(host)).await?.ok_or_else(|| Error::not_found("registry"))?;
    if row.declared {
        return Err(declared(&row.host));
    }
    row.clone().delete(&tx).await?;
    secrets::forget(&tx, scope, &row.secret_id).await?;
    let entry = audit::Entry {
        action: "registry.deleted",
        subject_kind: "Registry",
        subject_id: &row.id,
        subject_name: &row.host,
        detail: json!({}),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    Ok(row.host)
}

/// What to authenticate with at `host`: the service's own login if the service has images there, else the
/// organization's, else nothing.
///
/// # Errors
/// INTERNAL when a sealed token does not open.
pub async fn login_for(
    app: &App,
    scope: &Scope,
    service: Option<&service::Model>,
    host: &str,
) -> Result<Option<RegistryLogin>> {
    let host = normalise_host(host);
    let stored = by_host(app.db.read(), scope, &host).await?;
    // Whoever's login it is, the host of the file is the operator's own.
    let trusted = stored.as_ref().is_some_and(|row| row.declared);
    if let Some(service) = service
        && let (Some(username), Some(secret)) = (&service.registry_username, &service.registry_secret_id)
        && own_hosts(service)?.contains(&host)
    {
        let token = secrets::open(app, scope, secret).await?;
        return Ok(Some(RegistryLogin { username: username.clone(), token, trusted }));
    }
    let Some(row) = stored else { return Ok(None) };
    let token = secrets::open(app, scope, &row.secret_id).await?;
    Ok(Some(RegistryLogin { username: row.username, token, trusted }))
}

/// Every login that a build of the service may need for the images that it begins with, by host: the organization's, and
/// the service's own.
///
/// # Errors
/// INTERNAL when a sealed token does not open.
pub async fn all_logins(app: &App, scope: &Scope, service: &service::Model) -> Result<Vec<(String, RegistryLogin)>> {
    let mut hosts: BTreeSet<String> = list(app, scope).await?.into_iter().map(|row| row.host).collect();
    hosts.extend(own_hosts(service)?);
    let mut logins = Vec::new();
    for host in hosts {
        if let Some(login) = login_for(app, scope, Some(service), &host).await? {
            logins.push((host, login));
        }
    }
    Ok(logins)
}

/// The hosts that the service's own login is for: where its images are, and where what is built of it goes.
fn own_hosts(service: &service::Model) -> Result<BTreeSet<String>> {
    let built = build_of(service)?.image_repository.and_then(|image| Repository::parse(&image).ok());
    let named = containers_of(service)?.into_iter().flat_map(|c| c.image).map(|image| image.repository);
    Ok(named.chain(built).map(|repository| repository.host().to_owned()).collect())
}

/// Where builds go that name no repository: the prefix that one of the organization's registries has.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn prefix(app: &App, scope: &Scope) -> Result<Option<String>> {
    let row = scope.registries().filter(registry::Column::RepositoryPrefix.is_not_null()).one(app.db.read());
    Ok(row.await?.and_then(|row| row.repository_prefix))
}

/// Checks an input at its fields, and gives its host as it is stored.
pub(in crate::app) fn check_input(v: &mut Violations, input: &SaveRegistry) -> Option<String> {
    let host = v.check("input.host", parse_host(&input.host));
    check::credentials(v, "input.username", &input.username, "input.token", &input.token);
    if let (Some(host), Change::Set(prefix)) = (&host, &input.repository_prefix) {
        v.check("input.repositoryPrefix", check_prefix(host, prefix));
    }
    host
}

async fn by_host(db: &impl ConnectionTrait, scope: &Scope, host: &str) -> Result<Option<registry::Model>> {
    let row = scope.registries().filter(registry::Column::Host.eq(host)).one(db);
    Ok(row.await?)
}

async fn only_prefix(tx: &impl ConnectionTrait, scope: &Scope, host: &str) -> Result<()> {
    let other = scope
        .registries()
        .filter(registry::Column::Host.ne(host))
        .filter(registry::Column::RepositoryPrefix.is_not_null())
        .one(tx)
        .await?;
    match other {
        None => Ok(()),
        Some(other) => Err(Error::conflict(
            "input.repositoryPrefix",
            format!("{} already has a repository prefix, and at most one registry has one", other.host),
        )),
    }
}

/// A host as image names write it.
fn parse_host(text: &str) -> std::result::Result<String, String> {
    let host = normalise_host(text);
    match Repository::parse(&format!("{host}/x")) {
        Ok(repository) if repository.host() == host => Ok(host),
        _ => Err("give the registry as image names write it: docker.io, ghcr.io, registry.example.com:5000".to_owned()),
    }
}

fn check_prefix(host: &str, prefix: &str) -> std::result::Result<(), String> {
    let repository = Repository::parse(&format!("{prefix}/x")).map_err(|e| e.to_string())?;
    if repository.host() == host { Ok(()) } else { Err(format!("a prefix begins with its registry: {host}/team")) }
}

fn declared(host: &str) -> Error {
    let message = format!("the login for {host} is stated in kiops.toml: whoever runs this server changes it there");
    Error::precondition(Precondition::Declared, message)
}

fn detail(row: &registry::Model) -> serde_json::Value {
    json!({ "username": row.username, "repositoryPrefix": row.repository_prefix })
}

fn refused(error: RegistryError) -> Error {
    match error {
        RegistryError::Unauthorized(message) => Error::bad_input("input.token", message),
        RegistryError::Refused(message) => Error::bad_input("input.host", message),
        other => other.into(),
    }
}
