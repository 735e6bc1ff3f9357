//! What was deployed, and what would be.

use async_graphql::{Context, ID, InputObject, Object};

use crate::app::deployments::list::Filter;
use crate::app::deployments::request::{self, DeployInput, RollbackInput};
use crate::graphql::connection::{Counted, Window};
use crate::graphql::errors::Result;
use crate::graphql::guard;
use crate::graphql::ids::NodeKind;
use crate::graphql::types::deployment::{Deployment, DeploymentPreview, RunStatus, page_of_deployments};

/// Deployments and previews.
#[derive(Default)]
pub struct DeploymentQuery;

/// What to deploy, and where.
#[derive(InputObject)]
pub struct DeployServiceInput {
    /// The service.
    pub service_id: ID,
    /// production when left out; made on the service's runtime at the first deployment.
    pub environment: Option<String>,
    /// New tags for named containers; the service keeps them once the deployment has succeeded.
    pub tags: Option<Vec<ContainerTagInput>>,
    /// The build to deploy; the latest successful one when left out. Not for Docker Hub services.
    pub pipeline_id: Option<ID>,
    /// What deploymentPreview answered: a deployment that would no longer do what was shown is CONFLICT.
    pub plan_hash: Option<String>,
    /// The same key again answers with the first call's deployment.
    pub idempotency_key: Option<String>,
    /// [admin] Why it is deployed although the gate blocks; audited.
    pub gate_override: Option<String>,
}

/// A new tag for a named container.
#[derive(InputObject)]
pub struct ContainerTagInput {
    /// The container's name in the service.
    pub container: String,
    /// The tag.
    pub tag: String,
}

/// Where to go back to.
#[derive(InputObject)]
pub struct RollbackServiceInput {
    /// The service.
    pub service_id: ID,
    /// production when left out.
    pub environment: Option<String>,
    /// The revision; the last successful one before the one that serves when left out.
    pub revision: Option<i32>,
    /// What rollbackPreview answered: a rollback that would no longer do what was shown is CONFLICT.
    pub plan_hash: Option<String>,
    /// The same key again answers with the first call's deployment.
    pub idempotency_key: Option<String>,
}

impl DeployServiceInput {
    /// As the use case takes it.
    ///
    /// # Errors
    /// NOT_FOUND for an id that is none of a service, or none of a pipeline.
    pub fn read(self) -> Result<DeployInput> {
        Ok(DeployInput {
            service_id: NodeKind::Service.row(&self.service_id)?,
            environment: self.environment,
            tags: self.tags.unwrap_or_default().into_iter().map(|t| (t.container, t.tag)).collect(),
            pipeline_id: self.pipeline_id.map(|id| NodeKind::Pipeline.row(&id)).transpose()?,
            plan_hash: self.plan_hash,
            idempotency_key: self.idempotency_key,
            gate_override: self.gate_override,
        })
    }
}

impl RollbackServiceInput {
    /// As the use case takes it.
    ///
    /// # Errors
    /// NOT_FOUND for an id that is none of a service.
    pub fn read(self) -> Result<RollbackInput> {
        Ok(RollbackInput {
            service_id: NodeKind::Service.row(&self.service_id)?,
            environment: self.environment,
            revision: self.revision,
            plan_hash: self.plan_hash,
            idempotency_key: self.idempotency_key,
        })
    }
}

#[Object]
impl DeploymentQuery {
    /// What deployService would change, before it is made.
    async fn deployment_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What would be passed to deployService.")] input: DeployServiceInput,
    ) -> Result<Option<DeploymentPreview>> {
        let preview = request::preview(guard::app(ctx)?, guard::actor(ctx)?, &input.read()?).await?;
        Ok(Some(DeploymentPreview(preview)))
    }

    /// What rollbackService would change, before it is made.
    async fn rollback_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What would be passed to rollbackService.")] input: RollbackServiceInput,
    ) -> Result<Option<DeploymentPreview>> {
        let preview = request::rollback_preview(guard::app(ctx)?, guard::actor(ctx)?, &input.read()?).await?;
        Ok(Some(DeploymentPreview(preview)))
    }

    /// The organization's deployments, newest first.
    #[graphql(complexity = "crate::graphql::connection::cost(first, None, child_complexity)")]
    async fn deployments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those in one of these states.")] status: Option<Vec<RunStatus>>,
        #[graphql(desc = "Only those to environments of this name.")] environment: Option<String>,
        #[graphql(desc = "So many; 20 when left out, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Option<Counted<Deployment>>> {
        let status = status.map(|s| s.into_iter().map(Into::into).collect());
        let filter = Filter { status, environment, service_id: None };
        Ok(Some(page_of_deployments(ctx, filter, Window::forward(first, after)).await?))
    }
}
