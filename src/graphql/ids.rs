//! Node ids: opaque, typed and stable.

use async_graphql::ID;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::app::{Error, Result};
use crate::domain::node;

/// The types that `node` knows, by their name in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// User
    User,
    /// Organization
    Organization,
    /// ApiToken
    ApiToken,
    /// AuditEvent
    AuditEvent,
    /// GitSettings
    GitSettings,
    /// Registry
    Registry,
    /// Runtime
    Runtime,
    /// Service
    Service,
    /// Environment
    Environment,
    /// Deployment
    Deployment,
    /// Pipeline
    Pipeline,
    /// WebhookDelivery
    WebhookDelivery,
    /// Scan
    Scan,
    /// Finding
    Finding,
}

/// Every kind.
pub const KINDS: [NodeKind; 14] = [
    NodeKind::User,
    NodeKind::Organization,
    NodeKind::ApiToken,
    NodeKind::AuditEvent,
    NodeKind::GitSettings,
    NodeKind::Registry,
    NodeKind::Runtime,
    NodeKind::Service,
    NodeKind::Environment,
    NodeKind::Deployment,
    NodeKind::Pipeline,
    NodeKind::WebhookDelivery,
    NodeKind::Scan,
    NodeKind::Finding,
];

impl NodeKind {
    /// The type's name in the schema.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Organization => "Organization",
            Self::ApiToken => "ApiToken",
            Self::AuditEvent => "AuditEvent",
            Self::GitSettings => "GitSettings",
            Self::Registry => "Registry",
            Self::Runtime => "Runtime",
            Self::Service => node::SERVICE,
            Self::Environment => "Environment",
            Self::Deployment => "Deployment",
            Self::Pipeline => node::PIPELINE,
            Self::WebhookDelivery => "WebhookDelivery",
            Self::Scan => "Scan",
            Self::Finding => "Finding",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|k| k.name() == name)
    }

    /// The node id of a row.
    #[must_use]
    pub fn id(self, row: &str) -> ID {
        ID(node::id(self.name(), row))
    }

    /// The row's id, for an argument that wants this kind.
    ///
    /// # Errors
    /// NOT_FOUND for whatever is no id of this kind: it is as good as one that never was.
    pub fn row(self, id: &ID) -> Result<String> {
        match decode(id) {
            Some((kind, row)) if kind == self => Ok(row),
            _ => Err(Error::not_found(&self.name().to_lowercase())),
        }
    }
}

/// The kind and the row's id; none for what we did not make.
#[must_use]
pub fn decode(id: &ID) -> Option<(NodeKind, String)> {
    let bytes = URL_SAFE_NO_PAD.decode(id.as_bytes()).ok().filter(|b| b.len() <= 100)?;
    let text = String::from_utf8(bytes).ok()?;
    let (name, row) = text.split_once(':')?;
    let plain = row.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    NodeKind::of_name(name).filter(|_| plain && !row.is_empty()).map(|k| (k, row.to_owned()))
}
