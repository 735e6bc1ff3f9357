//! Which scan saw which finding.

use sea_orm::entity::prelude::*;

/// Which scan saw which finding.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "scan_finding")]
pub struct Model {
    /// The scan.
    #[sea_orm(primary_key, auto_increment = false)]
    pub scan_id: String,
    /// The finding.
    #[sea_orm(primary_key, auto_increment = false)]
    pub finding_id: String,
    /// The rank that the scan gave it, by which its list is ordered.
    pub rank: i32,
    /// The names of the tools that reported it in this scan.
    #[sea_orm(column_type = "JsonBinary")]
    pub detected_by: Json,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
