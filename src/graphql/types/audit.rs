//! The audit trail.

use async_graphql::{Context, ID, Json, Object};
use chrono::{DateTime, Utc};
use entity::audit_event;

use super::identity::User;
use super::node::{self, Node};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::ids::NodeKind;
use crate::graphql::loaders::loaders;

/// Something that was changed, or a login that failed.
pub struct AuditEvent(pub audit_event::Model);

impl AuditEvent {
    async fn load_actor(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match &self.0.actor_id {
            Some(id) => Ok(loaders(ctx)?.person(id).await?.map(User)),
            None => Ok(None),
        }
    }

    async fn load_subject(&self, ctx: &Context<'_>) -> Result<Option<Node>> {
        let kind = self.0.subject_kind.as_deref().and_then(NodeKind::of_name);
        match (kind, &self.0.subject_id) {
            (Some(kind), Some(id)) if !id.is_empty() => node::load(ctx, kind, id).await,
            _ => Ok(None),
        }
    }
}

/// Something that was changed, or a login that failed.
#[Object]
impl AuditEvent {
    /// Opaque and stable.
    pub async fn id(&self) -> ID {
        NodeKind::AuditEvent.id(&self.0.id)
    }

    /// When.
    async fn at(&self) -> DateTime<Utc> {
        self.0.at
    }

    /// Who; null for the server itself, kiops.toml (detail has `"by": "kiops.toml"` then), an unknown account, and who no longer
    /// belongs to the organization.
    async fn actor(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        nullable(self.load_actor(ctx).await)
    }

    /// For example service.registered, git_settings.saved, deployment.rolled_back, auth.login_failed.
    async fn action(&self) -> &str {
        &self.0.action
    }

    /// What was changed, while it exists.
    async fn subject(&self, ctx: &Context<'_>) -> Option<Result<Node>> {
        nullable(self.load_subject(ctx).await)
    }

    /// What changed; never a secret.
    async fn detail(&self) -> Json<serde_json::Value> {
        Json(self.0.detail.clone())
    }

    /// The subject's name then.
    async fn subject_name(&self) -> Option<&str> {
        self.0.subject_name.as_deref().filter(|name| !name.is_empty())
    }

    /// Where the request came from.
    async fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }
}
