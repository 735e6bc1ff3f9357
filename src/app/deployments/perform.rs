//! The work that a queued deployment is, as phases that a crash goes on from.
//!
//! PREPARE touches nothing that runs. APPLY brings the revision up beside or instead of what runs. FINISH removes what
//! it replaced; UNDO brings back what ran before. Each phase is safe to repeat, and the step to the next one is
//! written in a transaction that holds the job's fence.
//!
//! Whoever wants it ended is heard in PREPARE, which simply ends, and in APPLY, which is undone; from FINISH on the
//! revision serves, and it goes on to its end.

mod ending;
mod moves;
mod traced;
mod undo;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use entity::{DeploymentPhase, DeploymentTrigger, RunStatus, ServiceStatus, deployment, environment, service};
use sea_orm::{ActiveModelTrait, EntityTrait as _, Set};

use self::ending::is_unbegun_and_canceled;
use super::moving::Course;
use super::{built, environments, jobs, leftovers, list, machine, manifest, plan, request, resolve, status};
use crate::app::log::RunLog;
use crate::app::scans::gates::judge::{self, What, Wish};
use crate::app::services::definition;
use crate::app::{App, Error, Event, Result, Scope, runtimes, scans, secrets};
use crate::domain::image::Tag;
use crate::domain::secret::SecretString;
use crate::domain::spec::{EnvValue, Spec};
use crate::domain::stage::StageKind;
use crate::measure::spans;
use crate::queue::Claim;
use crate::runtime::{Applied, Progress, Rollout, Runtime, RuntimeError};
use crate::scanner::gate::Way;
use crate::vault::Masker;

/// How a piece of work ended for the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The job's row is gone.
    Done,
    /// Try again: the other side did not answer.
    Again(String),
    /// The job belongs to another worker by now: nothing was written.
    Lost,
}

/// Claims of a job after which an engine that does not answer has failed the deployment.
const ATTEMPTS: i32 = 8;

/// One deployment at work.
struct Work<'a> {
    app: &'a App,
    claim: &'a Claim,
    scope: Scope,
    service: service::Model,
    environment: environment::Model,
    deployment: deployment::Model,
    runtime: Arc<dyn Runtime>,
    log: RunLog,
}

/// What a phase came to.
enum Step {
    Next(DeploymentPhase),
    Failed(String),
    Again(String),
    /// Somebody wants it ended.
    Canceled,
}

/// Brings a queued deployment to its end, from wherever it stands.
///
/// # Errors
/// INTERNAL when the database does not answer: the job is then tried again.
pub async fn run(app: &App, claim: &Claim) -> Result<Outcome> {
    let db = app.db.read();
    let found = deployment::Entity::find_by_id(&claim.job.subject).one(db).await?;
    let Some(mut deployment) = found else { return drop_job(app, claim).await };
    if deployment.phase == DeploymentPhase::Done {
        // Canceled before anybody began it: nothing is left to do but to look at what serves.
        let outcome = drop_job(app, claim).await?;
        status::observe(app, &deployment.environment_id).await?;
        return Ok(outcome);
    }
    let scope = Scope { organization_id: deployment.organization_id.clone() };
    let service = environments::service(db, &scope, &deployment.service_id).await?;
    let environment = environment::Entity::find_by_id(&deployment.environment_id).one(db).await?;
    let environment = environment.ok_or_else(|| Error::internal("a deployment without its environment"))?;
    if deployment.phase == DeploymentPhase::Prepare && deployment.trigger == DeploymentTrigger::Rollback {
        // It goes back to a revision, and not to a place: the environment may have moved since it was asked for.
        deployment.runtime_id.clone_from(&environment.runtime_id);
    }
    let runtime = environments::runtime(db, &scope, &deployment.runtime_id).await?;
    let spec = plan::spec_of_revision(&deployment)?;
    let values = secret_values(app, &scope, &spec).await?;
    let logins = resolve::logins(app, &scope, &service, &spec).await?;
    let known = values.values().chain(logins.values().map(|login| &login.token));
    let log = RunLog::resume(app, &deployment.id, StageKind::Deploy, Masker::new(known)).await?;
    let runtime = match runtimes::connect(app, &runtime).await {
        Ok(client) => client,
        Err(error) => match is_unbegun_and_canceled(&deployment) {
            false if claim.job.attempts < ATTEMPTS => return Ok(Outcome::Again(error.message)),
            _ => return give_up(app, claim, deployment, environment, &error.message).await,
        },
    };
    let work = Work { app, claim, scope, service, environment, deployment, runtime, log };
    work.run().await
}

/// The values of a spec's secret variables, by their sealed row's id.
async fn secret_values(app: &App, scope: &Scope, spec: &Spec) -> Result<BTreeMap<String, SecretString>> {
    let ids = spec.containers.iter().flat_map(|c| c.env.values()).filter_map(|value| match value {
        EnvValue::Secret(id) => Some(id.clone()),
        EnvValue::Plain(_) => None,
    });
    secrets::open_all(app, scope, ids.collect()).await
}

/// A stored revision with all that its runtime needs and the stored spec must not hold.
///
/// # Errors
/// INTERNAL when the revision or a secret can't be read.
pub(super) async fn rollout_of(
    app: &App,
    scope: &Scope,
    service: &service::Model,
    of: &deployment::Model,
) -> Result<Rollout> {
    let spec = plan::spec_of_revision(of)?;
    Ok(Rollout {
        revision: of.revision,
        secrets: secret_values(app, scope, &spec).await?,
        logins: resolve::logins(app, scope, service, &spec).await?,
        deadline: app.settings.deploy_timeout,
        spec,
    })
}

/// Nothing stays at work for ever: a runtime that can't even be connected to has failed the deployment, unless it was to
/// end anyway.
async fn give_up(
    app: &App,
    claim: &Claim,
    deployment: deployment::Model,
    environment: environment::Model,
    why: &str,
) -> Result<Outcome> {
    let tx = app.begin().await?;
    if !claim.complete(&tx).await? {
        return Ok(Outcome::Lost);
    }
    let scope = Scope { organization_id: deployment.organization_id.clone() };
    // First of all that is held: so does everybody who changes what was left.
    let environment = environments::held(&tx, &scope, &environment.id).await?.unwrap_or(environment);
    let (id, service_id) = (deployment.id.clone(), deployment.service_id.clone());
    let serves = environment.current_deployment_id.is_some();
    let elsewhere = environment.runtime_id != deployment.runtime_id;
    let environment_id = environment.id.clone();
    if elsewhere && matches!(deployment.phase, DeploymentPhase::Apply | DeploymentPhase::Undo) {
        moves::remember_the_try(app, &tx, &deployment).await?;
    }
    // In its last phase it serves already: what failed is the cleaning up.
    let (status, message) = match deployment.phase {
        DeploymentPhase::Finish => (RunStatus::Succeeded, Some(why.to_owned())),
        _ if is_unbegun_and_canceled(&deployment) => (RunStatus::Canceled, deployment.message.clone()),
        _ => (RunStatus::Failed, Some(why.to_owned())),
    };
    let ended = machine::end(&deployment, status, message, app.clock.now())?.update(&tx).await?;
    built::tell_pipeline(app, &tx, &ended).await?;
    let removing = environment.status == ServiceStatus::Removing;
    if !removing && !status::is_under_way(&tx, &environment_id).await? {
        let (now, message) = match status {
            RunStatus::Canceled => status::as_stored(&tx, &environment).await?,
            _ if serves && !elsewhere => (ServiceStatus::Degraded, Some(why.to_owned())),
            _ => (ServiceStatus::DeployFailed, Some(why.to_owned())),
        };
        let mut change: environment::ActiveModel = environment.into();
        change.status = Set(now);
        change.status_message = Set(message);
        change.update(&tx).await?;
    }
    leftovers::enqueue(app, &tx, &scope, &environment_id).await?;
    status::settle(app, &tx, &service_id).await?;
    tx.commit().await?;
    app.events.publish(Event::Deployment { deployment_id: id });
    app.events.publish(Event::Jobs);
    Ok(Outcome::Done)
}

/// Ends a job that has nothing to do.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn drop_job(app: &App, claim: &Claim) -> Result<Outcome> {
    let tx = app.begin().await?;
    let mine = claim.complete(&tx).await?;
    tx.commit().await?;
    Ok(if mine { Outcome::Done } else { Outcome::Lost })
}

impl Work<'_> {
    async fn run(mut self) -> Result<Outcome> {
        if self.service.removing && self.deployment.phase == DeploymentPhase::Prepare {
            return self.end(RunStatus::Canceled, Some("the service is being removed".to_owned())).await;
        }
        loop {
            let step = match self.deployment.phase {
                DeploymentPhase::Prepare => {
                    spans::stage(("deployment", "PREPARE"), Box::pin(self.prepare()), Step::word).await?
                }
                DeploymentPhase::Apply => {
                    spans::stage(("deployment", "APPLY"), Box::pin(self.apply()), Step::word).await?
                }
                DeploymentPhase::Finish => {
                    spans::stage(("deployment", "FINISH"), Box::pin(self.finish()), traced::word_of_last).await?;
                    self.leave().await?;
                    return self.end(RunStatus::Succeeded, None).await;
                }
                DeploymentPhase::Undo => {
                    match spans::stage(("deployment", "UNDO"), Box::pin(self.undo()), Step::word).await? {
                        Step::Again(why) => return Ok(Outcome::Again(why)),
                        _ => {
                            let message = self.deployment.message.clone();
                            let ended = match self.deployment.cancel_requested {
                                true => RunStatus::Canceled,
                                false => RunStatus::Failed,
                            };
                            return self.end(ended, message).await;
                        }
                    }
                }
                DeploymentPhase::Done => return Ok(Outcome::Done),
            };
            match step {
                Step::Next(phase) if self.deployment.phase == phase => {}
                Step::Next(phase) => {
                    if !self.advance(phase, None).await? {
                        return Ok(Outcome::Lost);
                    }
                }
                Step::Failed(message) if self.deployment.phase == DeploymentPhase::Prepare => {
                    return self.end(RunStatus::Failed, Some(message)).await;
                }
                Step::Failed(message) => {
                    if !self.turn_to_undo(message).await? {
                        return Ok(Outcome::Lost);
                    }
                }
                Step::Canceled => {
                    let message = self.why_canceled().await?;
                    if self.deployment.phase == DeploymentPhase::Prepare {
                        return self.end(RunStatus::Canceled, Some(message)).await;
                    }
                    if !self.turn_to_undo(message).await? {
                        return Ok(Outcome::Lost);
                    }
                }
                Step::Again(why) => return Ok(Outcome::Again(why)),
            }
        }
    }

    /// An engine that does not answer is asked again for a while; everything else has failed.
    fn failed(&self, error: RuntimeError) -> Step {
        match error {
            RuntimeError::Unreachable(why) if self.claim.job.attempts < ATTEMPTS => Step::Again(self.log.mask(&why)),
            other => Step::Failed(self.log.mask(&other.to_string())),
        }
    }

    async fn prepare(&mut self) -> Result<Step> {
        if self.deployment.status == RunStatus::Queued {
            self.log.line(&format!("revision {} of {}", self.deployment.revision, self.environment.name)).await;
        }
        let mut spec = plan::spec_of_revision(&self.deployment)?;
        let logins = resolve::logins(self.app, &self.scope, &self.service, &spec).await?;
        let mut warnings: Vec<String> = serde_json::from_value(self.deployment.warnings.clone())?;
        let course = match self.course().await? {
            Ok(course) => course,
            Err(step) => return Ok(step),
        };
        add_new(&mut warnings, course.notes(&spec, self.current_spec().await?.as_ref()));
        let resolving = resolve::digests(self.app, Some(&*self.runtime), &logins, &mut spec);
        match self.unless_canceled(resolving).await.transpose()? {
            None => return Ok(Step::Canceled),
            // A plan that was shown has them already, and so has a try before this one.
            Some(Ok(more)) => add_new(&mut warnings, more),
            Some(Err(resolve::Refused(message))) => return Ok(Step::Failed(message)),
        }
        match course.leaves() {
            Some(_) => plan::keep_host_ports(&mut spec, &BTreeMap::new()),
            // Ports are kept over revisions: the environment knows them.
            None => plan::keep_host_ports(&mut spec, &serde_json::from_value(self.environment.host_ports.clone())?),
        }
        if !self.store_plan(&spec, &warnings, &course).await? {
            return Ok(Step::Again("the lease was lost".to_owned()));
        }
        for warning in &warnings {
            self.log.line(&format!("warning: {warning}")).await;
        }
        let rollout = self.rollout(&self.deployment).await?;
        Ok(match self.unless_canceled(self.runtime.pull(&rollout, &self.log)).await {
            None => Step::Canceled,
            Some(Ok(())) => Step::Next(DeploymentPhase::Apply),
            Some(Err(error)) => self.failed(error),
        })
    }

    async fn current_spec(&self) -> Result<Option<Spec>> {
        request::current_spec(self.app.db.read(), &self.scope, &self.environment).await
    }

    async fn store_plan(&mut self, spec: &Spec, warnings: &[String], course: &Course) -> Result<bool> {
        let mut change = machine::begin(&self.deployment, self.app.clock.now())?;
        change.spec = Set(serde_json::to_value(spec)?);
        change.manifest = Set(manifest::of(&*self.app.runtimes, spec));
        change.warnings = Set(serde_json::to_value(warnings)?);
        change.runtime_id = Set(course.to.id.clone());
        change.moved_from = Set(course.leaves().map(|from| from.id.clone()));
        self.write(change).await
    }

    async fn apply(&mut self) -> Result<Step> {
        let rollout = self.rollout(&self.deployment).await?;
        let applied = match self.bring_up(&rollout).await {
            None => return Ok(Step::Canceled),
            Some(Ok(applied)) => applied,
            Some(Err(error)) => return Ok(self.failed(error)),
        };
        if !self.serve(applied).await? {
            return Ok(Step::Again("the lease was lost".to_owned()));
        }
        Ok(Step::Next(DeploymentPhase::Finish))
    }

    /// The revision serves from now on: what it learned and what it settles is written in one transaction.
    async fn serve(&mut self, applied: Applied) -> Result<bool> {
        let tx = self.app.begin().await?;
        if !self.claim.renew(&tx, self.app.clock.now() + self.app.settings.job_lease).await? {
            return Ok(false);
        }
        let mut spec = plan::spec_of_revision(&self.deployment)?;
        for container in &mut spec.containers {
            container.host_port = applied.host_ports.get(&container.name).copied();
        }
        if let Some(cluster) = &mut spec.cluster {
            cluster.addresses = applied.addresses;
        }
        let mut warnings: Vec<String> = serde_json::from_value(self.deployment.warnings.clone())?;
        add_new(&mut warnings, applied.warnings);
        let mut change: deployment::ActiveModel = self.deployment.clone().into();
        change.spec = Set(serde_json::to_value(&spec)?);
        change.manifest = Set(manifest::of(&*self.app.runtimes, &spec));
        change.warnings = Set(serde_json::to_value(&warnings)?);
        change.phase = Set(DeploymentPhase::Finish);
        self.deployment = change.update(&tx).await?;

        let held = environments::held(&tx, &self.scope, &self.environment.id).await?;
        let held = held.ok_or_else(|| Error::internal("a deployment without its environment"))?;
        let mut place: environment::ActiveModel = held.clone().into();
        self.arrive(&tx, &held, &mut place).await?;
        place.current_deployment_id = Set(Some(self.deployment.id.clone()));
        place.host_ports = Set(serde_json::to_value(&applied.host_ports)?);
        place.stopped = Set(false);
        self.environment = place.update(&tx).await?;

        let tags: BTreeMap<String, Tag> = serde_json::from_value(self.deployment.tags.clone())?;
        if !tags.is_empty() {
            definition::keep_tags(&tx, &self.scope, &self.service.id, &tags).await?;
        }
        if let Some(pipeline) = built::pipeline_of(&tx, &self.scope, &self.deployment).await? {
            let (service, environment, what) = (&self.service, &self.environment, What::Built(&pipeline));
            let serves = Wish { service, what, environment, way: Way::Forward };
            judge::mark_deployed(self.app, &tx, &self.scope, &serves).await?;
        }
        tx.commit().await?;
        self.publish();
        Ok(true)
    }

    async fn finish(&self) -> Result<()> {
        let rollout = self.rollout(&self.deployment).await?;
        if let Err(error) = self.runtime.finish(&rollout, &self.log).await {
            // It serves all the same; the next deployment's finish removes what is left.
            self.log.line(&format!("warning: what was replaced is not removed yet: {error}")).await;
        }
        Ok(())
    }

    async fn rollout(&self, of: &deployment::Model) -> Result<Rollout> {
        rollout_of(self.app, &self.scope, &self.service, of).await
    }

    async fn advance(&mut self, phase: DeploymentPhase, message: Option<String>) -> Result<bool> {
        let mut change: deployment::ActiveModel = self.deployment.clone().into();
        change.phase = Set(phase);
        if message.is_some() {
            change.message = Set(message);
        }
        self.write(change).await
    }

    /// Writes while the job is still ours. False: it is not.
    async fn write(&mut self, change: deployment::ActiveModel) -> Result<bool> {
        let tx = self.app.begin().await?;
        if !self.claim.renew(&tx, self.app.clock.now() + self.app.settings.job_lease).await? {
            return Ok(false);
        }
        self.deployment = change.update(&tx).await?;
        tx.commit().await?;
        self.publish();
        Ok(true)
    }

    /// Ends the deployment and its job in one transaction.
    async fn end(mut self, ended: RunStatus, message: Option<String>) -> Result<Outcome> {
        match &message {
            Some(message) => self.log.line(message).await,
            None => self.log.line("it serves").await,
        }
        // Asked before the transaction: a stopped or half-broken environment shows as what it is at once.
        let target = plan::spec_of_revision(&self.deployment)?.target;
        let instances = match self.where_it_serves().await? {
            Ok(runtime) => runtime.instances(&target).await,
            Err(error) => Err(error),
        };
        let tx = self.app.begin().await?;
        if !self.claim.complete(&tx).await? {
            return Ok(Outcome::Lost);
        }
        let change = machine::end(&self.deployment, ended, message, self.app.clock.now())?;
        self.deployment = change.update(&tx).await?;
        built::tell_pipeline(self.app, &tx, &self.deployment).await?;
        let row = environment::Entity::find_by_id(&self.environment.id).one(&tx).await?;
        let mut scan = None;
        if let Some(row) = &row
            && ended == RunStatus::Succeeded
        {
            let of = (&self.service, row, &self.deployment);
            scan = scans::start::after_deployment(self.app, &tx, of).await?;
        }
        if let Some(row) = row {
            let comes = status::is_under_way(&tx, &row.id).await?;
            let (now, why) = match (&instances, comes) {
                (_, true) => (ServiceStatus::Deploying, None),
                (Ok(instances), false) => status::judge(&tx, &row, instances).await?,
                (Err(error), false) => (ServiceStatus::Degraded, Some(self.log.mask(&error.to_string()))),
            };
            let removing = row.status == ServiceStatus::Removing;
            let mut change: environment::ActiveModel = row.into();
            if !removing {
                change.status = Set(now);
                change.status_message = Set(why);
            }
            change.update(&tx).await?;
        }
        leftovers::enqueue(self.app, &tx, &self.scope, &self.deployment.environment_id).await?;
        list::prune(self.app, &tx, &self.deployment.environment_id).await?;
        status::settle(self.app, &tx, &self.service.id).await?;
        tx.commit().await?;
        self.publish();
        self.app.events.publish(Event::Jobs);
        if let Some(scan) = scan {
            scans::start::queued(self.app, &scan);
        }
        Ok(Outcome::Done)
    }

    fn publish(&self) {
        self.app.events.publish(Event::Deployment { deployment_id: self.deployment.id.clone() });
        environments::changed(self.app, &self.service);
    }
}

fn add_new(warnings: &mut Vec<String>, more: Vec<String>) {
    for warning in more {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}

/// How long to wait before the next try of a job: 1, 2, 4 … at most 60 seconds. Taking down what was left on an engine
/// may have to wait for days, and there may be a lot of it: at most an hour, which ends when the engine answers.
#[must_use]
pub fn backoff(kind: &str, attempts: i32) -> Duration {
    let longest = if kind == jobs::TAKE_DOWN { 3600 } else { 60 };
    let doublings = u32::try_from(attempts.clamp(1, 13) - 1).unwrap_or(0);
    Duration::from_secs(2u64.pow(doublings).min(longest))
}
