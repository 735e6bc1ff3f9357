//! Saving environments.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::app::deployments::save::{self, SaveEnvironment};
use crate::domain::spec::{Autoscaling, IngressTls};
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::container::{EnvVarInput, ResourcesInput};
use crate::graphql::types::environment::{DeployStrategy, Environment};

/// Kubernetes: how many instances there are, by how busy they are.
#[derive(InputObject)]
pub struct AutoscalingInput {
    /// Never fewer.
    min_replicas: i32,
    /// Never more.
    max_replicas: i32,
    /// Percent of the requested CPU to aim at.
    target_cpu_percent: Option<i32>,
    /// Percent of the requested memory to aim at.
    target_memory_percent: Option<i32>,
}

/// A TLS secret of the namespace, or an issuer that cert-manager knows.
#[derive(InputObject)]
pub struct IngressTlsInput {
    /// The name of a TLS secret in the namespace.
    secret_name: Option<String>,
    /// The name of a cert-manager issuer.
    issuer: Option<String>,
}

/// What becomes of an environment. A field that is left out stays as it is, and null clears it; a new environment has
/// the defaults.
#[derive(InputObject)]
pub struct SaveEnvironmentInput {
    /// The service.
    service_id: ID,
    /// Which: production, staging. It is made when it is not there.
    name: String,
    /// Where it is deployed to; the service's runtime when null. For the next deployment: what runs moves there with it,
    /// and what ran on the old one is taken down once it serves.
    runtime_id: MaybeUndefined<ID>,
    /// The Kubernetes namespace. It stays once something was deployed.
    namespace: MaybeUndefined<String>,
    /// Kubernetes: how many instances of each container without a volume.
    replicas: MaybeUndefined<i32>,
    /// How a new revision takes over. Docker engines take ROLLING_UPDATE alone.
    strategy: MaybeUndefined<DeployStrategy>,
    /// Kubernetes: host name for ingress paths.
    domain: MaybeUndefined<String>,
    /// Variables that override those of the containers; replaces all of them. A variable that is named without a value
    /// keeps its stored one.
    env: MaybeUndefined<Vec<EnvVarInput>>,
    /// For containers that bring none of their own.
    resources: MaybeUndefined<ResourcesInput>,
    /// Kubernetes: how many instances there are, by how busy they are.
    autoscaling: MaybeUndefined<AutoscalingInput>,
    /// Deploy every successful pipeline of the service's branch here.
    auto_deploy: MaybeUndefined<bool>,
    /// A deployment waits until an admin approves it; only an admin changes this.
    require_approval: MaybeUndefined<bool>,
    /// Kubernetes: the certificate of the ingress.
    tls: MaybeUndefined<IngressTlsInput>,
}

/// The environment is saved; what runs stays until the next deployment.
#[derive(SimpleObject)]
pub struct SaveEnvironmentPayload {
    /// The environment.
    environment: Environment,
}

impl From<AutoscalingInput> for Autoscaling {
    fn from(a: AutoscalingInput) -> Self {
        Self {
            min_replicas: a.min_replicas,
            max_replicas: a.max_replicas,
            target_cpu_percent: a.target_cpu_percent,
            target_memory_percent: a.target_memory_percent,
        }
    }
}

impl From<IngressTlsInput> for IngressTls {
    fn from(tls: IngressTlsInput) -> Self {
        Self { secret_name: tls.secret_name, issuer: tls.issuer }
    }
}

impl SaveEnvironmentInput {
    fn read(self) -> Result<SaveEnvironment> {
        let runtime_id = match self.runtime_id {
            MaybeUndefined::Value(id) => MaybeUndefined::Value(NodeKind::Runtime.row(&id)?),
            MaybeUndefined::Null => MaybeUndefined::Null,
            MaybeUndefined::Undefined => MaybeUndefined::Undefined,
        };
        Ok(SaveEnvironment {
            service_id: NodeKind::Service.row(&self.service_id)?,
            name: self.name,
            runtime_id: runtime_id.into(),
            namespace: self.namespace.into(),
            replicas: self.replicas.into(),
            strategy: self.strategy.map_value(Into::into).into(),
            domain: self.domain.into(),
            env: self.env.map_value(|all| all.into_iter().map(Into::into).collect()).into(),
            resources: self.resources.map_value(Into::into).into(),
            autoscaling: self.autoscaling.map_value(Into::into).into(),
            auto_deploy: self.auto_deploy.into(),
            require_approval: self.require_approval.into(),
            tls: self.tls.map_value(Into::into).into(),
        })
    }
}

/// Saving environments.
#[derive(Default)]
pub struct EnvironmentMutation;

#[Object]
impl EnvironmentMutation {
    /// Makes an environment of a service, or changes its settings for the next deployment.
    async fn save_environment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and what becomes of it.")] input: SaveEnvironmentInput,
    ) -> Result<Option<SaveEnvironmentPayload>> {
        let row = save::save(app(ctx)?, actor(ctx)?, input.read()?).await?;
        Ok(Some(SaveEnvironmentPayload { environment: Environment::from(row) }))
    }
}
