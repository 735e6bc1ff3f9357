//! Logging in and out, and who a token speaks for.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{Role, TokenKind, membership, organization, token, user};
use sea_orm::sea_query::{Expr, ExprTrait as _, IntoCondition as _};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect};
use serde_json::json;

use super::passwords::MAX_BYTES;
use super::tokens::{self, NewToken};
use super::{limits, normal_email, passwords, user_by_email};
use crate::app::audit::{self, By, Entry};
use crate::app::{Actor, App, Error, Result, Scope};
use crate::domain::names::Email;
use crate::domain::secret::{ExposeSecret as _, SecretString};

/// A new session. The token is shown once: only its hash is kept.
pub struct Session {
    /// What the client sends from now on.
    pub token: SecretString,
    /// When it stops working.
    pub expires_at: DateTime<Utc>,
    /// Who it speaks for.
    pub actor: Actor,
}

/// What somebody logs in with.
pub struct Login {
    /// The account.
    pub email: String,
    /// Its password.
    pub password: SecretString,
    /// The organization's slug; the oldest membership's when none is given.
    pub organization: Option<String>,
    /// Where the request came from.
    pub address: Option<String>,
}

/// Logs somebody in.
///
/// # Errors
/// UNAUTHENTICATED, in the same words and time whatever was wrong; RATE_LIMITED after too many of those.
pub async fn login(app: &App, login: Login) -> Result<Session> {
    if login.password.expose_secret().len() > MAX_BYTES {
        let message = format!("must have at most {MAX_BYTES} bytes");
        return Err(Error::bad_input("input.password", message));
    }
    if login.email.len() > MAX_BYTES {
        return Err(Error::bad_input("input.email", "is no e-mail address"));
    }
    let email = normal_email(&login.email);
    let subjects = limits::Subjects::new(&email, login.address.as_deref());
    limits::check(app, &subjects).await?;
    // Held until a failure is counted: those who wait for it are checked against the newest count.
    let _turn = passwords::turn().await?;
    limits::check(app, &subjects).await?;

    let user = user_by_email(app.db.read(), &email).await?;
    let hash = user.as_ref().map(|u| u.password_hash.clone());
    let right = passwords::verify(hash, &login.password).await?;
    let memberships = match &user {
        Some(user) => memberships(app.db.read(), &user.id).await?,
        None => Vec::new(),
    };
    let chosen = memberships.iter().find(|(_, organization)| match &login.organization {
        Some(slug) => organization.slug == *slug,
        None => true,
    });
    let (Some(user), Some((membership, _)), true) = (&user, chosen, right) else {
        let oldest = memberships.first().map(|(m, _)| m.organization_id.clone());
        fail(app, &login, &subjects, &email, user.as_ref(), oldest).await?;
        return Err(Error {
            message: "the e-mail address, the password or the organization is wrong".to_owned(),
            ..Error::unauthenticated()
        });
    };
    start(app, user, membership, login.address).await
}

/// A person's memberships, the oldest first.
async fn memberships(
    db: &impl ConnectionTrait,
    user_id: &str,
) -> Result<Vec<(membership::Model, organization::Model)>> {
    let link = membership::Entity::belongs_to(organization::Entity)
        .from(membership::Column::OrganizationId)
        .to(organization::Column::Id)
        .into();
    let rows = membership::Entity::find()
        .join(JoinType::InnerJoin, link)
        .select_also(organization::Entity)
        .filter(membership::Column::UserId.eq(user_id))
        .order_by_asc(membership::Column::CreatedAt)
        .order_by_asc(membership::Column::Id)
        .all(db)
        .await?;
    Ok(rows.into_iter().filter_map(|(m, o)| Some((m, o?))).collect())
}

async fn fail(
    app: &App,
    login: &Login,
    subjects: &limits::Subjects,
    email: &str,
    user: Option<&user::Model>,
    oldest: Option<String>,
) -> Result<()> {
    let tx = app.begin().await?;
    limits::record(app, &tx, subjects).await?;
    let organization_id = match oldest {
        Some(id) => Some(id),
        None => organization::Entity::find()
            .filter(organization::Column::Slug.eq(&app.settings.bootstrap_organization))
            .one(&tx)
            .await?
            .map(|o| o.id),
    };
    if let Some(organization_id) = organization_id {
        let by = By { organization_id, user_id: None, address: login.address.clone() };
        // People type passwords into the wrong field: what is no address is not written down.
        let name = Email::parse(email).map_or_else(|_| String::new(), |e| e.key());
        let entry = Entry {
            action: "auth.login_failed",
            subject_kind: "User",
            subject_id: user.map_or("", |u| &u.id),
            subject_name: &name,
            detail: json!({}),
        };
        audit::record(app, &tx, by, entry).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn start(
    app: &App,
    user: &user::Model,
    membership: &membership::Model,
    address: Option<String>,
) -> Result<Session> {
    let now = app.clock.now();
    let ttl = TimeDelta::from_std(app.settings.session_ttl).map_err(Error::internal)?;
    let expires_at = now + ttl;
    let scope = Scope { organization_id: membership.organization_id.clone() };
    let tx = app.begin().await?;
    token::Entity::delete_many()
        .filter(token::Column::UserId.eq(&user.id))
        .filter(token::Column::Kind.eq(TokenKind::Session))
        .filter(token::Column::ExpiresAt.lt(now))
        .exec(&tx)
        .await?;
    let new = NewToken { kind: TokenKind::Session, name: "", role: membership.role, expires_at: Some(expires_at) };
    let (secret, row) = tokens::insert(app, &tx, &scope, &user.id, new).await?;
    let actor = Actor { scope, user_id: user.id.clone(), role: membership.role, token_id: row.id, address };
    let entry = Entry {
        action: "auth.logged_in",
        subject_kind: "User",
        subject_id: &user.id,
        subject_name: &user.email,
        detail: json!({}),
    };
    audit::record(app, &tx, &actor, entry).await?;
    tx.commit().await?;
    Ok(Session { token: secret, expires_at, actor })
}

/// Ends the caller's session.
///
/// # Errors
/// FORBIDDEN for an API token: that is revoked.
pub async fn logout(app: &App, actor: &Actor) -> Result<()> {
    let tx = app.begin().await?;
    let ended = token::Entity::delete_many()
        .filter(token::Column::OrganizationId.eq(&actor.scope.organization_id))
        .filter(token::Column::Id.eq(&actor.token_id))
        .filter(token::Column::Kind.eq(TokenKind::Session))
        .exec(&tx)
        .await?;
    if ended.rows_affected == 0 {
        return Err(Error::forbidden("an API token has no session to end: revoke the token"));
    }
    let user = user::Entity::find_by_id(&actor.user_id).one(&tx).await?;
    let entry = Entry {
        action: "auth.logged_out",
        subject_kind: "User",
        subject_id: &actor.user_id,
        subject_name: user.as_ref().map_or("", |u| &u.email),
        detail: json!({}),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    Ok(())
}

/// Who a token speaks for; none when it does not work (any more).
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn authenticate(app: &App, secret: &str, address: Option<String>) -> Result<Option<Actor>> {
    if !tokens::looks_like_one(secret) {
        return Ok(None);
    }
    let by_hash = token::Column::Hash.eq(tokens::hash(secret));
    let Some((token, membership)) = working(app, by_hash).await? else {
        return Ok(None);
    };
    let Some(role) = role(&token, &membership) else {
        return Ok(None);
    };
    seen(app, &token, &membership).await;
    Ok(Some(Actor {
        scope: Scope { organization_id: token.organization_id },
        user_id: token.user_id,
        role,
        token_id: token.id,
        address,
    }))
}

/// Whether the caller of a long request still is who they were: same token, same membership, same role.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn still_valid(app: &App, actor: &Actor) -> Result<bool> {
    let now = working(app, token::Column::Id.eq(&actor.token_id)).await?;
    Ok(now.is_some_and(|(token, membership)| {
        token.organization_id == actor.scope.organization_id
            && token.user_id == actor.user_id
            && role(&token, &membership) == Some(actor.role)
    }))
}

/// When the caller's token stops working by itself; none: never.
///
/// # Errors
/// UNAUTHENTICATED when it does not work any more; INTERNAL when the database does not answer.
pub async fn expires_at(app: &App, actor: &Actor) -> Result<Option<DateTime<Utc>>> {
    let found = working(app, token::Column::Id.eq(&actor.token_id)).await?;
    Ok(found.ok_or_else(Error::unauthenticated)?.0.expires_at)
}

/// A token that has not run out, with its user's membership.
async fn working(app: &App, which: Expr) -> Result<Option<(token::Model, membership::Model)>> {
    let link = token::Entity::belongs_to(membership::Entity)
        .from(token::Column::UserId)
        .to(membership::Column::UserId)
        .on_condition(|token, membership| {
            Expr::col((token, token::Column::OrganizationId))
                .equals((membership, membership::Column::OrganizationId))
                .into_condition()
        })
        .into();
    let alive =
        Condition::any().add(token::Column::ExpiresAt.is_null()).add(token::Column::ExpiresAt.gt(app.clock.now()));
    let found = token::Entity::find()
        .join(JoinType::InnerJoin, link)
        .select_also(membership::Entity)
        .filter(which)
        .filter(alive)
        .one(app.db.read())
        .await?;
    Ok(found.and_then(|(token, membership)| Some((token, membership?))))
}

/// A session has its user's role; an API token the one it was made for, and none when its user's is below that.
fn role(token: &token::Model, membership: &membership::Model) -> Option<Role> {
    match token.kind {
        TokenKind::Session => Some(membership.role),
        TokenKind::Api => (membership.role >= token.role).then_some(token.role),
    }
}

/// Notes the use, at most once a minute. A failure of that fails no request.
async fn seen(app: &App, token: &token::Model, membership: &membership::Model) {
    let now = app.clock.now();
    let before = now - TimeDelta::minutes(1);
    let stale = |at: Option<DateTime<Utc>>| at.is_none_or(|at| at <= before);
    if !stale(token.last_used_at) && !stale(membership.last_seen_at) {
        return;
    }
    // By itself each: elsewhere the two are held in this order and in the other.
    let note = async {
        let tx = app.begin().await?;
        token::Entity::update_many()
            .col_expr(token::Column::LastUsedAt, Expr::value(now))
            .filter(token::Column::Id.eq(&token.id))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        let tx = app.begin().await?;
        membership::Entity::update_many()
            .col_expr(membership::Column::LastSeenAt, Expr::value(now))
            .filter(membership::Column::Id.eq(&membership.id))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        Result::Ok(())
    };
    if note.await.is_err() {
        tracing::warn!("the last use of a token could not be noted");
    }
}
