//! `[audit]`.

use std::time::Duration;

use serde::Deserialize;

use super::value;

/// The trail of what was changed, and by whom.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// How long entries are kept; zero: for ever. That is the default, because a trail is wanted most when something comes out
    /// late, and what is gone can't be had back.
    #[serde(deserialize_with = "value::duration_or_zero")]
    pub retention: Duration,
}
