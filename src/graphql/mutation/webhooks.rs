//! Auto CI: what starts pipelines by itself, and deliveries that are handled once more.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::app::webhooks::replay;
use crate::app::webhooks::save::{self, SaveAutoCi};
use crate::domain::secret::ExposeSecret as _;
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::service::Service;
use crate::graphql::types::webhook::WebhookDelivery;

/// What becomes of Auto CI. A field that is left out stays as it is.
#[derive(InputObject)]
pub struct SaveAutoCiInput {
    /// The service.
    service_id: ID,
    /// Whether what the provider sends is taken.
    enabled: Option<bool>,
    /// Makes a new webhook secret; other saves keep it.
    #[graphql(default_with = "Some(false)")]
    rotate_secret: Option<bool>,
    /// Branches, or patterns in which * stands for any characters; null: the service's branch.
    branches: MaybeUndefined<Vec<String>>,
    /// A push to one of the branches starts a pipeline.
    on_push: Option<bool>,
    /// A merge request into one of the branches starts one.
    on_merge_request: Option<bool>,
    /// A pushed tag starts one.
    on_tag: Option<bool>,
}

/// webhookSecret is shown only when installation is MANUAL.
#[derive(SimpleObject)]
pub struct SaveAutoCiPayload {
    /// The service.
    service: Service,
    /// To be pasted at the provider, with the URL.
    webhook_secret: Option<String>,
}

/// Which delivery to handle once more.
#[derive(InputObject)]
pub struct ReplayWebhookDeliveryInput {
    /// The delivery.
    id: ID,
}

/// It was handled once more.
#[derive(SimpleObject)]
pub struct ReplayWebhookDeliveryPayload {
    /// A new delivery of the same content; the old one stays as it is.
    delivery: WebhookDelivery,
}

/// Auto CI.
#[derive(Default)]
pub struct WebhookMutation;

#[Object]
impl WebhookMutation {
    /// Saves what starts pipelines by itself, and installs, repairs or removes the webhook at the provider.
    async fn save_auto_ci(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which service, and what becomes of it.")] input: SaveAutoCiInput,
    ) -> Result<Option<SaveAutoCiPayload>> {
        let input = SaveAutoCi {
            service_id: NodeKind::Service.row(&input.service_id)?,
            enabled: input.enabled,
            rotate_secret: input.rotate_secret.unwrap_or(false),
            branches: input.branches.into(),
            on_push: input.on_push,
            on_merge_request: input.on_merge_request,
            on_tag: input.on_tag,
        };
        let saved = save::save(app(ctx)?, actor(ctx)?, input).await?;
        let webhook_secret = saved.secret.map(|secret| secret.expose_secret().to_owned());
        Ok(Some(SaveAutoCiPayload { service: Service::from(saved.service), webhook_secret }))
    }

    /// Handles a stored delivery once more.
    async fn replay_webhook_delivery(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: ReplayWebhookDeliveryInput,
    ) -> Result<Option<ReplayWebhookDeliveryPayload>> {
        let row = replay::replay(app(ctx)?, actor(ctx)?, &NodeKind::WebhookDelivery.row(&input.id)?).await?;
        Ok(Some(ReplayWebhookDeliveryPayload { delivery: WebhookDelivery(row) }))
    }
}
