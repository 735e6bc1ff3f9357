//! Something that was changed, or a login that failed.

use sea_orm::entity::prelude::*;

/// Something that was changed, or a login that failed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_event")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// When.
    pub at: DateTimeUtc,
    /// The user; none for the server itself or an unknown account.
    pub actor_id: Option<String>,
    /// For example service.registered.
    pub action: String,
    /// The type of what was changed.
    pub subject_kind: Option<String>,
    /// Its id.
    pub subject_id: Option<String>,
    /// Its name then.
    pub subject_name: Option<String>,
    /// What changed; never a secret.
    #[sea_orm(column_type = "JsonBinary")]
    pub detail: Json,
    /// Where the request came from.
    pub address: Option<String>,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
