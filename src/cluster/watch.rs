//! Watching objects until somebody stops listening.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::{Backoff, ResetTimerBackoff};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};

use super::ClusterError;

/// Waits between two tries to watch.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// After so long without an error the waits are short again.
const CALM: Duration = Duration::from_secs(20);

/// Watches until the stream is dropped. It begins anew by itself when the API server was away or has forgotten where the
/// watch was; each error is told.
pub fn watch<K>(api: Api<K>, config: watcher::Config) -> BoxStream<'static, Result<Event<K>, ClusterError>>
where
    K: Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let tries = watcher::watcher(api, config).backoff(ResetTimerBackoff::new(Waits(FIRST_WAIT), CALM));
    tries.map(|result| result.map_err(ClusterError::from)).boxed()
}

/// Each wait is twice as long as the one before.
struct Waits(Duration);

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.0;
        self.0 = (wait * 2).min(LONGEST_WAIT);
        Some(wait)
    }
}

impl Backoff for Waits {
    fn reset(&mut self) {
        self.0 = FIRST_WAIT;
    }
}
