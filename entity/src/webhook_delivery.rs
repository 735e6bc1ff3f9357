//! What a Git provider sent to a service's webhook.

use sea_orm::entity::prelude::*;

/// What a Git provider sent to a service's webhook.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_delivery")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// The service.
    pub service_id: String,
    /// The service's id and the provider's id of the delivery: stored once. None in rows of what was turned down or
    /// had come before.
    pub dedup: Option<String>,
    /// The provider's name of the event: `push`, `Push Hook`.
    pub event: String,
    /// When it came.
    pub received_at: DateTimeUtc,
    /// What became of it.
    pub outcome: super::WebhookOutcome,
    /// Why.
    #[sea_orm(column_type = "Text", nullable)]
    pub reason: Option<String>,
    /// The pipeline that it started.
    pub pipeline_id: Option<String>,
    /// The delivery that came from the provider, where this one is made of it once more.
    pub replay_of: Option<String>,
    /// The body as it came; none for what was turned down.
    pub payload: Option<Vec<u8>>,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
