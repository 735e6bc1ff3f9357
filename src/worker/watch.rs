//! Watching every runtime, so that statuses stay true.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::deployments::status;
use crate::app::{App, Result, runtimes};

/// How soon a new runtime is watched, and a lost connection made anew.
const AGAIN: Duration = Duration::from_secs(2);

/// How long events of one environment are gathered before it is looked at.
const SETTLE: Duration = Duration::from_millis(300);

/// Keeps one watcher for each runtime, and checks every runtime now and then.
pub async fn run(app: App, check_every: Duration, tasks: TaskTracker, stop: CancellationToken) {
    let mut watched: HashMap<String, CancellationToken> = HashMap::new();
    loop {
        match status::watched(&app).await {
            Ok(runtimes) => {
                watched.retain(|id, watcher| {
                    let stays = !watcher.is_cancelled() && runtimes.iter().any(|r| r.id == *id);
                    if !stays {
                        watcher.cancel();
                    }
                    stays
                });
                for runtime in runtimes {
                    watched.entry(runtime.id.clone()).or_insert_with(|| {
                        let stop = stop.child_token();
                        tasks.spawn(watch(app.clone(), runtime.id, stop.clone()));
                        stop
                    });
                }
            }
            Err(error) => tracing::error!(%error, "the runtimes can't be read"),
        }
        if let Err(error) = runtimes::check_due(&app, check_every).await {
            tracing::error!(%error, "the runtimes can't be checked");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

async fn watch(app: App, runtime_id: String, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            followed = follow(&app, &runtime_id) => if let Err(error) = followed {
                tracing::debug!(runtime = %runtime_id, %error, "the runtime is not watched at the moment");
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// Looks at everything once, then at what events name, until the connection breaks.
async fn follow(app: &App, runtime_id: &str) -> Result<()> {
    let Some(runtime) = status::watched(app).await?.into_iter().find(|r| r.id == runtime_id) else { return Ok(()) };
    let client = runtimes::connect(app, &runtime).await?;
    let mut events = client.events().await?;
    for environment in status::observed_on(app, runtime_id).await? {
        status::observe(app, &environment).await?;
    }
    while let Some(event) = events.next().await {
        let mut named = vec![event?.environment_id];
        let settled = tokio::time::sleep(SETTLE);
        tokio::pin!(settled);
        loop {
            tokio::select! {
                () = &mut settled => break,
                more = events.next() => match more {
                    Some(more) => named.push(more?.environment_id),
                    None => break,
                },
            }
        }
        named.sort();
        named.dedup();
        for environment in named {
            status::observe(app, &environment).await?;
        }
    }
    Ok(())
}
