//! Handling what Git providers sent, as soon as it is stored.

use std::collections::HashMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::events::hear;
use crate::app::webhooks::{self, handle};
use crate::app::{App, Event};

/// Failures of one delivery in a row after which it is given up, so that others come to it.
const PATIENCE: u32 = 5;
/// How long to wait after a failure.
const AGAIN: Duration = Duration::from_secs(1);
/// Deliveries of one service after which it is seen what of them is too much, also while more are waiting.
const PRUNED_AFTER: u32 = 100;

/// Handles them until told to stop.
pub(super) async fn run(app: App, poll: Duration, stop: CancellationToken) {
    let mut events = app.events.listen();
    let mut handled: HashMap<String, u32> = HashMap::new();
    let mut failures = 0;
    let mut failing = None;
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => return,
            next = handle::next(&app) => next,
        };
        match next {
            Ok(Some(done)) => {
                failures = 0;
                let count = handled.entry(done.service_id.clone()).or_default();
                *count += 1;
                if *count >= PRUNED_AFTER {
                    handled.remove(&done.service_id);
                    prune(&app, &done.service_id).await;
                }
                app.traffic.give_way().await;
            }
            Ok(None) => {
                failures = 0;
                for (service_id, _) in handled.drain() {
                    prune(&app, &service_id).await;
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(poll) => {}
                    () = hear(&mut events, |event| *event == Event::Deliveries) => {}
                }
            }
            Err(failed) => {
                if failing != failed.id {
                    (failing, failures) = (failed.id.clone(), 0);
                }
                failures += 1;
                let id = failed.id.as_deref().unwrap_or_default();
                tracing::error!(error = %failed, id, failures, "a webhook's delivery can't be handled");
                if failures >= PATIENCE && failed.id.is_some() && handle::give_up(&app, &failed).await.is_ok() {
                    failures = 0;
                    continue;
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
        }
    }
}

async fn prune(app: &App, service_id: &str) {
    if let Err(error) = webhooks::prune(app, service_id).await {
        tracing::warn!(service = service_id, %error, "old deliveries can't be forgotten");
    }
}
