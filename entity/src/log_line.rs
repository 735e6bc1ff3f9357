//! A line of the log of a deployment.

use sea_orm::entity::prelude::*;

/// A line of the log of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "log_line")]
pub struct Model {
    /// Its number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The deployment.
    pub run_id: String,
    /// 1, 2, 3 … within the run.
    pub seq: i32,
    /// When.
    pub at: DateTimeUtc,
    /// The stage.
    pub stage: String,
    /// Where it came from.
    pub stream: super::LogStream,
    /// The line, masked.
    #[sea_orm(column_type = "Text")]
    pub text: String,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
