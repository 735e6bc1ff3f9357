//! The work that a pipeline is: from stage to stage, from wherever it stands.
//!
//! Each step is written in a transaction that holds the job's fence. A stage that has ended is not begun again; one that
//! was at work when its worker was killed is repeated, after what is left of it was cleared away.

mod build;
mod deploy;
mod scan;
mod source;
mod test;
mod traced;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use entity::{RunStatus, ServiceStatus, pipeline, service};
use sea_orm::{ActiveModelTrait, ConnectionTrait, EntityTrait as _};
use tokio_util::sync::CancellationToken;

use super::definition::{Snapshot, snapshot_of};
use super::machine::{self, stages_of};
use super::{cancel, engine, prune, sweep};
use crate::app::deployments::perform::drop_job;
use crate::app::deployments::{environments, status};
use crate::app::events::{ChangeKind, hear};
use crate::app::log::RunLog;
use crate::app::{App, Error, Event, Result, Scope, registries, scans, secrets};
use crate::builder::{Builder, BuilderError, Journal as _, Output, RunLimits, RunMark};
use crate::domain::quantity;
use crate::domain::scan::ScanKind;
use crate::domain::secret::{RegistryLogin, SecretString};
use crate::domain::spec::EnvValue;
use crate::domain::stage::{StageKind, Stages};
use crate::domain::status::RunStatus as Status;
use crate::measure::spans;
use crate::queue::Claim;
use crate::vault::Masker;

pub use crate::app::deployments::perform::Outcome;

pub(super) use build::destination;

/// Claims of a job after which what does not work has failed the pipeline.
const ATTEMPTS: i32 = 8;
/// Waits between tries while a provider or an engine does not answer.
const WAITS: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(8), Duration::from_secs(20)];
/// How often it is looked whether a pipeline is to be ended, when nobody says so.
const LOOK: Duration = Duration::from_secs(1);
/// How much longer than its time a run that nobody watches can go on.
const UNWATCHED: Duration = Duration::from_secs(120);
/// How long clearing up after a run may take: a builder that does not answer does not hold up its end.
const CLEAR: Duration = Duration::from_secs(30);

/// One pipeline at work.
struct Work<'a> {
    app: &'a App,
    claim: &'a Claim,
    scope: Scope,
    service: service::Model,
    pipeline: pipeline::Model,
    stages: Stages,
    /// The stage that is at work was begun before: something of that may still be there.
    is_repeated: bool,
    snapshot: Snapshot,
    secrets: RunSecrets,
    log: Arc<RunLog>,
}

/// What must be seen nowhere.
struct RunSecrets {
    /// Secret build arguments, by name.
    args: Vec<(String, SecretString)>,
    /// Logins by registry host.
    logins: Vec<(String, RegistryLogin)>,
}

/// What a stage came to.
enum Step {
    /// It did what it had to.
    Passed(Option<String>),
    /// A part of it has no result; the pipeline goes on.
    Incomplete(String),
    /// The pipeline ends here.
    Failed(String),
    /// Somebody ended what it waited for.
    Canceled(String),
    /// Its work goes on elsewhere; the job is set aside.
    Elsewhere,
    /// It belongs to another worker by now.
    Lost,
}

/// Brings a pipeline to its end, from wherever it stands.
///
/// # Errors
/// INTERNAL when the database does not answer: the job is then tried again.
pub async fn run(app: &App, claim: &Claim) -> Result<Outcome> {
    let found = pipeline::Entity::find_by_id(&claim.job.subject).one(app.db.read_write()).await?;
    let Some(pipeline) = found.filter(|p| p.finished_at.is_none()) else { return drop_job(app, claim).await };
    let stages = stages_of(&pipeline)?;
    // What it would take to go on is not looked at any more: it may be that which does not work.
    let deploys = stages.next().is_none_or(|stage| stage.kind == StageKind::Deploy);
    if pipeline.cancel_requested && !deploys {
        return finish(app, claim, pipeline, RunStatus::Canceled, "it was canceled").await;
    }
    match work(app, claim, pipeline.clone()).await {
        // Nothing is tried for ever.
        Err(error) if claim.job.attempts >= ATTEMPTS => {
            finish(app, claim, pipeline, RunStatus::Failed, &error.message).await
        }
        worked => worked,
    }
}

async fn work(app: &App, claim: &Claim, pipeline: pipeline::Model) -> Result<Outcome> {
    let db = app.db.read_write();
    let scope = Scope { organization_id: pipeline.organization_id.clone() };
    let service = environments::service(db, &scope, &pipeline.service_id).await?;
    let (stages, snapshot) = (stages_of(&pipeline)?, snapshot_of(&pipeline)?);
    let stage = stages.next().map_or(StageKind::Deploy, |stage| stage.kind);
    let secrets = run_secrets(app, &scope, &service, &snapshot).await?;
    let token = git_token(app, &scope, &service).await?;
    let known = secrets.args.iter().map(|(_, value)| value);
    let known = known.chain(secrets.logins.iter().map(|(_, login)| &login.token)).chain(&token);
    let log = Arc::new(RunLog::resume(app, &pipeline.id, stage, Masker::new(known)).await?);
    let is_repeated = false;
    Work { app, claim, scope, service, pipeline, stages, is_repeated, snapshot, secrets, log }.run().await
}

/// Ends a pipeline as it is stored, in the stage that is next, once nothing of it is left at work.
async fn finish(app: &App, claim: &Claim, row: pipeline::Model, ended: RunStatus, why: &str) -> Result<Outcome> {
    let (now, mut stages) = (app.clock.now(), stages_of(&row)?);
    let tries = if ended == RunStatus::Canceled { tries_to_clear(app) } else { ATTEMPTS };
    if let Err(why) = clear(app, &row.id, &stages).await
        && claim.job.attempts < tries
    {
        return Ok(Outcome::Again(why));
    }
    match (ended, stages.next().map(|stage| stage.kind)) {
        (RunStatus::Failed, Some(kind)) => {
            stages.advance(kind, Status::Failed, Some(why.to_owned()), now).map_err(internal)?;
        }
        _ => cancel::note(&mut stages, why, now)?,
    }
    Ok(match conclude(app, claim, (&row, stages), ended).await? {
        Some(_) => Outcome::Done,
        None => Outcome::Lost,
    })
}

/// Ends a pipeline and its job in one transaction, and tells of it. None: the job is another's.
async fn conclude(
    app: &App,
    claim: &Claim,
    (row, stages): (&pipeline::Model, Stages),
    ended: RunStatus,
) -> Result<Option<pipeline::Model>> {
    let tx = app.begin().await?;
    if !claim.complete(&tx).await? {
        return Ok(None);
    }
    let end = if ended == RunStatus::Canceled { Status::Canceled } else { Status::Failed };
    let scans = scans::pipeline::close(app, &tx, row, end).await?;
    let row = machine::end(row, ended, stages, app.clock.now())?.update(&tx).await?;
    super::report::enqueue(app, &tx, &row).await?;
    status::settle(app, &tx, &row.service_id).await?;
    tx.commit().await?;
    app.events.publish(Event::Pipeline { pipeline_id: row.id.clone() });
    for scan in scans {
        app.events.publish(Event::Scan { scan_id: scan.id });
    }
    let (organization_id, service_id) = (row.organization_id.clone(), row.service_id.clone());
    app.events.publish(Event::Service { organization_id, service_id, kind: ChangeKind::Changed });
    Ok(Some(row))
}

/// Removes what a run has on the builder and on this server's disk.
async fn clear(app: &App, id: &str, stages: &Stages) -> std::result::Result<(), String> {
    scans::pipeline::clear(app, id).await?;
    if let Err(error) = sweep::remove(app, id).await {
        tracing::warn!(pipeline = id, %error, "a source folder is left");
    }
    if stages.get(StageKind::Build).is_none_or(|stage| stage.started_at.is_none()) {
        return Ok(());
    }
    match engine::builder(app).await {
        Ok(Ok(builder)) => cleared(builder.as_ref(), id).await.map_err(|error| error.to_string()),
        _ => Ok(()),
    }
}

/// Claims of the job of a canceled pipeline until it counts as ended though nobody says that nothing of it is at work. Behind
/// each but the first few a minute was waited: after so many a run's time is over, and a cluster has ended it by itself.
fn tries_to_clear(app: &App) -> i32 {
    let minutes = app.settings.builds.timeout.saturating_add(UNWATCHED).as_secs().div_ceil(60);
    i32::try_from(minutes).unwrap_or(i32::MAX).saturating_add(ATTEMPTS)
}

/// Has a builder clear away what a run has there. It is not waited for without end.
async fn cleared(builder: &dyn Builder, id: &str) -> std::result::Result<(), BuilderError> {
    let late = || BuilderError::Unreachable("the engine that builds does not answer".to_owned());
    tokio::time::timeout(CLEAR, builder.clear(id)).await.unwrap_or_else(|_| Err(late()))
}

async fn run_secrets(app: &App, scope: &Scope, service: &service::Model, snapshot: &Snapshot) -> Result<RunSecrets> {
    let mut args = Vec::new();
    for entry in &snapshot.build.args {
        if let EnvValue::Secret(id) = &entry.value {
            args.push((entry.name.clone(), secrets::open(app, scope, id).await?));
        }
    }
    Ok(RunSecrets { args, logins: registries::all_logins(app, scope, service).await? })
}

async fn git_token(app: &App, scope: &Scope, service: &service::Model) -> Result<Option<SecretString>> {
    let Some(source) = crate::app::git::source_of(service) else { return Ok(None) };
    match crate::app::git::settings::of(app, scope, source.provider).await? {
        Some(settings) => Ok(Some(secrets::open(app, scope, &settings.secret_id).await?)),
        None => Ok(None),
    }
}

impl Work<'_> {
    async fn run(mut self) -> Result<Outcome> {
        loop {
            let Some(stage) = self.stages.next().map(|stage| stage.kind) else {
                return self.end(RunStatus::Succeeded).await;
            };
            if cancel::is_wanted(self.app, &self.pipeline.id).await? && stage != StageKind::Deploy {
                return self.canceled(stage).await;
            }
            self.log.enter(stage).await;
            if let Some(why) = self.nothing_to_do(stage).await? {
                if !self.close(stage, Status::Skipped, Some(why)).await? {
                    return Ok(Outcome::Lost);
                }
                continue;
            }
            self.is_repeated = self.stages.get(stage).is_some_and(|stage| stage.status != Status::Queued);
            if !self.begin(stage).await? {
                return Ok(Outcome::Lost);
            }
            let traced = ("pipeline", stage.as_str());
            let step = spans::stage(traced, Box::pin(self.beside_its_log(stage)), Step::word).await?;
            let Some(step) = step else { return self.canceled(stage).await };
            let ended = match step {
                Step::Passed(message) => self.close(stage, Status::Succeeded, message).await?,
                Step::Incomplete(message) => self.close(stage, Status::Incomplete, Some(message)).await?,
                Step::Failed(message) => return self.fail(stage, message).await,
                Step::Canceled(message) => {
                    self.stages
                        .advance(stage, Status::Canceled, Some(message), self.app.clock.now())
                        .map_err(internal)?;
                    return self.end(RunStatus::Canceled).await;
                }
                Step::Elsewhere => return Ok(Outcome::Done),
                Step::Lost => false,
            };
            if !ended {
                return Ok(Outcome::Lost);
            }
        }
    }

    /// Works on a stage while its log is written and somebody may end it. None: somebody did.
    async fn beside_its_log(&mut self, stage: StageKind) -> Result<Option<Step>> {
        let (app, id) = (self.app.clone(), self.pipeline.id.clone());
        let log = self.log.clone();
        let work = async {
            match stage {
                StageKind::Source => self.source().await,
                StageKind::Build => self.build().await,
                StageKind::Scan => self.scan().await,
                StageKind::Test => self.test().await,
                StageKind::Deploy => self.deploy().await,
            }
        };
        let ended = CancellationToken::new();
        let work = async {
            let step = tokio::select! {
                step = work => step.map(Some),
                // A stage that deploys is not at work itself: it hears of it through its deployments.
                () = canceled(&app, &id), if stage != StageKind::Deploy => Ok(None),
            };
            ended.cancel();
            step
        };
        let (step, ()) = tokio::join!(work, log.pump(&ended));
        step
    }

    /// Why a stage is skipped; none when it has something to do.
    async fn nothing_to_do(&self, stage: StageKind) -> Result<Option<String>> {
        // What was begun comes to an end of its own.
        if self.stages.get(stage).is_some_and(|stage| stage.status != Status::Queued) {
            return Ok(None);
        }
        let build = &self.snapshot.build;
        let why = match stage {
            StageKind::Scan if build.scans.is_empty() => "no scan is asked for",
            StageKind::Scan if build.scans.iter().all(|kind| *kind == ScanKind::Dast) => {
                "DAST comes after a deployment, and nothing else is asked for"
            }
            StageKind::Test if build.test_command.is_none() => "no test command is set",
            StageKind::Deploy if !self.is_deployed_anywhere().await? => "no environment asks for it",
            _ => return Ok(None),
        };
        Ok(Some(why.to_owned()))
    }

    /// Writes that a stage is at work. False: the job is another's.
    async fn begin(&mut self, stage: StageKind) -> Result<bool> {
        let now = self.app.clock.now();
        let waiting = self.stages.get(stage).is_some_and(|s| s.status == Status::WaitingApproval);
        if !waiting {
            self.stages.advance(stage, Status::Running, None, now).map_err(internal)?;
        }
        let next = if waiting { self.pipeline.status } else { RunStatus::Running };
        let change = machine::advance(&self.pipeline, next, &self.stages, now)?;
        self.write(change).await
    }

    async fn close(&mut self, stage: StageKind, status: Status, message: Option<String>) -> Result<bool> {
        let now = self.app.clock.now();
        if let Some(message) = &message {
            self.log.line(Output::System, message).await;
            self.log.flush().await;
        }
        self.stages.advance(stage, status, message, now).map_err(internal)?;
        let change = machine::advance(&self.pipeline, RunStatus::Running, &self.stages, now)?;
        self.write(change).await
    }

    async fn fail(mut self, stage: StageKind, message: String) -> Result<Outcome> {
        let message = self.log.mask(&message);
        self.log.line(Output::System, &message).await;
        self.log.flush().await;
        self.stages.advance(stage, Status::Failed, Some(message), self.app.clock.now()).map_err(internal)?;
        self.end(RunStatus::Failed).await
    }

    /// Somebody wants it ended: what is at work is gone first, then the state says so.
    async fn canceled(mut self, stage: StageKind) -> Result<Outcome> {
        if self.service.removing {
            self.log.line(Output::System, "the service is being removed").await;
        }
        self.log.line(Output::System, "canceled").await;
        self.log.flush().await;
        let now = self.app.clock.now();
        if self.stages.get(stage).is_some_and(|s| s.status != Status::Canceled) {
            cancel::note(&mut self.stages, "it was canceled", now)?;
        }
        self.end(RunStatus::Canceled).await
    }

    /// Ends the pipeline, once nothing of it is left at work.
    async fn end(self, ended: RunStatus) -> Result<Outcome> {
        if let Err(why) = clear(self.app, &self.pipeline.id, &self.stages).await {
            // What was canceled is taken up again; anything else would have to be done again for it.
            if ended == RunStatus::Canceled && self.claim.job.attempts < tries_to_clear(self.app) {
                return Ok(Outcome::Again(why));
            }
            tracing::warn!(pipeline = %self.pipeline.id, %why, "a run could not be cleared");
        }
        let Some(row) = conclude(self.app, self.claim, (&self.pipeline, self.stages), ended).await? else {
            return Ok(Outcome::Lost);
        };
        prune::after(self.app, &row).await;
        Ok(Outcome::Done)
    }

    /// Clears away what an earlier try of the stage that is at work may have left. Where there was none nobody is asked:
    /// after a crash the engine is, and its steps of other builds are waited for, which takes its time.
    async fn afresh(&self, builder: &dyn Builder) -> std::result::Result<(), BuilderError> {
        let is_away = |error: &BuilderError| matches!(error, BuilderError::Unreachable(_));
        match self.is_repeated {
            true => self.patiently(|| cleared(builder, &self.pipeline.id), is_away).await,
            false => Ok(()),
        }
    }

    /// Where the source is while the pipeline works.
    fn folder(&self) -> PathBuf {
        self.app.settings.builds.work_dir.join(&self.pipeline.id)
    }

    fn mark(&self) -> RunMark {
        RunMark {
            run_id: self.pipeline.id.clone(),
            service_id: self.service.id.clone(),
            organization_id: self.scope.organization_id.clone(),
        }
    }

    /// What the profile of the service, or the default one, lets it use.
    fn limits(&self) -> Result<RunLimits> {
        let profiles = &self.app.settings.build_profiles;
        let named = self.snapshot.build.profile.as_deref();
        let found = profiles.iter().find(|p| named.is_some_and(|name| p.name == name));
        let profile = found.or_else(|| profiles.iter().find(|p| p.is_default));
        let profile = profile.ok_or_else(|| Error::internal("there is no build profile"))?;
        Ok(RunLimits {
            profile: profile.name.clone(),
            cpu: profile.cpu,
            memory: quantity::bytes(&profile.memory).map_err(Error::internal)?,
            time: self.app.settings.builds.timeout,
        })
    }

    async fn builder(&self) -> Result<std::result::Result<Arc<dyn Builder>, Step>> {
        Ok(engine::builder(self.app).await?.map_err(Step::Failed))
    }

    /// Asks again for a while, as long as what fails is that the other side does not answer.
    async fn patiently<T, E, F>(&self, call: impl Fn() -> F, is_away: fn(&E) -> bool) -> std::result::Result<T, E>
    where
        E: std::fmt::Display,
        F: Future<Output = std::result::Result<T, E>>,
    {
        let mut waits = WAITS.iter();
        loop {
            match (call().await, waits.next()) {
                (Err(error), Some(wait)) if is_away(&error) => {
                    let text = format!("{error}; tried again in {} s", wait.as_secs());
                    self.log.line(Output::System, &text).await;
                    tokio::time::sleep(*wait).await;
                }
                (result, _) => return result,
            }
        }
    }

    /// Writes while the job is still ours. False: it is not.
    async fn write(&mut self, change: pipeline::ActiveModel) -> Result<bool> {
        let tx = self.app.begin().await?;
        if !self.claim.renew(&tx, self.app.clock.now() + self.app.settings.job_lease).await? {
            return Ok(false);
        }
        self.pipeline = change.update(&tx).await?;
        if self.pipeline.reported.is_none() {
            super::report::enqueue(self.app, &tx, &self.pipeline).await?;
        }
        self.settle(&tx).await?;
        tx.commit().await?;
        self.publish();
        Ok(true)
    }

    async fn settle(&mut self, tx: &impl ConnectionTrait) -> Result<()> {
        if self.service.status != ServiceStatus::Building
            || self.stages.next().is_some_and(|s| s.kind == StageKind::Deploy)
        {
            status::settle(self.app, tx, &self.service.id).await?;
            self.service = environments::service(tx, &self.scope, &self.service.id).await?;
        }
        Ok(())
    }

    fn publish(&self) {
        self.app.events.publish(Event::Pipeline { pipeline_id: self.pipeline.id.clone() });
        environments::changed(self.app, &self.service);
    }
}

/// What a builder's failure means for a stage.
fn failed(error: BuilderError) -> Step {
    Step::Failed(error.to_string())
}

/// A step that the machine of a stage does not have is a fault of ours.
fn internal(illegal: crate::domain::status::IllegalTransition) -> Error {
    Error::internal(illegal)
}

/// Returns once somebody wants the pipeline ended.
async fn canceled(app: &App, id: &str) {
    let mut heard = app.events.listen();
    loop {
        // A database that is away for a moment ends no run.
        if cancel::is_wanted(app, id).await.unwrap_or(false) {
            return;
        }
        tokio::select! {
            () = hear(&mut heard, |event| matches!(event, Event::Pipeline { pipeline_id } if pipeline_id == id)) => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
