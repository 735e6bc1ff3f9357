//! `[telemetry]`.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

/// What the server says about itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// A tracing filter.
    pub log: String,
    /// How lines look.
    pub format: LogFormat,
    /// Where traces go; empty: nowhere.
    pub otlp_endpoint: String,
    /// What /metrics asks for; none or empty: nothing.
    pub metrics_token: Option<SecretString>,
    /// Where the token is read from.
    pub metrics_token_file: Option<PathBuf>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One object a line.
    Json,
}
