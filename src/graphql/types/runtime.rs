//! Runtimes.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object};
use chrono::{DateTime, Utc};
use entity::runtime;

use super::enums::{RuntimeKind, RuntimeStatus, ServiceExposure};
use crate::app::Error;
use crate::app::runtimes::{DockerInput, KubernetesInput};
use crate::app::services::{ServiceFilter, ServiceOrder};
use crate::domain::secret::SecretString;
use crate::graphql::brief::{ListedService, page_of_services};
use crate::graphql::connection::{Counted, Window, cost};
use crate::graphql::errors::Result;
use crate::graphql::ids::NodeKind;

/// A place to deploy to.
pub struct Runtime(pub Arc<runtime::Model>);

impl From<runtime::Model> for Runtime {
    fn from(row: runtime::Model) -> Self {
        Self(Arc::new(row))
    }
}

impl Runtime {
    /// Wraps what a loader gave.
    #[must_use]
    pub fn shared(row: Arc<runtime::Model>) -> Self {
        Self(row)
    }
}

/// A place to deploy to. Connection secrets (kubeconfig, TLS keys) are never returned.
#[Object]
impl Runtime {
    /// Opaque and stable.
    pub async fn id(&self) -> ID {
        NodeKind::Runtime.id(&self.0.id)
    }

    /// Unique in the organization.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is.
    async fn kind(&self) -> RuntimeKind {
        self.0.kind.into()
    }

    /// unix:///var/run/docker.sock, tcp://host:2376, https://cluster:6443
    async fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// As of the last check.
    async fn status(&self) -> RuntimeStatus {
        self.0.status.into()
    }

    /// Why it is not READY.
    async fn status_message(&self) -> Option<&str> {
        self.0.status_message.as_deref()
    }

    /// Version of the engine or of the API server.
    async fn version(&self) -> Option<&str> {
        self.0.version.as_deref()
    }

    /// When it was last checked.
    async fn checked_at(&self) -> Option<DateTime<Utc>> {
        self.0.checked_at
    }

    /// Kubernetes only: what ingresses use unless told otherwise; the cluster's default when null.
    async fn ingress_class(&self) -> Option<&str> {
        self.0.ingress_class.as_deref()
    }

    /// Kubernetes only: what volumes use unless told otherwise; the cluster's default when null.
    async fn storage_class(&self) -> Option<&str> {
        self.0.storage_class.as_deref()
    }

    /// Kubernetes: how a container that is neither internal nor behind an ingress is reached.
    async fn exposure(&self) -> Option<ServiceExposure> {
        self.0.exposure.map(Into::into)
    }

    /// Kubernetes: the RBAC manifest that grants the permissions that are missing; null when none is.
    async fn grant_manifest(&self) -> Option<&str> {
        self.0.grant_manifest.as_deref()
    }

    /// Kubernetes: what the login may not do and would have to, as of the last check that it answered.
    async fn missing_permissions(&self) -> Result<Vec<String>> {
        let missing = self.0.missing_permissions.clone().map(serde_json::from_value).transpose();
        Ok(missing.map_err(Error::from)?.unwrap_or_default())
    }

    /// Services that are deployed there or will be, the newest first.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn services(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many at most.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Counted<ListedService>> {
        let filter = ServiceFilter { runtime_id: Some(self.0.id.clone()), ..ServiceFilter::default() };
        page_of_services(ctx, &filter, ServiceOrder::Newest, &Window::forward(first, after)).await
    }

    /// Stated in kiops.toml; mutations that would change it are FAILED_PRECONDITION, DECLARED.
    async fn declared(&self) -> bool {
        self.0.declared
    }
}

/// How a Docker engine is reached. The three TLS texts come together or not at all.
#[derive(InputObject)]
pub struct DockerConnectionInput {
    /// unix:///var/run/docker.sock or tcp://host:2376; the local socket when left out.
    host: MaybeUndefined<String>,
    /// The authority that signed the engine's certificate, PEM.
    tls_ca: MaybeUndefined<String>,
    /// The client's certificate, PEM.
    tls_cert: MaybeUndefined<String>,
    /// The client's private key, PEM; never returned.
    #[graphql(secret)]
    tls_key: MaybeUndefined<String>,
}

impl From<DockerConnectionInput> for DockerInput {
    fn from(input: DockerConnectionInput) -> Self {
        Self {
            host: input.host.into(),
            tls_ca: input.tls_ca.into(),
            tls_cert: input.tls_cert.into(),
            tls_key: input.tls_key.map_value(SecretString::from).into(),
        }
    }
}

/// How a Kubernetes cluster is reached. Exactly one of kubeconfig and inCluster.
#[derive(InputObject)]
pub struct KubernetesConnectionInput {
    /// A kubeconfig (YAML) that holds all it needs: no file, no program. Never returned.
    #[graphql(secret)]
    kubeconfig: Option<String>,
    /// Which of its contexts; its current one when left out.
    context: Option<String>,
    /// The cluster that the server runs in, with its own service account.
    in_cluster: Option<bool>,
}

impl From<KubernetesConnectionInput> for KubernetesInput {
    fn from(input: KubernetesConnectionInput) -> Self {
        Self {
            kubeconfig: input.kubeconfig.map(SecretString::from),
            context: input.context,
            in_cluster: input.in_cluster.unwrap_or_default(),
        }
    }
}
