//! Starting a pipeline: by hand, again, or because of a push. One transaction writes it and queues it.

use chrono::{DateTime, Utc};
use entity::{JobState, PipelineTrigger, RunStatus, TokenKind, job, pipeline, service, token};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter, QueryOrder as _, Set};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::definition::{Snapshot, build_of};
use super::{RUN, cancel, engine, list};
use crate::app::audit::{self, Entry};
use crate::app::deployments::request::{check_key, refuse_while_removing};
use crate::app::deployments::{built, environments};
use crate::app::error::is_unique_violation;
use crate::app::git::{self, register::RIGHTS};
use crate::app::services::update::for_change;
use crate::app::{Actor, App, Error, Event, Precondition, Result, Violations};
use crate::domain::names::{BranchName, CommitHash, EnvironmentName};
use crate::domain::stage::Stages;
use crate::queue::{self, NewJob};

/// What `startPipeline` takes.
#[derive(Debug, Clone, Default)]
pub struct StartInput {
    /// The service's id.
    pub service_id: String,
    /// Branch, tag or full hash of a commit; the service's branch when left out.
    pub ref_name: Option<String>,
    /// The environment to deploy to in the end.
    pub deploy_to: Option<String>,
    /// The same key again answers with the first call's pipeline.
    pub idempotency_key: Option<String>,
}

/// What is known of a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitInfo {
    /// Its full hash.
    pub sha: String,
    /// What its author wrote.
    pub message: Option<String>,
    /// Who wrote it.
    pub author_name: Option<String>,
    /// When it was committed.
    pub committed_at: Option<DateTime<Utc>>,
    /// Its page on the provider.
    pub web_url: Option<String>,
}

/// A pipeline to be queued.
pub(in crate::app) struct NewPipeline {
    /// What started it.
    pub(in crate::app) trigger: PipelineTrigger,
    /// Who.
    pub(in crate::app) triggered_by: Option<String>,
    /// Branch, tag or commit.
    pub(in crate::app) ref_name: String,
    /// The commit, where it is known already.
    pub(in crate::app) commit: Option<CommitInfo>,
    /// The environment to deploy to in the end.
    pub(in crate::app) deploy_to: Option<String>,
    /// The same key again answers with this.
    pub(in crate::app) idempotency_key: Option<String>,
    /// The pipeline whose commit it builds again.
    pub(in crate::app) retry_of: Option<String>,
}

/// Queues a pipeline.
///
/// # Errors
/// NOT_FOUND, BAD_USER_INPUT, FAILED_PRECONDITION: the Git provider is not set up, there is no runtime for the
/// environment, the image could not get there, or there is no repository for it where the builder needs one.
pub async fn start(app: &App, actor: &Actor, input: StartInput) -> Result<pipeline::Model> {
    check_key(input.idempotency_key.as_deref())?;
    let service = environments::service(app.db.read(), &actor.scope, &input.service_id).await?;
    if let Some(first) = same_key(app.db.read(), actor, &service, input.idempotency_key.as_deref()).await? {
        return Ok(first);
    }
    let source = git::source_of(&service).ok_or_else(nothing_to_build)?;
    let ref_name = input.ref_name.unwrap_or_else(|| source.branch.clone());
    let mut v = Violations::default();
    v.check("input.ref", BranchName::parse(&ref_name));
    if let Some(name) = &input.deploy_to {
        v.check("input.deployTo", EnvironmentName::parse(name));
    }
    v.finish()?;
    refuse_while_removing(&service)?;
    git::connect_for(app, actor, &source, RIGHTS).await?;
    has_a_place(app, actor, &service).await?;
    if let Some(name) = &input.deploy_to {
        can_get_to(app, actor, &service, name).await?;
    }
    let commit = CommitHash::parse(&ref_name).ok().map(|sha| CommitInfo { sha: sha.into(), ..CommitInfo::default() });
    let new = NewPipeline {
        trigger: trigger_of(app, actor).await?,
        triggered_by: Some(actor.user_id.clone()),
        ref_name,
        commit,
        deploy_to: input.deploy_to,
        idempotency_key: input.idempotency_key,
        retry_of: None,
    };
    store(app, actor, &service, new).await
}

/// Queues a new run of the same commit; the same environment is deployed to in the end.
///
/// # Errors
/// As [`start`]; FAILED_PRECONDITION, IN_PROGRESS while it has not ended, or was ended before its commit was known.
pub async fn retry(app: &App, actor: &Actor, id: &str) -> Result<pipeline::Model> {
    let before = list::one(app, actor, id).await?;
    if before.finished_at.is_none() {
        let message = format!("pipeline {} has not ended yet: cancel it first", before.number);
        return Err(Error::precondition(Precondition::InProgress, message));
    }
    let service = environments::service(app.db.read(), &actor.scope, &before.service_id).await?;
    let source = git::source_of(&service).ok_or_else(nothing_to_build)?;
    refuse_while_removing(&service)?;
    git::connect_for(app, actor, &source, RIGHTS).await?;
    has_a_place(app, actor, &service).await?;
    let commit = before.commit.clone().map(serde_json::from_value).transpose()?;
    let commit = commit.or_else(|| before.commit_sha.clone().map(|sha| CommitInfo { sha, ..CommitInfo::default() }));
    let new = NewPipeline {
        // What a merge request or a tag holds is never deployed by itself, however it comes to be built.
        trigger: match before.trigger {
            kind @ (PipelineTrigger::MergeRequest | PipelineTrigger::Tag) => kind,
            _ => trigger_of(app, actor).await?,
        },
        triggered_by: Some(actor.user_id.clone()),
        ref_name: before.ref_name.clone(),
        commit,
        deploy_to: before.deploy_to.clone(),
        idempotency_key: None,
        retry_of: Some(before.retry_of.unwrap_or(before.id)),
    };
    store(app, actor, &service, new).await
}

async fn store(app: &App, actor: &Actor, service: &service::Model, new: NewPipeline) -> Result<pipeline::Model> {
    let key = new.idempotency_key.clone();
    let tx = app.begin().await?;
    let held = for_change(&tx, &actor.scope, &service.id).await?;
    refuse_while_removing(&held)?;
    if let Some(first) = same_key(&tx, actor, &held, key.as_deref()).await? {
        return Ok(first);
    }
    let row = enqueue(app, &tx, &held, new).await?;
    let entry = Entry {
        action: if row.retry_of.is_some() { "pipeline.retried" } else { "pipeline.started" },
        subject_kind: "Pipeline",
        subject_id: &row.id,
        subject_name: &held.name,
        detail: json!({ "number": row.number, "ref": row.ref_name, "deployTo": row.deploy_to }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    queued(app, &held, &row);
    Ok(row)
}

/// Tells of a pipeline that was queued. For after the commit.
pub(in crate::app) fn queued(app: &App, service: &service::Model, row: &pipeline::Model) {
    environments::changed(app, service);
    app.events.publish(Event::Pipeline { pipeline_id: row.id.clone() });
    app.events.publish(Event::Jobs);
}

/// Writes a pipeline of a service, which is held, and its job. What a push started takes the place of what earlier ones
/// have queued for the same branch.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn enqueue(
    app: &App,
    tx: &impl ConnectionTrait,
    service: &service::Model,
    new: NewPipeline,
) -> Result<pipeline::Model> {
    let now = app.clock.now();
    let source = git::source_of(service).ok_or_else(nothing_to_build)?;
    let snapshot = Snapshot { build: build_of(service)?, context_path: source.context_path };
    let lane = format!("pipeline:{}:{}", service.id, new.ref_name);
    let number = service.next_pipeline;
    let pushed = !matches!(new.trigger, PipelineTrigger::Manual | PipelineTrigger::Api);
    if pushed && new.retry_of.is_none() {
        cancel::replace_queued(app, tx, (&lane, new.trigger), number).await?;
    }
    let row = pipeline::ActiveModel {
        id: Set(app.ids.id()),
        organization_id: Set(service.organization_id.clone()),
        service_id: Set(service.id.clone()),
        number: Set(number),
        trigger: Set(new.trigger),
        triggered_by: Set(new.triggered_by),
        ref_name: Set(new.ref_name),
        lane: Set(lane),
        commit_sha: Set(new.commit.as_ref().map(|c| c.sha.clone())),
        commit: Set(new.commit.map(serde_json::to_value).transpose()?),
        status: Set(RunStatus::Queued),
        stages: Set(serde_json::to_value(Stages::default())?),
        settings: Set(serde_json::to_value(snapshot)?),
        deploy_to: Set(new.deploy_to),
        idempotency_key: Set(new.idempotency_key),
        retry_of: Set(new.retry_of),
        source_tree: Set(None),
        build_key: Set(None),
        image: Set(None),
        image_digest: Set(None),
        image_id: Set(None),
        engine_id: Set(None),
        gate: Set(None),
        cancel_requested: Set(false),
        reported: Set(None),
        created_at: Set(now),
        started_at: Set(None),
        finished_at: Set(None),
    };
    let row = row.insert(tx).await.map_err(|error| match is_unique_violation(&error) {
        true => Error::conflict("input.idempotencyKey", "another call with this key is being answered: try again"),
        false => error.into(),
    })?;
    let mut change: service::ActiveModel = service.clone().into();
    change.next_pipeline = Set(number + 1);
    change.latest_pipeline_id = Set(Some(row.id.clone()));
    change.changed_at = Set(now);
    change.update(tx).await?;
    let job = NewJob { organization_id: &row.organization_id, kind: RUN, lane: &row.lane, subject: &row.id };
    queue::enqueue(tx, job, now).await?;
    Ok(row)
}

/// Pipelines that wait in a lane, oldest first.
pub(super) async fn waiting(tx: &impl ConnectionTrait, lane: &str) -> Result<Vec<job::Model>> {
    Ok(job::Entity::find()
        .filter(job::Column::Lane.eq(lane))
        .filter(job::Column::Kind.eq(RUN))
        .filter(job::Column::State.eq(JobState::Queued))
        .filter(job::Column::Attempts.eq(0))
        .order_by_asc(job::Column::Id)
        .all(tx)
        .await?)
}

/// BAD_USER_INPUT for a service that is made of images.
pub(super) fn nothing_to_build() -> Error {
    Error::bad_input("input.serviceId", "the service is made of images of registries: there is nothing to build")
}

/// Says at once what would otherwise be said by the BUILD stage: that what builds keeps no images, and that the service
/// has no repository to push them to.
async fn has_a_place(app: &App, actor: &Actor, service: &service::Model) -> Result<()> {
    if super::run::destination(app, &actor.scope, service, &build_of(service)?).await?.pushed {
        return Ok(());
    }
    match engine::builder(app).await? {
        Ok(builder) if !builder.keeps_images() => Err(engine::no_repository()),
        // What is wrong with the builder may be mended before it is needed.
        _ => Ok(()),
    }
}

/// Says at once what would otherwise be said after the build: no runtime, or none that the image could get to.
async fn can_get_to(app: &App, actor: &Actor, service: &service::Model, environment: &str) -> Result<()> {
    let (db, scope) = (app.db.read(), &actor.scope);
    let place = environments::meant_or_new(app, db, scope, service, Some(environment)).await?;
    let runtime = environments::runtime(db, scope, environments::destination(&place.row)).await?;
    if super::run::destination(app, scope, service, &build_of(service)?).await?.pushed {
        return Ok(());
    }
    let engine_id = engine::engine_id(app).await?;
    // A builder that does not answer now may do so when it is needed.
    if engine_id.is_none() || built::reachable(app, scope, engine_id.as_deref(), &runtime).await? {
        return Ok(());
    }
    Err(built::out_of_reach(&runtime))
}

/// Whether a person or a script asks.
async fn trigger_of(app: &App, actor: &Actor) -> Result<PipelineTrigger> {
    let token = actor.scope.tokens().filter(token::Column::Id.eq(&actor.token_id)).one(app.db.read()).await?;
    Ok(match token.map(|t| t.kind) {
        Some(TokenKind::Api) => PipelineTrigger::Api,
        _ => PipelineTrigger::Manual,
    })
}

async fn same_key(
    db: &impl ConnectionTrait,
    actor: &Actor,
    service: &service::Model,
    key: Option<&str>,
) -> Result<Option<pipeline::Model>> {
    let Some(key) = key else { return Ok(None) };
    Ok(actor
        .scope
        .pipelines()
        .filter(pipeline::Column::ServiceId.eq(&service.id))
        .filter(pipeline::Column::IdempotencyKey.eq(key))
        .one(db)
        .await?)
}
