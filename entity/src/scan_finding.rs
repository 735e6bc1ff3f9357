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
    /// The finding's rank, by which the list of a scan is ordered.
    pub rank: i32,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
