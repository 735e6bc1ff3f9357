//! Handling a stored delivery once more.

use entity::{WebhookOutcome, webhook_delivery};
use sea_orm::{ActiveModelTrait, ColumnTrait, QueryFilter, Set};
use serde_json::json;

use super::{handle, list};
use crate::app::audit::{self, Entry};
use crate::app::deployments::environments;
use crate::app::deployments::request::refuse_while_removing;
use crate::app::{Actor, App, Error, Event, Result};

/// Deliveries that came before and are handled first, at most.
const BEFORE: usize = 10_000;

/// Handles a stored delivery once more, as a new one: what came of the old one stays to be read. Those that came before
/// are handled first.
///
/// # Errors
/// NOT_FOUND, CONFLICT where nothing is stored of what it said, FAILED_PRECONDITION while the service is being removed.
pub async fn replay(app: &App, actor: &Actor, id: &str) -> Result<webhook_delivery::Model> {
    let scope = &actor.scope;
    let stored = scope.webhook_deliveries().filter(webhook_delivery::Column::Id.eq(id)).one(app.db.read()).await?;
    let stored = stored.ok_or_else(|| Error::not_found("delivery"))?;
    let service = environments::service(app.db.read(), scope, &stored.service_id).await?;
    refuse_while_removing(&service)?;
    let Some(payload) = stored.payload else {
        let why = match stored.outcome {
            WebhookOutcome::Rejected => "it was refused: nothing was stored of what it said",
            WebhookOutcome::Duplicate => "it had come before: replay the first one",
            _ => "it is too long ago: what it said is no longer stored",
        };
        return Err(Error::conflict("input.id", why));
    };
    let tx = app.begin().await?;
    let row = webhook_delivery::ActiveModel {
        id: Set(app.ids.id()),
        organization_id: Set(stored.organization_id),
        service_id: Set(stored.service_id),
        dedup: Set(None),
        event: Set(stored.event),
        received_at: Set(app.clock.now()),
        outcome: Set(WebhookOutcome::Pending),
        reason: Set(None),
        pipeline_id: Set(None),
        payload: Set(Some(payload)),
    };
    let row = row.insert(&tx).await?;
    let entry = Entry {
        action: "webhook_delivery.replayed",
        subject_kind: "Service",
        subject_id: &service.id,
        subject_name: &service.name,
        detail: json!({ "event": row.event, "receivedAt": stored.received_at }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    app.events.publish(Event::Deliveries);
    for _ in 0..BEFORE {
        if let Some(handled) = list::by_ids(app, scope, std::slice::from_ref(&row.id)).await?.remove(&row.id) {
            return Ok(std::sync::Arc::unwrap_or_clone(handled));
        }
        handle::next(app).await?;
    }
    Err(Error::conflict("input.id", "very many deliveries came before it: it is handled after them"))
}
