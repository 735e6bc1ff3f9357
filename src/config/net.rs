//! `[net]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::value;

/// Requests that leave the server for addresses that users gave.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Net {
    /// CIDR blocks or host names that are let through.
    pub allow: Vec<String>,
    /// Registries spoken to without TLS.
    pub plain_http: Vec<String>,
    /// More authorities to trust.
    #[serde(deserialize_with = "value::path_or_none")]
    pub ca_file: Option<PathBuf>,
    /// Until a connection stands.
    #[serde(deserialize_with = "value::duration")]
    pub connect_timeout: Duration,
    /// For a whole request.
    #[serde(deserialize_with = "value::duration")]
    pub request_timeout: Duration,
}
