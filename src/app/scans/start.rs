//! Starting a scan: by hand, or after a deployment. One transaction writes it and queues it.

use entity::{DeploymentTrigger, RunStatus, deployment, environment, scan, service};
use sea_orm::{ActiveModelTrait as _, ConnectionTrait, Set};
use serde_json::json;

use super::{RUN, dast};
use crate::app::audit::{self, Entry};
use crate::app::deployments::request::refuse_while_removing;
use crate::app::deployments::{built, environments};
use crate::app::git::{self, register::RIGHTS};
use crate::app::pipelines::definition::snapshot_of;
use crate::app::pipelines::order;
use crate::app::services::update::for_change;
use crate::app::{Actor, App, Error, Event, Precondition, Result, Scope, Violations};
use crate::domain::names::{BranchName, EnvironmentName};
use crate::domain::scan::{ScanKind, SeverityCounts};
use crate::queue::{self, NewJob};

/// What the lane of a branch, or of a commit that was named, begins with.
pub(super) const BRANCH_LANE: &str = "branch/";
/// What the lane of an environment begins with.
pub(super) const ENVIRONMENT_LANE: &str = "environment/";
/// The lane of a service that is made of images.
const IMAGE_LANE: &str = "image";

/// What `startScan` takes.
#[derive(Debug, Clone)]
pub struct StartInput {
    /// The service's id.
    pub service_id: String,
    /// What is looked for.
    pub kind: ScanKind,
    /// Branch, tag or full hash of a commit; the service's branch when left out. Not for DAST.
    pub ref_name: Option<String>,
    /// The environment that is scanned while it runs; production, or the only one, when left out. For DAST alone.
    pub environment: Option<String>,
}

/// A scan to be written.
pub(super) struct NewScan<'a> {
    pub(super) service: &'a service::Model,
    pub(super) kind: ScanKind,
    /// What it is compared within.
    pub(super) lane: String,
    pub(super) of: Of<'a>,
}

/// What a scan belongs to.
#[derive(Default)]
pub(super) struct Of<'a> {
    pub(super) pipeline: Option<&'a entity::pipeline::Model>,
    pub(super) environment_id: Option<String>,
    pub(super) deployment_id: Option<String>,
    pub(super) triggered_by: Option<String>,
    pub(super) ref_name: Option<String>,
}

/// Queues a scan.
///
/// # Errors
/// NOT_FOUND; BAD_USER_INPUT for a ref or an environment that is none, or not for this kind; FAILED_PRECONDITION: no tool is
/// configured for the kind, the Git provider is not set up, or nothing is deployed that could be scanned.
pub async fn start(app: &App, actor: &Actor, input: StartInput) -> Result<scan::Model> {
    let db = app.db.read();
    let service = environments::service(db, &actor.scope, &input.service_id).await?;
    faults(&service, &input)?;
    refuse_while_removing(&service)?;
    configured(app, input.kind)?;
    let of = Of { triggered_by: Some(actor.user_id.clone()), ..Of::default() };
    let (lane, of) = match (input.kind, git::source_of(&service)) {
        (ScanKind::Dast, _) => {
            let place = place(app, &actor.scope, (&service, input.environment.as_deref())).await?;
            (format!("{ENVIRONMENT_LANE}{}", place.name), Of { environment_id: Some(place.id), ..of })
        }
        (_, Some(source)) => {
            git::connect_for(app, actor, &source, RIGHTS).await?;
            let ref_name = input.ref_name.unwrap_or(source.branch);
            (format!("{BRANCH_LANE}{ref_name}"), Of { ref_name: Some(ref_name), ..of })
        }
        (_, None) => (IMAGE_LANE.to_owned(), of),
    };
    let tx = app.begin().await?;
    let held = for_change(&tx, &actor.scope, &service.id).await?;
    refuse_while_removing(&held)?;
    let row = enqueue(app, &tx, NewScan { service: &held, kind: input.kind, lane, of }).await?;
    let entry = Entry {
        action: "scan.started",
        subject_kind: "Scan",
        subject_id: &row.id,
        subject_name: &held.name,
        detail: json!({ "kind": row.kind, "ref": row.ref_name, "lane": row.lane }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    queued(app, &row);
    environments::changed(app, &held);
    Ok(row)
}

/// Queues the scan of what a deployment of a pipeline brought up, with the transaction in which it has succeeded, if the
/// pipeline's settings ask for one. None: they do not.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn after_deployment(
    app: &App,
    tx: &impl ConnectionTrait,
    (service, place, deployment): (&service::Model, &environment::Model, &deployment::Model),
) -> Result<Option<scan::Model>> {
    if deployment.trigger == DeploymentTrigger::Rollback || service.removing {
        return Ok(None);
    }
    let scope = Scope { organization_id: deployment.organization_id.clone() };
    let Some(pipeline) = built::pipeline_of(tx, &scope, deployment).await? else { return Ok(None) };
    if !snapshot_of(&pipeline)?.build.scans.contains(&ScanKind::Dast) {
        return Ok(None);
    }
    let of = Of {
        pipeline: Some(&pipeline),
        environment_id: Some(place.id.clone()),
        deployment_id: Some(deployment.id.clone()),
        ..Of::default()
    };
    let lane = format!("{ENVIRONMENT_LANE}{}", place.name);
    Ok(Some(enqueue(app, tx, NewScan { service, kind: ScanKind::Dast, lane, of }).await?))
}

/// Tells of a scan that was queued. For after the commit.
pub(in crate::app) fn queued(app: &App, row: &scan::Model) {
    app.events.publish(Event::Scan { scan_id: row.id.clone() });
    app.events.publish(Event::Jobs);
}

/// Writes a scan and its job. Scans of one kind and lane run one after another.
async fn enqueue(app: &App, tx: &impl ConnectionTrait, new: NewScan<'_>) -> Result<scan::Model> {
    let row = insert(app, tx, new).await?;
    let lane = format!("scan:{}:{}:{}", row.service_id, ScanKind::from(row.kind), row.lane);
    let job = NewJob { organization_id: &row.organization_id, kind: RUN, lane: &lane, subject: &row.id };
    queue::enqueue(tx, job, app.clock.now()).await?;
    Ok(row)
}

/// Writes a scan.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn insert(app: &App, tx: &impl ConnectionTrait, new: NewScan<'_>) -> Result<scan::Model> {
    let NewScan { service, kind, lane, of } = new;
    let turn = turn(tx, (service, &lane), of.pipeline).await?;
    let ref_name = of.ref_name.or_else(|| of.pipeline.map(|p| p.ref_name.clone()));
    let row = scan::ActiveModel {
        id: Set(app.ids.id()),
        organization_id: Set(service.organization_id.clone()),
        service_id: Set(service.id.clone()),
        kind: Set(kind.into()),
        lane: Set(lane),
        turn: Set(turn),
        pipeline_id: Set(of.pipeline.map(|p| p.id.clone())),
        environment_id: Set(of.environment_id),
        deployment_id: Set(of.deployment_id),
        triggered_by: Set(of.triggered_by),
        ref_name: Set(ref_name),
        commit_sha: Set(of.pipeline.and_then(|p| p.commit_sha.clone())),
        commit: Set(of.pipeline.and_then(|p| p.commit.clone())),
        status: Set(RunStatus::Queued),
        message: Set(None),
        tools: Set(json!([])),
        counts: Set(serde_json::to_value(SeverityCounts::default())?),
        new_findings: Set(0),
        fixed_findings: Set(0),
        settled: Set(false),
        cancel_requested: Set(false),
        pruned: Set(false),
        created_at: Set(app.clock.now()),
        started_at: Set(None),
        finished_at: Set(None),
    };
    Ok(row.insert(tx).await?)
}

/// Where a scan stands among those of its lane. That of a pipeline stands where the pipeline does, which was pushed before or
/// after others. One by itself looks at what its branch has by now: behind every pipeline that there is, and before the next.
/// What runs, and images, are looked at as they are: later is newer.
pub(super) async fn turn(
    tx: &impl ConnectionTrait,
    (service, lane): (&service::Model, &str),
    pipeline: Option<&entity::pipeline::Model>,
) -> Result<i64> {
    let scope = Scope { organization_id: service.organization_id.clone() };
    Ok(match pipeline {
        Some(pipeline) if !lane.starts_with(ENVIRONMENT_LANE) => 2 * i64::from(order::of(tx, &scope, pipeline).await?),
        None if lane.starts_with(BRANCH_LANE) => 2 * i64::from(service.next_pipeline) - 1,
        _ => 0,
    })
}

fn faults(service: &service::Model, input: &StartInput) -> Result<()> {
    let mut v = Violations::default();
    let has_source = git::source_of(service).is_some();
    match (&input.ref_name, input.kind) {
        (Some(_), ScanKind::Dast) => {
            v.add("input.ref", "DAST looks at what is deployed to an environment: name that, or nothing");
        }
        (Some(_), _) if !has_source => v.add("input.ref", "the service is made of images: there are no branches"),
        (Some(name), _) => {
            v.check("input.ref", BranchName::parse(name));
        }
        (None, _) => {}
    }
    match (&input.environment, input.kind) {
        (Some(name), ScanKind::Dast) => {
            v.check("input.environment", EnvironmentName::parse(name));
        }
        (Some(_), kind) => v.add("input.environment", format!("{kind} looks at source and image, not at what runs")),
        (None, _) => {}
    }
    if !has_source && matches!(input.kind, ScanKind::Sast | ScanKind::Secret | ScanKind::Iac) {
        v.add("input.kind", format!("the service is made of images: there is no source for {} to look at", input.kind));
    }
    v.finish()
}

/// A scan that no tool is configured for would look at nothing.
fn configured(app: &App, kind: ScanKind) -> Result<()> {
    match app.settings.scanners.iter().any(|tool| tool.kind == kind) {
        true => Ok(()),
        false => Err(not_configured(kind)),
    }
}

/// FAILED_PRECONDITION, SCANNER_NOT_CONFIGURED.
pub(in crate::app) fn not_configured(kind: ScanKind) -> Error {
    Error::precondition(
        Precondition::ScannerNotConfigured,
        format!("no tool for {kind} is configured: whoever runs the server enables one in scan.tools of kiops.toml"),
    )
}

/// The environment that is scanned, in which something serves.
async fn place(
    app: &App,
    scope: &Scope,
    (service, name): (&service::Model, Option<&str>),
) -> Result<environment::Model> {
    let found = environments::meant(app.db.read(), scope, &service.id, name).await?;
    let place = match (found, name) {
        (Some(place), _) => place,
        (None, Some(name)) => {
            return Err(Error::bad_input("input.environment", format!("the service has no environment {name}")));
        }
        (None, None) => {
            let message = "nothing is deployed: deploy the service first, or name an environment";
            return Err(Error::precondition(Precondition::NothingDeployed, message));
        }
    };
    match dast::of(app, scope, &place).await? {
        Ok(_) => Ok(place),
        Err(why) => Err(Error::precondition(Precondition::NothingDeployed, why)),
    }
}
