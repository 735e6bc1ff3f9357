//! A part of what a scan's tool wrote.

use sea_orm::entity::prelude::*;

/// A part of what a scan's tool wrote.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "scan_document")]
pub struct Model {
    /// The scan.
    #[sea_orm(primary_key, auto_increment = false)]
    pub scan_id: String,
    /// 0, 1, 2 …
    #[sea_orm(primary_key, auto_increment = false)]
    pub part: i32,
    /// At most a mebibyte of the compressed document.
    pub bytes: Vec<u8>,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
