//! How often somebody asked since their window began.

use sea_orm::entity::prelude::*;

/// How often somebody asked since their window began.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "request_window")]
pub struct Model {
    /// The token or the address, hashed.
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject: String,
    /// When the first of them was.
    pub begun_at: DateTimeUtc,
    /// How many there were.
    pub count: i32,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
