//! `[logs]`.

use std::time::Duration;

use serde::Deserialize;

use super::value;

/// Logs of pipelines and deployments.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// How long they are kept.
    #[serde(deserialize_with = "value::duration")]
    pub retention: Duration,
    /// Bytes kept of one run.
    pub max_bytes_per_run: u64,
}
