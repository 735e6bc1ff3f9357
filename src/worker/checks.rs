//! What is looked at from time to time: whether stored Git tokens are still taken, and what is counted no longer.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::app::audit;
use crate::app::git::check;
use crate::app::identity::requests;
use crate::app::log::retention;
use crate::app::scans::effect;

/// How often it is seen what is due.
const LOOK: Duration = Duration::from_secs(60);

/// Looks until told to stop.
pub async fn run(app: App, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Err(error) = requests::forget_old(&app).await {
            tracing::warn!(%error, "old counts of requests can't be forgotten");
        }
        if let Err(error) = effect::everywhere(&app).await {
            tracing::warn!(%error, "findings can't be brought up to date");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            forgot = retention::forget_old(&app) => if let Err(error) = forgot {
                tracing::warn!(%error, "old logs can't be forgotten");
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            forgot = audit::retention::forget_old(&app) => if let Err(error) = forgot {
                tracing::warn!(%error, "old entries of the audit trail can't be forgotten");
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            looked = check::check_due(&app) => if let Err(error) = looked {
                tracing::error!(%error, "Git tokens can't be checked");
            },
        }
    }
}
