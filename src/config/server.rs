//! `[server]`.

use std::time::Duration;

use serde::Deserialize;

use super::value;

/// Where the server listens and what it is called.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address and port.
    pub listen: std::net::SocketAddr,
    /// What webhooks and links point at; without a slash at its end.
    pub public_url: String,
    /// Origins of browsers that may call, besides the own one.
    pub allowed_origins: Vec<String>,
    /// Whether the schema can be asked for.
    pub introspection: bool,
    /// Whether GraphiQL is served.
    pub graphiql: bool,
    /// Bytes of answers that are kept, and given again while nothing in the database changes; 0: none.
    pub kept_answers: u64,
    /// How long it goes on answering after it was told to stop, while it says that it is not ready.
    #[serde(deserialize_with = "value::duration_or_zero")]
    pub drain: Duration,
}
