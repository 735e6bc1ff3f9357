//! Asking for a deployment or a rollback: preview, checks, and what is stored of it all.

use std::collections::BTreeMap;

use entity::{DeploymentTrigger, deployment, environment, service};
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter};

use super::draft::{self, Digests};
use super::enqueue::enqueue;
use super::plan::{self, Plan, Tags};
use super::{built, environments};
use crate::app::audit::By;
use crate::app::scans::gates::judge;
use crate::app::services::spec::spec_of;
use crate::app::{Actor, App, Error, Precondition, Result, Scope};
use crate::domain::policy::Action;
use crate::domain::spec::Spec;
use crate::scanner::gate::Verdict;

/// Keys that begin like this are those of pipelines.
pub(super) const KEY_OF_PIPELINES: &str = "pipeline:";

/// What `deployService` and `deploymentPreview` take.
#[derive(Debug, Clone, Default)]
pub struct DeployInput {
    /// The service's id.
    pub service_id: String,
    /// Its name; production when left out.
    pub environment: Option<String>,
    /// New tags for named containers.
    pub tags: Tags,
    /// The pipeline whose image is deployed; the newest that succeeded when left out. Not for Docker Hub services.
    pub pipeline_id: Option<String>,
    /// What was shown before.
    pub plan_hash: Option<String>,
    /// The same key again answers with the first call's deployment.
    pub idempotency_key: Option<String>,
    /// Why it is deployed although the gate keeps it back: for admins.
    pub gate_override: Option<String>,
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

/// What a deployment would change, and what the security gate says of it.
#[derive(Debug, Clone)]
pub struct Preview {
    /// What it would change.
    pub plan: Plan,
    /// None where there is no gate.
    pub gate: Option<Verdict>,
}

/// How many times a request is planned anew because something changed meanwhile.
const TRIES: usize = 5;

/// What a deployment would change.
///
/// # Errors
/// NOT_FOUND, BAD_USER_INPUT, FAILED_PRECONDITION; UPSTREAM_ERROR when an image does not exist.
pub async fn preview(app: &App, actor: &Actor, input: &DeployInput) -> Result<Preview> {
    if input.gate_override.is_some() {
        actor.require(Action::OverrideGate)?;
    }
    let draft = draft::deployment(app, &actor.scope, input, Digests::Resolve).await?;
    Ok(Preview { plan: draft.plan, gate: draft.gate })
}

/// What a rollback would change.
///
/// # Errors
/// As [`preview`].
pub async fn rollback_preview(app: &App, actor: &Actor, input: &RollbackInput) -> Result<Preview> {
    let draft = draft::rollback(app, &actor.scope, input).await?;
    Ok(Preview { plan: draft.plan, gate: draft.gate })
}

/// Queues a deployment. Where the environment asks for an approval, this one waits for it, whoever asks and however: by
/// hand, by a pipeline, or back to an earlier revision.
///
/// # Errors
/// As [`preview`]; CONFLICT when it would no longer do what was shown; FAILED_PRECONDITION, GATE_BLOCKED, when the security
/// gate keeps it back; FORBIDDEN for a member who gives a reason why it should not.
pub async fn deploy(app: &App, actor: &Actor, input: &DeployInput) -> Result<deployment::Model> {
    check_key(input.idempotency_key.as_deref())?;
    if input.gate_override.is_some() {
        actor.require(Action::OverrideGate)?;
    }
    ask(app, &By::from(actor), input, DeploymentTrigger::Manual).await?.outcome
}

/// What came of asking for a deployment.
pub struct Asked {
    /// What the security gate said, also when it kept it back.
    pub gate: Option<Verdict>,
    /// The deployment, or why the gate does not let it go on.
    pub outcome: Result<deployment::Model>,
}

/// As [`deploy`], for whoever it is, with what the gate said.
///
/// # Errors
/// As [`deploy`].
pub(super) async fn ask(app: &App, by: &By, input: &DeployInput, trigger: DeploymentTrigger) -> Result<Asked> {
    let scope = by.scope();
    let key = input.idempotency_key.as_deref();
    for _ in 0..TRIES {
        if let Some(first) = with_key(app.db.read(), &scope, &input.service_id, key).await? {
            let gate = first.gate.clone().map(serde_json::from_value).transpose()?;
            return Ok(Asked { gate, outcome: Ok(first) });
        }
        let digests = if input.plan_hash.is_some() { Digests::Resolve } else { Digests::Later };
        let draft = draft::deployment(app, &scope, input, digests).await?;
        check_hash(&draft.plan, input.plan_hash.as_deref())?;
        let gate = match judge::admit(by, draft.gate.clone(), input.gate_override.as_deref()) {
            Ok(gate) => gate,
            Err(why) => return Ok(Asked { gate: draft.gate, outcome: Err(why) }),
        };
        let draft = draft::Draft { trigger, gate, ..draft };
        if let Some(asked) = enqueue(app, by, &draft, input.idempotency_key.clone()).await? {
            return Ok(Asked { gate: draft.gate, outcome: Ok(asked) });
        }
    }
    Err(Error::conflict("input.serviceId", "the service is being changed by others all the time; try again"))
}

/// Queues a rollback to a kept successful revision. It waits for an approval as any deployment does: it brings back
/// something else than what runs, too.
///
/// # Errors
/// As [`deploy`]; FAILED_PRECONDITION when there is nothing to go back to.
pub async fn roll_back(app: &App, actor: &Actor, input: &RollbackInput) -> Result<deployment::Model> {
    let (scope, key) = (&actor.scope, input.idempotency_key.as_deref());
    check_key(key)?;
    for _ in 0..TRIES {
        if let Some(first) = with_key(app.db.read(), scope, &input.service_id, key).await? {
            return Ok(first);
        }
        let draft = draft::rollback(app, scope, input).await?;
        check_hash(&draft.plan, input.plan_hash.as_deref())?;
        if let Some(asked) = enqueue(app, &By::from(actor), &draft, input.idempotency_key.clone()).await? {
            return Ok(asked);
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

/// The spec of what serves in an environment.
///
/// # Errors
/// INTERNAL when it can't be read.
pub async fn current_spec(
    db: &impl ConnectionTrait,
    scope: &Scope,
    environment: &environment::Model,
) -> Result<Option<Spec>> {
    let row = current(db, scope, environment).await?;
    row.as_ref().map(plan::spec_of_revision).transpose()
}

async fn current(
    db: &impl ConnectionTrait,
    scope: &Scope,
    environment: &environment::Model,
) -> Result<Option<deployment::Model>> {
    let Some(id) = environment.current_deployment_id.as_deref() else { return Ok(None) };
    Ok(scope.deployments().filter(deployment::Column::Id.eq(id)).one(db).await?)
}

/// Whether a deployment made now would differ from the one that serves, tags' meanings aside. A newer build is one that a
/// deployment made now would take.
///
/// # Errors
/// INTERNAL when what is stored can't be read.
pub async fn undeployed_changes(app: &App, actor: &Actor, environment: &environment::Model) -> Result<bool> {
    let (db, scope) = (app.db.read(), &actor.scope);
    let Some(serves) = current(db, scope, environment).await? else { return Ok(true) };
    let service = environments::service(db, scope, &environment.service_id).await?;
    if environments::destination(environment) != environment.runtime_id {
        return Ok(true);
    }
    let build = built::choose(db, scope, &service, None).await?;
    let runtime = environments::runtime(db, scope, &environment.runtime_id).await?;
    let next = match spec_of(&service, (environment, &runtime), &BTreeMap::new(), build.as_ref().map(|b| &b.image)) {
        Ok(next) => next,
        // What built the image that runs is forgotten, and nothing else was built: what is left are the settings.
        Err(Error { reason: Some(Precondition::NothingBuilt), .. }) => {
            let facts = (serves.definition_version, serves.settings_version);
            return Ok(facts != (service.definition_version, environment.settings_version));
        }
        Err(error) => return Err(error),
    };
    let mut current = plan::spec_of_revision(&serves)?;
    for container in &mut current.containers {
        let tagged = next.containers.iter().any(|c| c.name == container.name && c.digest.is_none());
        // What was built is known by its digest; what is named by a tag may mean something else by now.
        if tagged {
            container.digest = None;
        }
    }
    if let Some(cluster) = &mut current.cluster {
        cluster.addresses.clear();
    }
    Ok((current.containers, current.strategy, current.cluster) != (next.containers, next.strategy, next.cluster))
}

/// The deployment of a service that was asked for with this key.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(super) async fn with_key(
    db: &impl ConnectionTrait,
    scope: &Scope,
    service_id: &str,
    key: Option<&str>,
) -> Result<Option<deployment::Model>> {
    let Some(key) = key else { return Ok(None) };
    Ok(scope
        .deployments()
        .filter(deployment::Column::ServiceId.eq(service_id))
        .filter(deployment::Column::IdempotencyKey.eq(key))
        .one(db)
        .await?)
}

pub(in crate::app) fn check_key(key: Option<&str>) -> Result<()> {
    match key {
        Some(key) if key.is_empty() || key.len() > 128 => {
            Err(Error::bad_input("input.idempotencyKey", "an idempotency key has 1 to 128 characters"))
        }
        Some(key) if key.starts_with(KEY_OF_PIPELINES) => Err(Error::bad_input(
            "input.idempotencyKey",
            format!("keys that begin with {KEY_OF_PIPELINES} are those of pipelines: choose another one"),
        )),
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
