//! Environment and what runs in it.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};
use entity::environment;

use crate::app::deployments::live::{InstanceLine, InstanceState};
use crate::app::deployments::{live, request};
use crate::app::services::definition;
use crate::graphql::connection::{ASKED_ELSEWHERE, cost_of_lines};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::guard;
use crate::graphql::ids::NodeKind;
use crate::graphql::loaders::loaders;
use crate::graphql::types::container::{EnvVar, Resources};
use crate::graphql::types::deployment::{Deployment, LogStream};
use crate::graphql::types::enums::ServiceStatus;
use crate::graphql::types::runtime::Runtime;

/// Where and how a service is deployed: one named stage of its life (production, staging).
pub struct Environment(pub Arc<environment::Model>);

impl From<environment::Model> for Environment {
    fn from(row: environment::Model) -> Self {
        Self(Arc::new(row))
    }
}

impl Environment {
    /// Wraps what a loader gave.
    #[must_use]
    pub fn shared(row: Arc<environment::Model>) -> Self {
        Self(row)
    }

    async fn ask_instances(&self, ctx: &Context<'_>) -> Result<Vec<Instance>> {
        let instances = live::instances(guard::app(ctx)?, guard::actor(ctx)?, &self.0).await?;
        Ok(instances.into_iter().map(Instance).collect())
    }

    async fn ask_tail(&self, ctx: &Context<'_>, which: live::Which, lines: i32) -> Result<Vec<InstanceLogLine>> {
        let lines = live::tail(guard::app(ctx)?, guard::actor(ctx)?, &self.0, which, lines).await?;
        Ok(lines.into_iter().map(InstanceLogLine).collect())
    }
}

/// How a new revision takes over.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "entity::DeployStrategy")]
pub enum DeployStrategy {
    /// Beside the old one, which stops once the new one is healthy.
    RollingUpdate,
    /// After the old one has stopped.
    Recreate,
}

/// Kubernetes: how many instances there are, by how busy they are.
#[derive(SimpleObject, serde::Deserialize, serde::Serialize, Debug, Clone, PartialEq, Eq)]
pub struct Autoscaling {
    /// Never fewer.
    pub min_replicas: i32,
    /// Never more.
    pub max_replicas: i32,
    /// Percent of the requested CPU to aim at.
    pub target_cpu_percent: Option<i32>,
    /// Percent of the requested memory to aim at.
    pub target_memory_percent: Option<i32>,
}

/// A TLS secret of the namespace, or an issuer that cert-manager knows.
#[derive(SimpleObject, serde::Deserialize, serde::Serialize, Debug, Clone, PartialEq, Eq)]
pub struct IngressTls {
    /// The name of a TLS secret in the namespace.
    pub secret_name: Option<String>,
    /// The name of a cert-manager issuer.
    pub issuer: Option<String>,
}

/// Where a container answers: http://host:32768, https://shop.example.com/api, tcp://db:3306
#[derive(SimpleObject)]
pub struct Endpoint {
    /// The container's name in the service.
    pub container: String,
    /// The address.
    pub url: String,
    /// Only its neighbours reach it.
    pub is_internal: bool,
}

/// A running container or pod.
pub struct Instance(pub InstanceState);

/// A line that a running instance printed.
pub struct InstanceLogLine(pub InstanceLine);

/// Where and how a service is deployed: one named stage of its life (production, staging).
#[Object]
impl Environment {
    /// Opaque, typed and stable.
    pub async fn id(&self) -> ID {
        NodeKind::Environment.id(&self.0.id)
    }

    /// Unique in the service: production, staging.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Where it is deployed to.
    async fn runtime(&self, ctx: &Context<'_>) -> Result<Runtime> {
        Ok(Runtime::from(live::runtime_of(guard::app(ctx)?, guard::actor(ctx)?, &self.0).await?))
    }

    /// The Kubernetes namespace.
    async fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Kept true by watching the runtime.
    async fn status(&self) -> ServiceStatus {
        self.0.status.into()
    }

    /// Why it is DEPLOY_FAILED or DEGRADED.
    async fn status_message(&self) -> Option<&str> {
        self.0.status_message.as_deref()
    }

    /// How many instances of each container without a volume; Kubernetes.
    async fn replicas(&self) -> i32 {
        self.0.replicas
    }

    /// How a new revision takes over.
    async fn strategy(&self) -> DeployStrategy {
        self.0.strategy.into()
    }

    /// Host name for ingress paths.
    async fn domain(&self) -> Option<&str> {
        self.0.domain.as_deref()
    }

    /// Variables that override those of the containers.
    async fn env(&self) -> Result<Vec<EnvVar>> {
        Ok(definition::env_of(&self.0)?.into_iter().map(EnvVar::from).collect())
    }

    /// cpu and memory in Kubernetes quantities; Docker takes the limits.
    async fn resources(&self) -> Result<Resources> {
        Ok(Resources::from(live::resources_of(&self.0)?))
    }

    /// Kubernetes: how many instances there are, by how busy they are.
    async fn autoscaling(&self) -> Option<Autoscaling> {
        self.0.autoscaling.clone().and_then(|stored| serde_json::from_value(stored).ok())
    }

    /// Kubernetes: the certificate of the ingress.
    async fn tls(&self) -> Option<IngressTls> {
        self.0.tls.clone().and_then(|stored| serde_json::from_value(stored).ok())
    }

    /// Deploy every successful pipeline of the service's branch here.
    async fn auto_deploy(&self) -> bool {
        self.0.auto_deploy
    }

    /// Whether a deployment waits until an admin approves it.
    async fn require_approval(&self) -> bool {
        self.0.require_approval
    }

    /// The revision that serves.
    async fn current_deployment(&self, ctx: &Context<'_>) -> Option<Result<Deployment>> {
        nullable(deployment(ctx, self.0.current_deployment_id.as_deref()).await)
    }

    /// The newest, whatever came of it.
    async fn latest_deployment(&self, ctx: &Context<'_>) -> Option<Result<Deployment>> {
        nullable(deployment(ctx, self.0.latest_deployment_id.as_deref()).await)
    }

    /// What runs now, asked from the runtime at this moment; null, with an UPSTREAM_ERROR, while the runtime does not
    /// answer.
    #[graphql(complexity = "ASKED_ELSEWHERE + child_complexity")]
    async fn instances(&self, ctx: &Context<'_>) -> Option<Result<Vec<Instance>>> {
        Some(self.ask_instances(ctx).await)
    }

    /// Where it answers, as of the current deployment.
    async fn endpoints(&self, ctx: &Context<'_>) -> Result<Vec<Endpoint>> {
        let endpoints = live::endpoints(guard::app(ctx)?, &guard::actor(ctx)?.scope, &self.0).await?;
        let wrap = |e: live::Endpoint| Endpoint { container: e.container, url: e.url, is_internal: e.is_internal };
        Ok(endpoints.into_iter().map(wrap).collect())
    }

    /// Settings were saved since the current revision was deployed.
    async fn undeployed_changes(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(request::undeployed_changes(guard::app(ctx)?, guard::actor(ctx)?, &self.0).await?)
    }

    /// The last lines that its instances printed.
    #[graphql(complexity = "ASKED_ELSEWHERE + cost_of_lines(lines.or(Some(200)), None, child_complexity)")]
    async fn log_tail(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only this container of the service.")] container: Option<String>,
        #[graphql(desc = "Only this instance.")] instance: Option<String>,
        #[graphql(desc = "How many, at most 1000.", default_with = "Some(200)")] lines: Option<i32>,
    ) -> Option<Result<Vec<InstanceLogLine>>> {
        Some(self.ask_tail(ctx, live::Which { container, instance }, lines.unwrap_or(200)).await)
    }
}

async fn deployment(ctx: &Context<'_>, id: Option<&str>) -> Result<Option<Deployment>> {
    let Some(id) = id else { return Ok(None) };
    Ok(loaders(ctx)?.deployment(id).await?.map(Deployment::shared))
}

/// A running container or pod.
#[Object]
impl Instance {
    /// The engine's name for it.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The service's name for it.
    async fn container(&self) -> &str {
        &self.0.container
    }

    /// repository:tag as it was started.
    async fn image(&self) -> &str {
        &self.0.image
    }

    /// The engine's word: running, exited, restarting.
    async fn state(&self) -> &str {
        &self.0.state
    }

    /// It serves: running, and healthy where health is asked.
    async fn ready(&self) -> bool {
        self.0.ready
    }

    /// How often the engine started it again.
    async fn restarts(&self) -> i32 {
        self.0.restarts
    }

    /// When it was last started.
    async fn started_at(&self) -> Option<DateTime<Utc>> {
        self.0.started_at
    }

    /// host:port, as others reach it; empty when it is internal.
    async fn endpoints(&self) -> &[String] {
        &self.0.endpoints
    }

    /// Exit code, out of memory, failing health check.
    async fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }
}

/// A line that a running instance printed.
#[Object]
impl InstanceLogLine {
    /// Resumes a subscription after this line.
    async fn cursor(&self) -> String {
        live::cursor(&self.0)
    }

    /// The engine's time of it.
    async fn at(&self) -> DateTime<Utc> {
        self.0.at
    }

    /// The instance's name.
    async fn instance(&self) -> &str {
        &self.0.instance
    }

    /// The service's name for the container.
    async fn container(&self) -> &str {
        &self.0.container
    }

    /// STDOUT or STDERR.
    async fn stream(&self) -> LogStream {
        if self.0.stderr { LogStream::Stderr } else { LogStream::Stdout }
    }

    /// The line.
    async fn text(&self) -> &str {
        &self.0.text
    }
}
