//! `[deploy]`.

use std::time::Duration;

use serde::Deserialize;

use super::value;

/// Deployments.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// For one deployment.
    #[serde(deserialize_with = "value::duration")]
    pub timeout: Duration,
    /// Revisions kept of each environment.
    pub keep_revisions: u32,
}
