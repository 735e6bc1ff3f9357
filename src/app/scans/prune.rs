//! What older scans saw is forgotten. Of each kind and lane that of so many is kept as of revisions of an environment: of the
//! newest commits, and of those that have a result, since others saw nothing. The newest that is whole is kept however many
//! came after it: lists, gates and comparisons go back to it for what later ones could not see. So is what a gate would ask
//! of what serves: the scans of its pipeline.

use entity::{RunStatus, deployment, environment, scan, scan_document, scan_finding};
use sea_orm::sea_query::{Expr, ExprTrait as _, Query, SelectStatement};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, JoinType, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _,
};

use super::word::alike;
use crate::app::{App, Result};

/// Scans that are looked at after one has ended: more are met after the next.
const AT_ONCE: u64 = 5;
/// Rows that one statement deletes: the database's writer is not held for long.
const BATCH: u64 = 1_000;

/// Forgets what scans saw that are too old. What goes wrong here is tried again after the next scan.
pub(super) async fn after(app: &App, row: &scan::Model) {
    if let Err(error) = surplus(app, row).await {
        tracing::warn!(service = %row.service_id, %error, "what earlier scans saw could not be forgotten");
    }
}

async fn surplus(app: &App, row: &scan::Model) -> Result<()> {
    let newest = || alike(row).order_by_desc(scan::Column::Turn).order_by_desc(scan::Column::Id);
    let whole = newest().filter(scan::Column::Status.eq(RunStatus::Succeeded)).one(app.db.read()).await?;
    let old: Vec<String> = newest()
        .select_only()
        .column(scan::Column::Id)
        // What it means is read from what it saw.
        .filter(scan::Column::Settled.eq(true))
        // One that was killed while it forgot goes on.
        .filter(Condition::any().add(scan::Column::Pruned.eq(false)).add(Expr::exists(still_seen())))
        .filter(Condition::any().add(scan::Column::PipelineId.is_null()).add(serves(row).not()))
        .offset(u64::from(app.settings.keep_revisions))
        .limit(AT_ONCE)
        .into_tuple()
        .all(app.db.read())
        .await?;
    for id in old.iter().filter(|id| whole.as_ref().is_none_or(|whole| whole.id != **id)) {
        forget(app, id).await?;
    }
    Ok(())
}

/// Whether the pipeline of a scan built what serves in an environment of its service, or what waits to be deployed.
fn serves(row: &scan::Model) -> Condition {
    let serves = environment::Entity::find()
        .select_only()
        .join(
            JoinType::InnerJoin,
            environment::Entity::belongs_to(deployment::Entity)
                .from(environment::Column::CurrentDeploymentId)
                .to(deployment::Column::Id)
                .into(),
        )
        .column(deployment::Column::PipelineId)
        .filter(environment::Column::ServiceId.eq(&row.service_id))
        .filter(deployment::Column::PipelineId.is_not_null());
    let comes = deployment::Entity::find()
        .select_only()
        .column(deployment::Column::PipelineId)
        .filter(deployment::Column::ServiceId.eq(&row.service_id))
        .filter(deployment::Column::FinishedAt.is_null())
        .filter(deployment::Column::PipelineId.is_not_null());
    Condition::any()
        .add(scan::Column::PipelineId.in_subquery(serves.into_query()))
        .add(scan::Column::PipelineId.in_subquery(comes.into_query()))
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
pub(super) async fn forget(app: &App, scan_id: &str) -> Result<()> {
    // Said first: what is left is then shown to nobody.
    scan::Entity::update_many()
        .col_expr(scan::Column::Pruned, Expr::value(true))
        .filter(scan::Column::Id.eq(scan_id))
        .exec(app.db.read_write())
        .await?;
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
