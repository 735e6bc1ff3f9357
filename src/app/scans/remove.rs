//! A service that is removed is scanned no more, and what scans saw of it goes with it.

use entity::{finding, scan, scan_finding, security_gate, service};
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QuerySelect as _};

use super::{prune, settle};
use crate::app::{App, Event, Result};
use crate::domain::status::RunStatus;
use crate::queue;

/// Findings that one statement deletes.
const BATCH: u64 = 2_000;

/// Ends all scans of a service that are no pipeline's. Safe to repeat.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn cancel_all(app: &App, service: &service::Model) -> Result<()> {
    for row in at_work(app.db.read_write(), &service.id).await? {
        let tx = app.begin().await?;
        let held = crate::app::services::update::for_change(&tx, &super::look::scope_of(&row), &service.id).await?;
        let Some(row) = scan::Entity::find_by_id(&row.id).one(&tx).await?.filter(|row| row.finished_at.is_none())
        else {
            continue;
        };
        if queue::withdraw(&tx, &row.id, super::RUN).await? > 0 {
            let why = Some("the service is being removed".to_owned());
            settle::finish(app, &tx, (&row, &held), (RunStatus::Canceled, why), None).await?;
        } else {
            scan::Entity::update_many()
                .col_expr(scan::Column::CancelRequested, Expr::value(true))
                .filter(scan::Column::Id.eq(&row.id))
                .exec(&tx)
                .await?;
            queue::hurry(&tx, &row.id, app.clock.now()).await?;
        }
        tx.commit().await?;
        app.events.publish(Event::Scan { scan_id: row.id.clone() });
        app.events.publish(Event::Jobs);
    }
    Ok(())
}

/// Whether any scan of a service that is no pipeline's has not ended yet.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(in crate::app) async fn any_left(db: &impl ConnectionTrait, service_id: &str) -> Result<bool> {
    Ok(!at_work(db, service_id).await?.is_empty())
}

async fn at_work(db: &impl ConnectionTrait, service_id: &str) -> Result<Vec<scan::Model>> {
    Ok(scan::Entity::find()
        .filter(scan::Column::ServiceId.eq(service_id))
        .filter(scan::Column::FinishedAt.is_null())
        .filter(scan::Column::PipelineId.is_null().or(scan::Column::DeploymentId.is_not_null()))
        .all(db)
        .await?)
}

/// Deletes what scans saw of a service, in statements that are short: none of them is at work any more, and nobody is shown
/// it for much longer.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn findings_of(app: &App, service_id: &str) -> Result<()> {
    let scans: Vec<String> = scan::Entity::find()
        .select_only()
        .column(scan::Column::Id)
        .filter(scan::Column::ServiceId.eq(service_id))
        .into_tuple()
        .all(app.db.read_write())
        .await?;
    for id in &scans {
        prune::forget(app, id).await?;
    }
    loop {
        let some = Query::select()
            .column(finding::Column::Id)
            .from(finding::Entity)
            .and_where(finding::Column::ServiceId.eq(service_id))
            .limit(BATCH)
            .take();
        let gone = finding::Entity::delete_many()
            .filter(finding::Column::Id.in_subquery(some))
            .exec(app.db.read_write())
            .await?;
        if gone.rows_affected == 0 {
            return Ok(());
        }
    }
}

/// Deletes what is left of a service's scans, with the transaction in which it goes.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn forget_all(tx: &impl ConnectionTrait, service_id: &str) -> Result<()> {
    let scans = || {
        Query::select()
            .column(scan::Column::Id)
            .from(scan::Entity)
            .and_where(scan::Column::ServiceId.eq(service_id))
            .take()
    };
    scan_finding::Entity::delete_many().filter(scan_finding::Column::ScanId.in_subquery(scans())).exec(tx).await?;
    entity::scan_document::Entity::delete_many()
        .filter(entity::scan_document::Column::ScanId.in_subquery(scans()))
        .exec(tx)
        .await?;
    finding::Entity::delete_many().filter(finding::Column::ServiceId.eq(service_id)).exec(tx).await?;
    scan::Entity::delete_many().filter(scan::Column::ServiceId.eq(service_id)).exec(tx).await?;
    security_gate::Entity::delete_many().filter(security_gate::Column::Subject.eq(service_id)).exec(tx).await?;
    Ok(())
}
