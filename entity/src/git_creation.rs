//! A project that a provider was asked to make and that is not registered yet.

use sea_orm::entity::prelude::*;

/// Written before the provider is asked and deleted with the registration: whoever asks for the same project again
/// while it is there goes on where it broke off.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "git_creation")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// Where it is made.
    pub provider: super::GitProvider,
    /// The provider's address.
    pub base_url: String,
    /// The namespace as it was asked for (empty: the token's own account), a slash, and the name.
    pub path: String,
    /// When the provider was asked.
    pub started_at: DateTimeUtc,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
