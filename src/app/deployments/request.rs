//! Asking for a deployment or a rollback: preview, checks, and the one transaction that queues it.

use std::collections::BTreeMap;

use entity::{DeploymentPhase, DeploymentTrigger, RunStatus, ServiceStatus, deployment, environment, service};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Set,
};
use serde_json::json;

use super::environments::Place;
use super::plan::{self, Plan, Tags};
use super::{environments, jobs, moving, resolve, status};
use crate::app::audit::{self, Entry};
use crate::app::error::is_unique_violation;
use crate::app::services::spec::{spec_of, strategy_of};
use crate::app::services::update::for_change;
use crate::app::{Actor, App, Error, Event, Precondition, Result, Scope, runtimes};
use crate::domain::image::Tag;
use crate::domain::spec::Spec;
use crate::queue::{self, NewJob};

/// What `deployService` and `deploymentPreview` take.
#[derive(Debug, Clone, Default)]
pub struct DeployInput {
    /// The service's id.
    pub service_id: String,
    /// Its name; production when left out.
    pub environment: Option<String>,
    /// New tags for named containers.
    pub tags: Tags,
    /// What was shown before.
    pub plan_hash: Option<String>,
    /// The same key again answers with the first call's deployment.
    pub idempotency_key: Option<String>,
}

/// What `rollbackService` and `rollbackPreview` take.
#[derive(Debug, Clone, Default)]
pub struct RollbackInput {
    /// The service's id.
    pub service_id: String,
    /// Its name; production when left out.
    pub environment: Option<String>,
    /// The revision to go back to; the last successful one before the one that serves when left out.
    pub revision: Option<i32>,
    /// What was shown before.
    pub plan_hash: Option<String>,
    /// The same key again answers with the first call's deployment.
    pub idempotency_key: Option<String>,
}

/// How many times a request is planned anew because something changed meanwhile.
const TRIES: usize = 5;

/// A plan with the facts that it was made from.
struct Draft {
    service: service::Model,
    place: Place,
    plan: Plan,
    rollback_of: Option<deployment::Model>,
    tags: BTreeMap<String, Tag>,
}

/// What a deployment would change.
///
/// # Errors
/// NOT_FOUND, BAD_USER_INPUT, FAILED_PRECONDITION; UPSTREAM_ERROR when an image does not exist.
pub async fn preview(app: &App, actor: &Actor, input: &DeployInput) -> Result<Plan> {
    Ok(draft(app, actor, input, Digests::Resolve).await?.plan)
}

/// What a rollback would change.
///
/// # Errors
/// As [`preview`].
pub async fn rollback_preview(app: &App, actor: &Actor, input: &RollbackInput) -> Result<Plan> {
    Ok(rollback_draft(app, actor, input).await?.plan)
}

/// Queues a deployment.
///
/// # Errors
/// As [`preview`], and CONFLICT when it would no longer do what was shown.
pub async fn deploy(app: &App, actor: &Actor, input: &DeployInput) -> Result<deployment::Model> {
    check_key(input.idempotency_key.as_deref())?;
    for _ in 0..TRIES {
        if let Some(first) = same_key(app, actor, &input.service_id, input.idempotency_key.as_deref()).await? {
            return Ok(first);
        }
        let digests = if input.plan_hash.is_some() { Digests::Resolve } else { Digests::Later };
        let draft = draft(app, actor, input, digests).await?;
        check_hash(&draft.plan, input.plan_hash.as_deref())?;
        if let Some(queued) = enqueue(app, actor, &draft, input.idempotency_key.clone()).await? {
            return Ok(queued);
        }
    }
    Err(Error::conflict("input.serviceId", "the service is being changed by others all the time; try again"))
}

/// Queues a rollback to a kept successful revision.
///
/// # Errors
/// As [`deploy`]; FAILED_PRECONDITION when there is nothing to go back to.
pub async fn roll_back(app: &App, actor: &Actor, input: &RollbackInput) -> Result<deployment::Model> {
    check_key(input.idempotency_key.as_deref())?;
    for _ in 0..TRIES {
        if let Some(first) = same_key(app, actor, &input.service_id, input.idempotency_key.as_deref()).await? {
            return Ok(first);
        }
        let draft = rollback_draft(app, actor, input).await?;
        check_hash(&draft.plan, input.plan_hash.as_deref())?;
        if let Some(queued) = enqueue(app, actor, &draft, input.idempotency_key.clone()).await? {
            return Ok(queued);
        }
    }
    Err(Error::conflict("input.serviceId", "the service is being changed by others all the time; try again"))
}

/// FAILED_PRECONDITION while the service is being removed.
///
/// # Errors
/// That.
pub fn refuse_while_removing(service: &service::Model) -> Result<()> {
    if service.removing {
        return Err(Error::precondition(Precondition::InProgress, "the service is being removed"));
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Digests {
    Resolve,
    Later,
}

async fn draft(app: &App, actor: &Actor, input: &DeployInput, digests: Digests) -> Result<Draft> {
    let (db, scope) = (app.db.read(), &actor.scope);
    let service = environments::service(db, scope, &input.service_id).await?;
    refuse_while_removing(&service)?;
    let place = environments::meant_or_new(app, db, scope, &service, input.environment.as_deref()).await?;
    let tags = plan::checked(&service, &input.tags)?;
    let mut spec = spec_of(&service, &place.row, &tags, None)?;
    let to = environments::runtime(db, scope, environments::destination(&place.row)).await?;
    let mut warnings = Vec::new();
    if digests == Digests::Resolve {
        let logins = resolve::logins(app, scope, &service, &spec).await?;
        let client = runtimes::connect(app, &to).await.ok();
        match resolve::digests(app, client.as_deref(), &logins, &mut spec).await? {
            Ok(said) => warnings = said,
            Err(resolve::Refused(message)) => return Err(Error::upstream(message)),
        }
    }
    let current = current_spec(db, scope, &place.row).await?;
    let course = moving::course(db, scope, &place.row, &to).await?;
    let plan = plan::compare(spec, current.as_ref(), course, warnings);
    Ok(Draft { service, place, plan, rollback_of: None, tags })
}

async fn rollback_draft(app: &App, actor: &Actor, input: &RollbackInput) -> Result<Draft> {
    let (db, scope) = (app.db.read(), &actor.scope);
    let service = environments::service(db, scope, &input.service_id).await?;
    refuse_while_removing(&service)?;
    let row = environments::meant(db, scope, &service.id, input.environment.as_deref()).await?;
    let row = row.ok_or_else(|| {
        Error::precondition(Precondition::NothingDeployed, "nothing was deployed there yet: deploy first")
    })?;
    let to = revision_to_go_back_to(db, scope, &row, input.revision).await?;
    let current = current_spec(db, scope, &row).await?;
    // What ran comes back whole; how it takes over and where is for the environment to say today.
    let mut spec = Spec { strategy: strategy_of(&row), ..plan::spec_of_revision(&to)? };
    plan::keep_host_ports(&mut spec, &serde_json::from_value(row.host_ports.clone())?);
    let runtime = environments::runtime(db, scope, &row.runtime_id).await?;
    let course = moving::course(db, scope, &row, &runtime).await?;
    let plan = plan::compare(spec, current.as_ref(), course, Vec::new());
    let place = Place { row, exists: true };
    Ok(Draft { service, place, plan, rollback_of: Some(to), tags: BTreeMap::new() })
}

async fn revision_to_go_back_to(
    db: &impl ConnectionTrait,
    scope: &Scope,
    environment: &environment::Model,
    revision: Option<i32>,
) -> Result<deployment::Model> {
    let succeeded = scope
        .deployments()
        .filter(deployment::Column::EnvironmentId.eq(&environment.id))
        .filter(deployment::Column::Status.eq(RunStatus::Succeeded));
    let current = environment.current_deployment_id.as_deref().unwrap_or_default();
    if let Some(revision) = revision {
        let found = succeeded.filter(deployment::Column::Revision.eq(revision)).one(db).await?;
        return found.filter(|d| d.id != current).ok_or_else(|| {
            Error::bad_input(
                "input.revision",
                format!("revision {revision} can't be gone back to: it is not kept, did not succeed, or serves now"),
            )
        });
    }
    let serving = scope.deployments().filter(deployment::Column::Id.eq(current)).one(db).await?;
    let before = serving.map_or(i32::MAX, |d| d.revision);
    let found = succeeded
        .filter(deployment::Column::Revision.lt(before))
        .order_by_desc(deployment::Column::Revision)
        .one(db)
        .await?;
    found.ok_or_else(|| {
        Error::precondition(
            Precondition::NoEarlierRevision,
            "there is no earlier successful revision in this environment to go back to",
        )
    })
}

/// The spec of what serves in an environment.
///
/// # Errors
/// INTERNAL when it can't be read.
pub async fn current_spec(
    db: &impl ConnectionTrait,
    scope: &Scope,
    environment: &environment::Model,
) -> Result<Option<Spec>> {
    let Some(id) = environment.current_deployment_id.as_deref() else { return Ok(None) };
    let row = scope.deployments().filter(deployment::Column::Id.eq(id)).one(db).await?;
    row.as_ref().map(plan::spec_of_revision).transpose()
}

pub(in crate::app) fn check_key(key: Option<&str>) -> Result<()> {
    match key {
        Some(key) if key.is_empty() || key.len() > 128 => {
            Err(Error::bad_input("input.idempotencyKey", "an idempotency key has 1 to 128 characters"))
        }
        _ => Ok(()),
    }
}

fn check_hash(plan: &Plan, shown: Option<&str>) -> Result<()> {
    match shown {
        Some(shown) if shown != plan.hash() => {
            Err(Error::conflict("input.planHash", "this would no longer do what was shown: look at the preview again"))
        }
        _ => Ok(()),
    }
}

async fn same_key(app: &App, actor: &Actor, service_id: &str, key: Option<&str>) -> Result<Option<deployment::Model>> {
    let Some(key) = key else { return Ok(None) };
    Ok(actor
        .scope
        .deployments()
        .filter(deployment::Column::ServiceId.eq(service_id))
        .filter(deployment::Column::IdempotencyKey.eq(key))
        .one(app.db.read())
        .await?)
}

/// Writes the deployment and its job. None when the facts of the draft are no longer so: plan anew.
async fn enqueue(app: &App, actor: &Actor, draft: &Draft, key: Option<String>) -> Result<Option<deployment::Model>> {
    let tx = app.begin().await?;
    if !hold(&tx, &actor.scope, draft).await? {
        return Ok(None);
    }
    let service = for_change(&tx, &actor.scope, &draft.service.id).await?;
    refuse_while_removing(&service)?;
    let row = environments::meant(&tx, &actor.scope, &service.id, Some(&draft.place.row.name)).await?;
    let row = match row {
        // Made meanwhile. Its lock comes before the service's, which is held already: plan anew, not in a circle.
        Some(_) if !draft.place.exists => return Ok(None),
        Some(row) => environments::held(&tx, &actor.scope, &row.id).await?,
        None => None,
    };
    let facts = |e: &environment::Model| {
        (e.settings_version, e.current_deployment_id.clone(), e.runtime_id.clone(), e.next_runtime_id.clone())
    };
    let same = service.definition_version == draft.service.definition_version
        && (draft.place.exists || service.runtime_id.as_ref() == Some(&draft.place.row.runtime_id))
        && row.as_ref().map(facts) == draft.place.exists.then(|| facts(&draft.place.row));
    let taken = same_key_in(&tx, actor, &service.id, key.as_deref()).await?;
    if !same || taken {
        return Ok(None);
    }
    let environment = match row {
        Some(row) => row,
        None => match draft.place.row.clone().into_active_model().reset_all().insert(&tx).await {
            Ok(row) => row,
            // Another first deployment made it meanwhile.
            Err(error) if is_unique_violation(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        },
    };
    if environment.status == ServiceStatus::Removing {
        return Err(Error::precondition(Precondition::InProgress, "the environment is being removed"));
    }
    let Some(queued) = insert(app, &tx, actor, draft, &environment, key).await? else { return Ok(None) };
    let mut change: environment::ActiveModel = environment.clone().into();
    change.next_revision = Set(environment.next_revision + 1);
    change.latest_deployment_id = Set(Some(queued.id.clone()));
    change.status = Set(ServiceStatus::Deploying);
    change.status_message = Set(None);
    change.update(&tx).await?;
    status::settle(app, &tx, &service.id).await?;
    let job = NewJob {
        organization_id: &service.organization_id,
        kind: jobs::DEPLOYMENT,
        lane: &environment.id,
        subject: &queued.id,
    };
    queue::enqueue(&tx, job, app.clock.now()).await?;
    let entry = Entry {
        action: if draft.rollback_of.is_some() { "deployment.rolled_back" } else { "deployment.started" },
        subject_kind: "Deployment",
        subject_id: &queued.id,
        subject_name: &service.name,
        detail: json!({
            "environment": environment.name,
            "revision": queued.revision,
            "backTo": draft.rollback_of.as_ref().map(|d| d.revision),
        }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    environments::changed(app, &service);
    app.events.publish(Event::Jobs);
    Ok(Some(queued))
}

/// Holds what the plan came from until the transaction ends, the environment before its service as everywhere. False
/// when the revision to go back to is gone.
async fn hold(tx: &impl ConnectionTrait, scope: &Scope, draft: &Draft) -> Result<bool> {
    let place = scope.environments().filter(environment::Column::Id.eq(&draft.place.row.id));
    place.lock_exclusive().one(tx).await?;
    let Some(to) = &draft.rollback_of else { return Ok(true) };
    let to = scope.deployments().filter(deployment::Column::Id.eq(&to.id));
    Ok(to.lock_shared().one(tx).await?.is_some())
}

async fn same_key_in(tx: &impl ConnectionTrait, actor: &Actor, service_id: &str, key: Option<&str>) -> Result<bool> {
    let Some(key) = key else { return Ok(false) };
    let found = actor
        .scope
        .deployments()
        .filter(deployment::Column::ServiceId.eq(service_id))
        .filter(deployment::Column::IdempotencyKey.eq(key))
        .one(tx)
        .await?;
    Ok(found.is_some())
}

async fn insert(
    app: &App,
    tx: &impl ConnectionTrait,
    actor: &Actor,
    draft: &Draft,
    environment: &environment::Model,
    key: Option<String>,
) -> Result<Option<deployment::Model>> {
    let plan = &draft.plan;
    let trigger = match draft.rollback_of {
        Some(_) => DeploymentTrigger::Rollback,
        None => DeploymentTrigger::Manual,
    };
    let row = deployment::ActiveModel {
        id: Set(app.ids.id()),
        organization_id: Set(environment.organization_id.clone()),
        service_id: Set(environment.service_id.clone()),
        environment_id: Set(environment.id.clone()),
        runtime_id: Set(plan.course.to.id.clone()),
        moved_from: Set(None),
        revision: Set(environment.next_revision),
        trigger: Set(trigger),
        triggered_by: Set(Some(actor.user_id.clone())),
        rollback_of: Set(draft.rollback_of.as_ref().map(|d| d.id.clone())),
        status: Set(RunStatus::Queued),
        phase: Set(DeploymentPhase::Prepare),
        message: Set(None),
        spec: Set(serde_json::to_value(&plan.spec)?),
        manifest: Set(plan.manifest.clone()),
        warnings: Set(json!(plan.warnings)),
        tags: Set(serde_json::to_value(&draft.tags)?),
        plan_hash: Set(plan.hash()),
        pipeline_id: Set(None),
        approval: Set(None),
        cancel_requested: Set(false),
        definition_version: Set(draft.service.definition_version),
        settings_version: Set(environment.settings_version),
        idempotency_key: Set(key),
        created_at: Set(app.clock.now()),
        started_at: Set(None),
        finished_at: Set(None),
    };
    match row.insert(tx).await {
        Ok(row) => Ok(Some(row)),
        // The same key, in another environment of the service at the same moment.
        Err(error) if is_unique_violation(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a deployment made now would differ from the one that serves, tags' meanings aside.
///
/// # Errors
/// INTERNAL when what is stored can't be read.
pub async fn undeployed_changes(app: &App, actor: &Actor, environment: &environment::Model) -> Result<bool> {
    let db = app.db.read();
    let Some(mut current) = current_spec(db, &actor.scope, environment).await? else { return Ok(true) };
    let service = environments::service(db, &actor.scope, &environment.service_id).await?;
    if environments::destination(environment) != environment.runtime_id {
        return Ok(true);
    }
    let next = spec_of(&service, environment, &BTreeMap::new(), None)?;
    for container in &mut current.containers {
        container.digest = None;
    }
    Ok((current.containers, current.strategy) != (next.containers, next.strategy))
}
