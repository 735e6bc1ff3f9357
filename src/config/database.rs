//! `[database]`.

use serde::Deserialize;

/// The database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite://path` or `postgres://…`. May hold a password: never log it.
    pub url: String,
    /// Connections at most.
    pub max_connections: u32,
}
