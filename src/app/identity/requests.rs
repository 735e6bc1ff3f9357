//! Requests a minute, counted for all servers of a database together.

use chrono::TimeDelta;
use entity::request_window;
use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait as _, OnConflict};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, Set};

use crate::app::{App, Result};

const fn minute() -> TimeDelta {
    TimeDelta::minutes(1)
}

/// Counts a request of somebody in their window of a minute. None: they may go on; else after so many seconds.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn count(app: &App, subject: &str, per_minute: u32) -> Result<Option<u64>> {
    let now = app.clock.now();
    let begun = Expr::col((request_window::Entity, request_window::Column::BegunAt));
    let count = Expr::col((request_window::Entity, request_window::Column::Count));
    let is_over = begun.clone().lte(now - minute());
    let once_more = CaseStatement::new().case(is_over.clone(), 1).finally(count.add(1));
    let since = CaseStatement::new().case(is_over, now).finally(begun);
    let counted = OnConflict::column(request_window::Column::Subject)
        .value(request_window::Column::Count, once_more)
        .value(request_window::Column::BegunAt, since)
        .to_owned();
    let row = request_window::ActiveModel { subject: Set(subject.to_owned()), begun_at: Set(now), count: Set(1) };
    let row = request_window::Entity::insert(row).on_conflict(counted).exec_with_returning(app.db.read_write()).await?;
    if i64::from(row.count) <= i64::from(per_minute) {
        return Ok(None);
    }
    let left = (row.begun_at + minute() - now).num_seconds();
    Ok(Some(u64::try_from(left).unwrap_or(0) + 1))
}

/// Forgets windows that are over.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn forget_old(app: &App) -> Result<()> {
    let old = request_window::Column::BegunAt.lte(app.clock.now() - minute());
    request_window::Entity::delete_many().filter(old).exec(app.db.read_write()).await?;
    Ok(())
}
