//! `[server]`.

use serde::Deserialize;

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
}
