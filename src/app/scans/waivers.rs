//! Waivers that have run out: what was ignored until then is open again.

use entity::{FindingState, finding};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};

use crate::app::{App, Result};

/// What was ignored until a time that has come.
fn over(app: &App) -> Condition {
    Condition::all()
        .add(finding::Column::State.eq(FindingState::Ignored))
        .add(finding::Column::IgnoredUntil.lte(app.clock.now()))
}

/// Opens all findings whose waiver has run out, so that lists, filters and counts say the same. Asked before each of them;
/// nothing is written where nothing has run out.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn open_expired(app: &App) -> Result<()> {
    if finding::Entity::find().filter(over(app)).count(app.db.read()).await? == 0 {
        return Ok(());
    }
    finding::Entity::update_many()
        .col_expr(finding::Column::State, Expr::value(FindingState::Open))
        .filter(over(app))
        .exec(app.db.read_write())
        .await?;
    Ok(())
}
