//! A place to deploy to.

use sea_orm::entity::prelude::*;

/// A place to deploy to.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "runtime")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// Unique in the organization.
    pub name: String,
    /// What it is.
    pub kind: super::RuntimeKind,
    /// Its address.
    pub endpoint: String,
    /// The authority of its certificate, PEM.
    #[sea_orm(column_type = "Text", nullable)]
    pub tls_ca: Option<String>,
    /// Our certificate, PEM.
    #[sea_orm(column_type = "Text", nullable)]
    pub tls_cert: Option<String>,
    /// Docker: the sealed private key. Kubernetes: the sealed login; none for the cluster that the server runs in.
    pub secret_id: Option<String>,
    /// As of the last check.
    pub status: super::RuntimeStatus,
    /// Why it is not READY.
    #[sea_orm(column_type = "Text", nullable)]
    pub status_message: Option<String>,
    /// The engine's version.
    pub version: Option<String>,
    /// The engine's own id: two runtimes with one id are one place.
    pub engine_id: Option<String>,
    /// When it was last checked.
    pub checked_at: Option<DateTimeUtc>,
    /// Kubernetes: the class of ingresses; none: the cluster's default.
    pub ingress_class: Option<String>,
    /// Kubernetes: the class of volumes; none: the cluster's default.
    pub storage_class: Option<String>,
    /// Kubernetes: how a published port is reached.
    pub exposure: Option<super::ServiceExposure>,
    /// Kubernetes: what our login may not do and would have to; a list of texts.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub missing_permissions: Option<Json>,
    /// Kubernetes: the manifest that grants it.
    #[sea_orm(column_type = "Text", nullable)]
    pub grant_manifest: Option<String>,
    /// Stated in kiops.toml.
    pub declared: bool,
    /// When it was made.
    pub created_at: DateTimeUtc,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
