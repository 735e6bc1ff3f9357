//! Deploying, rolling back, stopping, starting.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::app::deployments::approvals::{self, ResolveApproval};
use crate::app::deployments::{control, environments, request};
use crate::graphql::errors::Result;
use crate::graphql::guard;
use crate::graphql::ids::NodeKind;
use crate::graphql::query::deployments::{DeployServiceInput, RollbackServiceInput};
use crate::graphql::types::deployment::Deployment;
use crate::graphql::types::environment::Environment;
use crate::graphql::types::service::Service;

/// Deployments and what runs.
#[derive(Default)]
pub struct DeploymentMutation;

/// The deployment that was queued.
#[derive(SimpleObject)]
pub struct DeployServicePayload {
    /// Follow it with the subscriptions deployment and deploymentLog.
    deployment: Deployment,
}

/// What may go on, or not.
#[derive(InputObject)]
struct ResolveApprovalInput {
    /// The deployment that waits.
    id: ID,
    /// True: it is queued. False: it is canceled.
    approve: bool,
    /// Why, for whoever asked; at most 2000 characters.
    comment: Option<String>,
    /// [admin] Why it goes on although the gate blocks by now; audited.
    gate_override: Option<String>,
}

/// What goes on, or does not.
#[derive(SimpleObject)]
pub struct ResolveApprovalPayload {
    /// QUEUED or CANCELED.
    deployment: Deployment,
}

/// What to stop.
#[derive(InputObject)]
struct StopServiceInput {
    /// The service.
    service_id: ID,
    /// production when left out.
    environment: Option<String>,
}

/// What is being stopped.
#[derive(SimpleObject)]
pub struct StopServicePayload {
    /// The service.
    service: Service,
    /// The environment; STOPPED once it is.
    environment: Environment,
}

/// What to start anew.
#[derive(InputObject)]
struct RestartServiceInput {
    /// The service.
    service_id: ID,
    /// production when left out.
    environment: Option<String>,
}

/// What is being started anew.
#[derive(SimpleObject)]
pub struct RestartServicePayload {
    /// The service.
    service: Service,
    /// The environment; RUNNING once it is.
    environment: Environment,
}

/// What to remove.
#[derive(InputObject)]
struct RemoveEnvironmentInput {
    /// The environment.
    id: ID,
}

/// What is being removed.
#[derive(SimpleObject)]
pub struct RemoveEnvironmentPayload {
    /// The environment's id.
    id: ID,
}

#[Object]
impl DeploymentMutation {
    /// Queues a deployment. Two of one environment never run at once: the later waits. Where the environment asks for an
    /// approval it waits for that first.
    async fn deploy_service(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to deploy, and where.")] input: DeployServiceInput,
    ) -> Result<Option<DeployServicePayload>> {
        let row = request::deploy(guard::app(ctx)?, guard::actor(ctx)?, &input.read()?).await?;
        Ok(Some(DeployServicePayload { deployment: Deployment::from(row) }))
    }

    /// To any kept successful revision; when none is named, the last successful one before the one that serves. The
    /// service's definition stays: the next deployment's preview shows the difference.
    async fn rollback_service(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where to go back to.")] input: RollbackServiceInput,
    ) -> Result<Option<DeployServicePayload>> {
        let row = request::roll_back(guard::app(ctx)?, guard::actor(ctx)?, &input.read()?).await?;
        Ok(Some(DeployServicePayload { deployment: Deployment::from(row) }))
    }

    /// Lets a deployment that waits for approval go on, or stops it. The security gate is asked again before it goes on. For
    /// admins; FORBIDDEN for members.
    async fn resolve_approval(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What may go on, or not.")] input: ResolveApprovalInput,
    ) -> Result<Option<ResolveApprovalPayload>> {
        let id = NodeKind::Deployment.row(&input.id)?;
        let ResolveApprovalInput { approve, comment, gate_override, .. } = input;
        let input = ResolveApproval { id, approve, comment, gate_override };
        let row = approvals::resolve(guard::app(ctx)?, guard::actor(ctx)?, &input).await?;
        Ok(Some(ResolveApprovalPayload { deployment: Deployment::from(row) }))
    }

    /// Stops every container of an environment and keeps them.
    async fn stop_service(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to stop.")] input: StopServiceInput,
    ) -> Result<Option<StopServicePayload>> {
        let id = NodeKind::Service.row(&input.service_id)?;
        let name = input.environment.as_deref();
        let (service, environment) = control::stop(guard::app(ctx)?, guard::actor(ctx)?, &id, name).await?;
        Ok(Some(StopServicePayload { service: Service::from(service), environment: Environment::from(environment) }))
    }

    /// Starts every container of an environment anew, also those of a stopped one.
    async fn restart_service(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to start anew.")] input: RestartServiceInput,
    ) -> Result<Option<RestartServicePayload>> {
        let id = NodeKind::Service.row(&input.service_id)?;
        let name = input.environment.as_deref();
        let (service, environment) = control::restart(guard::app(ctx)?, guard::actor(ctx)?, &id, name).await?;
        Ok(Some(RestartServicePayload { service: Service::from(service), environment: Environment::from(environment) }))
    }

    /// Takes down what an environment runs and removes it with its history; its volumes stay.
    async fn remove_environment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to remove.")] input: RemoveEnvironmentInput,
    ) -> Result<Option<RemoveEnvironmentPayload>> {
        let id = NodeKind::Environment.row(&input.id)?;
        environments::remove(guard::app(ctx)?, guard::actor(ctx)?, &id).await?;
        Ok(Some(RemoveEnvironmentPayload { id: input.id }))
    }
}
