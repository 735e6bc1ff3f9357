//! API tokens, and what sessions share with them: a random value of which only the hash is kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use entity::{Role, TokenKind, token};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::app::audit::{self, Entry};
use crate::app::{Actor, App, Error, Result, Scope, Violations};
use crate::domain::names::DisplayName;
use crate::domain::policy::Action;
use crate::domain::secret::SecretString;

/// An API token lives ten years at most.
pub const MAX_DAYS: i32 = 3650;
/// The list has an end.
const MOST_LISTED: u64 = 1000;
const API_PREFIX: &str = "kiops_";
const SESSION_PREFIX: &str = "kiops_s_";

/// The hash that is kept.
pub(super) fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// Saves the database from what can't be a token.
pub(super) fn looks_like_one(secret: &str) -> bool {
    secret.starts_with(API_PREFIX) && secret.len() <= 64
}

/// A token that is being made.
pub(super) struct NewToken<'a> {
    pub(super) kind: TokenKind,
    pub(super) name: &'a str,
    pub(super) role: Role,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// Makes the secret and writes the row.
pub(super) async fn insert(
    app: &App,
    tx: &impl ConnectionTrait,
    scope: &Scope,
    user_id: &str,
    new: NewToken<'_>,
) -> Result<(SecretString, token::Model)> {
    let prefix = match new.kind {
        TokenKind::Session => SESSION_PREFIX,
        TokenKind::Api => API_PREFIX,
    };
    let secret = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(app.ids.random()));
    let row = token::ActiveModel {
        id: Set(app.ids.id()),
        organization_id: Set(scope.organization_id.clone()),
        user_id: Set(user_id.to_owned()),
        kind: Set(new.kind),
        name: Set(new.name.to_owned()),
        hash: Set(hash(&secret)),
        role: Set(new.role),
        created_at: Set(app.clock.now()),
        expires_at: Set(new.expires_at),
        last_used_at: Set(None),
    }
    .insert(tx)
    .await?;
    Ok((SecretString::from(secret), row))
}

/// Makes an API token for the caller; it is shown this once.
///
/// # Errors
/// FORBIDDEN for a role above the caller's; BAD_USER_INPUT for a name or a time that is none.
pub async fn create(
    app: &App,
    actor: &Actor,
    name: &str,
    role: Option<Role>,
    expires_in_days: Option<i32>,
) -> Result<(SecretString, token::Model)> {
    actor.require(Action::OwnAccount)?;
    let mut violations = Violations::default();
    let name = violations.check("input.name", DisplayName::parse(name));
    if expires_in_days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days)) {
        violations.add("input.expiresInDays", format!("must be between 1 and {MAX_DAYS}"));
    }
    violations.finish()?;
    let Some(name) = name else {
        return Err(Error::bad_input("input.name", "is no name"));
    };
    let role = role.unwrap_or(actor.role);
    if role > actor.role {
        return Err(Error::forbidden("a token can't have a role above your own"));
    }
    let now = app.clock.now();
    let new = NewToken {
        kind: TokenKind::Api,
        name: name.as_str(),
        role,
        expires_at: expires_in_days.map(|days| now + TimeDelta::days(days.into())),
    };
    let tx = app.begin().await?;
    let (secret, row) = insert(app, &tx, &actor.scope, &actor.user_id, new).await?;
    let entry = Entry {
        action: "api_token.created",
        subject_kind: "ApiToken",
        subject_id: &row.id,
        subject_name: &row.name,
        detail: json!({ "role": row.role, "expiresAt": row.expires_at }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    Ok((secret, row))
}

/// The API tokens that the caller may see: their own, or the organization's for who may see those of others.
fn visible(actor: &Actor) -> sea_orm::Select<token::Entity> {
    let all = actor.scope.tokens().filter(token::Column::Kind.eq(TokenKind::Api));
    if actor.may(Action::OthersTokens) {
        return all;
    }
    all.filter(token::Column::UserId.eq(&actor.user_id))
}

/// The API tokens that the caller may see, the newest first.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn list(app: &App, actor: &Actor) -> Result<Vec<token::Model>> {
    Ok(visible(actor).order_by_desc(token::Column::Id).limit(MOST_LISTED).all(app.db.read()).await?)
}

/// One of them.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn find(app: &App, actor: &Actor, id: &str) -> Result<Option<token::Model>> {
    Ok(visible(actor).filter(token::Column::Id.eq(id)).one(app.db.read()).await?)
}

/// Revokes one of them; it stops working at once.
///
/// # Errors
/// NOT_FOUND for one that the caller does not see.
pub async fn revoke(app: &App, actor: &Actor, id: &str) -> Result<()> {
    actor.require(Action::OwnAccount)?;
    let tx = app.begin().await?;
    let row =
        visible(actor).filter(token::Column::Id.eq(id)).one(&tx).await?.ok_or_else(|| Error::not_found("apitoken"))?;
    token::Entity::delete_by_id(&row.id).exec(&tx).await?;
    let entry = Entry {
        action: "api_token.revoked",
        subject_kind: "ApiToken",
        subject_id: &row.id,
        subject_name: &row.name,
        detail: json!({ "userId": row.user_id }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    Ok(())
}
