//! One look of the tools of a kind at a service.

use sea_orm::entity::prelude::*;

/// One look of the tools of a kind at a service.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "scan")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// The service.
    pub service_id: String,
    /// What is looked for.
    pub kind: super::ScanKind,
    /// What it is compared within: `branch/NAME` or `environment/NAME`.
    pub lane: String,
    /// Where it stands among the scans of its lane: a higher one looked at a newer commit, and of two alike the later one did.
    pub turn: i64,
    /// The pipeline that it is part of.
    pub pipeline_id: Option<String>,
    /// The environment that is scanned while it runs.
    pub environment_id: Option<String>,
    /// The deployment after which it is scanned.
    pub deployment_id: Option<String>,
    /// Who started it, when a person did.
    pub triggered_by: Option<String>,
    /// The branch, tag or commit, as it was named.
    pub ref_name: Option<String>,
    /// The commit's hash, as soon as it is known.
    pub commit_sha: Option<String>,
    /// What is known of the commit.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub commit: Option<Json>,
    /// Where it stands.
    pub status: super::RunStatus,
    /// Why it stands there.
    #[sea_orm(column_type = "Text", nullable)]
    pub message: Option<String>,
    /// Each tool with its version, its state and why it is in it.
    #[sea_orm(column_type = "JsonBinary")]
    pub tools: Json,
    /// How many findings of each severity it saw.
    #[sea_orm(column_type = "JsonBinary")]
    pub counts: Json,
    /// How many the scan before it on its lane did not see.
    pub new_findings: i64,
    /// How many of that one it did not see any more.
    pub fixed_findings: i64,
    /// What it saw has taken effect on the findings of the service, or it saw nothing that could.
    pub settled: bool,
    /// Somebody wants it ended.
    pub cancel_requested: bool,
    /// What it saw and its document are forgotten: it is too old.
    pub pruned: bool,
    /// When it was asked for.
    pub created_at: DateTimeUtc,
    /// When it began.
    pub started_at: Option<DateTimeUtc>,
    /// When it ended.
    pub finished_at: Option<DateTimeUtc>,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
