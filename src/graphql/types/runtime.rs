//! Runtimes.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object};
use chrono::{DateTime, Utc};
use entity::runtime;

use super::enums::{RuntimeKind, RuntimeStatus};
use super::service::Service;
use crate::app::runtimes::DockerInput;
use crate::app::services;
use crate::domain::secret::SecretString;
use crate::graphql::connection::{Counted, Window, cost, counted};
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;

/// A place to deploy to.
pub struct Runtime(pub runtime::Model);

impl Runtime {
    /// Wraps what a loader gave.
    #[must_use]
    pub fn shared(row: Arc<runtime::Model>) -> Self {
        Self(Arc::unwrap_or_clone(row))
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

    /// Services that are deployed there or will be, the newest first.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn services(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many at most.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Counted<Service>> {
        let page = Window::forward(first, after).check(app(ctx)?)?;
        let found = services::of_runtime(app(ctx)?, &actor(ctx)?.scope, &self.0.id, &page).await?;
        Ok(counted(found, Service))
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
