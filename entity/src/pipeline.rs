//! One run from a commit to an image and where that is deployed.

use sea_orm::entity::prelude::*;

/// One run from a commit to an image and where that is deployed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pipeline")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// The service.
    pub service_id: String,
    /// 1, 2, 3 … within the service.
    pub number: i32,
    /// What started it.
    pub trigger: super::PipelineTrigger,
    /// Who.
    pub triggered_by: Option<String>,
    /// The branch, tag or commit that is built, as it was named.
    pub ref_name: String,
    /// Its lane in the queue: one for each branch.
    pub lane: String,
    /// The commit's hash, as soon as it is known.
    pub commit_sha: Option<String>,
    /// What is known of the commit.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub commit: Option<Json>,
    /// Where it stands.
    pub status: super::RunStatus,
    /// Where each stage stands, in order.
    #[sea_orm(column_type = "JsonBinary")]
    pub stages: Json,
    /// How the service was to be built when it was started.
    #[sea_orm(column_type = "JsonBinary")]
    pub settings: Json,
    /// The environment to deploy to in the end, when one was named.
    pub deploy_to: Option<String>,
    /// The same key again answers with this.
    pub idempotency_key: Option<String>,
    /// The pipeline whose commit it builds again.
    pub retry_of: Option<String>,
    /// Says whether two sources are the same.
    pub source_tree: Option<String>,
    /// Says whether two builds are the same: source, Dockerfile and arguments.
    pub build_key: Option<String>,
    /// `repository:tag` of what it built.
    pub image: Option<String>,
    /// Its digest in the registry; none for an image that stays on the engine.
    pub image_digest: Option<String>,
    /// The engine's own id of it.
    pub image_id: Option<String>,
    /// The engine that built it.
    pub engine_id: Option<String>,
    /// The worst that the security gate said of its deployments.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub gate: Option<Json>,
    /// Somebody wants it ended.
    pub cancel_requested: bool,
    /// The state that the Git provider was last told.
    pub reported: Option<String>,
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
