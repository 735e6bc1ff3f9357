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
    /// Fields of a document, fragments unfolded.
    pub query_fields: u32,
    /// Fields at the root of an operation.
    pub query_root_fields: u32,
    /// Aliased fields of a document, fragments unfolded.
    pub query_aliases: u32,
    /// Directives of a document, fragments unfolded.
    pub query_directives: u32,
    /// Fragments of a document.
    pub query_fragments: usize,
    /// Operations of a document.
    pub query_operations: usize,
    /// Levels of lists and objects in variables.
    pub variables_depth: usize,
    /// Bytes of a document.
    pub document_bytes: usize,
    /// Words, numbers, strings and brackets of a document.
    pub document_tokens: usize,
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
    /// Documents that are kept in memory for each token, to be named by their hash; 0: none is.
    pub persisted_queries: usize,
    /// Operations at once on one WebSocket, subscriptions among them.
    pub operations_per_socket: usize,
    /// WebSockets at once of one token, and of one address.
    pub sockets_per_caller: usize,
    /// Bytes of a webhook.
    pub webhook_body_bytes: usize,
}
