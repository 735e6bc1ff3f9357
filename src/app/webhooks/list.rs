//! Reading deliveries. What they said is for machines and is never shown; neither are those that nobody has looked at yet.

use std::collections::HashMap;
use std::sync::Arc;

use entity::{WebhookOutcome, webhook_delivery};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Iterable as _, QueryFilter, QuerySelect as _, Select};

use crate::app::page::{self, Page};
use crate::app::{App, Result, Scope};
use crate::domain::paging::PageRequest;

/// A service's deliveries, the newest first.
///
/// # Errors
/// BAD_USER_INPUT for a cursor of another list, INTERNAL when the database does not answer.
pub async fn page(
    app: &App,
    scope: &Scope,
    service_id: &str,
    page: &PageRequest,
) -> Result<Page<webhook_delivery::Model>> {
    let all = shown(scope).filter(webhook_delivery::Column::ServiceId.eq(service_id));
    page::by_id(app, all, webhook_delivery::Column::Id, page, |row| row.id.clone()).await
}

/// Deliveries by their ids. Those of other organizations are not among the result.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn by_ids(app: &App, scope: &Scope, ids: &[String]) -> Result<HashMap<String, Arc<webhook_delivery::Model>>> {
    let rows = shown(scope).filter(webhook_delivery::Column::Id.is_in(ids)).all(app.db.read()).await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), Arc::new(row))).collect())
}

/// Without what they said, which may be long.
fn shown(scope: &Scope) -> Select<webhook_delivery::Entity> {
    let columns = webhook_delivery::Column::iter().filter(|c| !matches!(c, webhook_delivery::Column::Payload));
    scope
        .webhook_deliveries()
        .select_only()
        .columns(columns)
        .expr_as(Expr::cust("NULL"), "payload")
        .filter(webhook_delivery::Column::Outcome.ne(WebhookOutcome::Pending))
}
