//! `[limits]`.

use std::time::Duration;

use serde::Deserialize;

use super::value;

/// Limits of requests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Depth of a query.
    pub query_depth: usize,
    /// Depth of an introspection query.
    pub introspection_depth: usize,
    /// Cost of a query.
    pub query_complexity: usize,
    /// Bytes of a request.
    pub request_body_bytes: usize,
    /// For a query.
    #[serde(deserialize_with = "value::duration")]
    pub query_timeout: Duration,
    /// For a mutation.
    #[serde(deserialize_with = "value::duration")]
    pub mutation_timeout: Duration,
    /// Rows of a page when nobody says.
    pub page_default: u32,
    /// Rows of a page at most.
    pub page_max: u32,
    /// Lines of a page of a log at most.
    pub log_page_max: u32,
    /// Per token; 0 is no limit.
    pub requests_per_minute: u32,
    /// Bytes of a webhook.
    pub webhook_body_bytes: usize,
}
