//! What a service, or every service of an organization, may carry to deployment.

use sea_orm::entity::prelude::*;

/// What a service, or every service of an organization, may carry to deployment.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "security_gate")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// The service's id, or the organization's for the rules that services inherit.
    pub subject: String,
    /// Whether it is asked.
    pub enabled: bool,
    /// Whether it keeps back or only says.
    pub mode: super::GateMode,
    /// What is let through, each with the time it was saved.
    #[sea_orm(column_type = "JsonBinary")]
    pub rules: Json,
    /// When it was saved last.
    pub updated_at: DateTimeUtc,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
