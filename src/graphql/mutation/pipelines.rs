//! Building: how, and that it is done.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::app::pipelines::cancel;
use crate::app::pipelines::settings::{self, SaveBuildSettings};
use crate::app::pipelines::start::{self, StartInput};
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::container::EnvVarInput;
use crate::graphql::types::enums::ScanKind;
use crate::graphql::types::pipeline::{DockerfileMode, Pipeline};
use crate::graphql::types::registry::RegistryAuthInput;
use crate::graphql::types::service::Service;

/// What becomes of a service's build settings. A field that is left out stays as it is, and null is the default again.
#[derive(InputObject)]
pub struct SaveBuildSettingsInput {
    /// The service.
    service_id: ID,
    /// Where the Dockerfile comes from.
    mode: MaybeUndefined<DockerfileMode>,
    /// Relative to the context; PATH mode.
    dockerfile_path: MaybeUndefined<String>,
    /// The folder of the project that is built: services/shop.
    context_path: MaybeUndefined<String>,
    /// WIZARD mode: an edited Dockerfile; left out, the wizard's own proposal at build time.
    dockerfile: MaybeUndefined<String>,
    /// Replaces all of them. One that is named without a value keeps its stored one; secret ones are files at build time.
    build_args: MaybeUndefined<Vec<EnvVarInput>>,
    /// The stage that is built; the last when null.
    target: MaybeUndefined<String>,
    /// linux/amd64, …; the engine's own when null.
    platforms: MaybeUndefined<Vec<String>>,
    /// registry.example.com/team/app
    image_repository: MaybeUndefined<String>,
    /// The service's own login to the registry that its image goes to.
    registry_auth: MaybeUndefined<RegistryAuthInput>,
    /// small, medium, large, …: one of server.buildProfiles.
    profile: MaybeUndefined<String>,
    /// Program and arguments that are run in the built image before it is deployed.
    test_command: MaybeUndefined<Vec<String>>,
    /// What is looked for.
    scans: MaybeUndefined<Vec<ScanKind>>,
}

impl SaveBuildSettingsInput {
    fn read(self) -> Result<SaveBuildSettings> {
        Ok(SaveBuildSettings {
            service_id: NodeKind::Service.row(&self.service_id)?,
            mode: self.mode.map_value(Into::into).into(),
            dockerfile_path: self.dockerfile_path.into(),
            context_path: self.context_path.into(),
            dockerfile: self.dockerfile.into(),
            args: self.build_args.map_value(|all| all.into_iter().map(Into::into).collect()).into(),
            target: self.target.into(),
            platforms: self.platforms.into(),
            image_repository: self.image_repository.into(),
            registry_auth: self.registry_auth.map_value(Into::into).into(),
            profile: self.profile.into(),
            test_command: self.test_command.into(),
            scans: self.scans.map_value(|all| all.into_iter().map(Into::into).collect()).into(),
        })
    }
}

/// The settings are saved; pipelines that were started keep what they were started with.
#[derive(SimpleObject)]
pub struct SaveBuildSettingsPayload {
    /// The service.
    service: Service,
}

/// What to build.
#[derive(InputObject)]
pub struct StartPipelineInput {
    /// The service.
    service_id: ID,
    /// Branch, tag or commit; the service's branch when left out.
    r#ref: Option<String>,
    /// Environment to deploy to at the end; none when left out.
    deploy_to: Option<String>,
    /// The same key again answers with the first call's pipeline.
    idempotency_key: Option<String>,
}

/// The pipeline is queued.
#[derive(SimpleObject)]
pub struct StartPipelinePayload {
    /// The pipeline.
    pipeline: Pipeline,
}

/// Which pipeline to end.
#[derive(InputObject)]
pub struct CancelPipelineInput {
    /// The pipeline.
    id: ID,
}

/// The pipeline ends as soon as nothing of it is at work.
#[derive(SimpleObject)]
pub struct CancelPipelinePayload {
    /// The pipeline.
    pipeline: Pipeline,
}

/// Which pipeline to run again.
#[derive(InputObject)]
pub struct RetryPipelineInput {
    /// The pipeline.
    id: ID,
}

/// Building.
#[derive(Default)]
pub struct PipelineMutation;

#[Object]
impl PipelineMutation {
    /// Saves how a service is built.
    async fn save_build_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which service, and what becomes of it.")] input: SaveBuildSettingsInput,
    ) -> Result<Option<SaveBuildSettingsPayload>> {
        let row = settings::save(app(ctx)?, actor(ctx)?, input.read()?).await?;
        Ok(Some(SaveBuildSettingsPayload { service: Service::from(row) }))
    }

    /// Manual build: runs the pipeline now.
    async fn start_pipeline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to build.")] input: StartPipelineInput,
    ) -> Result<Option<StartPipelinePayload>> {
        let input = StartInput {
            service_id: NodeKind::Service.row(&input.service_id)?,
            ref_name: input.r#ref,
            deploy_to: input.deploy_to,
            idempotency_key: input.idempotency_key,
        };
        let row = start::start(app(ctx)?, actor(ctx)?, input).await?;
        Ok(Some(StartPipelinePayload { pipeline: Pipeline::from(row) }))
    }

    /// Ends a pipeline: what is at work of it is stopped first, then its status says so.
    async fn cancel_pipeline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: CancelPipelineInput,
    ) -> Result<Option<CancelPipelinePayload>> {
        let row = cancel::cancel(app(ctx)?, actor(ctx)?, &NodeKind::Pipeline.row(&input.id)?).await?;
        Ok(Some(CancelPipelinePayload { pipeline: Pipeline::from(row) }))
    }

    /// A new run of the same commit.
    async fn retry_pipeline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: RetryPipelineInput,
    ) -> Result<Option<StartPipelinePayload>> {
        let row = start::retry(app(ctx)?, actor(ctx)?, &NodeKind::Pipeline.row(&input.id)?).await?;
        Ok(Some(StartPipelinePayload { pipeline: Pipeline::from(row) }))
    }
}
