//! Where and how a service is deployed.

use sea_orm::entity::prelude::*;

/// Where and how a service is deployed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "environment")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// The service.
    pub service_id: String,
    /// production, staging; unique in the service.
    pub name: String,
    /// Where it serves; before it does, where it will.
    pub runtime_id: String,
    /// Where the next deployment goes; none: where it is.
    pub next_runtime_id: Option<String>,
    /// The Kubernetes namespace.
    pub namespace: String,
    /// Kept true by watching the runtime.
    pub status: super::ServiceStatus,
    /// Why.
    #[sea_orm(column_type = "Text", nullable)]
    pub status_message: Option<String>,
    /// How many instances of a container without a volume.
    pub replicas: i32,
    /// How a new revision takes over.
    pub strategy: super::DeployStrategy,
    /// Host name for ingress paths.
    pub domain: Option<String>,
    /// Variables that override those of the containers.
    #[sea_orm(column_type = "JsonBinary")]
    pub env: Json,
    /// Limits for containers that bring none.
    #[sea_orm(column_type = "JsonBinary")]
    pub resources: Json,
    /// Kubernetes.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub autoscaling: Option<Json>,
    /// Kubernetes.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub tls: Option<Json>,
    /// Deploy every successful pipeline.
    pub auto_deploy: bool,
    /// A deployment waits for an admin.
    pub require_approval: bool,
    /// Counts saves of the settings.
    pub settings_version: i32,
    /// The revision that serves.
    pub current_deployment_id: Option<String>,
    /// The newest, whatever came of it.
    pub latest_deployment_id: Option<String>,
    /// The number of the next deployment.
    pub next_revision: i32,
    /// Stopped on purpose.
    pub stopped: bool,
    /// The host port of each published container, kept over revisions.
    #[sea_orm(column_type = "JsonBinary")]
    pub host_ports: Json,
    /// When it was made.
    pub created_at: DateTimeUtc,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
