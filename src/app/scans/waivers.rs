//! Waivers: what somebody has ignored, for how long, and how bad that was.

use chrono::{DateTime, Utc};
use entity::{FindingState, finding};
use sea_orm::sea_query::{Expr, ExprTrait as _, SimpleExpr};
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, UpdateMany};

use crate::app::{App, Result};

/// Whether the waiver of a finding holds at a time where the finding is as bad as this rank: it has one, which has not run
/// out, and what was waived is as bad or worse.
pub(super) fn holds(now: DateTime<Utc>, rank: impl Into<SimpleExpr>) -> Condition {
    let found = |column| Expr::col((finding::Entity, column));
    let goes_on = Condition::any()
        .add(found(finding::Column::IgnoredUntil).is_null())
        .add(found(finding::Column::IgnoredUntil).gt(now));
    Condition::all()
        .add(found(finding::Column::IgnoredReason).is_not_null())
        .add(found(finding::Column::WaivedRank).is_not_null())
        .add(found(finding::Column::WaivedRank).lte(rank.into()))
        .add(goes_on)
}

/// Opens findings, whose waivers are over with that, for its caller to say which.
pub(super) fn opened() -> UpdateMany<finding::Entity> {
    finding::Entity::update_many()
        .col_expr(finding::Column::State, Expr::value(FindingState::Open))
        .col_expr(finding::Column::IgnoredReason, Expr::value(Option::<String>::None))
        .col_expr(finding::Column::IgnoredUntil, Expr::value(Option::<DateTime<Utc>>::None))
        .col_expr(finding::Column::IgnoredBy, Expr::value(Option::<String>::None))
        .col_expr(finding::Column::WaivedRank, Expr::value(Option::<i32>::None))
}

/// Opens all findings whose waiver has run out, so that lists, filters and counts say the same. Asked before each of them;
/// nothing is written where nothing has run out.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(super) async fn open_expired(app: &App) -> Result<()> {
    let over = Condition::all()
        .add(finding::Column::State.eq(FindingState::Ignored))
        .add(finding::Column::IgnoredUntil.lte(app.clock.now()));
    if finding::Entity::find().filter(over.clone()).count(app.db.read()).await? == 0 {
        return Ok(());
    }
    opened().filter(over).exec(app.db.read_write()).await?;
    Ok(())
}
