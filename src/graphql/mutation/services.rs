//! Registering, changing and removing services.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::app::services::{self, RegisterImages, Removal, UpdateService};
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::container::ContainerInput;
use crate::graphql::types::registry::RegistryAuthInput;
use crate::graphql::types::service::Service;

/// A service made of images.
#[derive(InputObject)]
pub struct RegisterDockerHubServiceInput {
    /// RFC 1123 label, unique in the organization.
    name: String,
    /// Where it will run.
    runtime_id: ID,
    /// What runs: one image or more.
    containers: Vec<ContainerInput>,
    /// The service's own login for private images; the organization's when left out.
    registry_auth: Option<RegistryAuthInput>,
    /// The Kubernetes namespace; the service's name when left out.
    namespace: Option<String>,
}

/// The service is registered; nothing is deployed yet.
#[derive(SimpleObject)]
pub struct RegisterServicePayload {
    /// The service.
    pub service: Service,
}

/// What becomes of a service. A field that is left out stays as it is, and null clears it.
#[derive(InputObject)]
pub struct UpdateServiceInput {
    /// Which.
    id: ID,
    /// The branch of a Git service, which must be there.
    branch: MaybeUndefined<String>,
    /// For the next deployment; production moves there and what ran on the old one is taken down once it serves.
    runtime_id: MaybeUndefined<ID>,
    /// Replaces all of them. A variable that is named without a value keeps its stored one.
    containers: MaybeUndefined<Vec<ContainerInput>>,
    /// The service's own login for private images.
    registry_auth: MaybeUndefined<RegistryAuthInput>,
}

/// The service is saved; what runs stays until the next deployment.
#[derive(SimpleObject)]
pub struct UpdateServicePayload {
    /// The service.
    service: Service,
}

/// A service to be removed.
#[derive(InputObject)]
pub struct RemoveServiceInput {
    /// Which.
    id: ID,
    /// What it deployed goes on running, and KIOPS forgets it.
    #[graphql(default_with = "Some(false)")]
    keep_deployments: Option<bool>,
    /// Its volumes go too; only admins may.
    #[graphql(default_with = "Some(false)")]
    delete_volumes: Option<bool>,
}

/// Removing is a job: `service` is REMOVING until what it deployed is gone, then absent.
#[derive(SimpleObject)]
pub struct RemoveServicePayload {
    /// The service's id.
    id: ID,
    /// The service, while it is there.
    service: Option<Service>,
}

/// Registering, changing and removing services.
#[derive(Default)]
pub struct ServiceMutation;

#[Object]
impl ServiceMutation {
    /// Registers a service from images of Docker Hub or other registries.
    async fn register_docker_hub_service(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to register.")] input: RegisterDockerHubServiceInput,
    ) -> Result<Option<RegisterServicePayload>> {
        let new = RegisterImages {
            name: input.name,
            runtime_id: NodeKind::Runtime.row(&input.runtime_id)?,
            containers: input.containers.into_iter().map(Into::into).collect(),
            registry_auth: input.registry_auth.map(Into::into),
            namespace: input.namespace,
        };
        let service = Service::from(services::register_images(app(ctx)?, actor(ctx)?, new).await?);
        Ok(Some(RegisterServicePayload { service }))
    }

    /// Changes what a service is made of.
    async fn update_service(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and what becomes of it.")] input: UpdateServiceInput,
    ) -> Result<Option<UpdateServicePayload>> {
        let runtime_id = match input.runtime_id {
            MaybeUndefined::Value(id) => MaybeUndefined::Value(NodeKind::Runtime.row(&id)?),
            MaybeUndefined::Null => MaybeUndefined::Null,
            MaybeUndefined::Undefined => MaybeUndefined::Undefined,
        };
        let containers = input.containers.map_value(|all| all.into_iter().map(Into::into).collect());
        let change = UpdateService {
            id: NodeKind::Service.row(&input.id)?,
            branch: input.branch.into(),
            runtime_id: runtime_id.into(),
            containers: containers.into(),
            registry_auth: input.registry_auth.map_value(Into::into).into(),
        };
        let service = Service::from(services::update(app(ctx)?, actor(ctx)?, change).await?);
        Ok(Some(UpdateServicePayload { service }))
    }

    /// Takes down what it deployed unless keepDeployments is true; volumes stay unless deleteVolumes is true.
    async fn remove_service(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and how.")] input: RemoveServiceInput,
    ) -> Result<Option<RemoveServicePayload>> {
        let row = NodeKind::Service.row(&input.id)?;
        let how = Removal {
            keep_deployments: input.keep_deployments.unwrap_or_default(),
            delete_volumes: input.delete_volumes.unwrap_or_default(),
        };
        let service = services::remove(app(ctx)?, actor(ctx)?, &row, how).await?;
        Ok(Some(RemoveServicePayload { id: input.id, service: Some(Service::from(service)) }))
    }
}
