//! Whatever has an id.

use async_graphql::{Context, ID, Interface};

use super::audit::AuditEvent;
use super::deployment::Deployment;
use super::environment::Environment;
use super::finding::Finding;
use super::git::GitSettings;
use super::identity::{ApiToken, Organization, User};
use super::pipeline::Pipeline;
use super::registry::Registry;
use super::runtime::Runtime;
use super::scan::Scan;
use super::service::Service;
use super::webhook::WebhookDelivery;
use crate::app::audit;
use crate::app::git::settings;
use crate::app::identity::{organizations, tokens};
use crate::domain::policy;
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::loaders::loaders;

/// Whatever has an id.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Opaque and stable."))]
pub enum Node {
    /// A person.
    User(User),
    /// An organization.
    Organization(Organization),
    /// A token.
    ApiToken(ApiToken),
    /// An entry of the audit trail.
    AuditEvent(AuditEvent),
    /// Access to a Git provider.
    GitSettings(GitSettings),
    /// A registry login.
    Registry(Registry),
    /// A place to deploy to.
    Runtime(Runtime),
    /// A service.
    Service(Service),
    /// Where a service is deployed.
    Environment(Environment),
    /// A revision of an environment.
    Deployment(Deployment),
    /// A run from a commit to where its image is deployed.
    Pipeline(Pipeline),
    /// What a Git provider sent.
    WebhookDelivery(WebhookDelivery),
    /// A look of tools at a service.
    Scan(Scan),
    /// What such tools saw.
    Finding(Finding),
}

/// Loads one as the caller sees it; none for what does not exist for them.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn load(ctx: &Context<'_>, kind: NodeKind, row: &str) -> Result<Option<Node>> {
    let (app, actor) = (app(ctx)?, actor(ctx)?);
    if policy::node(kind.name()).is_none_or(|needs| needs > actor.standing()) {
        return Ok(None);
    }
    Ok(match kind {
        NodeKind::User => loaders(ctx)?.person(row).await?.map(User).map(Node::User),
        NodeKind::Organization if row == actor.scope.organization_id => {
            Some(Node::Organization(Organization(organizations::current(app, &actor.scope).await?)))
        }
        NodeKind::ApiToken => tokens::find(app, actor, row).await?.map(ApiToken).map(Node::ApiToken),
        NodeKind::AuditEvent => audit::find(app, actor, row).await?.map(AuditEvent).map(Node::AuditEvent),
        NodeKind::GitSettings => settings::by_id(app, actor, row).await?.map(GitSettings).map(Node::GitSettings),
        // Services and what belongs to them: one line each, from the loaders.
        NodeKind::Registry => loaders(ctx)?.registry(row).await?.map(Registry::shared).map(Node::Registry),
        NodeKind::Runtime => loaders(ctx)?.runtime(row).await?.map(Runtime::shared).map(Node::Runtime),
        NodeKind::Service => loaders(ctx)?.service(row).await?.map(Service::shared).map(Node::Service),
        NodeKind::Environment => loaders(ctx)?.environment(row).await?.map(Environment::shared).map(Node::Environment),
        NodeKind::Deployment => loaders(ctx)?.deployment(row).await?.map(Deployment::shared).map(Node::Deployment),
        NodeKind::Pipeline => loaders(ctx)?.pipeline(row).await?.map(Pipeline::shared).map(Node::Pipeline),
        NodeKind::WebhookDelivery => {
            loaders(ctx)?.delivery(row).await?.map(WebhookDelivery::shared).map(Node::WebhookDelivery)
        }
        NodeKind::Scan => loaders(ctx)?.scan(row).await?.map(Scan::shared).map(Node::Scan),
        NodeKind::Finding => loaders(ctx)?.finding(row).await?.map(Finding::shared).map(Node::Finding),
        NodeKind::Organization => None,
    })
}
