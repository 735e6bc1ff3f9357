//! The loops of the server: claiming jobs, handling deliveries of webhooks, watching what was deployed, and trying what is stored from time to time.

mod checks;
mod watch;
mod webhooks;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::app::deployments::perform::{self, Outcome, backoff};
use crate::app::deployments::{control, jobs, leftovers, remove};
use crate::app::events::hear;
use crate::app::{App, Error, Event, Result, pipelines, scans};
use crate::measure::{self, spans};
use crate::queue::{self, Claim};

/// How the loops run.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Jobs at work at once.
    pub workers: usize,
    /// How often the queue is looked at when nobody says that there is something.
    pub poll: Duration,
    /// How often every runtime is checked.
    pub check_every: Duration,
}

/// How often it is seen what is left on this server's disk.
const SWEPT_EVERY: Duration = Duration::from_secs(3600);

/// Starts every loop on the tracker; each ends soon after the token is cancelled, and gives its job back.
pub fn start(app: &App, settings: &WorkerSettings, tasks: &TaskTracker, stop: &CancellationToken) {
    for _ in 0..settings.workers.max(1) {
        let name = app.ids.id();
        tasks.spawn(claim_loop(app.clone(), name, settings.poll, stop.clone()));
    }
    tasks.spawn(webhooks::run(app.clone(), settings.poll, stop.clone()));
    tasks.spawn(checks::run(app.clone(), stop.clone()));
    tasks.spawn(watch::run(app.clone(), settings.check_every, tasks.clone(), stop.clone()));
}

/// Starts what every server does for itself, whether it works on jobs or not; it ends soon after the token is cancelled.
pub fn start_sweeping(app: &App, tasks: &TaskTracker, stop: &CancellationToken) {
    tasks.spawn(stop.clone().run_until_cancelled_owned(sweep(app.clone())));
}

/// Removes from the disk, for ever, what a server that was killed has left there, and what this one has of work that
/// another has ended since.
async fn sweep(app: App) {
    loop {
        if let Err(error) = pipelines::sweep::leftovers(&app).await {
            tracing::warn!(%error, "folders of sources that nobody needs could not be removed");
        }
        tokio::time::sleep(SWEPT_EVERY).await;
    }
}

async fn claim_loop(app: App, name: String, poll: Duration, stop: CancellationToken) {
    let mut events = app.events.listen();
    while !stop.is_cancelled() {
        let limit = queue::Limit {
            kind: pipelines::RUN,
            total: app.settings.builds.at_once,
            per_organization: app.settings.builds.at_once_per_organization,
        };
        let begun = Instant::now();
        match queue::claim(&app.db, &name, app.clock.now(), app.settings.job_lease, limit).await {
            Ok(Some(claim)) => {
                hold(&app, &claim, begun, &stop).await;
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the queue can't be read"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(poll) => {}
            () = hear(&mut events, |event| *event == Event::Jobs) => {}
        }
    }
}

/// Works on a job, claimed at this moment, for as long as its lease can be renewed; gives it back on shutdown.
async fn hold(app: &App, claim: &Claim, claimed: Instant, stop: &CancellationToken) {
    let span = spans::job(&claim.job.kind, claim.job.attempts);
    let work = AssertUnwindSafe(Box::pin(perform(app, claim)).instrument(span.clone())).catch_unwind();
    let outcome = tokio::select! {
        // What panics has failed, and the worker goes on with the next job.
        outcome = work => outcome.unwrap_or_else(|_| Err(Error::internal("the work on a job panicked"))),
        () = lease_is_lost(app, claim, claimed) => Ok(Outcome::Lost),
        () = stop.cancelled() => {
            spans::came_to(&span, "GIVEN_BACK");
            give_back(app, claim, Duration::ZERO, "the server was stopped").await;
            return;
        }
    };
    spans::came_to(&span, word(&outcome));
    match outcome {
        Ok(Outcome::Done) => app.events.publish(Event::Jobs),
        Ok(Outcome::Lost) => {
            measure::lease_lost();
            tracing::warn!(job = claim.job.id, "the lease was lost");
        }
        Ok(Outcome::Again(why)) => {
            tracing::info!(job = claim.job.id, kind = %claim.job.kind, attempt = claim.job.attempts, %why, "again later");
            give_back(app, claim, backoff(&claim.job.kind, claim.job.attempts), &why).await;
        }
        // It was logged where it was made.
        Err(error) => give_back(app, claim, backoff(&claim.job.kind, claim.job.attempts), &error.message).await,
    }
}

/// What a claim came to. That a deployment failed is no failure of its job.
fn word(outcome: &Result<Outcome>) -> &'static str {
    match outcome {
        Ok(Outcome::Done) => "DONE",
        Ok(Outcome::Again(_)) => "AGAIN",
        Ok(Outcome::Lost) => "LOST",
        Err(_) => "FAILED",
    }
}

async fn perform(app: &App, claim: &Claim) -> Result<Outcome> {
    match claim.job.kind.as_str() {
        jobs::DEPLOYMENT => perform::run(app, claim).await,
        jobs::STOP | jobs::RESTART => control::run(app, claim).await,
        jobs::REMOVE_ENVIRONMENT => remove::run_environment(app, claim).await,
        jobs::REMOVE_SERVICE => remove::run_service(app, claim).await,
        jobs::TAKE_DOWN => leftovers::run(app, claim).await,
        scans::RUN => scans::run::run(app, claim).await,
        pipelines::REPORT => pipelines::report::run(app, claim).await,
        pipelines::RUN | pipelines::RESUME => pipelines::run::run(app, claim).await,
        other => Err(Error::internal(format!("no worker knows jobs of kind {other}"))),
    }
}

/// Returns once the job is another's, or is about to be: whoever can't say any more that they live must have stopped
/// before another begins.
async fn lease_is_lost(app: &App, claim: &Claim, claimed: Instant) {
    let lease = app.settings.job_lease;
    // Time to drop what is at work.
    let usable = lease - lease / 6;
    let (mut renewed, mut pause) = (claimed, lease / 3);
    loop {
        let ends = renewed + usable;
        sleep_until(ends.min(Instant::now() + pause)).await;
        let now = Instant::now();
        if now >= ends {
            tracing::warn!(job = claim.job.id, "a lease could not be renewed in time");
            return;
        }
        match timeout_at(ends, claim.renew(app.db.read_write(), app.clock.now() + lease)).await {
            Ok(Ok(true)) => (renewed, pause) = (now, lease / 3),
            Ok(Ok(false)) => return,
            Ok(Err(error)) => {
                pause = lease / 10;
                tracing::error!(%error, "a lease could not be renewed");
            }
            // Seen above.
            Err(_) => {}
        }
    }
}

async fn give_back(app: &App, claim: &Claim, wait: Duration, why: &str) {
    if let Err(error) = claim.release(app.db.read_write(), app.clock.now() + wait, why).await {
        // The lease runs out by itself.
        tracing::error!(%error, "a job could not be given back");
    }
}
