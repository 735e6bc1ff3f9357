//! Saving an environment: made when it is not there, changed when it is. What runs stays until the next deployment.

use entity::{DeployStrategy, RuntimeKind, ServiceStatus, SourceKind, environment, service};
use sea_orm::ActiveValue::{Set, Unchanged};
use sea_orm::{ActiveModelTrait, ConnectionTrait, IntoActiveModel};
use serde::Serialize;
use serde_json::json;

use super::{environments, request, status};
use crate::app::change::Change;
use crate::app::error::is_unique_violation;
use crate::app::services::input::EnvVarInput;
use crate::app::services::register::runtime_for_use;
use crate::app::services::update::for_change;
use crate::app::services::{check, env_of};
use crate::app::{Actor, App, Error, Precondition, Result, Violations, audit};
use crate::domain::names::{DomainName, EnvironmentName, Namespace};
use crate::domain::policy::Action;
use crate::domain::spec::{Autoscaling, IngressTls, Resources};

const MAX_REPLICAS: i32 = 100;
const MAX_TARGET_PERCENT: i32 = 1000;
const ON_KUBERNETES: &str = "this is for Kubernetes runtimes, and the runtime is a Docker engine";
const NAMESPACE_STAYS: &str =
    "something was deployed from here, and its namespace stays: remove the environment first, then make it anew";

/// What becomes of an environment; what is left out stays, or is the default of a new one.
#[derive(Clone, Default)]
pub struct SaveEnvironment {
    /// The service's id.
    pub service_id: String,
    /// Which, or the new one's name.
    pub name: String,
    /// The service's when cleared.
    pub runtime_id: Change<String>,
    /// The default one when cleared.
    pub namespace: Change<String>,
    /// 1 when cleared.
    pub replicas: Change<i32>,
    /// Rolling when cleared.
    pub strategy: Change<DeployStrategy>,
    /// Host name for ingress paths.
    pub domain: Change<String>,
    /// Replaces all of them.
    pub env: Change<Vec<EnvVarInput>>,
    /// Replaces all of them.
    pub resources: Change<Resources>,
    /// Kubernetes.
    pub autoscaling: Change<Autoscaling>,
    /// Deploy every successful pipeline.
    pub auto_deploy: Change<bool>,
    /// A deployment waits for an admin, whether somebody, a pipeline or a rollback asked for it. Those that wait
    /// already go on waiting when it is turned off.
    pub require_approval: Change<bool>,
    /// Kubernetes.
    pub tls: Change<IngressTls>,
}

/// Makes the environment, or changes it. A variable that is named without a value keeps its stored one.
///
/// # Errors
/// NOT_FOUND, FORBIDDEN when a member changes whether approvals are needed, BAD_USER_INPUT with every fault,
/// FAILED_PRECONDITION without a runtime or while it is being removed.
pub async fn save(app: &App, actor: &Actor, input: SaveEnvironment) -> Result<environment::Model> {
    let scope = &actor.scope;
    let tx = app.begin().await?;
    // Always the environment first, then its service: whoever takes both takes them in this order.
    let stored = environments::held_by_name(&tx, scope, &input.service_id, &input.name).await?;
    let service = for_change(&tx, scope, &input.service_id).await?;
    request::refuse_while_removing(&service)?;
    if stored.as_ref().is_some_and(|e| e.status == ServiceStatus::Removing) {
        return Err(Error::precondition(Precondition::InProgress, "the environment is being removed"));
    }
    let before = match &stored {
        Some(row) => row.clone(),
        None => environments::fresh(app, &service, &input.name, service.runtime_id.clone().unwrap_or_default()),
    };
    let runtime_id = match &input.runtime_id {
        Change::Keep => Some(environments::destination(&before).to_owned()).filter(|id| !id.is_empty()),
        Change::Clear => service.runtime_id.clone(),
        Change::Set(id) => Some(id.clone()),
    };
    let runtime = runtime_for_use(&tx, scope, &runtime_id.ok_or_else(environments::no_runtime)?).await?;
    let approval = over(&input.require_approval, before.require_approval, false);
    if approval != before.require_approval {
        actor.require(Action::SetApproval)?;
    }

    let mut v = Violations::default();
    v.check("input.name", EnvironmentName::parse(&input.name));
    let default_namespace = environments::default_namespace(&service, &before.name);
    let deployed = environments::is_deployed(&before);
    let mut row = environment::Model {
        // What serves stays where it is until a deployment takes it elsewhere.
        runtime_id: if deployed { before.runtime_id.clone() } else { runtime.id.clone() },
        next_runtime_id: match deployed && input.runtime_id.is_given() {
            true => Some(runtime.id.clone()),
            false => before.next_runtime_id.clone(),
        },
        namespace: over(&input.namespace, before.namespace.clone(), default_namespace.clone()),
        replicas: over(&input.replicas, before.replicas, 1),
        strategy: over(&input.strategy, before.strategy, DeployStrategy::RollingUpdate),
        domain: input.domain.clone().over(before.domain.clone()),
        autoscaling: stored_json(&input.autoscaling, &before.autoscaling)?,
        tls: stored_json(&input.tls, &before.tls)?,
        auto_deploy: over(&input.auto_deploy, before.auto_deploy, false),
        require_approval: approval,
        ..before.clone()
    };
    if service.source == SourceKind::Github && row.namespace != default_namespace {
        v.add("input.namespace", "the namespace of a GitHub service follows its name: leave this out");
    }
    place(&mut v, &input, runtime.kind, &default_namespace, (&before, &row));
    match runtime.kind {
        RuntimeKind::Docker => on_docker(&mut v, &input, &row),
        RuntimeKind::Kubernetes => on_kubernetes(&mut v, &input, &row),
    }
    automation(&mut v, &service, &row);
    if let Change::Set(resources) = &input.resources {
        check::resources(&mut v, "input.resources", resources);
    }
    match &input.resources {
        Change::Keep => {}
        Change::Clear => row.resources = json!({}),
        Change::Set(resources) => row.resources = serde_json::to_value(resources)?,
    }
    let env = match input.env {
        Change::Keep => None,
        Change::Clear => Some(check::variables(&mut v, "input.env", Vec::new(), &[])),
        Change::Set(env) => Some(check::variables(&mut v, "input.env", env, &env_of(&before)?)),
    };
    v.finish()?;

    if let Some(env) = env {
        row.env = serde_json::to_value(check::seal_env(app, &tx, scope, env).await?)?;
    }
    let changed = changes(&before, &row);
    let row = write(&tx, stored.is_some(), row, !changed.is_empty()).await?;
    status::settle(app, &tx, &service.id).await?;
    let detail = json!({
        "environment": row.name,
        "runtime": runtime.name,
        "made": stored.is_none(),
        "changed": changed,
        "autoDeploy": row.auto_deploy,
        "requireApproval": row.require_approval,
    });
    record(app, &tx, actor, &service, detail).await?;
    tx.commit().await?;
    environments::changed(app, &service);
    Ok(row)
}

fn over<T: Clone>(change: &Change<T>, stored: T, default: T) -> T {
    change.clone().over(Some(stored)).unwrap_or(default)
}

fn stored_json<T: Clone + Serialize>(
    change: &Change<T>,
    stored: &Option<serde_json::Value>,
) -> Result<Option<serde_json::Value>> {
    Ok(match change {
        Change::Keep => stored.clone(),
        Change::Clear => None,
        Change::Set(value) => Some(serde_json::to_value(value)?),
    })
}

/// Refuses a runtime for an environment whose settings don't fit it, at `input.runtimeId`.
pub(in crate::app) fn refuse_misfit(
    v: &mut Violations,
    service: &service::Model,
    environment: &environment::Model,
    kind: RuntimeKind,
) {
    let nothing = SaveEnvironment::default();
    let default_namespace = environments::default_namespace(service, &environment.name);
    place(v, &nothing, kind, &default_namespace, (environment, environment));
    match kind {
        RuntimeKind::Docker => on_docker(v, &nothing, environment),
        RuntimeKind::Kubernetes => on_kubernetes(v, &nothing, environment),
    }
}

/// Its namespace: that stays once something was deployed there.
fn place(
    v: &mut Violations,
    input: &SaveEnvironment,
    kind: RuntimeKind,
    default_namespace: &str,
    (before, row): (&environment::Model, &environment::Model),
) {
    if environments::is_deployed(before) && row.namespace != before.namespace {
        v.add("input.namespace", NAMESPACE_STAYS);
    } else if kind == RuntimeKind::Kubernetes {
        v.check("input.namespace", Namespace::parse(&row.namespace));
    } else if row.namespace != default_namespace {
        let field = if input.namespace.is_given() { "input.namespace" } else { "input.runtimeId" };
        v.add(field, format!("a namespace of its own: {ON_KUBERNETES}"));
    }
}

/// What is for Kubernetes alone is refused where it is said, or at the runtime that it does not fit.
fn on_docker(v: &mut Violations, input: &SaveEnvironment, row: &environment::Model) {
    let faults = [
        ("input.replicas", "a number of replicas that is not 1", input.replicas.is_given(), row.replicas != 1),
        ("input.domain", "a domain", input.domain.is_given(), row.domain.is_some()),
        ("input.autoscaling", "autoscaling", input.autoscaling.is_given(), row.autoscaling.is_some()),
        ("input.tls", "a certificate", input.tls.is_given(), row.tls.is_some()),
    ];
    for (field, what, given, _) in faults.into_iter().filter(|(.., wrong)| *wrong) {
        v.add(if given { field } else { "input.runtimeId" }, format!("{what}: {ON_KUBERNETES}"));
    }
}

fn on_kubernetes(v: &mut Violations, input: &SaveEnvironment, row: &environment::Model) {
    if !(1..=MAX_REPLICAS).contains(&row.replicas) {
        v.add("input.replicas", format!("give a number from 1 to {MAX_REPLICAS}"));
    }
    if let Change::Set(domain) = &input.domain {
        v.check("input.domain", DomainName::parse(domain));
    }
    if let Change::Set(a) = &input.autoscaling {
        let mut bounded = |field: &str, value: Option<i32>, low: i32, high: i32| {
            if value.is_some_and(|value| !(low..=high).contains(&value)) {
                v.add(format!("input.autoscaling.{field}"), format!("give a number from {low} to {high}"));
            }
        };
        bounded("minReplicas", Some(a.min_replicas), 1, MAX_REPLICAS);
        bounded("maxReplicas", Some(a.max_replicas), a.min_replicas.clamp(1, MAX_REPLICAS), MAX_REPLICAS);
        bounded("targetCpuPercent", a.target_cpu_percent, 1, MAX_TARGET_PERCENT);
        bounded("targetMemoryPercent", a.target_memory_percent, 1, MAX_TARGET_PERCENT);
    }
    if let Change::Set(tls) = &input.tls {
        if tls.secret_name.is_none() && tls.issuer.is_none() {
            v.add("input.tls", "name a TLS secret of the namespace, or an issuer that cert-manager knows");
        }
        for (field, name) in [("secretName", &tls.secret_name), ("issuer", &tls.issuer)] {
            if let Some(name) = name {
                v.check(format!("input.tls.{field}"), DomainName::parse(name));
            }
        }
    }
}

fn automation(v: &mut Violations, service: &service::Model, row: &environment::Model) {
    if row.auto_deploy && service.source == SourceKind::DockerHub {
        let why = "the service is made of images: no pipeline builds it, so nothing would deploy it";
        v.add("input.autoDeploy", why);
    }
}

/// The settings that differ, by their names in the API.
fn changes(before: &environment::Model, row: &environment::Model) -> Vec<&'static str> {
    let all = [
        ("runtime", environments::destination(before) != environments::destination(row)),
        ("namespace", before.namespace != row.namespace),
        ("replicas", before.replicas != row.replicas),
        ("strategy", before.strategy != row.strategy),
        ("domain", before.domain != row.domain),
        ("env", before.env != row.env),
        ("resources", before.resources != row.resources),
        ("autoscaling", before.autoscaling != row.autoscaling),
        ("autoDeploy", before.auto_deploy != row.auto_deploy),
        ("requireApproval", before.require_approval != row.require_approval),
        ("tls", before.tls != row.tls),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

async fn write(
    tx: &impl ConnectionTrait,
    exists: bool,
    row: environment::Model,
    changed: bool,
) -> Result<environment::Model> {
    if !exists {
        let name = row.name.clone();
        let made = row.into_active_model().reset_all().insert(tx).await;
        return made.map_err(|e| match is_unique_violation(&e) {
            true => Error::conflict("input.name", format!("somebody else just made {name}: look at it and try again")),
            false => e.into(),
        });
    }
    if !changed {
        return Ok(row);
    }
    let settings_version = row.settings_version + 1;
    // What a deployment writes into the row is not written back.
    let change = environment::ActiveModel {
        id: Unchanged(row.id),
        runtime_id: Set(row.runtime_id),
        next_runtime_id: Set(row.next_runtime_id),
        namespace: Set(row.namespace),
        replicas: Set(row.replicas),
        strategy: Set(row.strategy),
        domain: Set(row.domain),
        env: Set(row.env),
        resources: Set(row.resources),
        autoscaling: Set(row.autoscaling),
        auto_deploy: Set(row.auto_deploy),
        require_approval: Set(row.require_approval),
        tls: Set(row.tls),
        settings_version: Set(settings_version),
        ..Default::default()
    };
    Ok(change.update(tx).await?)
}

async fn record(
    app: &App,
    tx: &impl ConnectionTrait,
    actor: &Actor,
    service: &service::Model,
    detail: serde_json::Value,
) -> Result<()> {
    let entry = audit::Entry {
        action: "environment.saved",
        subject_kind: "Service",
        subject_id: &service.id,
        subject_name: &service.name,
        detail,
    };
    audit::record(app, tx, actor, entry).await
}
