//! Handling a stored delivery once more.
//!
//! An old push is no newer for being replayed: what it starts is a retry of what it started before, so that it takes the
//! place of nothing that came after it, neither among what is queued nor where it is deployed.

use entity::{PipelineTrigger, WebhookOutcome, pipeline, webhook_delivery};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait as _, QueryFilter, QueryOrder as _,
    QuerySelect as _, QueryTrait as _, Select, Set,
};
use serde_json::json;

use super::{handle, list};
use crate::app::audit::{self, Entry};
use crate::app::deployments::environments;
use crate::app::deployments::request::refuse_while_removing;
use crate::app::pipelines::start::NewPipeline;
use crate::app::{Actor, App, Error, Event, Result};

/// Deliveries that came before and are handled first, at most.
const BEFORE: usize = 10_000;

/// What a replayed delivery starts.
pub(super) enum Again {
    /// What any delivery starts.
    New,
    /// The commit of this pipeline once more: its id.
    Retry(String),
    /// Nothing, as this pipeline was started by what came later: its number.
    Late(i32),
}

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
        replay_of: Set(Some(stored.replay_of.unwrap_or(stored.id))),
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

/// What a replayed delivery is to start, if `wanted` is what it says.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn again(
    db: &impl ConnectionTrait,
    row: &webhook_delivery::Model,
    wanted: &NewPipeline,
) -> Result<Again> {
    let Some(first) = &row.replay_of else { return Ok(Again::New) };
    let same =
        Condition::any().add(webhook_delivery::Column::Id.eq(first)).add(webhook_delivery::Column::ReplayOf.eq(first));
    if let Some(before) = started(row, same).order_by_asc(pipeline::Column::Number).one(db).await? {
        return Ok(Again::Retry(before.retry_of.unwrap_or(before.id)));
    }
    // A replay is as old as what it repeats.
    let came =
        Condition::all().add(webhook_delivery::Column::ReplayOf.is_null()).add(webhook_delivery::Column::Id.gt(first));
    let later = Condition::any().add(came).add(webhook_delivery::Column::ReplayOf.gt(first));
    let later = started(row, later)
        .filter(pipeline::Column::RefName.eq(&wanted.ref_name))
        .filter(pipeline::Column::Trigger.eq(wanted.trigger))
        .order_by_desc(pipeline::Column::Number)
        .one(db)
        .await?;
    Ok(later.map_or(Again::New, |later| Again::Late(later.number)))
}

/// Why nothing comes of a delivery that is too late.
pub(super) fn too_late(wanted: &NewPipeline, number: i32) -> String {
    let what = match wanted.trigger {
        PipelineTrigger::Tag => "tag",
        PipelineTrigger::MergeRequest => "merge request",
        _ => "push",
    };
    format!("a later {what} of {} has started pipeline {number}", wanted.ref_name)
}

/// The pipelines that such deliveries of the same service started.
fn started(row: &webhook_delivery::Model, by: Condition) -> Select<pipeline::Entity> {
    let deliveries = webhook_delivery::Entity::find()
        .select_only()
        .column(webhook_delivery::Column::PipelineId)
        .filter(webhook_delivery::Column::OrganizationId.eq(&row.organization_id))
        .filter(webhook_delivery::Column::ServiceId.eq(&row.service_id))
        .filter(webhook_delivery::Column::PipelineId.is_not_null())
        .filter(by);
    pipeline::Entity::find().filter(pipeline::Column::Id.in_subquery(deliveries.into_query()))
}
