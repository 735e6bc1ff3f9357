//! How much is kept of what came: of a service the newest thousand deliveries, two hundred of them with what they said,
//! and a hundred each of those that were refused or repeated.

use entity::{WebhookOutcome, webhook_delivery};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter, QueryOrder as _, QuerySelect as _};

use crate::app::{App, Result};

/// Deliveries of a service. As long as one is kept, the same one again is a duplicate.
const ROWS: u64 = 1_000;
/// Deliveries of a service with what they said.
const PAYLOADS: u64 = 200;
/// Refused deliveries of a service, and as many repeated ones: they drive out none of the others.
const NOISE: u64 = 100;

/// Forgets what is too much of a service's deliveries.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn of_service(app: &App, service_id: &str) -> Result<()> {
    let tx = app.begin().await?;
    let handled = [WebhookOutcome::Started, WebhookOutcome::Ignored];
    if let Some(last) = beyond(&tx, service_id, &handled, ROWS).await? {
        let old = webhook_delivery::Column::Id.lte(last);
        webhook_delivery::Entity::delete_many().filter(of(service_id, &handled)).filter(old).exec(&tx).await?;
    }
    if let Some(last) = beyond(&tx, service_id, &handled, PAYLOADS).await? {
        webhook_delivery::Entity::update_many()
            .col_expr(webhook_delivery::Column::Payload, Expr::value(Option::<Vec<u8>>::None))
            .filter(of(service_id, &handled))
            .filter(webhook_delivery::Column::Id.lte(last))
            .filter(webhook_delivery::Column::Payload.is_not_null())
            .exec(&tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Forgets what is too much of what was refused or repeated, with its caller's transaction.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn noise(tx: &impl ConnectionTrait, service_id: &str) -> Result<()> {
    for outcome in [WebhookOutcome::Rejected, WebhookOutcome::Duplicate] {
        if let Some(last) = beyond(tx, service_id, &[outcome], NOISE).await? {
            let old = webhook_delivery::Column::Id.lte(last);
            webhook_delivery::Entity::delete_many().filter(of(service_id, &[outcome])).filter(old).exec(tx).await?;
        }
    }
    Ok(())
}

/// The newest that is one too many.
async fn beyond(
    tx: &impl ConnectionTrait,
    service_id: &str,
    outcomes: &[WebhookOutcome],
    kept: u64,
) -> Result<Option<String>> {
    Ok(webhook_delivery::Entity::find()
        .select_only()
        .column(webhook_delivery::Column::Id)
        .filter(of(service_id, outcomes))
        .order_by_desc(webhook_delivery::Column::Id)
        .offset(kept)
        .limit(1)
        .into_tuple()
        .one(tx)
        .await?)
}

fn of(service_id: &str, outcomes: &[WebhookOutcome]) -> sea_orm::Condition {
    sea_orm::Condition::all()
        .add(webhook_delivery::Column::ServiceId.eq(service_id))
        .add(webhook_delivery::Column::Outcome.is_in(outcomes.iter().copied()))
}
