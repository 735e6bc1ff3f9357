//! The subscription root: one file a noun.
//!
//! Each reads what is stored first and follows the changes after it. An event says where to look, never what is
//! there, and a slow look now and then finds what another server of the same database did.

mod deployments;
mod pipelines;

use std::time::Duration;

use async_graphql::MergedSubscription;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::app::Event;
use crate::graphql::errors::ApiError;

/// How often is looked without an event.
const LOOK: Duration = Duration::from_secs(2);

/// Lines of a log that are read at once.
const BATCH: u64 = 500;

/// What can be followed.
#[derive(MergedSubscription, Default)]
pub struct Subscription(pipelines::PipelineSubscription, deployments::DeploymentSubscription);

/// An answer of a use case, as an item of a stream.
fn look<T>(answer: crate::app::Result<T>) -> async_graphql::Result<T> {
    answer.map_err(|error| ApiError::from(error).into())
}

/// Returns at the next event that matters, or when it is time to look anyway.
async fn next(heard: &mut Receiver<Event>, matters: impl Fn(&Event) -> bool) {
    let event = async {
        loop {
            match heard.recv().await {
                Ok(event) if matters(&event) => return,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        () = event => {}
        () = tokio::time::sleep(LOOK) => {}
    }
}
