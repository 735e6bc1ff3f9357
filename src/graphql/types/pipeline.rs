//! Pipelines, their stages, and how a service is built.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};
use entity::{RunStatus as StoredStatus, pipeline, service};

use super::container::EnvVar;
use super::deployment::{Deployment, LogConnection, RunStatus, StageKind, log_page};
use super::enums::ScanKind;
use super::gate::GateVerdict;
use super::git::Commit;
use super::identity::User;
use super::scan::Scan;
use super::service::Service;
use crate::app::Error;
use crate::app::pipelines::definition::{self, BuildDefinition};
use crate::app::pipelines::list::stages_of;
use crate::app::pipelines::list::{self, Filter};
use crate::app::pipelines::start::CommitInfo;
use crate::app::pipelines::{image, plan};
use crate::domain::stage;
use crate::graphql::connection::{Counted, Window, counted};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::guard;
use crate::graphql::ids::NodeKind;
use crate::graphql::loaders::loaders;
use crate::graphql::whole::whole;

/// One run: code push → build → security scan → test → deploy.
pub struct Pipeline(pub Arc<pipeline::Model>);

impl From<pipeline::Model> for Pipeline {
    fn from(row: pipeline::Model) -> Self {
        Self(Arc::new(row))
    }
}

impl Pipeline {
    /// Wraps what a loader gave.
    #[must_use]
    pub fn shared(row: Arc<pipeline::Model>) -> Self {
        Self(row)
    }

    async fn load_person(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match &self.0.triggered_by {
            Some(id) => Ok(loaders(ctx)?.person(id).await?.map(User)),
            None => Ok(None),
        }
    }
}

/// What started a pipeline.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "entity::PipelineTrigger")]
pub enum PipelineTrigger {
    /// A person.
    Manual,
    /// A push to a branch.
    Push,
    /// New commits of a merge request.
    MergeRequest,
    /// A pushed tag.
    Tag,
    /// A script, with an API token.
    Api,
}

/// A part of a pipeline.
#[derive(SimpleObject)]
pub struct Stage {
    /// Which.
    kind: StageKind,
    /// Where it stands.
    status: RunStatus,
    /// Why it failed or was skipped, in words for the person who pushed.
    message: Option<String>,
    /// When work on it began.
    started_at: Option<DateTime<Utc>>,
    /// When it ended.
    finished_at: Option<DateTime<Utc>>,
}

impl From<stage::Stage> for Stage {
    fn from(stage: stage::Stage) -> Self {
        Self {
            kind: stage.kind.into(),
            status: StoredStatus::from(stage.status).into(),
            message: stage.message,
            started_at: stage.started_at,
            finished_at: stage.finished_at,
        }
    }
}

/// One run: code push → build → security scan → test → deploy.
#[Object]
impl Pipeline {
    /// Opaque, typed and stable.
    pub async fn id(&self) -> ID {
        NodeKind::Pipeline.id(&self.0.id)
    }

    /// 1, 2, 3 … within the service.
    async fn number(&self) -> i32 {
        self.0.number
    }

    /// What is built.
    async fn service(&self, ctx: &Context<'_>) -> Result<Service> {
        let found = loaders(ctx)?.service(&self.0.service_id).await?;
        Ok(Service::shared(found.ok_or_else(|| Error::not_found("service"))?))
    }

    /// What started it.
    async fn trigger(&self) -> PipelineTrigger {
        self.0.trigger.into()
    }

    /// Who started it; null when nobody did, or they left.
    async fn triggered_by(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        nullable(self.load_person(ctx).await)
    }

    /// The branch, tag or commit that is built.
    async fn r#ref(&self) -> &str {
        &self.0.ref_name
    }

    /// The commit, as soon as it is known.
    async fn commit(&self) -> Result<Option<Commit>> {
        let known = self.0.commit.clone().map(serde_json::from_value::<CommitInfo>).transpose().map_err(Error::from)?;
        let bare = || self.0.commit_sha.clone().map(|sha| CommitInfo { sha, ..CommitInfo::default() });
        Ok(known.or_else(bare).map(Commit::from))
    }

    /// Where it stands.
    async fn status(&self) -> RunStatus {
        self.0.status.into()
    }

    /// Its parts, in order.
    async fn stages(&self) -> Result<Vec<Stage>> {
        Ok(stages_of(&self.0)?.all().iter().cloned().map(Stage::from).collect())
    }

    /// repository:tag@digest of the image that it built.
    async fn image(&self) -> Result<Option<String>> {
        let built = image::of(&self.0)?;
        Ok(built.map(|image| match &image.digest {
            Some(digest) => format!("{}:{}@{digest}", image.repository, image.tag),
            None => format!("{}:{}@{}", image.repository, image.tag, image.id),
        }))
    }

    /// Its digest in the registry; of an image that stays on the engine, the engine's own id.
    async fn image_digest(&self) -> Option<&str> {
        self.0.image_digest.as_deref().or(self.0.image_id.as_deref())
    }

    /// What looks at its source and image, and at what it deploys, oldest first.
    async fn scans(&self, ctx: &Context<'_>) -> Result<Vec<Scan>> {
        let found = whole(ctx, loaders(ctx)?.scans_of_pipeline(&self.0.id)).await?;
        Ok(found.iter().cloned().map(Scan::shared).collect())
    }

    /// What deploys the image, oldest first.
    async fn deployments(&self, ctx: &Context<'_>) -> Result<Vec<Deployment>> {
        let found = whole(ctx, loaders(ctx)?.deployments_of_pipeline(&self.0.id)).await?;
        Ok(found.iter().cloned().map(Deployment::shared).collect())
    }

    /// Log lines so far, oldest first.
    #[graphql(complexity = "crate::graphql::connection::cost_of_lines(first, last, child_complexity)")]
    async fn log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only of this stage.")] stage: Option<StageKind>,
        #[graphql(desc = "So many from the beginning, at most 1000.")] first: Option<i32>,
        #[graphql(desc = "Those after this line.")] after: Option<String>,
        #[graphql(desc = "So many from the end.")] last: Option<i32>,
        #[graphql(desc = "Those before this line.")] before: Option<String>,
    ) -> Result<LogConnection> {
        let window = Window { first, after, last, before };
        log_page(guard::app(ctx)?, &self.0.id, stage.map(stage::StageKind::from), &window).await
    }

    /// The whole log as text/plain, with the caller's credentials.
    async fn log_url(&self, ctx: &Context<'_>) -> Result<String> {
        let base = &guard::app(ctx)?.settings.public_url;
        Ok(format!("{base}/logs/{}", NodeKind::Pipeline.id(&self.0.id).as_str()))
    }

    /// When it was asked for.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When work began.
    async fn started_at(&self) -> Option<DateTime<Utc>> {
        self.0.started_at
    }

    /// When it ended.
    async fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.0.finished_at
    }

    /// The worst that the security gate said of where it goes; null where there is none, or it goes nowhere.
    async fn gate(&self) -> Result<Option<GateVerdict>> {
        GateVerdict::of_pipeline(&self.0)
    }

    /// 1 is next; null once it runs.
    async fn queue_position(&self, ctx: &Context<'_>) -> Result<Option<i32>> {
        Ok(list::position(guard::app(ctx)?, &self.0).await?)
    }
}

/// A page of pipelines, newest first.
///
/// # Errors
/// BAD_USER_INPUT for bounds that are none.
pub async fn page_of_pipelines(ctx: &Context<'_>, filter: Filter, window: Window) -> Result<Counted<Pipeline>> {
    let app = guard::app(ctx)?;
    let page = list::page(app, guard::actor(ctx)?, &filter, &window.check(app)?).await?;
    Ok(counted(page, Pipeline::from))
}

/// What the Build Wizard found in a source tree and proposes.
#[derive(SimpleObject)]
pub struct BuildPlan {
    /// node, python, go, rust, java, dotnet, php, ruby, static, …
    language: Option<String>,
    /// Such as next or django.
    framework: Option<String>,
    /// The version of the language's images.
    version: Option<String>,
    /// Such as pnpm or poetry.
    package_manager: Option<String>,
    /// What the container listens on, as far as conventions tell.
    port: Option<i32>,
    /// Why: the files that decided.
    evidence: Vec<String>,
    /// Null, like language, when nothing is recognised.
    dockerfile: Option<String>,
    /// The .dockerignore beside it.
    dockerignore: Option<String>,
    /// A Dockerfile that is there wins over the wizard.
    existing_dockerfiles: Vec<String>,
    /// Where to look instead when the root has nothing: the parts of a monorepo.
    subfolders: Vec<String>,
}

impl From<plan::BuildPlan> for BuildPlan {
    fn from(plan: plan::BuildPlan) -> Self {
        Self {
            language: plan.language,
            framework: plan.framework,
            version: plan.version,
            package_manager: plan.package_manager,
            port: plan.port.map(i32::from),
            evidence: plan.evidence,
            dockerfile: plan.dockerfile,
            dockerignore: plan.dockerignore,
            existing_dockerfiles: plan.existing_dockerfiles,
            subfolders: plan.subfolders,
        }
    }
}

/// Where the Dockerfile comes from.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "definition::DockerfileMode")]
pub enum DockerfileMode {
    /// It is found in the folder that is built.
    AutoDetect,
    /// It is named by its path.
    Path,
    /// The Build Wizard writes it, or an edited one is stored.
    Wizard,
}

/// How a service is built.
pub struct BuildSettings {
    build: BuildDefinition,
    context_path: String,
    default_profile: String,
}

impl BuildSettings {
    /// Of a service that is built; none for one that is made of images.
    ///
    /// # Errors
    /// INTERNAL when the row holds something else.
    pub fn of(ctx: &Context<'_>, service: &service::Model) -> Result<Option<Self>> {
        let Some(context_path) = service.git_context_path.clone() else { return Ok(None) };
        let profiles = &guard::app(ctx)?.settings.build_profiles;
        let default_profile = profiles.iter().find(|p| p.is_default).map(|p| p.name.clone()).unwrap_or_default();
        Ok(Some(Self { build: definition::build_of(service)?, context_path, default_profile }))
    }
}

/// How a service is built.
#[Object]
impl BuildSettings {
    /// Where the Dockerfile comes from.
    async fn mode(&self) -> DockerfileMode {
        self.build.mode.into()
    }

    /// Relative to the context; PATH mode.
    async fn dockerfile_path(&self) -> Option<&str> {
        self.build.dockerfile_path.as_deref()
    }

    /// The folder of the project that is built: `.` is its root.
    async fn context_path(&self) -> &str {
        &self.context_path
    }

    /// WIZARD mode: the Dockerfile that will be used; null takes what the wizard proposes at build time.
    async fn dockerfile(&self) -> Option<&str> {
        self.build.dockerfile.as_deref()
    }

    /// Build arguments. Secret ones are files at build time: RUN --mount=type=secret,id=NAME.
    async fn build_args(&self) -> Vec<EnvVar> {
        self.build.args.iter().cloned().map(EnvVar::from).collect()
    }

    /// The stage that is built; null: the last.
    async fn target(&self) -> Option<&str> {
        self.build.target.as_deref()
    }

    /// Platforms; none: the engine's own.
    async fn platforms(&self) -> &[String] {
        &self.build.platforms
    }

    /// registry.example.com/team/app; null takes the registry that has a repositoryPrefix, else the image stays on the
    /// build runtime.
    async fn image_repository(&self) -> Option<&str> {
        self.build.image_repository.as_deref()
    }

    /// small, medium, large, …: limits of a build, from kiops.toml.
    async fn profile(&self) -> &str {
        self.build.profile.as_deref().unwrap_or(&self.default_profile)
    }

    /// A command run in the built image before deploying; null skips the test stage.
    async fn test_command(&self) -> Option<&[String]> {
        self.build.test_command.as_deref()
    }

    /// What is looked for.
    async fn scans(&self) -> Vec<ScanKind> {
        self.build.scans.iter().copied().map(ScanKind::from).collect()
    }
}
