//! How much is coming in, so that what comes of it can give way: both need the one writer that SQLite has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long the handling of deliveries pauses between two of them while more are coming in. A push that comes alone never
/// waits for this, and a flood leaves room for fifty in a second.
const PAUSE: Duration = Duration::from_millis(20);

/// The deliveries that wait for an answer on this server. Clones count the same.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<AtomicUsize>);

/// One of them, until it is dropped.
pub(super) struct Underway(Traffic);

impl Traffic {
    pub(super) fn enter(&self) -> Underway {
        self.0.fetch_add(1, Ordering::Relaxed);
        Underway(self.clone())
    }

    /// Returns at once when nobody waits for an answer, else after a pause: to be called between two deliveries.
    pub async fn give_way(&self) {
        if self.0.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn only_while_something_comes_in() {
        let traffic = Traffic::default();
        let waits = || traffic.give_way().now_or_never().is_none();
        assert!(!waits());
        let one = traffic.enter();
        assert!(waits());
        drop(one);
        assert!(!waits());
    }
}
