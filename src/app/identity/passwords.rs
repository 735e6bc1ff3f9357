//! Passwords: Argon2id, a few at a time, off the threads that serve requests.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use entity::{membership, token, user};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set};
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{limits, normal_email, user_by_email};
use crate::app::audit::{self, By, Entry};
use crate::app::{Actor, App, Error, Precondition, Result, Violations};
use crate::domain::names::check_password;
use crate::domain::policy::Action;
use crate::domain::secret::{ExposeSecret as _, SecretString};

/// Longer ones are refused before anything is computed.
pub(super) const MAX_BYTES: usize = 1024;

/// Stands in for the hash of an account that is not there, so that it takes as long to refuse.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Each takes 19 MiB and a core.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// Notes what is wrong with a new password.
pub(in crate::app) fn check(violations: &mut Violations, field: &str, password: &SecretString) {
    violations.check(field, check_password(password.expose_secret()));
}

/// Waits for a turn to hash or verify.
pub(super) async fn turn() -> Result<SemaphorePermit<'static>> {
    AT_ONCE.acquire().await.map_err(Error::internal)
}

/// Hashes a new password. The caller has its [`turn`].
async fn hash_in_turn(app: &App, password: &SecretString) -> Result<String> {
    let salt = app.ids.random();
    let password = password.clone();
    tokio::task::spawn_blocking(move || {
        let salt = SaltString::encode_b64(salt.get(..16).unwrap_or_default()).map_err(Error::internal)?;
        let hash =
            Argon2::default().hash_password(password.expose_secret().as_bytes(), &salt).map_err(Error::internal)?;
        Ok(hash.to_string())
    })
    .await
    .map_err(Error::internal)?
}

/// Hashes a new password.
pub(super) async fn hash(app: &App, password: &SecretString) -> Result<String> {
    let _turn = turn().await?;
    hash_in_turn(app, password).await
}

/// Whether the password is the one; takes as long when there is no hash. The caller has its [`turn`].
pub(super) async fn verify(hash: Option<String>, password: &SecretString) -> Result<bool> {
    let password = password.clone();
    tokio::task::spawn_blocking(move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        let parsed = PasswordHash::new(&hash).map_err(Error::internal)?;
        let matches = Argon2::default().verify_password(password.expose_secret().as_bytes(), &parsed).is_ok();
        Ok(matches && known)
    })
    .await
    .map_err(Error::internal)?
}

/// Changes the caller's own password and ends their other sessions, in every organization.
///
/// # Errors
/// BAD_USER_INPUT when the current one is wrong or the new one is none, RATE_LIMITED after too many wrong ones,
/// FAILED_PRECONDITION, DECLARED when kiops.toml states the password.
pub async fn change(app: &App, actor: &Actor, current: &SecretString, new: &SecretString) -> Result<()> {
    actor.require(Action::OwnAccount)?;
    let mut violations = Violations::default();
    if current.expose_secret().len() > MAX_BYTES {
        violations.add("input.currentPassword", "is not your password");
    }
    check(&mut violations, "input.newPassword", new);
    violations.finish()?;

    let user = user::Entity::find_by_id(&actor.user_id).one(app.db.read()).await?.ok_or_else(Error::unauthenticated)?;
    check_declared(app.db.read(), &user.id).await?;
    let who = limits::Subjects::new(&user.email, None);
    let _turn = turn().await?;
    limits::check(app, &who).await?;
    if !verify(Some(user.password_hash.clone()), current).await? {
        let tx = app.begin().await?;
        limits::record(app, &tx, &who).await?;
        tx.commit().await?;
        return Err(Error::bad_input("input.currentPassword", "is not your password"));
    }
    let hash = hash_in_turn(app, new).await?;
    let tx = app.begin().await?;
    check_declared(&tx, &user.id).await?;
    let changed = user::Entity::update_many()
        .col_expr(user::Column::PasswordHash, hash.into())
        .filter(user::Column::Id.eq(&user.id))
        .filter(user::Column::PasswordHash.eq(&user.password_hash))
        .exec(&tx)
        .await?;
    if changed.rows_affected != 1 {
        return Err(Error::conflict("input.currentPassword", "the password was changed meanwhile"));
    }
    let ended = token::Entity::delete_many()
        .filter(token::Column::UserId.eq(&user.id))
        .filter(token::Column::Kind.eq(entity::TokenKind::Session))
        .filter(token::Column::Id.ne(&actor.token_id))
        .exec(&tx)
        .await?;
    let entry = Entry {
        action: "auth.password_changed",
        subject_kind: "User",
        subject_id: &user.id,
        subject_name: &user.email,
        detail: json!({ "endedSessions": ended.rows_affected }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    Ok(())
}

/// Sets a password for the person who locked themselves out, and ends all their sessions. For the command line alone.
///
/// # Errors
/// NOT_FOUND when nobody has the address, BAD_USER_INPUT when the password is none, FAILED_PRECONDITION, DECLARED when
/// kiops.toml states the password: the next start would put that one back.
pub async fn set(app: &App, email: &str, password: &SecretString) -> Result<()> {
    let mut violations = Violations::default();
    check(&mut violations, "password", password);
    violations.finish()?;
    let hash = hash(app, password).await?;
    let tx = app.begin().await?;
    let user = user_by_email(&tx, &normal_email(email)).await?.ok_or_else(|| Error::not_found("user"))?;
    check_declared(&tx, &user.id).await?;
    let (id, email) = (user.id.clone(), user.email.clone());
    put(&tx, user, hash).await?;
    let memberships = membership::Entity::find().filter(membership::Column::UserId.eq(&id)).all(&tx).await?;
    for membership in memberships {
        let by = By { organization_id: membership.organization_id, user_id: None, address: None };
        let entry = Entry {
            action: "auth.password_set",
            subject_kind: "User",
            subject_id: &id,
            subject_name: &email,
            detail: json!({}),
        };
        audit::record(app, &tx, by, entry).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Writes the hash of a new password and ends all sessions of the account; says how many.
pub(super) async fn put(tx: &impl ConnectionTrait, user: user::Model, hash: String) -> Result<u64> {
    let id = user.id.clone();
    let mut user: user::ActiveModel = user.into();
    user.password_hash = Set(hash);
    user.update(tx).await?;
    let ended = token::Entity::delete_many()
        .filter(token::Column::UserId.eq(&id))
        .filter(token::Column::Kind.eq(entity::TokenKind::Session))
        .exec(tx)
        .await?;
    Ok(ended.rows_affected)
}

async fn check_declared(db: &impl ConnectionTrait, user_id: &str) -> Result<()> {
    let stated = membership::Entity::find()
        .filter(membership::Column::UserId.eq(user_id))
        .filter(membership::Column::DeclaredPassword.eq(true))
        .one(db)
        .await?;
    if stated.is_none() {
        return Ok(());
    }
    Err(Error::precondition(
        Precondition::Declared,
        "this user's password is stated in kiops.toml: whoever runs the server changes it there",
    ))
}
