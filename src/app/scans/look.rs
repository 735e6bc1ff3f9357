//! One scan at work: its tools side by side, and what they saw stored once all of them have come to an end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use entity::{scan, service};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use sea_orm::ActiveModelTrait as _;
use sea_orm::Set;

use super::images::FromRegistries;
use super::machine::{self, ToolState};
use super::settle::{self, Ending};
use super::store::{self, Storing};
use super::targets::Targets;
use super::tools::{self, Place, Room};
use super::{prune, secret_key};
use crate::app::pipelines::origin;
use crate::app::{App, Error, Event, Result, Scope};
use crate::builder::source::SourceLimits;
use crate::builder::{Journal, Output};
use crate::domain::names::CommitHash;
use crate::domain::scan::ScanKind;
use crate::domain::status::RunStatus;
use crate::measure::spans;
use crate::queue::Claim;
use crate::scanner::report::bom::Part;
use crate::scanner::report::{Found, Key};
use crate::scanner::run::Mark;
use crate::scanner::{Format, ScanError, Tool};
use crate::vault::Masker;

/// Waits between tries while the engine does not answer.
const WAITS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];
/// How long clearing up may take.
const CLEAR: Duration = Duration::from_secs(30);
/// Files of a tree at most.
const FILES: u64 = 200_000;
/// Longest message of a tool that is kept, in characters.
const MESSAGE: usize = 2_000;

/// A scan that somebody works on.
pub(in crate::app) struct Look<'a> {
    pub(in crate::app) app: &'a App,
    /// The job of the scan, or of its pipeline.
    pub(in crate::app) claim: &'a Claim,
    pub(in crate::app) service: &'a service::Model,
    pub(in crate::app) targets: &'a Targets,
    pub(in crate::app) journal: &'a dyn Journal,
    /// Whether the job ends with the scan.
    pub(in crate::app) ending: Ending,
}

/// What came of one tool.
struct Ended {
    state: ToolState,
    seen: Seen,
}

/// What a tool saw, in all that it looked at.
#[derive(Default)]
struct Seen {
    version: Option<String>,
    found: Vec<Found>,
    /// Why that may not be all there is.
    incomplete: Option<String>,
    /// What nobody knows of it.
    untold: Option<String>,
    /// What it wrote of each image, or of the source, where that is kept.
    documents: Vec<Part>,
}

impl Look<'_> {
    /// Has the tools of a scan look, and stores what they saw. None: the job is another's by now.
    ///
    /// Safe to repeat after [`afresh`].
    ///
    /// # Errors
    /// INTERNAL when the database does not answer.
    pub(in crate::app) async fn carry_out(&self, row: scan::Model) -> Result<Option<scan::Model>> {
        let app = self.app;
        let kind = ScanKind::from(row.kind);
        let tools: Vec<&Tool> = app.settings.scanners.iter().filter(|tool| tool.kind == kind).collect();
        let mut states: Vec<ToolState> = tools.iter().map(|tool| ToolState::waiting(&tool.name)).collect();
        let Some(row) = self.write(machine::begin(&row, &states, app.clock.now())?).await? else { return Ok(None) };
        if tools.is_empty() {
            let message = format!("no tool for {kind} is configured");
            return self.end(row, (RunStatus::Failed, Some(message))).await;
        }
        let folder = tools::folder(app, &row.id);
        let made = tokio::fs::create_dir_all(&folder).await;
        made.map_err(|e| Error::internal(format!("the folder for scans can't be made: {e}")))?;
        let key = secret_key::of(app).await?;
        let targets = self.with_history(&row, &tools).await?;
        let work = (tools.as_slice(), &targets, &key);
        let Some((row, ended)) = self.run_all(row, work, &mut states).await? else { return Ok(None) };
        self.keep(row, ended, key).await
    }

    /// All tools, so many at once as may be. The row says how far they are.
    async fn run_all(
        &self,
        mut row: scan::Model,
        (tools, targets, key): (&[&Tool], &Targets, &Arc<Key>),
        states: &mut [ToolState],
    ) -> Result<Option<(scan::Model, Vec<Ended>)>> {
        let mark = Mark {
            scan_id: row.id.clone(),
            service_id: row.service_id.clone(),
            organization_id: row.organization_id.clone(),
        };
        let at_once = self.app.settings.tools_at_once;
        for state in states.iter_mut().take(at_once) {
            state.status = RunStatus::Running;
        }
        let Some(now) = self.tell(&row, states).await? else { return Ok(None) };
        row = now;
        let runs: Vec<BoxFuture<'_, Ended>> =
            tools.iter().map(|tool| self.run_tool((tool, targets), &mark, key).boxed()).collect();
        let mut runs = stream::iter(runs).buffer_unordered(at_once);
        let mut ended = Vec::new();
        while let Some(one) = runs.next().await {
            if let Some(state) = states.iter_mut().find(|state| state.name == one.state.name) {
                *state = one.state.clone();
            }
            if let Some(next) = states.iter_mut().find(|state| state.status == RunStatus::Queued) {
                next.status = RunStatus::Running;
            }
            let Some(now) = self.tell(&row, states).await? else { return Ok(None) };
            row = now;
            ended.push(one);
        }
        Ok(Some((row, ended)))
    }

    /// What there is to be looked at, with the source's history where a tool wants that. It is a copy of the scan's own: nothing
    /// is built of it.
    async fn with_history(&self, row: &scan::Model, tools: &[&Tool]) -> Result<Targets> {
        let mut targets = self.targets.clone();
        if targets.source.is_some() && tools.iter().any(|tool| tool.history) {
            let history = self.history(row).await?;
            targets.history = history.map_err(|why| format!("the history of the source can't be had: {why}"));
        }
        Ok(targets)
    }

    async fn history(&self, row: &scan::Model) -> Result<std::result::Result<PathBuf, String>> {
        let app = self.app;
        let place = match origin::place(app, &scope_of(row), self.service).await? {
            Ok(place) => place,
            Err(why) => return Ok(Err(why)),
        };
        let commit = CommitHash::parse(row.commit_sha.as_deref().unwrap_or_default()).map_err(Error::internal)?;
        let (folder, limits) = (tools::folder(app, &row.id).join("history"), source_limits(app));
        let fetched = app.sources.fetch_with_history(&place.origin, &commit, &folder, limits, self.journal).await;
        Ok(fetched.map(|_| folder).map_err(|error| error.to_string()))
    }

    async fn run_tool(&self, (tool, targets): (&Tool, &Targets), mark: &Mark, key: &Arc<Key>) -> Ended {
        let work = Box::pin(self.run_untraced((tool, targets), mark, key));
        spans::stage(("scan", &tool.name), work, |ended| ended.state.status.as_str()).await
    }

    async fn run_untraced(&self, (tool, targets): (&Tool, &Targets), mark: &Mark, key: &Arc<Key>) -> Ended {
        let mut state = ToolState::waiting(&tool.name);
        let (seen, words) = match self.look_everywhere((tool, targets), mark, key).await {
            Ok(seen) => {
                state.version.clone_from(&seen.version);
                let words = format!("{}: it came to its end, {} findings", tool.name, seen.found.len());
                let words = seen.incomplete.as_ref().map_or(words.clone(), |why| format!("{words}; {why}"));
                (seen, words)
            }
            Err(why) => {
                let words = format!("{}: {why}", tool.name);
                state.status = RunStatus::Failed;
                (Seen { incomplete: Some(why), ..Seen::default() }, words)
            }
        };
        let message = |why: &String| Masker::new([]).mask(why).chars().take(MESSAGE).collect();
        state.message = seen.incomplete.as_ref().or(seen.untold.as_ref()).map(message);
        if state.status != RunStatus::Failed {
            state.status = if seen.incomplete.is_some() { RunStatus::Incomplete } else { RunStatus::Succeeded };
        }
        self.journal.line(Output::System, &words).await;
        Ended { state, seen }
    }

    /// One run for each thing that it looks at. All of them must have a result: else it has seen a part.
    async fn look_everywhere(
        &self,
        (tool, targets): (&Tool, &Targets),
        mark: &Mark,
        key: &Arc<Key>,
    ) -> std::result::Result<Seen, String> {
        let aims = targets.of(tool)?;
        let host = targets.host.as_ref().ok();
        let scope = Scope { organization_id: mark.organization_id.clone() };
        let images = FromRegistries { app: self.app, scope, service: self.service };
        let (mut seen, mut room) = (Seen::default(), Room::default());
        for (i, aim) in aims.iter().enumerate() {
            let report = tools::folder(self.app, &mark.scan_id).join(format!("{}-{i}.report", tool.name));
            let place = Place { mark, host, images: &images, report: &report, key };
            let run = self.patiently((tool, aim), &place, &mut room).await.map_err(|error| error.to_string())?;
            seen.version = seen.version.or(run.version);
            seen.incomplete = seen.incomplete.or(run.incomplete);
            seen.untold = seen.untold.or(run.untold);
            seen.found.extend(run.found);
            match tool.kind == ScanKind::Sbom && tool.format == Format::Cyclonedx {
                true => {
                    let image = aim.target.image.clone().unwrap_or_else(|| "source".to_owned());
                    seen.documents.push(Part { image, document: report });
                }
                // Large ones are not wanted twice.
                false => drop(tokio::fs::remove_file(&report).await),
            }
        }
        Ok(seen)
    }

    /// Runs it again for a while, as long as what fails is that the engine does not answer.
    async fn patiently(
        &self,
        what: (&Tool, &super::targets::Aim),
        place: &Place<'_>,
        room: &mut Room,
    ) -> std::result::Result<tools::Run, ScanError> {
        let mut waits = WAITS.iter();
        loop {
            match (tools::run(self.app, what, place, (self.journal, *room)).await, waits.next()) {
                (Err(ScanError::Unreachable(_)), Some(wait)) => tokio::time::sleep(*wait).await,
                (Ok((run, left)), _) => {
                    *room = left;
                    return Ok(run);
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Stores what the tools saw, and ends the scan.
    async fn keep(&self, row: scan::Model, ended: Vec<Ended>, key: Arc<Key>) -> Result<Option<scan::Model>> {
        let mut states = machine::tools_of(&row)?;
        states.iter_mut().for_each(|state| {
            if let Some(one) = ended.iter().find(|one| one.state.name == state.name) {
                state.clone_from(&one.state);
            }
        });
        let verdict = machine::verdict(&states);
        if verdict.0 == RunStatus::Failed {
            return self.end(row, verdict).await;
        }
        let documents = ended.iter().map(|one| one.seen.documents.clone()).find(|documents| !documents.is_empty());
        let found = ended.into_iter().flat_map(|one| one.seen.found).collect();
        let merged = tokio::task::spawn_blocking(move || tools::merge(found, &key)).await.map_err(Error::internal)?;
        let storing = Storing { app: self.app, claim: self.claim, scan: &row, service: self.service };
        let Some(counts) = storing.findings(merged).await? else { return Ok(None) };
        if let Some(documents) = documents
            && !storing.document(&self.joined(&row, documents).await?).await?
        {
            return Ok(None);
        }
        let mut row = row;
        row.counts = serde_json::to_value(counts)?;
        self.end(row, verdict).await
    }

    /// One document of what a tool wrote of several images; of one image it is as the tool wrote it.
    async fn joined(&self, row: &scan::Model, mut documents: Vec<Part>) -> Result<PathBuf> {
        if let [_] = documents.as_slice() {
            return Ok(documents.remove(0).document);
        }
        let joined = tools::folder(self.app, &row.id).join("joined.cdx.json");
        let (name, path) = (self.service.name.clone(), joined.clone());
        let written = tokio::task::spawn_blocking(move || tools::join(&name, &documents, &path)).await;
        written.map_err(Error::internal)?.map_err(Error::internal)?;
        Ok(joined)
    }

    async fn end(&self, row: scan::Model, verdict: (RunStatus, Option<String>)) -> Result<Option<scan::Model>> {
        // What ran elsewhere is gone by itself; what is on the disk is not.
        tools::remove_folder(self.app, &row.id).await;
        let Some(row) = settle::end(self.app, self.claim, (&row, verdict), self.ending).await? else {
            return Ok(None);
        };
        prune::after(self.app, &row).await;
        Ok(Some(row))
    }

    /// Says how far the tools are.
    async fn tell(&self, row: &scan::Model, states: &[ToolState]) -> Result<Option<scan::Model>> {
        let mut change: scan::ActiveModel = row.clone().into();
        change.tools = Set(serde_json::to_value(states)?);
        self.write(change).await
    }

    /// Writes while the job is still ours. None: it is not.
    async fn write(&self, change: scan::ActiveModel) -> Result<Option<scan::Model>> {
        let tx = self.app.begin().await?;
        if !self.claim.renew(&tx, self.app.clock.now() + self.app.settings.job_lease).await? {
            return Ok(None);
        }
        let row = change.update(&tx).await?;
        tx.commit().await?;
        self.app.events.publish(Event::Scan { scan_id: row.id.clone() });
        Ok(Some(row))
    }
}

/// Clears away what an earlier try of a scan may have left and stored: a worker that was killed leaves its tools at work.
///
/// # Errors
/// The inner one says that the engine or the cluster does not answer; the outer one is INTERNAL.
pub(in crate::app) async fn afresh(app: &App, row: &scan::Model) -> Result<std::result::Result<(), String>> {
    if row.started_at.is_none() {
        return Ok(Ok(()));
    }
    let late = || Err("what runs scans does not answer".to_owned());
    let cleared = tokio::time::timeout(CLEAR, tools::clear(app, &row.id)).await.unwrap_or_else(|_| late());
    store::take_back(app, &row.id).await?;
    Ok(cleared)
}

/// What a source that is scanned may be.
pub(super) fn source_limits(app: &App) -> SourceLimits {
    let builds = &app.settings.builds;
    SourceLimits { bytes: builds.max_context_bytes, files: FILES, time: builds.timeout }
}

/// Whose rows a scan is among.
pub(in crate::app) fn scope_of(row: &scan::Model) -> Scope {
    Scope { organization_id: row.organization_id.clone() }
}
