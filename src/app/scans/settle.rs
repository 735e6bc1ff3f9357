//! The end of a scan: in one short transaction it says how it ended and how it compares with the one before it. What that
//! means for findings is written after it; see [`super::effect`].

use std::collections::BTreeSet;

use entity::{FindingState, finding, scan, scan_finding, service};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query, SelectStatement};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, JoinType,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};

use super::effect;
use super::look::scope_of;
use super::machine::{self, ToolState};
use super::word::{Word, alike, names};
use crate::app::deployments::environments;
use crate::app::services::update::for_change;
use crate::app::{App, Error, Event, Result};
use crate::domain::status::RunStatus;
use crate::queue::Claim;

/// Identities that one statement names at most.
const BATCH: usize = 1000;
/// How many times it is compared anew because another scan of the service ended meanwhile.
const TRIES: usize = 20;

/// What becomes of the job that a scan ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Ending {
    /// It ends with the scan.
    EndsJob,
    /// It goes on: it is a pipeline's.
    KeepsJob,
}

/// How a scan compares with the one before it.
pub(super) struct Compared {
    word: Word,
    /// Findings that are gone by this one, whoever saw them last.
    gone: Vec<String>,
    /// Findings that the one before did not see.
    new: i64,
    /// Findings of the one before that are fixed by this one.
    fixed: i64,
    /// Scans of the service that had ended by then.
    ended: u64,
}

/// Ends a scan. None: the job is another's.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn end(
    app: &App,
    claim: &Claim,
    (row, verdict): (&scan::Model, (RunStatus, Option<String>)),
    ending: Ending,
) -> Result<Option<scan::Model>> {
    let has_result = matches!(verdict.0, RunStatus::Succeeded | RunStatus::Incomplete);
    for _ in 0..TRIES {
        let compared = match has_result {
            true => Some(compare(app, row).await?),
            false => None,
        };
        let tx = app.begin().await?;
        // Held by everybody who ends a scan of the service: the last one has the last word.
        let service = for_change(&tx, &scope_of(row), &row.service_id).await?;
        if let Some(compared) = &compared
            && !is_still_so(&tx, row, compared).await?
        {
            continue;
        }
        let mine = match (ending, has_result) {
            (Ending::EndsJob, false) => claim.complete(&tx).await?,
            // What it means is yet to be written.
            _ => claim.renew(&tx, app.clock.now() + app.settings.job_lease).await?,
        };
        if !mine {
            return Ok(None);
        }
        let ended = finish(app, &tx, (row, &service), verdict, compared.as_ref()).await?;
        tx.commit().await?;
        app.events.publish(Event::Scan { scan_id: ended.id.clone() });
        if let Some(Compared { word, gone, .. }) = &compared {
            effect::take_known(app, &ended, (word, gone)).await?;
        }
        environments::changed(app, &service);
        if ending == Ending::EndsJob && has_result {
            let tx = app.begin().await?;
            let mine = claim.complete(&tx).await?;
            tx.commit().await?;
            return Ok(mine.then_some(ended));
        }
        return Ok(Some(ended));
    }
    Err(Error::internal("other scans of the service end all the time"))
}

/// Writes the end of a scan with its caller's transaction, which holds the service. One without a result is compared with
/// nothing.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn finish(
    app: &App,
    tx: &impl ConnectionTrait,
    (row, service): (&scan::Model, &service::Model),
    verdict: (RunStatus, Option<String>),
    compared: Option<&Compared>,
) -> Result<scan::Model> {
    let now = app.clock.now();
    let mut change = machine::end(row, verdict, now)?;
    change.counts = Set(row.counts.clone());
    change.settled = Set(compared.is_none());
    if let Some(compared) = compared {
        change.new_findings = Set(compared.new);
        change.fixed_findings = Set(compared.fixed);
    }
    let ended = change.update(tx).await?;
    let mut touched: service::ActiveModel = service.clone().into();
    touched.changed_at = Set(now);
    touched.update(tx).await?;
    Ok(ended)
}

/// Compares a scan whose findings are stored with the one before it, without holding anything.
async fn compare(app: &App, row: &scan::Model) -> Result<Compared> {
    let db = app.db.read();
    // First: what ends while this is compared is seen to have ended since.
    let ended = ended(db, row).await?;
    // What earlier ones mean has to be so before anything is compared with it.
    effect::take_left(app, of_service(row)).await?;
    let service = environments::service(db, &scope_of(row), &row.service_id).await?;
    let before = before(db, row).await?;
    let word = Word::of(app, &service, row).await?;
    let gone = word.gone(db, row).await?;
    let mut fixed = 0;
    if let Some(before) = &before {
        for ids in gone.chunks(BATCH) {
            let seen = scan_finding::Entity::find()
                .filter(scan_finding::Column::ScanId.eq(&before.id))
                .filter(scan_finding::Column::FindingId.is_in(ids));
            fixed += seen.count(db).await?;
        }
    }
    let new = number(newly_seen(db, row, before.as_ref()).await?)?;
    Ok(Compared { word, gone, new, fixed: number(fixed)?, ended })
}

/// Whether nothing has ended since that it would have to be compared with, and what has ended has taken effect.
async fn is_still_so(tx: &impl ConnectionTrait, row: &scan::Model, compared: &Compared) -> Result<bool> {
    let left = of_service(row).filter(scan::Column::Settled.eq(false)).count(tx).await?;
    Ok(left == 0 && ended(tx, row).await? == compared.ended)
}

async fn ended(db: &impl ConnectionTrait, row: &scan::Model) -> Result<u64> {
    Ok(of_service(row).count(db).await?)
}

/// Scans of the same service and kind that have ended.
fn of_service(row: &scan::Model) -> sea_orm::Select<scan::Entity> {
    scope_of(row)
        .scans()
        .filter(scan::Column::ServiceId.eq(&row.service_id))
        .filter(scan::Column::Kind.eq(row.kind))
        .filter(scan::Column::FinishedAt.is_not_null())
}

/// The scan before it of this kind on its lane that has a result: the newest of no newer commit.
async fn before(db: &impl ConnectionTrait, row: &scan::Model) -> Result<Option<scan::Model>> {
    let earlier = Condition::all().add(scan::Column::Turn.eq(row.turn)).add(scan::Column::Id.lt(&row.id));
    Ok(alike(row)
        .filter(Condition::any().add(scan::Column::Turn.lt(row.turn)).add(earlier))
        .filter(scan::Column::Pruned.eq(false))
        .order_by_desc(scan::Column::Turn)
        .order_by_desc(scan::Column::Id)
        .one(db)
        .await?)
}

/// How many it saw that the scan before did not. What only tools report that had no result then, and was known all the
/// same, is not new.
async fn newly_seen(db: &impl ConnectionTrait, row: &scan::Model, before: Option<&scan::Model>) -> Result<u64> {
    let mine = scan_finding::Entity::find().filter(scan_finding::Column::ScanId.eq(&row.id));
    let Some(before) = before else { return Ok(mine.count(db).await?) };
    let fresh = mine.filter(Expr::exists(seen_too(&before.id)).not());
    let silent = machine::tools_of(before)?.into_iter().filter(|tool| !ToolState::succeeded(tool));
    let silent: BTreeSet<String> = silent.map(|tool| tool.name).collect();
    if silent.is_empty() {
        return Ok(fresh.count(db).await?);
    }
    let to_finding = scan_finding::Entity::belongs_to(finding::Entity)
        .from(scan_finding::Column::FindingId)
        .to(finding::Column::Id)
        .into();
    let rows: Vec<(serde_json::Value, FindingState)> = fresh
        .select_only()
        .join(JoinType::InnerJoin, to_finding)
        .column(scan_finding::Column::DetectedBy)
        .column(finding::Column::State)
        .into_tuple()
        .all(db)
        .await?;
    let is_new = |(by, state): &&(serde_json::Value, FindingState)| {
        *state == FindingState::Pending || !names(by).is_subset(&silent)
    };
    Ok(rows.iter().filter(is_new).count() as u64)
}

/// Whether another scan saw the finding of a row too.
fn seen_too(scan_id: &str) -> SelectStatement {
    let other = Alias::new("other");
    Query::select()
        .expr(Expr::val(1))
        .from_as(scan_finding::Entity, other.clone())
        .and_where(Expr::col((other.clone(), scan_finding::Column::ScanId)).eq(scan_id))
        .and_where(
            Expr::col((other, scan_finding::Column::FindingId))
                .equals((scan_finding::Entity, scan_finding::Column::FindingId)),
        )
        .take()
}

fn number(n: u64) -> Result<i64> {
    i64::try_from(n).map_err(Error::internal)
}
