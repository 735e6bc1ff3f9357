//! An organization's login to one image registry.

use sea_orm::entity::prelude::*;

/// An organization's login to one image registry.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "registry")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// docker.io, ghcr.io, registry.example.com:5000.
    pub host: String,
    /// The account.
    pub username: String,
    /// The sealed token.
    pub secret_id: String,
    /// Where builds go that name no repository.
    pub repository_prefix: Option<String>,
    /// When the login was last tried.
    pub checked_at: DateTimeUtc,
    /// What was wrong with it then.
    pub status_message: Option<String>,
    /// Stated in kiops.toml.
    pub declared: bool,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
