//! An organization's access to each provider: stored once by an admin, and used silently.

use chrono::{DateTime, TimeDelta, Utc};
use entity::git_settings;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, IntoActiveModel as _, ModelTrait as _, QueryFilter,
    QueryOrder as _, QuerySelect as _, Set,
};
use serde_json::json;

use super::{of_stored, stored};
use crate::app::change::Change;
use crate::app::identity::lock_organization;
use crate::app::{Actor, App, Error, Precondition, Result, Scope, Violations, audit, secrets};
use crate::domain::git::{MissingRight, Provider};
use crate::domain::policy::Action;
use crate::domain::secret::{ExposeSecret as _, SecretString};
use crate::git::{GitAccess, GitError, GitProviders, TokenInfo};

/// How long a token that was taken is believed.
pub(super) const CHECKED_EVERY: TimeDelta = TimeDelta::hours(24);

/// A token of fewer characters gives none of them away.
const HINTED_FROM: usize = 12;

/// Access to be stored.
#[derive(Clone)]
pub struct SaveGitSettings {
    /// Which provider.
    pub provider: Provider,
    /// Its address as it was typed. Left out: as stored. Cleared, or left out where nothing is stored: the
    /// configuration's for GitHub.
    pub base_url: Change<String>,
    /// The token.
    pub token: SecretString,
}

/// The organization's settings, one for each provider that is set up.
///
/// # Errors
/// FORBIDDEN for members, INTERNAL when the database does not answer.
pub async fn list(app: &App, actor: &Actor) -> Result<Vec<git_settings::Model>> {
    actor.require(Action::ChangeGitSettings)?;
    all(app, &actor.scope).await
}

/// All of an organization's settings, for use cases that show none of them.
pub(in crate::app) async fn all(app: &App, scope: &Scope) -> Result<Vec<git_settings::Model>> {
    let rows = scope.git_settings().order_by_desc(git_settings::Column::Provider).all(app.db.read());
    Ok(rows.await?)
}

/// One by its id, for an admin; none for anybody else and for what this organization does not have.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn by_id(app: &App, actor: &Actor, id: &str) -> Result<Option<git_settings::Model>> {
    if !actor.may(Action::ChangeGitSettings) {
        return Ok(None);
    }
    let row = actor.scope.git_settings().filter(git_settings::Column::Id.eq(id)).one(app.db.read());
    Ok(row.await?)
}

/// What is stored about a provider.
pub(in crate::app) async fn of(app: &App, scope: &Scope, which: Provider) -> Result<Option<git_settings::Model>> {
    find(app.db.read(), scope, which).await
}

pub(super) async fn find(
    db: &impl ConnectionTrait,
    scope: &Scope,
    which: Provider,
) -> Result<Option<git_settings::Model>> {
    let row = scope.git_settings().filter(git_settings::Column::Provider.eq(stored(which))).one(db);
    Ok(row.await?)
}

/// Tries the token with the provider, then stores it instead of an earlier one.
///
/// # Errors
/// FORBIDDEN for members; BAD_USER_INPUT with every fault, or when the provider does not take the token or the address
/// is none that this server talks to; UPSTREAM_ERROR when it does not answer; FAILED_PRECONDITION (DECLARED) for
/// settings that kiops.toml states.
pub async fn save(app: &App, actor: &Actor, input: SaveGitSettings) -> Result<git_settings::Model> {
    actor.require(Action::ChangeGitSettings)?;
    let which = input.provider;
    let mut v = Violations::default();
    let scope = &actor.scope;
    let before = find(app.db.read(), scope, which).await?;
    if before.as_ref().is_some_and(|row| row.declared) {
        return Err(declared(which));
    }
    let typed = input.base_url.over(before.map(|row| row.base_url));
    let base_url = check_input(&mut v, app.gits.as_ref(), (which, typed.as_deref(), &input.token));
    v.finish()?;
    let base_url = base_url.ok_or_else(|| Error::internal("a provider's address was neither read nor refused"))?;
    let token = input.token;
    let info = identify(app, scope, which, &base_url, &token).await?;

    let tx = app.begin().await?;
    lock_organization(app, &tx, &scope.organization_id).await?;
    let earlier = find(&tx, scope, which).await?;
    if earlier.as_ref().is_some_and(|row| row.declared) {
        return Err(declared(which));
    }
    let secret_id = secrets::store(app, &tx, scope, &token).await?;
    let now = app.clock.now();
    let (id, is_new) = earlier.as_ref().map_or_else(|| (app.ids.id(), true), |row| (row.id.clone(), false));
    let row = git_settings::ActiveModel {
        id: Set(id),
        organization_id: Set(scope.organization_id.clone()),
        provider: Set(stored(which)),
        base_url: Set(base_url),
        secret_id: Set(secret_id),
        token_hint: Set(hint(&token)),
        account: Set(info.account),
        scopes: Set(json!(info.scopes)),
        missing: Set(json!(info.missing)),
        expires_at: Set(info.expires_at),
        rejected: Set(false),
        status_message: Set(None),
        checked_at: Set(now),
        next_check_at: Set(now + CHECKED_EVERY),
        saved_by: Set(Some(actor.user_id.clone())),
        declared: Set(false),
    };
    let row = if is_new { row.insert(&tx).await? } else { row.update(&tx).await? };
    if let Some(earlier) = &earlier {
        secrets::forget(&tx, scope, &earlier.secret_id).await?;
    }
    let detail = json!({ "baseUrl": row.base_url, "account": row.account, "scopes": row.scopes });
    audit::record(app, &tx, actor, entry("git_settings.saved", &row, detail)).await?;
    tx.commit().await?;
    Ok(row)
}

/// Forgets a provider's token. Services that come from there stay.
///
/// # Errors
/// FORBIDDEN for members, NOT_FOUND when nothing is stored, FAILED_PRECONDITION (DECLARED) for settings that kiops.toml
/// states.
pub async fn delete(app: &App, actor: &Actor, which: Provider) -> Result<()> {
    actor.require(Action::ChangeGitSettings)?;
    let scope = &actor.scope;
    let tx = app.begin().await?;
    lock_organization(app, &tx, &scope.organization_id).await?;
    let row = find(&tx, scope, which).await?.ok_or_else(|| Error::not_found("Git settings"))?;
    if row.declared {
        return Err(declared(which));
    }
    row.clone().delete(&tx).await?;
    secrets::forget(&tx, scope, &row.secret_id).await?;
    audit::record(app, &tx, actor, entry("git_settings.deleted", &row, json!({}))).await?;
    tx.commit().await?;
    Ok(())
}

/// Stores what a check learned, unless another token was stored since.
pub(super) async fn store_check(
    app: &App,
    asked: &git_settings::Model,
    found: std::result::Result<TokenInfo, GitError>,
    next: DateTime<Utc>,
) -> Result<()> {
    let scope = Scope { organization_id: asked.organization_id.clone() };
    let tx = app.begin().await?;
    let row = scope.git_settings().filter(git_settings::Column::Id.eq(&asked.id)).lock_exclusive().one(&tx).await?;
    let Some(row) = row else { return Ok(()) };
    if row.secret_id != asked.secret_id {
        return Ok(());
    }
    let mut row = row.into_active_model();
    row.checked_at = Set(app.clock.now());
    row.next_check_at = Set(next);
    match found {
        Ok(info) => {
            row.account = Set(info.account);
            row.scopes = Set(json!(info.scopes));
            row.missing = Set(json!(info.missing));
            row.expires_at = Set(info.expires_at);
            row.rejected = Set(false);
            row.status_message = Set(None);
        }
        Err(error) => {
            if matches!(error, GitError::Unauthorized(_)) {
                row.rejected = Set(true);
            }
            row.status_message = Set(Some(error.to_string()));
        }
    }
    row.update(&tx).await?;
    tx.commit().await?;
    Ok(())
}

/// What the token lacks.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn missing_of(row: &git_settings::Model) -> Result<Vec<MissingRight>> {
    serde_json::from_value(row.missing.clone()).map_err(|e| Error::internal(format!("rights of {}: {e}", row.id)))
}

/// The token's scopes, in the provider's words.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn scopes_of(row: &git_settings::Model) -> Result<Vec<String>> {
    serde_json::from_value(row.scopes.clone()).map_err(|e| Error::internal(format!("scopes of {}: {e}", row.id)))
}

async fn identify(
    app: &App,
    scope: &Scope,
    which: Provider,
    base_url: &str,
    token: &SecretString,
) -> Result<TokenInfo> {
    let access = GitAccess {
        provider: which,
        base_url: base_url.to_owned(),
        token: token.clone(),
        organization_id: scope.organization_id.clone(),
        trusted: false,
    };
    let asked = match app.gits.connect(&access) {
        Ok(client) => client.identify().await,
        Err(error) => Err(error),
    };
    let info = asked.map_err(|error| match error {
        GitError::Unauthorized(message) | GitError::Forbidden(message) => Error::bad_input("input.token", message),
        GitError::Refused(message) => Error::bad_input("input.baseUrl", message),
        GitError::NotFound(_) | GitError::Invalid(_) | GitError::Taken(_) => {
            Error::bad_input("input.baseUrl", format!("there is no {which} at {base_url}"))
        }
        GitError::Limited { message, retry_at } => Error { retry_at, ..Error::upstream(message) },
        GitError::Unreachable(message) => Error::upstream(message),
    })?;
    match info.expires_at {
        Some(at) if at <= app.clock.now() => {
            Err(Error::bad_input("input.token", format!("the token ended on {}", at.format("%Y-%m-%d"))))
        }
        _ => Ok(info),
    }
}

/// Checks token and address of a provider at their fields, and gives the address as it is stored.
pub(in crate::app) fn check_input(
    v: &mut Violations,
    gits: &dyn GitProviders,
    (which, typed, token): (Provider, Option<&str>, &SecretString),
) -> Option<String> {
    v.check("input.token", check_token(token));
    v.check("input.baseUrl", gits.base_url(which, typed))
}

fn check_token(token: &SecretString) -> std::result::Result<(), &'static str> {
    let token = token.expose_secret();
    if token.is_empty() || token.len() > 1024 || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("a token has 1 to 1024 letters, digits and signs, and no spaces");
    }
    Ok(())
}

pub(super) fn hint(token: &SecretString) -> String {
    let token = token.expose_secret();
    if token.len() < HINTED_FROM { String::new() } else { token[token.len() - 4..].to_owned() }
}

fn declared(which: Provider) -> Error {
    let message = format!("the {which} settings are stated in kiops.toml: whoever runs this server changes them there");
    Error::precondition(Precondition::Declared, message)
}

pub(super) fn entry<'a>(action: &'a str, row: &'a git_settings::Model, detail: serde_json::Value) -> audit::Entry<'a> {
    let subject_name = of_stored(row.provider).title();
    audit::Entry { action, subject_kind: "GitSettings", subject_id: &row.id, subject_name, detail }
}
