//! Registering, changing, removing and checking runtimes.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::app::runtimes::{self, RegisterRuntime, UpdateRuntime};
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::enums::ServiceExposure;
use crate::graphql::types::runtime::{DockerConnectionInput, KubernetesConnectionInput, Runtime};

/// A place to deploy to.
#[derive(InputObject)]
pub struct RegisterRuntimeInput {
    /// Unique in the organization.
    name: String,
    /// A Docker engine. Exactly one of docker and kubernetes.
    docker: Option<DockerConnectionInput>,
    /// A Kubernetes cluster.
    kubernetes: Option<KubernetesConnectionInput>,
    /// Kubernetes only: what ingresses use unless told otherwise.
    ingress_class: Option<String>,
    /// Kubernetes only: what volumes use unless told otherwise.
    storage_class: Option<String>,
    /// Kubernetes: how a container that is neither internal nor behind an ingress is reached.
    #[graphql(default_with = "Some(ServiceExposure::NodePort)")]
    exposure: Option<ServiceExposure>,
}

/// The runtime answered and is stored.
#[derive(SimpleObject)]
pub struct RegisterRuntimePayload {
    /// The runtime.
    runtime: Runtime,
}

/// What becomes of a runtime. A field that is left out stays as it is, and null clears it.
#[derive(InputObject)]
pub struct UpdateRuntimeInput {
    /// Which.
    id: ID,
    /// Unique in the organization.
    name: MaybeUndefined<String>,
    /// How the engine is reached from now on.
    docker: MaybeUndefined<DockerConnectionInput>,
    /// How the cluster is reached from now on.
    kubernetes: MaybeUndefined<KubernetesConnectionInput>,
    /// Kubernetes only: what ingresses use unless told otherwise.
    ingress_class: MaybeUndefined<String>,
    /// Kubernetes only: what volumes use unless told otherwise.
    storage_class: MaybeUndefined<String>,
    /// Kubernetes: how a container that is neither internal nor behind an ingress is reached.
    exposure: MaybeUndefined<ServiceExposure>,
}

/// The runtime is saved.
#[derive(SimpleObject)]
pub struct UpdateRuntimePayload {
    /// The runtime.
    runtime: Runtime,
}

/// A runtime to be forgotten.
#[derive(InputObject)]
pub struct RemoveRuntimeInput {
    /// Which.
    id: ID,
}

/// The runtime is forgotten.
#[derive(SimpleObject)]
pub struct RemoveRuntimePayload {
    /// The runtime's id.
    id: ID,
}

/// A runtime to be asked whether it answers.
#[derive(InputObject)]
pub struct CheckRuntimeInput {
    /// Which.
    id: ID,
}

/// What the check found.
#[derive(SimpleObject)]
pub struct CheckRuntimePayload {
    /// The runtime, with what was found.
    runtime: Runtime,
}

/// Registering, changing, removing and checking runtimes.
#[derive(Default)]
pub struct RuntimeMutation;

#[Object]
impl RuntimeMutation {
    /// [admin] Connects before it stores.
    async fn register_runtime(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its name and how it is reached.")] input: RegisterRuntimeInput,
    ) -> Result<Option<RegisterRuntimePayload>> {
        let new = RegisterRuntime {
            name: input.name,
            docker: input.docker.map(Into::into),
            kubernetes: input.kubernetes.map(Into::into),
            ingress_class: input.ingress_class,
            storage_class: input.storage_class,
            exposure: input.exposure.map(Into::into),
        };
        let runtime = Runtime::from(runtimes::register(app(ctx)?, actor(ctx)?, new).await?);
        Ok(Some(RegisterRuntimePayload { runtime }))
    }

    /// [admin] A new connection is tried before it is stored.
    async fn update_runtime(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and what becomes of it.")] input: UpdateRuntimeInput,
    ) -> Result<Option<UpdateRuntimePayload>> {
        let change = UpdateRuntime {
            id: NodeKind::Runtime.row(&input.id)?,
            name: input.name.into(),
            docker: input.docker.map_value(Into::into).into(),
            kubernetes: input.kubernetes.map_value(Into::into).into(),
            ingress_class: input.ingress_class.into(),
            storage_class: input.storage_class.into(),
            exposure: input.exposure.map_value(Into::into).into(),
        };
        let runtime = Runtime::from(runtimes::update(app(ctx)?, actor(ctx)?, change).await?);
        Ok(Some(UpdateRuntimePayload { runtime }))
    }

    /// [admin] CONFLICT, naming them, while environments or services refer to it, and while something has to be taken
    /// down there. A runtime that is not READY is removed all the same then: what was left there may go on running.
    async fn remove_runtime(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: RemoveRuntimeInput,
    ) -> Result<Option<RemoveRuntimePayload>> {
        let row = NodeKind::Runtime.row(&input.id)?;
        runtimes::remove(app(ctx)?, actor(ctx)?, &row).await?;
        Ok(Some(RemoveRuntimePayload { id: input.id }))
    }

    /// Asks the runtime now whether it answers.
    async fn check_runtime(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: CheckRuntimeInput,
    ) -> Result<Option<CheckRuntimePayload>> {
        let row = NodeKind::Runtime.row(&input.id)?;
        let runtime = Runtime::from(runtimes::check(app(ctx)?, &actor(ctx)?.scope, &row).await?);
        Ok(Some(CheckRuntimePayload { runtime }))
    }
}
