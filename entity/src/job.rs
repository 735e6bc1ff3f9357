//! Work to be done. A row is deleted when it is done.

use sea_orm::entity::prelude::*;

/// Work to be done. A row is deleted when it is done.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job")]
pub struct Model {
    /// Its number: the order within a lane.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Whose it is.
    pub organization_id: String,
    /// What is to be done.
    pub kind: String,
    /// Jobs of one lane run one after another.
    pub lane: String,
    /// The id of what it works on.
    pub subject: String,
    /// Whether a worker has it.
    pub state: super::JobState,
    /// How often it was claimed.
    pub attempts: i32,
    /// Not before.
    pub run_after: DateTimeUtc,
    /// Silent beyond this, and it is given to another worker.
    pub lease_until: Option<DateTimeUtc>,
    /// Grows with each claim: an older holder can change nothing.
    pub fence: i32,
    /// Who has it.
    pub worker: Option<String>,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// Why it was tried again.
    #[sea_orm(column_type = "Text", nullable)]
    pub last_error: Option<String>,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
