//! A person. What they may do is said by their memberships.

use sea_orm::entity::prelude::*;

/// A person. What they may do is said by their memberships.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Lower case.
    #[sea_orm(unique)]
    pub email: String,
    /// Their name for people.
    pub name: String,
    /// Argon2id, in PHC form.
    pub password_hash: String,
    /// When it was made.
    pub created_at: DateTimeUtc,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
