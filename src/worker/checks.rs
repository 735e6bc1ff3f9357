//! What is looked at from time to time: whether stored Git tokens are still taken.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::app::git::check;

/// How often it is seen what is due.
const LOOK: Duration = Duration::from_secs(60);

/// Looks until told to stop.
pub async fn run(app: App, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            looked = check::check_due(&app) => if let Err(error) = looked {
                tracing::error!(%error, "Git tokens can't be checked");
            },
        }
    }
}
