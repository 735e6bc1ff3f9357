//! The subscription root: one file a noun.
//!
//! Each reads what is stored first and follows the changes after it. An event says where to look, never what is
//! there, and a slow look now and then finds what another server of the same database did.

mod deployments;
mod pipelines;
mod scans;
mod written;

pub use written::Written;

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Context, MergedSubscription};
use futures_util::Stream;
use tokio::sync::broadcast::Receiver;

use crate::app::events::hear;
use crate::app::{self, Error, Event};
use crate::domain::paging::Cursor;
use crate::graphql::errors::{ApiError, Result};
use crate::graphql::guard;
use crate::graphql::types::deployment;
use written::Form;

/// How often is looked without an event.
const LOOK: Duration = Duration::from_secs(2);

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
fn lines<H, F, T>(
    ctx: &Context<'_>,
    (run_id, seq): (&str, i32),
    has_ended: H,
    is_told: T,
) -> Result<impl Stream<Item = async_graphql::Result<Written>> + use<H, F, T>>
where
    H: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = app::Result<bool>> + Send,
    T: Fn(&Event) -> bool + Send + Sync + 'static,
{
    let app = guard::app(ctx)?;
    let form = Arc::new(Form::asked_for(ctx));
    let mut follower = app.tails.follow(app, (run_id, seq), has_ended, is_told);
    Ok(async_stream::try_stream! {
        while let Some((slice, from)) = look(follower.next().await)? {
            for piece in form.pieces(&slice, from) {
                yield form.write(&slice, piece);
            }
        }
    })
}
