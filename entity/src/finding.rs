//! Something that scans of a service saw.

use sea_orm::entity::prelude::*;

/// Something that scans of a service saw.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "finding")]
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
    /// Says whether two are the same.
    pub identity: String,
    /// The advisory or the tool's rule.
    pub rule: String,
    /// Other names of the advisory.
    #[sea_orm(column_type = "JsonBinary")]
    pub aliases: Json,
    /// In a line.
    #[sea_orm(column_type = "Text")]
    pub title: String,
    /// How bad it is, as the lane says that has the word.
    pub severity: super::Severity,
    /// The same as a number, 0 for the worst: lists begin with it.
    pub rank: i32,
    /// Where it stands.
    pub state: super::FindingState,
    /// The names of the tools that reported it last.
    #[sea_orm(column_type = "JsonBinary")]
    pub detected_by: Json,
    /// `path:line`, `package@version` or an address.
    #[sea_orm(column_type = "Text")]
    pub location: String,
    /// The same in parts.
    #[sea_orm(column_type = "JsonBinary")]
    pub place: Json,
    /// More of it.
    #[sea_orm(column_type = "Text", nullable)]
    pub description: Option<String>,
    /// The first version that has it no more.
    pub fixed_version: Option<String>,
    /// Where there is more to read.
    #[sea_orm(column_type = "Text", nullable)]
    pub help_url: Option<String>,
    /// Whether the service's own branch has had it: then only scans of that branch say that it is gone.
    pub on_default: bool,
    /// The lane that has the word, where the service's own branch has never had it: the one that saw it last.
    pub lane: String,
    /// The commit that it was seen in last.
    pub commit_sha: Option<String>,
    /// When a scan saw it first.
    pub first_seen_at: DateTimeUtc,
    /// When a scan saw it last.
    pub last_seen_at: DateTimeUtc,
    /// When a revision that has it was deployed first.
    pub deployed_at: Option<DateTimeUtc>,
    /// Why it is ignored.
    #[sea_orm(column_type = "Text", nullable)]
    pub ignored_reason: Option<String>,
    /// It opens again after this.
    pub ignored_until: Option<DateTimeUtc>,
    /// Who ignored it.
    pub ignored_by: Option<String>,
    /// The rank that it had when it was ignored: worse than that was not waived.
    pub waived_rank: Option<i32>,
    /// Says whether what is told of it is what was told last, for whoever would write it again.
    pub digest: Option<i64>,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
