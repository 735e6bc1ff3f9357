//! What this server is.

use async_graphql::{Context, Object};

use crate::graphql::errors::Result;
use crate::graphql::guard::app;
use crate::graphql::types::server::ServerInfo;

/// What this server is.
#[derive(Default)]
pub struct ServerQuery;

#[Object]
impl ServerQuery {
    /// What kiops.toml offers and forms must show.
    async fn server(&self, ctx: &Context<'_>) -> Result<ServerInfo> {
        Ok(ServerInfo::from(app(ctx)?.settings.as_ref()))
    }
}
