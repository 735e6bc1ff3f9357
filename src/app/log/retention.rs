//! Logs that were kept for long enough: one line is left of each, which says so.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{LogStream, deployment, log_line, pipeline};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query, SelectStatement};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};

use crate::app::{App, Result};

/// Logs that are looked for at once.
const RUNS: u64 = 50;
/// Lines that one statement deletes.
const LINES: i32 = 5_000;

/// Forgets the logs of pipelines and deployments that ended longer ago than `logs.retention`. It may be cut short, and goes on
/// the next time.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn forget_old(app: &App) -> Result<()> {
    let kept = app.settings.log_retention;
    let before = TimeDelta::from_std(kept).ok().and_then(|kept| app.clock.now().checked_sub_signed(kept));
    // Longer than there have been times is for ever.
    let Some(before) = before else { return Ok(()) };
    let note = format!("this log was kept for {}, and is gone", humantime::format_duration(kept));
    loop {
        let old = old(app, before).await?;
        for run_id in &old {
            forget(app, run_id, &note).await?;
        }
        if old.len() < usize::try_from(RUNS).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

/// Runs that ended before then, of whose log there is more than a line; some of them.
async fn old(app: &App, before: DateTime<Utc>) -> Result<Vec<String>> {
    let mut found: Vec<String> = pipeline::Entity::find()
        .select_only()
        .column(pipeline::Column::Id)
        .filter(pipeline::Column::FinishedAt.lt(before))
        .filter(Expr::exists(more_than_a_line_of("pipeline")))
        .limit(RUNS)
        .into_tuple()
        .all(app.db.read())
        .await?;
    let deployments: Vec<String> = deployment::Entity::find()
        .select_only()
        .column(deployment::Column::Id)
        .filter(deployment::Column::FinishedAt.lt(before))
        .filter(Expr::exists(more_than_a_line_of("deployment")))
        .limit(RUNS)
        .into_tuple()
        .all(app.db.read())
        .await?;
    found.extend(deployments);
    Ok(found)
}

fn more_than_a_line_of(table: &str) -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from(log_line::Entity)
        .and_where(Expr::col((log_line::Entity, log_line::Column::RunId)).equals((Alias::new(table), Alias::new("id"))))
        .and_where(log_line::Column::Seq.gte(2))
        .take()
}

async fn forget(app: &App, run_id: &str, note: &str) -> Result<()> {
    let of_run = log_line::Column::RunId.eq(run_id);
    // First of all, so that whoever reads meanwhile knows.
    log_line::Entity::update_many()
        .col_expr(log_line::Column::Text, Expr::value(note))
        .col_expr(log_line::Column::Stream, Expr::value(LogStream::System))
        .filter(of_run.clone())
        .filter(log_line::Column::Seq.eq(1))
        .exec(app.db.read_write())
        .await?;
    loop {
        let last: Option<i32> = log_line::Entity::find()
            .select_only()
            .expr(log_line::Column::Seq.max())
            .filter(of_run.clone())
            .into_tuple::<Option<i32>>()
            .one(app.db.read_write())
            .await?
            .flatten();
        // In slices, the last first: no writer waits for long.
        let Some(last) = last.filter(|last| *last >= 2) else { return Ok(()) };
        log_line::Entity::delete_many()
            .filter(of_run.clone())
            .filter(log_line::Column::Seq.gte(last.saturating_sub(LINES).clamp(2, last)))
            .exec(app.db.read_write())
            .await?;
    }
}
