//! `[telemetry]`.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::value;

/// What the server says about itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// A tracing filter.
    pub log: String,
    /// How lines look.
    pub format: LogFormat,
    /// The collector that traces go to over OTLP/HTTP; empty: none.
    pub otlp_endpoint: String,
    /// A statement to the database that takes so long is logged; zero: none is.
    #[serde(deserialize_with = "value::duration_or_zero")]
    pub slow_query: Duration,
    /// A GraphQL operation that takes so long is logged; zero: none is.
    #[serde(deserialize_with = "value::duration_or_zero")]
    pub slow_operation: Duration,
    /// What /metrics asks for; none or empty: nothing.
    pub metrics_token: Option<SecretString>,
    /// Where the token is read from.
    pub metrics_token_file: Option<PathBuf>,
}

impl Telemetry {
    /// Where traces are posted: `/v1/traces` below the endpoint (the specification of OTLP's exporters). None: nowhere.
    ///
    /// # Errors
    /// What is wrong with `otlp_endpoint`. Its text is not in there: it may hold a password.
    pub fn traces_url(&self) -> Result<Option<Url>, &'static str> {
        if self.otlp_endpoint.is_empty() {
            return Ok(None);
        }
        let needed = "an address that starts with http:// or https:// is needed, like http://collector:4318";
        let mut url = Url::parse(&self.otlp_endpoint).map_err(|_| needed)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(needed);
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("give the address of the collector alone, without a login, a query or a fragment");
        }
        let path = url.path().trim_end_matches('/');
        if !path.ends_with("/v1/traces") {
            url.set_path(&format!("{path}/v1/traces"));
        }
        Ok(Some(url))
    }
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
