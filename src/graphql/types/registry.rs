//! Logins to image registries.

use std::sync::Arc;

use async_graphql::{ID, InputObject, Object};
use chrono::{DateTime, Utc};
use entity::registry;

use crate::app::services::input::RegistryAuth;
use crate::domain::secret::SecretString;
use crate::graphql::ids::NodeKind;

/// The organization's login to one image registry.
pub struct Registry(pub registry::Model);

impl Registry {
    /// Wraps what a loader gave.
    #[must_use]
    pub fn shared(row: Arc<registry::Model>) -> Self {
        Self(Arc::unwrap_or_clone(row))
    }
}

/// The organization's login to one image registry (Harbor, Docker Hub, GHCR, …), stored once by an admin and used
/// silently for every image of that host, unless a service brings its own. The token is never returned.
#[Object]
impl Registry {
    /// Opaque and stable.
    pub async fn id(&self) -> ID {
        NodeKind::Registry.id(&self.0.id)
    }

    /// docker.io, ghcr.io, registry.example.com:5000
    async fn host(&self) -> &str {
        &self.0.host
    }

    /// The account.
    async fn username(&self) -> &str {
        &self.0.username
    }

    /// Where builds go that name no image repository: this prefix, a slash and the service's name. At most one registry
    /// has one.
    async fn repository_prefix(&self) -> Option<&str> {
        self.0.repository_prefix.as_deref()
    }

    /// When the login was last tried.
    async fn checked_at(&self) -> DateTime<Utc> {
        self.0.checked_at
    }

    /// What was wrong with it then.
    async fn status_message(&self) -> Option<&str> {
        self.0.status_message.as_deref()
    }

    /// Stated in kiops.toml; mutations that would change it are FAILED_PRECONDITION, DECLARED.
    async fn declared(&self) -> bool {
        self.0.declared
    }
}

/// A registry login that a service brings.
#[derive(InputObject)]
pub struct RegistryAuthInput {
    /// The account.
    username: String,
    /// Password or access token; never returned.
    #[graphql(secret)]
    token: String,
}

impl From<RegistryAuthInput> for RegistryAuth {
    fn from(input: RegistryAuthInput) -> Self {
        Self { username: input.username, token: SecretString::from(input.token) }
    }
}
