//! When each service was last changed: what follows services finds here what it was not told of.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::service;
use sea_orm::{ColumnTrait as _, QueryFilter as _, QuerySelect as _};

use crate::app::events::ChangeKind;
use crate::app::{Actor, App, Result};

/// When each service was last changed, by its id.
pub type Changes = HashMap<String, DateTime<Utc>>;

/// Those of one service, or of all that the caller's organization has.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn of(app: &App, actor: &Actor, only: Option<&str>) -> Result<Changes> {
    let mut rows = actor.scope.services().select_only().columns([service::Column::Id, service::Column::ChangedAt]);
    if let Some(id) = only {
        rows = rows.filter(service::Column::Id.eq(id));
    }
    let found: Vec<(String, DateTime<Utc>)> = rows.into_tuple().all(app.db.read()).await?;
    Ok(found.into_iter().collect())
}

/// What came, changed or went.
#[must_use]
pub fn between(before: &Changes, now: &Changes) -> Vec<(String, ChangeKind)> {
    let gone = before.keys().filter(|id| !now.contains_key(*id)).map(|id| (id.clone(), ChangeKind::Removed));
    let other = now.iter().filter_map(|(id, at)| match before.get(id) {
        None => Some((id.clone(), ChangeKind::Added)),
        Some(seen) if seen != at => Some((id.clone(), ChangeKind::Changed)),
        Some(_) => None,
    });
    gone.chain(other).collect()
}
