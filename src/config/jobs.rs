//! `[jobs]`.

use std::time::Duration;

use serde::Deserialize;

use super::value;

/// Work in the background.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jobs {
    /// Jobs at work at once.
    pub workers: usize,
    /// Silence after which a job is lost to another worker.
    #[serde(deserialize_with = "value::duration")]
    pub lease: Duration,
    /// Pause between two looks into the queue.
    #[serde(deserialize_with = "value::duration")]
    pub poll: Duration,
}
