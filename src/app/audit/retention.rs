//! Entries of the audit trail that were kept for long enough.

use chrono::{DateTime, TimeDelta, Utc};
use entity::audit_event;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};

use crate::app::{App, Result};

/// Entries that one statement deletes.
const SLICE: usize = 1_000;

/// Forgets what was written longer ago than `audit.retention`, of all organizations, the oldest first; nothing where the trail
/// is kept for ever. It may be cut short, and goes on the next time.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn forget_old(app: &App) -> Result<()> {
    let before = app.settings.audit_retention.and_then(|kept| TimeDelta::from_std(kept).ok());
    let before = before.and_then(|kept| app.clock.now().checked_sub_signed(kept));
    // Longer than there have been times is for ever, too.
    let Some(before) = before else { return Ok(()) };
    let mut forgotten = 0;
    loop {
        let ids = oldest(app, before).await?;
        if ids.is_empty() {
            break;
        }
        let count = ids.len();
        audit_event::Entity::delete_many().filter(audit_event::Column::Id.is_in(ids)).exec(app.db.read_write()).await?;
        forgotten += count;
        if count < SLICE {
            break;
        }
    }
    if forgotten > 0 {
        tracing::info!(entries = forgotten, %before, "the audit trail's retention is over for entries, and they are gone");
    }
    Ok(())
}

/// Some of the entries of before then. Ids are ordered by time, so that only the beginning of the table is looked at.
async fn oldest(app: &App, before: DateTime<Utc>) -> Result<Vec<String>> {
    let first: Vec<(String, DateTime<Utc>)> = audit_event::Entity::find()
        .select_only()
        .column(audit_event::Column::Id)
        .column(audit_event::Column::At)
        .order_by_asc(audit_event::Column::Id)
        .limit(u64::try_from(SLICE).unwrap_or(u64::MAX))
        .into_tuple()
        .all(app.db.read())
        .await?;
    Ok(first.into_iter().filter(|(_, at)| *at < before).map(|(id, _)| id).collect())
}
