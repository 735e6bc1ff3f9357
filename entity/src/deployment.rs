//! One revision of an environment.

use sea_orm::entity::prelude::*;

/// One revision of an environment.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "deployment")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// The service.
    pub service_id: String,
    /// The environment.
    pub environment_id: String,
    /// Where it went.
    pub runtime_id: String,
    /// The runtime that goes on serving until this revision does, when the environment moves with it.
    pub moved_from: Option<String>,
    /// 1, 2, 3 … within the environment.
    pub revision: i32,
    /// What started it.
    pub trigger: super::DeploymentTrigger,
    /// Who.
    pub triggered_by: Option<String>,
    /// The deployment that it went back to.
    pub rollback_of: Option<String>,
    /// Where it stands.
    pub status: super::RunStatus,
    /// How far its work has come: what a crash goes on from.
    pub phase: super::DeploymentPhase,
    /// What came of it, for people.
    #[sea_orm(column_type = "Text", nullable)]
    pub message: Option<String>,
    /// The whole revision, digests filled in once they are known.
    #[sea_orm(column_type = "JsonBinary")]
    pub spec: Json,
    /// What is applied, secrets masked.
    #[sea_orm(column_type = "Text")]
    pub manifest: String,
    /// What the person should know.
    #[sea_orm(column_type = "JsonBinary")]
    pub warnings: Json,
    /// Tags that the service keeps once this has succeeded.
    #[sea_orm(column_type = "JsonBinary")]
    pub tags: Json,
    /// What was shown before.
    pub plan_hash: String,
    /// The service's definition_version it was made from.
    pub definition_version: i32,
    /// The environment's settings_version it was made from.
    pub settings_version: i32,
    /// The pipeline whose image it deploys.
    pub pipeline_id: Option<String>,
    /// Who was asked for leave, and what they said.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub approval: Option<Json>,
    /// What the security gate said.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub gate: Option<Json>,
    /// Somebody wants it ended.
    pub cancel_requested: bool,
    /// The same key again answers with this.
    pub idempotency_key: Option<String>,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When work began.
    pub started_at: Option<DateTimeUtc>,
    /// When it ended.
    pub finished_at: Option<DateTimeUtc>,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
