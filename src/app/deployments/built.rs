//! Deploying what a pipeline built: which build, whether its image can be had where it goes, and the pipeline's own wish.

use entity::{DeploymentTrigger, PipelineTrigger, RunStatus, SourceKind, deployment, pipeline, runtime, service};
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryOrder};

use super::request::{self, Asked, DeployInput, KEY_OF_PIPELINES};
use crate::app::audit::By;
use crate::app::pipelines::image::{self, Image};
use crate::app::pipelines::wake;
use crate::app::runtimes::same;
use crate::app::{App, Error, Precondition, Result, Scope};
use crate::domain::spec::Spec;
use crate::domain::stage::{StageKind, Stages};

/// Where an input names a pipeline.
const FIELD: &str = "input.pipelineId";

/// A pipeline and what it built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The pipeline.
    pub pipeline: pipeline::Model,
    /// Its image.
    pub image: Image,
}

/// The build that a deployment takes: that of the named pipeline, else the newest one that succeeded, of the service's
/// branch if there is one. None where nothing was built.
///
/// # Errors
/// NOT_FOUND for a pipeline that is not the service's, BAD_USER_INPUT for one whose image can't be deployed and for any of
/// a service that no pipeline builds.
pub async fn choose(
    db: &impl ConnectionTrait,
    scope: &Scope,
    service: &service::Model,
    wanted: Option<&str>,
) -> Result<Option<Build>> {
    let Some(id) = wanted else { return newest(db, scope, service).await };
    if service.source == SourceKind::DockerHub {
        return Err(Error::bad_input(FIELD, "the service is made of images: no pipeline builds it, leave this out"));
    }
    let mine = scope.pipelines().filter(pipeline::Column::ServiceId.eq(&service.id));
    let found = mine.filter(pipeline::Column::Id.eq(id)).one(db).await?;
    let pipeline = found.ok_or_else(|| Error::not_found("pipeline"))?;
    let number = pipeline.number;
    let image = image::of(&pipeline)?.ok_or_else(|| {
        Error::bad_input(FIELD, format!("pipeline {number} has no image that could be deployed: it built none"))
    })?;
    let stages: Stages = serde_json::from_value(pipeline.stages.clone())?;
    for kind in [StageKind::Scan, StageKind::Test] {
        if !stages.passed(kind) {
            let why =
                stages.get(kind).and_then(|stage| stage.message.as_deref()).unwrap_or("it did not come to its end");
            let text = format!("the image of pipeline {number} did not pass its {} stage: {why}", kind.as_str());
            return Err(Error::bad_input(FIELD, text));
        }
    }
    Ok(Some(Build { pipeline, image }))
}

/// The newest build that succeeded: of the service's branch, else of whatever was pushed. What a merge request built is
/// deployed by its name alone, since it may be a stranger's.
async fn newest(db: &impl ConnectionTrait, scope: &Scope, service: &service::Model) -> Result<Option<Build>> {
    if service.source == SourceKind::DockerHub {
        return Ok(None);
    }
    let built = || {
        scope
            .pipelines()
            .filter(pipeline::Column::ServiceId.eq(&service.id))
            .filter(pipeline::Column::Status.eq(RunStatus::Succeeded))
            .filter(pipeline::Column::Trigger.ne(PipelineTrigger::MergeRequest))
            .filter(pipeline::Column::Image.is_not_null())
            .filter(pipeline::Column::ImageId.is_not_null())
            .order_by_desc(pipeline::Column::Number)
    };
    let of_branch = match &service.git_branch {
        Some(branch) => built().filter(pipeline::Column::RefName.eq(branch)).one(db).await?,
        None => None,
    };
    let found = match of_branch {
        Some(found) => Some(found),
        None => built().one(db).await?,
    };
    let Some(pipeline) = found else { return Ok(None) };
    Ok(image::of(&pipeline)?.map(|image| Build { pipeline, image }))
}

/// The pipeline whose image a deployment deploys; none where there is none, or it is forgotten.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(in crate::app) async fn pipeline_of(
    db: &impl ConnectionTrait,
    scope: &Scope,
    deployment: &deployment::Model,
) -> Result<Option<pipeline::Model>> {
    let Some(id) = &deployment.pipeline_id else { return Ok(None) };
    Ok(scope.pipelines().filter(pipeline::Column::Id.eq(id)).one(db).await?)
}

/// Whether an image that stays on the engine of this id can run on a runtime: whether the runtime is that very engine. A
/// runtime that never said which engine it is, is asked.
///
/// # Errors
/// UPSTREAM_ERROR when it has to be asked and does not answer.
pub async fn reachable(app: &App, scope: &Scope, engine_id: Option<&str>, runtime: &runtime::Model) -> Result<bool> {
    match engine_id {
        Some(id) if runtime.organization_id == scope.organization_id => same::is_engine(app, runtime, id).await,
        // An engine that does not say which it is, can't be found again.
        _ => Ok(false),
    }
}

/// FAILED_PRECONDITION, IMAGE_REPOSITORY_NEEDED: the image can't come to this runtime.
#[must_use]
pub fn out_of_reach(runtime: &runtime::Model) -> Error {
    Error::precondition(
        Precondition::ImageRepositoryNeeded,
        format!(
            "the image stays on the engine that builds it and is in no registry, and runtime {} is not that engine: \
             give the service an image repository (saveBuildSettings, imageRepository), or ask your admin to store a \
             registry with a repository prefix (saveRegistry, repositoryPrefix); then build again",
            runtime.name
        ),
    )
}

/// Goes on only if a runtime can have every image of a spec.
///
/// # Errors
/// FAILED_PRECONDITION, IMAGE_REPOSITORY_NEEDED; UPSTREAM_ERROR as [`reachable`].
pub(super) async fn require_reach(
    app: &App,
    scope: &Scope,
    (spec, pipeline): (&Spec, Option<&pipeline::Model>),
    runtime: &runtime::Model,
) -> Result<()> {
    if spec.containers.iter().all(|c| c.image_id.is_none()) {
        return Ok(());
    }
    let engine_id = pipeline.and_then(|p| p.engine_id.as_deref());
    match reachable(app, scope, engine_id, runtime).await? {
        true => Ok(()),
        false => Err(out_of_reach(runtime)),
    }
}

/// The deployment of a pipeline's image into an environment, which is made on the service's runtime when it is not there.
/// Asked for again it answers with the same deployment. It waits for an approval where the environment says so, and when
/// it comes to an end the pipeline is woken.
///
/// # Errors
/// As [`request::deploy`].
pub async fn deploy_built(app: &App, pipeline: &pipeline::Model, environment: &str) -> Result<Asked> {
    let by =
        By { organization_id: pipeline.organization_id.clone(), user_id: pipeline.triggered_by.clone(), address: None };
    let input = DeployInput {
        service_id: pipeline.service_id.clone(),
        environment: Some(environment.to_owned()),
        pipeline_id: Some(pipeline.id.clone()),
        idempotency_key: Some(format!("{KEY_OF_PIPELINES}{}:{environment}", pipeline.id)),
        ..DeployInput::default()
    };
    request::ask(app, &by, &input, DeploymentTrigger::Pipeline).await
}

/// Lets the pipeline of a deployment look at it, with the transaction in which the deployment was settled: it came to an
/// end, or somebody approved it. After the commit its caller publishes `Event::Jobs`.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn tell_pipeline(app: &App, tx: &impl ConnectionTrait, deployment: &deployment::Model) -> Result<()> {
    match &deployment.pipeline_id {
        Some(id) => wake::wake(app, tx, id).await,
        None => Ok(()),
    }
}
