//! Auto CI: what starts a service's pipelines by itself, and what its Git provider sent.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use chrono::{DateTime, Utc};
use entity::{WebhookOutcome as Stored, service, webhook_delivery};

use super::pipeline::Pipeline;
use crate::app::Error;
use crate::app::webhooks::auto_ci::{self, AutoCiDefinition, auto_ci_of, webhook_url};
use crate::app::webhooks::list;
use crate::graphql::connection::{Uncounted, Window, uncounted};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::loaders::loaders;

/// What starts a service's pipelines by itself.
pub struct AutoCi {
    service_id: String,
    webhook_url: String,
    definition: AutoCiDefinition,
}

impl AutoCi {
    /// Of a Git service; none for one that is made of images.
    ///
    /// # Errors
    /// INTERNAL when what is stored can't be read.
    pub fn of(ctx: &Context<'_>, service: &service::Model) -> Result<Option<Self>> {
        let Some(webhook_url) = webhook_url(app(ctx)?, service) else { return Ok(None) };
        Ok(Some(Self { service_id: service.id.clone(), webhook_url, definition: auto_ci_of(service)? }))
    }
}

/// What starts a service's pipelines by itself.
#[Object]
impl AutoCi {
    /// Whether what the provider sends is taken.
    async fn enabled(&self) -> bool {
        self.definition.enabled
    }

    /// Branches or patterns that start a pipeline; empty means the service's branch.
    async fn branches(&self) -> &[String] {
        &self.definition.branches
    }

    /// A push to one of the branches starts one.
    async fn on_push(&self) -> bool {
        self.definition.on_push
    }

    /// A merge request into one of the branches starts one, for its source branch; never from a fork.
    async fn on_merge_request(&self) -> bool {
        self.definition.on_merge_request
    }

    /// A pushed tag starts one.
    async fn on_tag(&self) -> bool {
        self.definition.on_tag
    }

    /// Where the provider sends to.
    async fn webhook_url(&self) -> &str {
        &self.webhook_url
    }

    /// INSTALLED by the server on the provider, or MANUAL: paste the URL and secret there. Null while off.
    async fn installation(&self) -> Option<WebhookInstallation> {
        self.definition.installation.map(WebhookInstallation::from)
    }

    /// Why MANUAL.
    async fn installation_message(&self) -> Option<&str> {
        self.definition.installation_message.as_deref()
    }

    /// What the provider sent, newest first.
    #[graphql(complexity = "crate::graphql::connection::cost(first, None, child_complexity)")]
    async fn deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the beginning; 20 when left out, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Uncounted<WebhookDelivery>> {
        let app = app(ctx)?;
        let window = Window::forward(first, after).check(app)?;
        let page = list::page(app, &actor(ctx)?.scope, &self.service_id, &window).await?;
        Ok(uncounted(page, WebhookDelivery))
    }
}

/// Who sees to the webhook at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "auto_ci::Installation")]
pub enum WebhookInstallation {
    /// This server has put it there.
    Installed,
    /// Somebody pastes URL and secret there.
    Manual,
}

/// What a Git provider sent.
pub struct WebhookDelivery(pub webhook_delivery::Model);

impl WebhookDelivery {
    /// Wraps what a loader gave.
    #[must_use]
    pub fn shared(row: Arc<webhook_delivery::Model>) -> Self {
        Self(Arc::unwrap_or_clone(row))
    }

    async fn load_pipeline(&self, ctx: &Context<'_>) -> Result<Option<Pipeline>> {
        match &self.0.pipeline_id {
            Some(id) => Ok(loaders(ctx)?.pipeline(id).await?.map(Pipeline::shared)),
            None => Ok(None),
        }
    }
}

/// What a Git provider sent.
#[Object]
impl WebhookDelivery {
    /// Opaque, typed and stable.
    pub async fn id(&self) -> ID {
        NodeKind::WebhookDelivery.id(&self.0.id)
    }

    /// When it came.
    async fn received_at(&self) -> DateTime<Utc> {
        self.0.received_at
    }

    /// The provider's name of what happened: push, Merge Request Hook.
    async fn event(&self) -> &str {
        &self.0.event
    }

    /// STARTED a pipeline, IGNORED (with the reason), REJECTED (bad signature, unknown), DUPLICATE.
    async fn outcome(&self) -> Result<WebhookOutcome> {
        Ok(match self.0.outcome {
            Stored::Started => WebhookOutcome::Started,
            Stored::Ignored => WebhookOutcome::Ignored,
            Stored::Rejected => WebhookOutcome::Rejected,
            Stored::Duplicate => WebhookOutcome::Duplicate,
            Stored::Pending => return Err(Error::internal("a delivery is shown that nobody has looked at").into()),
        })
    }

    /// Why nothing was started.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// The pipeline that it started.
    async fn pipeline(&self, ctx: &Context<'_>) -> Option<Result<Pipeline>> {
        nullable(self.load_pipeline(ctx).await)
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum WebhookOutcome {
    /// It started a pipeline.
    Started,
    /// It is of no concern; the reason says why.
    Ignored,
    /// It was not proven to come from the provider.
    Rejected,
    /// It had come before.
    Duplicate,
}
