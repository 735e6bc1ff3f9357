//! What a scan that has ended means for the findings of its service.
//!
//! A scan says that it has ended in one short transaction, and from then on its findings, its counts and what became of
//! others by it are so. A hundred thousand rows take longer to write than the database's writer may be held: they are
//! written in slices after that, and `scan.settled` says when all of them are. Whoever asks for findings meanwhile writes
//! what is left first ([`up_to_date`]), also when whoever began it was killed. A slice does
//! again what was done already, and nothing once the scan is settled.

use std::collections::{BTreeMap, BTreeSet};

use entity::{FindingState, WriteTx, finding, scan, scan_finding, service};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult, JoinType, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Select,
};

use super::list::severity_of;
use super::look::scope_of;
use super::waivers;
use super::word::{Word, names};
use crate::app::{App, Result, Scope};

/// Findings of one transaction: they take tens of milliseconds.
const SLICE: usize = 500;

/// Brings an organization's findings to where its scans and the clock say that they are. Asked before they are listed or
/// counted; nothing is written where nothing is left to write. What can't be written is shown as it is: the worker goes on with
/// it.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn up_to_date(app: &App, scope: &Scope) -> Result<()> {
    if let Err(error) = take_left(app, scope.scans()).await {
        tracing::warn!(%error, "what scans mean could not be written for whoever asks for findings");
    }
    waivers::open_expired(app).await
}

/// The same for all organizations, from time to time: nobody else may ask for a while.
///
/// # Errors
/// As [`up_to_date`].
pub async fn everywhere(app: &App) -> Result<()> {
    take_left(app, scan::Entity::find()).await?;
    waivers::open_expired(app).await
}

/// Writes what is left of some scans. Of all that ask at once in this server one writes, and the others wait for it.
pub(super) async fn take_left(app: &App, scans: Select<scan::Entity>) -> Result<()> {
    static WRITING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let left = scans.filter(scan::Column::Settled.eq(false)).filter(scan::Column::FinishedAt.is_not_null());
    let left = left.order_by_asc(scan::Column::FinishedAt);
    if left.clone().one(app.db.read()).await?.is_none() {
        return Ok(());
    }
    let _writing = WRITING.lock().await;
    for row in left.all(app.db.read()).await? {
        take(app, &row).await?;
    }
    Ok(())
}

/// Writes what a scan means that has ended with a result. Safe to repeat, by several at once too.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn take(app: &App, row: &scan::Model) -> Result<()> {
    if row.settled {
        return Ok(());
    }
    let mine = scope_of(row).services().filter(service::Column::Id.eq(&row.service_id));
    let Some(service) = mine.one(app.db.read()).await? else { return Ok(()) };
    let word = Word::of(app, &service, row).await?;
    let gone = word.gone(app.db.read(), row).await?;
    take_known(app, row, (&word, &gone)).await
}

/// The same for whoever knows already what is gone.
pub(super) async fn take_known(app: &App, row: &scan::Model, (word, gone): (&Word, &[String])) -> Result<()> {
    let effect = Effect { app, row, word };
    if !effect.seen().await? || !effect.gone(gone).await? {
        return Ok(());
    }
    scan::Entity::update_many()
        .col_expr(scan::Column::Settled, Expr::value(true))
        .filter(scan::Column::Id.eq(&row.id))
        .exec(app.db.read_write())
        .await?;
    Ok(())
}

struct Effect<'a> {
    app: &'a App,
    row: &'a scan::Model,
    word: &'a Word,
}

/// What a scan saw, and what is known of it.
#[derive(FromQueryResult)]
struct Met {
    finding_id: String,
    seen_rank: i32,
    seen_by: serde_json::Value,
    state: FindingState,
    rank: i32,
    detected_by: serde_json::Value,
    on_default: bool,
    lane: String,
}

/// What holds of findings by now.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Now {
    rank: i32,
    detected_by: BTreeSet<String>,
}

/// What is to be written of a slice.
#[derive(Default)]
struct Changes {
    /// Findings of which something else holds.
    now: BTreeMap<Now, Vec<String>>,
    /// What was open, and the service's own branch has it for the first time.
    merged: Vec<String>,
    /// What nobody knew and what was fixed.
    opened: Vec<String>,
    /// What nobody knew, and newer commits don't have.
    old: Vec<String>,
    /// What has become worse, and may be worse now than what was waived of it.
    worse: Vec<String>,
}

impl Effect<'_> {
    /// What it saw. False: somebody else has written all there was to write.
    async fn seen(&self) -> Result<bool> {
        let mut behind = String::new();
        loop {
            let met = self.after(&behind).await?;
            let Some(last) = met.last() else { return Ok(true) };
            behind.clone_from(&last.finding_id);
            let mut changes = Changes::default();
            met.into_iter().for_each(|one| self.judge(one, &mut changes));
            if !changes.is_empty() && !self.write(changes).await? {
                return Ok(false);
            }
        }
    }

    async fn after(&self, behind: &str) -> Result<Vec<Met>> {
        let to_finding = scan_finding::Entity::belongs_to(finding::Entity)
            .from(scan_finding::Column::FindingId)
            .to(finding::Column::Id)
            .into();
        Ok(scan_finding::Entity::find()
            .select_only()
            .column(scan_finding::Column::FindingId)
            .column_as(scan_finding::Column::Rank, "seen_rank")
            .column_as(scan_finding::Column::DetectedBy, "seen_by")
            .columns([
                finding::Column::State,
                finding::Column::Rank,
                finding::Column::DetectedBy,
                finding::Column::OnDefault,
                finding::Column::Lane,
            ])
            .join(JoinType::InnerJoin, to_finding)
            .filter(scan_finding::Column::ScanId.eq(&self.row.id))
            .filter(scan_finding::Column::FindingId.gt(behind))
            .order_by_asc(scan_finding::Column::FindingId)
            .limit(SLICE as u64)
            .into_model::<Met>()
            .all(self.app.db.read())
            .await?)
    }

    fn judge(&self, met: Met, changes: &mut Changes) {
        let same = (met.seen_rank, &met.seen_by, &met.lane) == (met.rank, &met.detected_by, &self.row.lane);
        if same && met.state == FindingState::Open && met.on_default == self.word.is_default {
            return;
        }
        let seen_by = names(&met.seen_by);
        let (is_new, is_old) = (met.state == FindingState::Pending, self.word.is_old(&seen_by));
        let counts = self.word.counts(met.on_default, &seen_by);
        if !counts && !is_new {
            return;
        }
        let before = Now { rank: met.rank, detected_by: names(&met.detected_by) };
        // A tool that has no result this time has not said that it sees it no more.
        let silent = before.detected_by.difference(&self.word.succeeded).cloned();
        let now = Now {
            rank: met.seen_rank,
            detected_by: if is_new { seen_by } else { seen_by.into_iter().chain(silent).collect() },
        };
        if now.rank < before.rank {
            // Whether it is ignored is seen when it is written: somebody may do so this moment.
            changes.worse.push(met.finding_id.clone());
        }
        match met.state {
            FindingState::Pending if is_old => changes.old.push(met.finding_id.clone()),
            FindingState::Pending | FindingState::Fixed => changes.opened.push(met.finding_id.clone()),
            FindingState::Open | FindingState::Ignored if self.word.is_default && !met.on_default => {
                changes.merged.push(met.finding_id.clone());
            }
            FindingState::Open | FindingState::Ignored => {}
        }
        if now != before || met.lane != self.row.lane {
            changes.now.entry(now).or_default().push(met.finding_id);
        }
    }

    async fn write(&self, changes: Changes) -> Result<bool> {
        let tx = self.app.begin().await?;
        if !self.is_left(&tx).await? {
            return Ok(false);
        }
        hold(self.app, &tx, changes.ids()).await?;
        use finding::Column as C;
        let (app, update) = (self.app, finding::Entity::update_many);
        for (now, ids) in changes.now {
            update()
                .col_expr(C::Rank, Expr::value(now.rank))
                .col_expr(C::Severity, Expr::value(entity::Severity::from(severity_of(now.rank))))
                .col_expr(C::DetectedBy, Expr::value(serde_json::to_value(&now.detected_by)?))
                .col_expr(C::Lane, Expr::value(self.row.lane.as_str()))
                .filter(C::Id.is_in(ids))
                .exec(&tx)
                .await?;
        }
        if !changes.merged.is_empty() {
            update().col_expr(C::OnDefault, Expr::value(true)).filter(C::Id.is_in(changes.merged)).exec(&tx).await?;
        }
        let waived = waivers::holds(app.clock.now(), Expr::col((finding::Entity, C::Rank)));
        if !changes.opened.is_empty() {
            // What somebody has ignored for longer stays ignored.
            update()
                .col_expr(C::State, Expr::value(FindingState::Ignored))
                .col_expr(C::OnDefault, Expr::col(C::OnDefault).or(self.word.is_default))
                .filter(C::State.eq(FindingState::Fixed))
                .filter(waived.clone())
                .filter(C::Id.is_in(&changes.opened))
                .exec(&tx)
                .await?;
            // What is opened counts, so that the service's own branch has it where this is its scan.
            let mut opened = waivers::opened();
            if self.word.is_default {
                opened = opened.col_expr(C::OnDefault, Expr::value(true));
            }
            opened
                .filter(C::State.is_in([FindingState::Pending, FindingState::Fixed]))
                .filter(C::Id.is_in(changes.opened))
                .exec(&tx)
                .await?;
        }
        if !changes.old.is_empty() {
            update()
                .col_expr(C::State, Expr::value(FindingState::Fixed))
                .filter(C::State.eq(FindingState::Pending))
                .filter(C::Id.is_in(changes.old))
                .exec(&tx)
                .await?;
        }
        if !changes.worse.is_empty() {
            waivers::opened()
                .filter(C::State.eq(FindingState::Ignored))
                .filter(waived.not())
                .filter(C::Id.is_in(changes.worse))
                .exec(&tx)
                .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// What it no longer saw. False: somebody else has written all there was to write.
    async fn gone(&self, gone: &[String]) -> Result<bool> {
        for ids in gone.chunks(SLICE) {
            let tx = self.app.begin().await?;
            if !self.is_left(&tx).await? {
                return Ok(false);
            }
            hold(self.app, &tx, ids.to_vec()).await?;
            finding::Entity::update_many()
                .col_expr(finding::Column::State, Expr::value(FindingState::Fixed))
                .filter(finding::Column::State.is_in([FindingState::Open, FindingState::Ignored]))
                .filter(finding::Column::Id.is_in(ids))
                .exec(&tx)
                .await?;
            tx.commit().await?;
        }
        Ok(true)
    }

    /// Whether the scan is not settled yet: once it is, a later one may have said something else. Held until the transaction
    /// ends, so that of several who write it one does at a time.
    async fn is_left(&self, tx: &WriteTx) -> Result<bool> {
        let row = scan::Entity::find_by_id(&self.row.id).filter(scan::Column::Settled.eq(false));
        Ok(row.lock_exclusive().one(tx).await?.is_some())
    }
}

/// Takes findings in the order of their ids, before any of them is changed: of two that change the same ones, here or while a
/// scan is stored, one waits for the other instead of each for the other.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn hold(app: &App, tx: &impl ConnectionTrait, ids: Vec<String>) -> Result<()> {
    if app.db.is_postgres() {
        let held = finding::Entity::find().select_only().column(finding::Column::Id);
        let held = held.filter(finding::Column::Id.is_in(ids)).order_by_asc(finding::Column::Id).lock_exclusive();
        held.into_tuple::<String>().all(tx).await?;
    }
    Ok(())
}

impl Changes {
    fn ids(&self) -> Vec<String> {
        let lists = [&self.merged, &self.opened, &self.old, &self.worse];
        self.now.values().chain(lists).flatten().cloned().collect::<BTreeSet<String>>().into_iter().collect()
    }

    fn is_empty(&self) -> bool {
        self.now.is_empty()
            && self.merged.is_empty()
            && self.opened.is_empty()
            && self.old.is_empty()
            && self.worse.is_empty()
    }
}
