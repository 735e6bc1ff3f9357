//! The subscription root: one file a noun.
//!
//! Each reads what is stored first and follows the changes after it. An event says where to look, never what is
//! there, and a slow look now and then finds what another server of the same database did.

mod deployments;
mod pipelines;
mod scans;

use std::time::Duration;

use async_graphql::MergedSubscription;
use futures_util::Stream;
use tokio::sync::broadcast::Receiver;

use crate::app::events::hear;
use crate::app::{self, App, Error, Event, log};
use crate::domain::paging::Cursor;
use crate::graphql::errors::{ApiError, Result};
use crate::graphql::types::deployment::{self, LogLine};

/// How often is looked without an event.
const LOOK: Duration = Duration::from_secs(2);

/// Lines of a log that are read at once.
const BATCH: u64 = 500;

/// What can be followed.
#[derive(MergedSubscription, Default)]
pub struct Subscription(pipelines::PipelineSubscription, deployments::DeploymentSubscription, scans::ScanSubscription);

/// An answer of a use case, as an item of a stream.
fn look<T>(answer: crate::app::Result<T>) -> async_graphql::Result<T> {
    answer.map_err(|error| ApiError::from(error).into())
}

/// Returns at the next event that matters, or when it is time to look anyway.
async fn next(heard: &mut Receiver<Event>, matters: impl Fn(&Event) -> bool) {
    tokio::select! {
        () = hear(heard, matters) => {}
        () = tokio::time::sleep(LOOK) => {}
    }
}

/// A run as it is, which was read after `heard` began to listen, then each time that it has changed, until it has ended.
fn states<R: Clone + PartialEq + Send, F: Future<Output = app::Result<R>> + Send>(
    mut heard: Receiver<Event>,
    mut row: R,
    ask: impl Fn() -> F + Send,
    (has_ended, is_told): (fn(&R) -> bool, impl Fn(&Event) -> bool + Send + Sync),
) -> impl Stream<Item = async_graphql::Result<R>> {
    async_stream::try_stream! {
        loop {
            let seen = row.clone();
            let ended = has_ended(&row);
            yield row;
            if ended {
                return;
            }
            loop {
                next(&mut heard, &is_told).await;
                row = look(ask().await)?;
                if row != seen {
                    break;
                }
            }
        }
    }
}

/// Where a log goes on: after the line of a cursor, else at its beginning.
fn line_after(after: Option<&str>) -> Result<i32> {
    let Some(text) = after else { return Ok(0) };
    let seq = Cursor::decode(text).and_then(|cursor| deployment::seq_of(&cursor));
    Ok(seq.ok_or_else(|| Error::bad_input("after", "this is no cursor of this log"))?)
}

/// The lines of a run's log after this one, then as they come, until the run has ended.
fn lines<F: Future<Output = app::Result<bool>> + Send>(
    app: App,
    (run_id, mut seq): (String, i32),
    has_ended: impl Fn() -> F + Send,
    is_told: impl Fn(&Event) -> bool + Send + Sync,
) -> impl Stream<Item = async_graphql::Result<LogLine>> {
    let mut heard = app.events.listen();
    async_stream::try_stream! {
        loop {
            // Asked before the lines are read: what was written until it ended is then among them.
            let ended = look(has_ended().await)?;
            let lines = look(log::after(&app, &run_id, None, seq, BATCH).await)?;
            let none = lines.is_empty();
            for line in lines {
                seq = line.seq;
                yield LogLine(line);
            }
            if none && ended {
                return;
            }
            if none {
                let is_line = |e: &Event| matches!(e, Event::Log { run_id: of } if *of == run_id);
                next(&mut heard, |e| is_line(e) || is_told(e)).await;
            }
        }
    }
}
