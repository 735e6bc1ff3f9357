//! A service.

use sea_orm::entity::prelude::*;

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "service")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// RFC 1123 label, unique in the organization.
    pub name: String,
    /// Where it comes from.
    pub source: super::SourceKind,
    /// The Kubernetes namespace of its production.
    pub namespace: String,
    /// Where it goes when an environment does not say.
    pub runtime_id: Option<String>,
    /// What runs: a list of service definitions of containers.
    #[sea_orm(column_type = "JsonBinary")]
    pub containers: Json,
    /// The service's own registry login.
    pub registry_username: Option<String>,
    /// Its sealed token.
    pub registry_secret_id: Option<String>,
    /// The worst of its environments.
    pub status: super::ServiceStatus,
    /// Why.
    #[sea_orm(column_type = "Text", nullable)]
    pub status_message: Option<String>,
    /// Counts saves of the definition.
    pub definition_version: i32,
    /// When anything of it last changed.
    pub changed_at: DateTimeUtc,
    /// A job is taking it down.
    pub removing: bool,
    /// How it is taken down: what was asked of removeService.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub removal: Option<Json>,
    /// Of a Git service: the provider's address when it was registered.
    pub git_base_url: Option<String>,
    /// The provider's own id of the project, which survives renaming.
    pub git_project_id: Option<String>,
    /// Where the project was last seen.
    pub git_project_path: Option<String>,
    /// Its page there.
    pub git_web_url: Option<String>,
    /// The branch that is built.
    pub git_branch: Option<String>,
    /// The folder of the project that is built: `.`, `services/shop`.
    pub git_context_path: Option<String>,
    /// How it is built; none: as the defaults say.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub build: Option<Json>,
    /// What starts its pipelines; none: nothing does by itself.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub auto_ci: Option<Json>,
    /// The sealed secret of its webhook.
    pub webhook_secret_id: Option<String>,
    /// Its newest pipeline.
    pub latest_pipeline_id: Option<String>,
    /// The number of its next pipeline.
    pub next_pipeline: i32,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// Who registered it.
    pub created_by: Option<String>,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
