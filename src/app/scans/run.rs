//! The work that a scan of its own is: it finds what there is to be looked at, and has its tools look.

use std::path::PathBuf;
use std::time::Duration;

use entity::{environment, pipeline, scan, service};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, Set};

use super::look::{Look, afresh, scope_of, source_limits};
use super::settle::{self, Ending};
use super::targets::Targets;
use super::{dast, effect, start, tools};
use crate::app::deployments::perform::{Outcome, drop_job};
use crate::app::deployments::{environments, request};
use crate::app::events::hear;
use crate::app::pipelines::origin;
use crate::app::pipelines::start::CommitInfo;
use crate::app::pipelines::{engine, image};
use crate::app::{App, Error, Event, Result, Scope, git};
use crate::builder::source::SourceError;
use crate::builder::{Journal, Output};
use crate::domain::names::CommitHash;
use crate::domain::scan::ScanKind;
use crate::domain::status::RunStatus;
use crate::queue::Claim;
use crate::scanner::run::Host;

/// Claims of a job after which the scan has failed: it may be the scan that kills whoever works on it.
const ATTEMPTS: i32 = 4;
/// How often it is looked whether a scan is to be ended, when nobody says so.
const LOOK: Duration = Duration::from_secs(1);
/// Longest commit message that is kept, in characters.
const MESSAGE: usize = 4_000;

/// What there is to be looked at.
enum Found {
    /// This.
    Targets(Targets),
    /// Nothing, and why.
    Nothing(String),
    /// The other side does not answer.
    Away(String),
    /// The job is another's.
    Lost,
}

/// Brings a scan to its end, from wherever it stands.
///
/// # Errors
/// INTERNAL when the database does not answer: the job is then tried again.
pub async fn run(app: &App, claim: &Claim) -> Result<Outcome> {
    let found = scan::Entity::find_by_id(&claim.job.subject).one(app.db.read_write()).await?;
    let Some(row) = found else { return drop_job(app, claim).await };
    if row.finished_at.is_some() {
        return close(app, claim, &row).await;
    }
    let service = environments::service(app.db.read_write(), &scope_of(&row), &row.service_id).await?;
    if row.cancel_requested || service.removing {
        return finish(app, claim, row, (RunStatus::Canceled, "it was canceled".to_owned())).await;
    }
    if claim.job.attempts > ATTEMPTS {
        let why = format!("it was begun {ATTEMPTS} times and never came to its end: the server's log may say why");
        return finish(app, claim, row, (RunStatus::Failed, why)).await;
    }
    let id = row.id.clone();
    let worked = tokio::select! {
        worked = work(app, claim, (row.clone(), &service)) => worked,
        () = unwanted(app, &id) => {
            let row = scan::Entity::find_by_id(&id).one(app.db.read_write()).await?.unwrap_or(row);
            return finish(app, claim, row, (RunStatus::Canceled, "it was canceled".to_owned())).await;
        }
    };
    match worked {
        // Nothing is tried for ever.
        Err(error) if claim.job.attempts >= ATTEMPTS => {
            let row = scan::Entity::find_by_id(&id).one(app.db.read_write()).await?.unwrap_or(row);
            finish(app, claim, row, (RunStatus::Failed, error.message)).await
        }
        worked => worked,
    }
}

async fn work(app: &App, claim: &Claim, (mut row, service): (scan::Model, &service::Model)) -> Result<Outcome> {
    let scope = scope_of(&row);
    if let Err(why) = afresh(app, &row).await?
        && claim.job.attempts < ATTEMPTS
    {
        return Ok(Outcome::Again(why));
    }
    let found = match ScanKind::from(row.kind) {
        ScanKind::Dast => running(app, &scope, &row).await?,
        _ => at_rest(app, claim, (&mut row, service)).await?,
    };
    let targets = match found {
        Found::Targets(targets) => targets,
        Found::Lost => return Ok(Outcome::Lost),
        Found::Away(why) if claim.job.attempts < ATTEMPTS => return Ok(Outcome::Again(why)),
        Found::Away(why) | Found::Nothing(why) => return finish(app, claim, row, (RunStatus::Failed, why)).await,
    };
    let look = Look { app, claim, service, targets: &targets, journal: &Nobody, ending: Ending::EndsJob };
    Ok(match look.carry_out(row).await? {
        Some(_) => Outcome::Done,
        None => Outcome::Lost,
    })
}

/// Where the environment answers now.
async fn running(app: &App, scope: &Scope, row: &scan::Model) -> Result<Found> {
    let place = match &row.environment_id {
        Some(id) => environment::Entity::find_by_id(id).one(app.db.read()).await?,
        None => None,
    };
    let Some(place) = place else { return Ok(Found::Nothing("the environment is gone".to_owned())) };
    let host = tools::host_of(app).await?;
    Ok(match dast::of(app, scope, &place).await? {
        Ok(addresses) => {
            let images = Err("DAST looks at no image".to_owned());
            Found::Targets(Targets { addresses, ..Targets::at_rest(None, images, host) })
        }
        Err(why) => Found::Nothing(why),
    })
}

/// The source of the commit, and the image that was built of it; the images of a service that is made of such.
async fn at_rest(app: &App, claim: &Claim, (row, service): (&mut scan::Model, &service::Model)) -> Result<Found> {
    let scope = scope_of(row);
    let kind = ScanKind::from(row.kind);
    let host = tools::host_of(app).await?;
    let wants = |word: &str| app.settings.scanners.iter().any(|tool| tool.kind == kind && tool.wants(word));
    if git::source_of(service).is_none() {
        let images = images_of(app, &scope, service).await?;
        return Ok(Found::Targets(Targets::at_rest(None, images, host)));
    }
    let place = match origin::place(app, &scope, service).await? {
        Ok(place) => place,
        Err(why) => return Ok(Found::Nothing(why)),
    };
    let commit = match &row.commit_sha {
        Some(known) => CommitHash::parse(known).map_err(Error::internal)?,
        None => {
            // Before it is asked what the branch has: what was pushed by then is in the answer.
            let now = environments::service(app.db.read(), &scope, &service.id).await?;
            row.turn = start::turn(app.db.read(), (&now, &row.lane), None).await?;
            let name = row.ref_name.clone().unwrap_or_default();
            match app.sources.resolve(&place.origin, &name).await {
                Ok(resolved) => resolved.commit,
                Err(error) => return Ok(refused(error)),
            }
        }
    };
    // Written down before anything is done: what is repeated is repeated for this commit.
    let mut change: scan::ActiveModel = row.clone().into();
    change.commit_sha = Set(Some(commit.to_string()));
    change.turn = Set(row.turn);
    let mut info = CommitInfo {
        sha: commit.to_string(),
        web_url: Some(origin::page_of(service, &place, &commit)),
        ..CommitInfo::default()
    };
    let mut source = None;
    if wants("source") {
        let folder = source_folder(app, &row.id);
        let gone = tokio::fs::remove_dir_all(&folder).await;
        if let Err(error) = gone
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Error::internal(format!("the folder of a scan can't be removed: {error}")));
        }
        let parent = tools::folder(app, &row.id);
        let made = tokio::fs::create_dir_all(&parent).await;
        made.map_err(|e| Error::internal(format!("the folder for scans can't be made: {e}")))?;
        let fetched = match app.sources.fetch(&place.origin, &commit, &folder, source_limits(app), &Nobody).await {
            Ok(fetched) => fetched,
            Err(error) => return Ok(refused(error)),
        };
        info.message = Some(fetched.message.chars().take(MESSAGE).collect());
        info.author_name = Some(fetched.author_name);
        info.committed_at = fetched.committed_at;
        source = Some(folder);
    }
    change.commit = Set(Some(serde_json::to_value(info)?));
    let tx = app.begin().await?;
    if !claim.renew(&tx, app.clock.now() + app.settings.job_lease).await? {
        return Ok(Found::Lost);
    }
    *row = change.update(&tx).await?;
    tx.commit().await?;
    let images = built(app, &scope, (service, commit.to_string()), host.as_ref().ok()).await?;
    Ok(Found::Targets(Targets::at_rest(source, images, host)))
}

/// The image that the newest pipeline of a commit built.
async fn built(
    app: &App,
    scope: &Scope,
    (service, commit): (&service::Model, String),
    host: Option<&Host>,
) -> Result<std::result::Result<Vec<String>, String>> {
    let found = scope
        .pipelines()
        .filter(pipeline::Column::ServiceId.eq(&service.id))
        .filter(pipeline::Column::CommitSha.eq(&commit))
        .filter(pipeline::Column::ImageId.is_not_null())
        .order_by_desc(pipeline::Column::Number)
        .one(app.db.read())
        .await?;
    let built = match &found {
        Some(row) => image::of(row)?,
        None => None,
    };
    let short: String = commit.chars().take(8).collect();
    let Some(built) = built else {
        return Ok(Err(format!("nothing was built of commit {short}: start a pipeline of it first")));
    };
    if let Some(Host::Cluster(_)) = host {
        return Ok(image::in_registry(&built).map(|image| vec![image]));
    }
    let mine = engine::engine_id(app).await?;
    Ok(match found.and_then(|row| row.engine_id) == mine {
        true => Ok(vec![built.id]),
        false => Err(format!("the image of commit {short} was built on another engine than the one that scans")),
    })
}

/// The images of a service that is made of images, as they were deployed last, else as it is defined.
async fn images_of(
    app: &App,
    scope: &Scope,
    service: &service::Model,
) -> Result<std::result::Result<Vec<String>, String>> {
    let place = environments::meant(app.db.read(), scope, &service.id, None).await?;
    let spec = match &place {
        Some(place) => request::current_spec(app.db.read(), scope, place).await?,
        None => None,
    };
    let mut images: Vec<String> = match spec {
        Some(spec) => spec
            .containers
            .iter()
            .map(|c| match &c.digest {
                Some(digest) => format!("{}@{digest}", c.repository),
                None => format!("{}:{}", c.repository, c.tag),
            })
            .collect(),
        None => crate::app::services::containers_of(service)?
            .iter()
            .filter_map(|c| c.image.as_ref().map(|named| format!("{}:{}", named.repository, named.tag)))
            .collect(),
    };
    images.sort();
    images.dedup();
    Ok(if images.is_empty() { Err("the service has no image yet".to_owned()) } else { Ok(images) })
}

fn refused(error: SourceError) -> Found {
    match error {
        SourceError::Unreachable(why) => Found::Away(why),
        other => Found::Nothing(other.to_string()),
    }
}

/// Ends a scan that saw nothing, once nothing of it is left at work.
async fn finish(app: &App, claim: &Claim, row: scan::Model, (ended, why): (RunStatus, String)) -> Result<Outcome> {
    if row.finished_at.is_some() {
        return close(app, claim, &row).await;
    }
    if let Err(why) = afresh(app, &row).await? {
        if claim.job.attempts < ATTEMPTS {
            return Ok(Outcome::Again(why));
        }
        tracing::warn!(scan = %row.id, %why, "a scan could not be cleared");
    }
    Ok(match settle::end(app, claim, (&row, (ended, Some(why))), Ending::EndsJob).await? {
        Some(_) => Outcome::Done,
        None => Outcome::Lost,
    })
}

/// Ends the job of a scan that has ended: whoever ended it may have been killed before all of it was written.
async fn close(app: &App, claim: &Claim, row: &scan::Model) -> Result<Outcome> {
    effect::take(app, row).await?;
    drop_job(app, claim).await
}

fn source_folder(app: &App, scan_id: &str) -> PathBuf {
    tools::folder(app, scan_id).join("source")
}

/// Returns once somebody wants a scan ended.
async fn unwanted(app: &App, id: &str) {
    let mut heard = app.events.listen();
    loop {
        // A database that is away for a moment ends no scan.
        let row = scan::Entity::find_by_id(id).one(app.db.read()).await;
        if row.is_ok_and(|row| row.is_none_or(|row| row.cancel_requested)) {
            return;
        }
        tokio::select! {
            () = hear(&mut heard, |event| matches!(event, Event::Scan { scan_id } if scan_id == id)) => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// A scan of its own has no log: what went wrong is said by its tools' messages.
struct Nobody;

#[async_trait::async_trait]
impl Journal for Nobody {
    async fn line(&self, _: Output, _: &str) {}
}
