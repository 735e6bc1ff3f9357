//! What older scans saw is forgotten: of each kind and lane as many are kept as revisions of an environment.

use entity::{scan, scan_document, scan_finding};
use sea_orm::sea_query::{Expr, ExprTrait as _, Query, SelectStatement};
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};

use crate::app::{App, Result};

/// Scans that are looked at after one has ended: more are met after the next.
const AT_ONCE: u64 = 5;
/// Rows that one statement deletes: the database's writer is not held for long.
const BATCH: u64 = 5_000;

/// Forgets what scans saw that are too old. What goes wrong here is tried again after the next scan.
pub(super) async fn after(app: &App, row: &scan::Model) {
    if let Err(error) = surplus(app, row).await {
        tracing::warn!(service = %row.service_id, %error, "what earlier scans saw could not be forgotten");
    }
}

async fn surplus(app: &App, row: &scan::Model) -> Result<()> {
    let old: Vec<String> = scan::Entity::find()
        .select_only()
        .column(scan::Column::Id)
        .filter(scan::Column::ServiceId.eq(&row.service_id))
        .filter(scan::Column::Kind.eq(row.kind))
        .filter(scan::Column::Lane.eq(&row.lane))
        .filter(scan::Column::FinishedAt.is_not_null())
        // One that was killed while it forgot goes on.
        .filter(Condition::any().add(scan::Column::Pruned.eq(false)).add(Expr::exists(still_seen())))
        .order_by_desc(scan::Column::Id)
        .offset(u64::from(app.settings.keep_revisions))
        .limit(AT_ONCE)
        .into_tuple()
        .all(app.db.read())
        .await?;
    for id in old {
        // Said first: what is left is then shown to nobody.
        scan::Entity::update_many()
            .col_expr(scan::Column::Pruned, Expr::value(true))
            .filter(scan::Column::Id.eq(&id))
            .exec(app.db.read_write())
            .await?;
        seen_by(app, &id).await?;
    }
    Ok(())
}

/// Whether anything is left of what the scan of a row saw.
fn still_seen() -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from(scan_finding::Entity)
        .and_where(
            Expr::col((scan_finding::Entity, scan_finding::Column::ScanId)).equals((scan::Entity, scan::Column::Id)),
        )
        .take()
}

/// Deletes what a scan saw and its document, in statements that are short.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn seen_by(app: &App, scan_id: &str) -> Result<()> {
    scan_document::Entity::delete_many()
        .filter(scan_document::Column::ScanId.eq(scan_id))
        .exec(app.db.read_write())
        .await?;
    loop {
        let ids: Vec<String> = scan_finding::Entity::find()
            .select_only()
            .column(scan_finding::Column::FindingId)
            .filter(scan_finding::Column::ScanId.eq(scan_id))
            .limit(BATCH)
            .into_tuple()
            .all(app.db.read_write())
            .await?;
        if ids.is_empty() {
            return Ok(());
        }
        scan_finding::Entity::delete_many()
            .filter(scan_finding::Column::ScanId.eq(scan_id))
            .filter(scan_finding::Column::FindingId.is_in(ids))
            .exec(app.db.read_write())
            .await?;
    }
}
