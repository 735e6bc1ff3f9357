//! Storing and deleting registry logins.

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::app::registries::{self, SaveRegistry};
use crate::domain::secret::SecretString;
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::types::registry::Registry;

/// A registry login.
#[derive(InputObject)]
pub struct SaveRegistryInput {
    /// docker.io, ghcr.io, registry.example.com:5000
    host: String,
    /// The account.
    username: String,
    /// Password or access token; never returned.
    #[graphql(secret)]
    token: String,
    /// Where builds go that name no image repository: it begins with the host. At most one registry has one.
    repository_prefix: MaybeUndefined<String>,
}

/// The registry took the login, and it is stored.
#[derive(SimpleObject)]
pub struct SaveRegistryPayload {
    /// The registry.
    registry: Registry,
}

/// A registry login to be forgotten.
#[derive(InputObject)]
pub struct DeleteRegistryInput {
    /// The registry's host.
    host: String,
}

/// The login is forgotten.
#[derive(SimpleObject)]
pub struct DeleteRegistryPayload {
    /// The registry's host.
    host: String,
}

/// Storing and deleting registry logins.
#[derive(Default)]
pub struct RegistryMutation;

#[Object]
impl RegistryMutation {
    /// [admin] Tries the login before it is stored; replaces an earlier one of the same host.
    async fn save_registry(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The host and how to log in there.")] input: SaveRegistryInput,
    ) -> Result<Option<SaveRegistryPayload>> {
        let save = SaveRegistry {
            host: input.host,
            username: input.username,
            token: SecretString::from(input.token),
            repository_prefix: input.repository_prefix.into(),
        };
        let registry = Registry(registries::save(app(ctx)?, actor(ctx)?, save).await?);
        Ok(Some(SaveRegistryPayload { registry }))
    }

    /// [admin] Forgets a login.
    async fn delete_registry(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: DeleteRegistryInput,
    ) -> Result<Option<DeleteRegistryPayload>> {
        let host = registries::delete(app(ctx)?, actor(ctx)?, &input.host).await?;
        Ok(Some(DeleteRegistryPayload { host }))
    }
}
