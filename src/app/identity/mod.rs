//! Who is who: people, organizations, sessions, API tokens and passwords.
//!
//! Scopes come from here, so this is the one place in `app` that looks rows up before there is a scope: a token by its
//! hash, a person by e-mail address, an organization by slug.

pub mod bootstrap;
pub(in crate::app) mod declare;
mod limits;
pub mod organizations;
pub mod passwords;
pub mod requests;
pub mod sessions;
pub mod tokens;
pub mod users;

use chrono::{DateTime, Utc};
use entity::{Role, membership, organization, user};
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};

use super::{App, Error, Result};

/// Somebody in an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The user's id.
    pub id: String,
    /// Lower case.
    pub email: String,
    /// For people.
    pub name: String,
    /// What they may do in this organization.
    pub role: Role,
    /// When they joined it.
    pub joined_at: DateTime<Utc>,
    /// Their last request, to the minute.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Stated in kiops.toml.
    pub declared: bool,
}

impl Person {
    fn new(user: user::Model, membership: membership::Model) -> Self {
        Self {
            id: user.id,
            email: user.email,
            name: user.name,
            role: membership.role,
            joined_at: membership.created_at,
            last_seen_at: membership.last_seen_at,
            declared: membership.declared,
        }
    }
}

/// An address as it is looked up, whether it is one or not. No database takes a NUL.
fn normal_email(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace('\0', "\u{fffd}")
}

async fn user_by_email(db: &impl ConnectionTrait, email: &str) -> Result<Option<user::Model>> {
    Ok(user::Entity::find().filter(user::Column::Email.eq(email)).one(db).await?)
}

/// Everyone who changes what there is one of (who is an admin, the settings of a provider, the logins of registries) waits
/// here, so that no two do it at once. SQLite has one writer anyway.
pub(in crate::app) async fn lock_organization(
    app: &App,
    tx: &impl ConnectionTrait,
    organization_id: &str,
) -> Result<organization::Model> {
    let mut find = organization::Entity::find_by_id(organization_id);
    if app.db.is_postgres() {
        // Others may still refer to it meanwhile, as whatever is inserted for it does.
        find = find.lock(LockType::NoKeyUpdate);
    }
    find.one(tx).await?.ok_or_else(|| Error::not_found("organization"))
}
