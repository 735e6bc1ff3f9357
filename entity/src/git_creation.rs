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
    /// The namespace (empty: the token's own account, which is not known), a slash, and the name.
    pub path: String,
    /// The service that it is to become.
    pub service_name: String,
    /// Its first branch.
    pub branch: String,
    /// Who may see it.
    pub private: bool,
    /// The provider's own id, once it has said that it made the project.
    pub external_id: Option<String>,
    /// The project's path then.
    pub project_path: Option<String>,
    /// When the provider was last asked to make it.
    pub started_at: DateTimeUtc,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
