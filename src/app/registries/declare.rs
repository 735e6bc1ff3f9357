//! Logins to registries that kiops.toml states: stored whether the registry answers or not, and tried afterwards.

use std::collections::HashSet;

use entity::{organization, registry};
use futures_util::StreamExt as _;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait as _, IntoActiveModel, PaginatorTrait as _, QueryFilter,
    QuerySelect as _, Set,
};

use super::{SaveRegistry, by_host, detail};
use crate::app::audit::Entry;
use crate::app::change::Change;
use crate::app::declared::{Home, Round};
use crate::app::{App, Result, Scope, secrets};
use crate::domain::secret::{ExposeSecret as _, RegistryLogin, SecretString};

/// What is said of a login until it was tried.
const UNTRIED: &str = "the login was not tried yet";
/// How many registries are asked at once.
const AT_ONCE: usize = 4;

/// A login, checked.
pub(in crate::app) struct Stated {
    host: String,
    username: String,
    token: SecretString,
    /// Where builds go that name no repository.
    pub(in crate::app) prefix: Option<String>,
}

impl Stated {
    /// What an input says, and its host as it is stored.
    pub(in crate::app) fn new(host: String, input: &SaveRegistry) -> Self {
        let prefix = match &input.repository_prefix {
            Change::Set(prefix) => Some(prefix.clone()),
            Change::Keep | Change::Clear => None,
        };
        Self { host, username: input.username.clone(), token: input.token.clone(), prefix }
    }
}

/// Sees that a login is stored as it is stated, and gives its id.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn declare(round: &mut Round<'_>, home: &Home, stated: &Stated) -> Result<String> {
    let (app, scope) = (round.app, &home.scope);
    let Some(row) = by_host(round.tx, scope, &stated.host).await? else {
        let row = registry::ActiveModel {
            id: Set(app.ids.id()),
            organization_id: Set(scope.organization_id.clone()),
            host: Set(stated.host.clone()),
            username: Set(stated.username.clone()),
            secret_id: Set(secrets::store(app, round.tx, scope, &stated.token).await?),
            repository_prefix: Set(stated.prefix.clone()),
            checked_at: Set(app.clock.now()),
            status_message: Set(Some(UNTRIED.to_owned())),
            declared: Set(true),
        };
        let row = row.insert(round.tx).await?;
        round.note(home, entry("registry.saved", &row)).await?;
        return Ok(row.id);
    };
    // One that nobody can read any more is another one: the file has it.
    let stored = secrets::open_if_readable(app, scope, &row.secret_id).await?;
    let same_token = stored.is_some_and(|stored| stored.expose_secret() == stated.token.expose_secret());
    let same_login = same_token && row.username == stated.username;
    if row.declared && same_login && row.repository_prefix == stated.prefix {
        return Ok(row.id);
    }
    let action = if row.declared { "registry.saved" } else { "registry.declared" };
    let old_secret = row.secret_id.clone();
    let mut row = row.into_active_model();
    row.username = Set(stated.username.clone());
    row.repository_prefix = Set(stated.prefix.clone());
    row.declared = Set(true);
    if !same_token {
        row.secret_id = Set(secrets::store(app, round.tx, scope, &stated.token).await?);
    }
    if !same_login {
        row.status_message = Set(Some(UNTRIED.to_owned()));
    }
    let row = row.update(round.tx).await?;
    if !same_token {
        secrets::forget(round.tx, scope, &old_secret).await?;
    }
    round.note(home, entry(action, &row)).await?;
    Ok(row.id)
}

/// Notes at `at` when there is a prefix beside the stated one: which of them counts would be a matter of chance. That of a login
/// which is stated no more was the file's, and is gone with it.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn check_prefix(
    round: &mut Round<'_>,
    home: &Home,
    at: &str,
    kept: &HashSet<String>,
) -> Result<()> {
    let rows = home.scope.registries().filter(registry::Column::Declared.eq(true)).all(round.tx).await?;
    for row in rows.into_iter().filter(|row| row.repository_prefix.is_some() && !kept.contains(&row.id)) {
        let mut row = row.into_active_model();
        row.repository_prefix = Set(None);
        let row = row.update(round.tx).await?;
        round.note(home, entry("registry.saved", &row)).await?;
    }
    let with_prefix = home.scope.registries().filter(registry::Column::RepositoryPrefix.is_not_null());
    if with_prefix.count(round.tx).await? > 1 {
        let message = "another registry of the organization has a prefix already, and at most one has";
        round.faults.add(format!("{at}.repository_prefix"), message);
    }
    Ok(())
}

/// Releases the logins that are stated no more.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn release(round: &mut Round<'_>, home: &Home, kept: &HashSet<String>) -> Result<()> {
    let rows = home.scope.registries().filter(registry::Column::Declared.eq(true)).all(round.tx).await?;
    for row in rows.into_iter().filter(|row| !kept.contains(&row.id)) {
        let mut row = row.into_active_model();
        row.declared = Set(false);
        let row = row.update(round.tx).await?;
        round.note(home, entry("registry.released", &row)).await?;
    }
    Ok(())
}

/// Tries the stated logins that were not taken yet, and stores what came of it.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(in crate::app) async fn try_out(app: &App) -> Result<()> {
    let mut due = Vec::new();
    for organization in organization::Entity::find().all(app.db.read()).await? {
        let scope = Scope { organization_id: organization.id };
        let untaken = scope
            .registries()
            .filter(registry::Column::Declared.eq(true))
            .filter(registry::Column::StatusMessage.is_not_null());
        due.extend(untaken.all(app.db.read()).await?);
    }
    futures_util::stream::iter(due)
        .for_each_concurrent(AT_ONCE, |row| async move {
            if let Err(error) = try_one(app, &row).await {
                tracing::warn!(registry = %row.host, %error, "what came of trying a login could not be stored");
            }
        })
        .await;
    Ok(())
}

async fn try_one(app: &App, asked: &registry::Model) -> Result<()> {
    let scope = Scope { organization_id: asked.organization_id.clone() };
    let token = secrets::open(app, &scope, &asked.secret_id).await?;
    let login = RegistryLogin { username: asked.username.clone(), token, trusted: asked.declared };
    let message = app.registries.check_login(&asked.host, &login).await.err().map(|error| error.to_string());
    if let Some(message) = &message {
        tracing::warn!(registry = %asked.host, %message, "a login of kiops.toml was not taken");
    }
    let tx = app.begin().await?;
    let row = scope.registries().filter(registry::Column::Id.eq(&asked.id)).lock_exclusive().one(&tx).await?;
    // Another one was stored since.
    let Some(row) = row.filter(|row| (&row.secret_id, &row.username) == (&asked.secret_id, &asked.username)) else {
        return Ok(());
    };
    if row.status_message == message {
        return Ok(());
    }
    let mut row = row.into_active_model();
    row.status_message = Set(message);
    row.checked_at = Set(app.clock.now());
    row.update(&tx).await?;
    tx.commit().await?;
    Ok(())
}

fn entry<'a>(action: &'a str, row: &'a registry::Model) -> Entry<'a> {
    Entry { action, subject_kind: "Registry", subject_id: &row.id, subject_name: &row.host, detail: detail(row) }
}
