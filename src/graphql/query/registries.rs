//! Registry logins.

use async_graphql::{Context, Object};

use crate::app::registries;
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::types::registry::Registry;

/// Registry logins.
#[derive(Default)]
pub struct RegistryQuery;

#[Object]
impl RegistryQuery {
    /// The organization's registry logins, by host. Tokens are never returned.
    async fn registries(&self, ctx: &Context<'_>) -> Result<Option<Vec<Registry>>> {
        let found = registries::list(app(ctx)?, &actor(ctx)?.scope).await?;
        Ok(Some(found.into_iter().map(Registry).collect()))
    }
}
