//! What an environment left behind on a runtime that it moved away from.

use sea_orm::entity::prelude::*;

/// What an environment left behind on a runtime that it moved away from, or could not move to.
///
/// It may outlive its environment and its service: what has to be taken down is in `target`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "leftover")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// The environment's id, once in each runtime.
    pub environment_id: String,
    /// Where it is.
    pub runtime_id: String,
    /// The labels of what is there.
    #[sea_orm(column_type = "JsonBinary")]
    pub target: Json,
    /// What is still there.
    pub state: super::LeftoverState,
    /// The volumes go too when it is taken down.
    pub delete_volumes: bool,
    /// When it was left.
    pub created_at: DateTimeUtc,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
