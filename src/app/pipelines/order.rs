//! Which of two pipelines of a branch is of the newer commit.

use entity::pipeline;
use sea_orm::{ColumnTrait as _, ConnectionTrait, QueryFilter as _};

use crate::app::{Result, Scope};

/// The place of a pipeline among those of its service: a higher one is of a newer push. A retry is as old as the run that it
/// repeats, and so is what a replayed delivery started.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(in crate::app) async fn of(db: &impl ConnectionTrait, scope: &Scope, row: &pipeline::Model) -> Result<i32> {
    let Some(first) = &row.retry_of else { return Ok(row.number) };
    let first = scope.pipelines().filter(pipeline::Column::Id.eq(first)).one(db).await?;
    Ok(first.map_or(row.number, |first| first.number))
}
