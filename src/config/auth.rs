//! `[auth]`.

use std::time::Duration;

use serde::Deserialize;

use super::value;

/// Sessions and logins.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// How long a session lasts.
    #[serde(deserialize_with = "value::duration")]
    pub session_ttl: Duration,
    /// Failed ones, per account and per address.
    pub login_attempts_per_minute: u32,
}
