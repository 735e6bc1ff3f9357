//! Requests a minute, counted for all servers of a database together.

use std::time::Duration;

use chrono::TimeDelta;
use entity::request_window;
use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait as _, OnConflict};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, Set};

use crate::app::{App, Result};

const fn minute() -> TimeDelta {
    TimeDelta::minutes(1)
}

/// What was counted of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Their requests in this window, the one that was just counted among them.
    pub count: u32,
    /// Until the window is over.
    pub left: Duration,
}

/// Counts a request of somebody in their window of a minute.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn count(app: &App, subject: &str) -> Result<Counted> {
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
    let left = (row.begun_at + minute() - now).to_std().unwrap_or_default();
    Ok(Counted { count: u32::try_from(row.count).unwrap_or(0), left })
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
