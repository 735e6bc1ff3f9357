//! A person in an organization, with a role.

use sea_orm::entity::prelude::*;

/// A person in an organization, with a role.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "membership")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// Who.
    pub user_id: String,
    /// What they may do.
    pub role: super::Role,
    /// Stated in kiops.toml.
    pub declared: bool,
    /// The account's password is stated there too.
    pub declared_password: bool,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// Their last request, to the minute.
    pub last_seen_at: Option<DateTimeUtc>,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
