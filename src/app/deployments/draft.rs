//! What a deployment or a rollback would be, with the facts that it was made from.

use std::collections::BTreeMap;

use entity::{DeploymentTrigger, RunStatus, deployment, environment, pipeline, service};
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryOrder};

use super::environments::Place;
use super::plan::{self, Plan};
use super::request::{DeployInput, RollbackInput, current_spec, refuse_while_removing};
use super::{built, cluster, environments, moving, resolve};
use crate::app::scans::gates::judge::{self, What, Wish};
use crate::app::services::spec::{cluster_of, spec_of, strategy_of};
use crate::app::{App, Error, Precondition, Result, Scope, runtimes};
use crate::domain::image::Tag;
use crate::domain::spec::{ClusterSpec, ContainerSpec, Spec};
use crate::scanner::gate::{Verdict, Way};

/// A plan with the facts that it was made from.
pub(super) struct Draft {
    pub service: service::Model,
    pub place: Place,
    pub plan: Plan,
    pub trigger: DeploymentTrigger,
    pub rollback_of: Option<deployment::Model>,
    pub tags: BTreeMap<String, Tag>,
    /// The pipeline whose image it is.
    pub pipeline_id: Option<String>,
    /// What the security gate says.
    pub gate: Option<Verdict>,
}

/// Whether tags are given their meaning now, or when the deployment is at work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Digests {
    Resolve,
    Later,
}

/// What a deployment would be.
///
/// # Errors
/// As [`super::request::preview`].
pub(super) async fn deployment(app: &App, scope: &Scope, input: &DeployInput, digests: Digests) -> Result<Draft> {
    let db = app.db.read();
    let service = environments::service(db, scope, &input.service_id).await?;
    refuse_while_removing(&service)?;
    let build = built::choose(db, scope, &service, input.pipeline_id.as_deref()).await?;
    let place = environments::meant_or_new(app, db, scope, &service, input.environment.as_deref()).await?;
    let tags = plan::checked(&service, &input.tags)?;
    let to = environments::runtime(db, scope, environments::destination(&place.row)).await?;
    let mut spec = spec_of(&service, (&place.row, &to), &tags, build.as_ref().map(|b| &b.image))?;
    let pipeline = build.map(|b| b.pipeline);
    built::require_reach(app, scope, (&spec, pipeline.as_ref()), &to).await?;
    cluster::require_namespace(app, scope, &spec, &to).await?;
    let course = moving::course(db, scope, &place.row, &to).await?;
    let mut warnings = Vec::new();
    if digests == Digests::Resolve {
        let logins = resolve::logins(app, scope, &service, &spec).await?;
        let client = runtimes::connect(app, &to).await.ok();
        match resolve::digests(app, client.as_deref(), &logins, &mut spec).await? {
            Ok(said) => warnings = said,
            Err(resolve::Refused(message)) => return Err(Error::upstream(message)),
        }
        if course.leaves().is_none() {
            warnings.extend(cluster::drift(app, scope, (&service, &place.row), &to).await?);
        }
    }
    let current = current_spec(db, scope, &place.row).await?;
    let plan = plan::compare(&*app.runtimes, (spec, current.as_ref()), course, warnings);
    let trigger = DeploymentTrigger::Manual;
    let what = what(pipeline.as_ref(), &plan.spec, current.as_ref());
    let wish = Wish { service: &service, what, environment: &place.row, way: Way::Forward };
    let gate = judge::verdict(app, db, scope, &wish).await?;
    let pipeline_id = pipeline.map(|p| p.id);
    Ok(Draft { service, place, plan, trigger, rollback_of: None, tags, pipeline_id, gate })
}

/// What a rollback would be.
///
/// # Errors
/// As [`super::request::rollback_preview`].
pub(super) async fn rollback(app: &App, scope: &Scope, input: &RollbackInput) -> Result<Draft> {
    let db = app.db.read();
    let service = environments::service(db, scope, &input.service_id).await?;
    refuse_while_removing(&service)?;
    let row = environments::meant(db, scope, &service.id, input.environment.as_deref()).await?;
    let row = row.ok_or_else(|| {
        Error::precondition(Precondition::NothingDeployed, "nothing was deployed there yet: deploy first")
    })?;
    let to = revision_to_go_back_to(db, scope, &row, input.revision).await?;
    let current = current_spec(db, scope, &row).await?;
    // What ran comes back whole; how it takes over and where is for the environment to say today.
    let runtime = environments::runtime(db, scope, &row.runtime_id).await?;
    let mut spec = Spec { strategy: strategy_of(&row), ..plan::spec_of_revision(&to)? };
    spec.cluster = match (spec.cluster, cluster_of(&row, &runtime)?) {
        (Some(then), Some(_)) if to.runtime_id == row.runtime_id => {
            Some(ClusterSpec { addresses: BTreeMap::new(), ..then })
        }
        // Classes are a cluster's own.
        (Some(then), Some(now)) => Some(ClusterSpec {
            ingress_class: now.ingress_class,
            storage_class: now.storage_class,
            exposure: now.exposure,
            addresses: BTreeMap::new(),
            ..then
        }),
        // It ran on a runtime of the other kind.
        (_, now) => now,
    };
    plan::keep_host_ports(&mut spec, &serde_json::from_value(row.host_ports.clone())?);
    cluster::require_namespace(app, scope, &spec, &runtime).await?;
    let pipeline = built::pipeline_of(db, scope, &to).await?;
    // Of a pipeline that is forgotten nobody knows where it built: the engine itself says whether it has the image.
    if pipeline.is_some() {
        built::require_reach(app, scope, (&spec, pipeline.as_ref()), &runtime).await?;
    }
    let course = moving::course(db, scope, &row, &runtime).await?;
    let plan = plan::compare(&*app.runtimes, (spec, current.as_ref()), course, Vec::new());
    let what = what(pipeline.as_ref(), &plan.spec, current.as_ref());
    let wish = Wish { service: &service, what, environment: &row, way: Way::Back };
    let gate = judge::verdict(app, db, scope, &wish).await?;
    let (place, pipeline_id) = (Place { row, exists: true }, to.pipeline_id.clone());
    let trigger = DeploymentTrigger::Rollback;
    Ok(Draft { service, place, plan, trigger, rollback_of: Some(to), tags: BTreeMap::new(), pipeline_id, gate })
}

/// What a gate has to judge. Images of others run there already when every one of them is in what serves.
pub(super) fn what<'a>(pipeline: Option<&'a pipeline::Model>, spec: &Spec, current: Option<&Spec>) -> What<'a> {
    if let Some(pipeline) = pipeline {
        return What::Built(pipeline);
    }
    let serves = |c: &ContainerSpec| {
        let same = |other: &ContainerSpec| (&other.repository, &other.tag) == (&c.repository, &c.tag);
        let digests = |other: &ContainerSpec| c.digest.is_none() || c.digest == other.digest;
        current.is_some_and(|current| current.containers.iter().any(|other| same(other) && digests(other)))
    };
    if spec.containers.iter().all(serves) { What::Runs } else { What::New }
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
