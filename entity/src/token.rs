//! A session or an API token: bound to one user and one organization. Only a hash is kept.

use sea_orm::entity::prelude::*;

/// A session or an API token: bound to one user and one organization. Only a hash is kept.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "token")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// Whose it is.
    pub user_id: String,
    /// How it was made.
    pub kind: super::TokenKind,
    /// What its owner calls it; empty for a session.
    pub name: String,
    /// SHA-256 of the token, in hexadecimal.
    #[sea_orm(unique)]
    pub hash: String,
    /// The role it was made for; it never outranks its user.
    pub role: super::Role,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When it stops working.
    pub expires_at: Option<DateTimeUtc>,
    /// Its last use, to the minute.
    pub last_used_at: Option<DateTimeUtc>,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
