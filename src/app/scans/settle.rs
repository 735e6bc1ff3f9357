//! The end of a scan, in one transaction: what it saw is open, what it no longer saw is fixed, and it says how it
//! compares with the one before it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use entity::{FindingState, RunStatus as Stored, environment, finding, scan, scan_finding, service};
use sea_orm::sea_query::{Expr, ExprTrait as _, Query, SelectStatement};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};

use super::look::scope_of;
use super::machine::{self, ToolState, has_result};
use crate::app::deployments::{PRODUCTION, environments};
use crate::app::services::update::for_change;
use crate::app::{App, Event, Result};
use crate::domain::scan::ScanKind;
use crate::domain::status::RunStatus;
use crate::queue::Claim;

/// Rows that one statement names at most.
const BATCH: usize = 1000;

/// What becomes of the job that a scan ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Ending {
    /// It ends with the scan.
    EndsJob,
    /// It goes on: it is a pipeline's.
    KeepsJob,
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
    let tx = app.begin().await?;
    // Held by everybody who ends a scan of the service: the last one has the last word.
    let service = for_change(&tx, &scope_of(row), &row.service_id).await?;
    let mine = match ending {
        Ending::EndsJob => claim.complete(&tx).await?,
        Ending::KeepsJob => claim.renew(&tx, app.clock.now() + app.settings.job_lease).await?,
    };
    if !mine {
        return Ok(None);
    }
    let ended = finish(app, &tx, (row, &service), verdict).await?;
    tx.commit().await?;
    app.events.publish(Event::Scan { scan_id: ended.id.clone() });
    environments::changed(app, &service);
    Ok(Some(ended))
}

/// Writes the end of a scan with its caller's transaction, which holds the service.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn finish(
    app: &App,
    tx: &impl ConnectionTrait,
    (row, service): (&scan::Model, &service::Model),
    verdict: (RunStatus, Option<String>),
) -> Result<scan::Model> {
    let now = app.clock.now();
    let (status, _) = verdict;
    let mut change = machine::end(row, verdict, now)?;
    change.counts = Set(row.counts.clone());
    if matches!(status, RunStatus::Succeeded | RunStatus::Incomplete) {
        let tools = machine::tools_of(row)?;
        let looked = Looked { app, row, service, now, tools };
        let (new, fixed) = looked.settle(tx).await?;
        change.new_findings = Set(new);
        change.fixed_findings = Set(fixed);
    }
    let ended = change.update(tx).await?;
    let mut touched: service::ActiveModel = service.clone().into();
    touched.changed_at = Set(now);
    touched.update(tx).await?;
    Ok(ended)
}

/// Whether a lane is that which says what a service is like: its branch; of what runs, production or the only environment
/// there is; of a service that is made of images, those.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(super) async fn is_default(app: &App, service: &service::Model, lane: &str) -> Result<bool> {
    let Some(name) = lane.strip_prefix(super::start::ENVIRONMENT_LANE) else {
        let own = service.git_branch.as_ref().map(|branch| format!("{}{branch}", super::start::BRANCH_LANE));
        return Ok(own.is_none_or(|own| own == lane));
    };
    let places = environment::Entity::find()
        .filter(environment::Column::ServiceId.eq(&service.id))
        .filter(environment::Column::Name.ne(name));
    Ok(name == PRODUCTION || places.count(app.db.read()).await? == 0)
}

/// A scan whose tools have looked, and whose findings are stored.
struct Looked<'a> {
    app: &'a App,
    row: &'a scan::Model,
    service: &'a service::Model,
    now: DateTime<Utc>,
    tools: Vec<ToolState>,
}

impl Looked<'_> {
    /// How many of its findings are new on its lane, and how many of the scan before it are fixed.
    async fn settle(&self, tx: &impl ConnectionTrait) -> Result<(i64, i64)> {
        let before = self.before(tx).await?;
        // Counted before anything is opened: what nobody knew is PENDING.
        let new = self.newly_seen(tx, before.as_ref()).await?;
        let gone = self.gone(tx).await?;
        let fixed = match &before {
            Some(before) => self.fixed(tx, before, &gone).await?,
            None => 0,
        };
        self.open(tx).await?;
        for ids in gone.chunks(BATCH) {
            finding::Entity::update_many()
                .col_expr(finding::Column::State, Expr::value(FindingState::Fixed))
                .filter(finding::Column::Id.is_in(ids))
                .exec(tx)
                .await?;
        }
        Ok((new, fixed))
    }

    /// The scan before it of this kind on its lane that has a result.
    async fn before(&self, tx: &impl ConnectionTrait) -> Result<Option<scan::Model>> {
        Ok(scan::Entity::find()
            .filter(scan::Column::ServiceId.eq(&self.row.service_id))
            .filter(scan::Column::Kind.eq(self.row.kind))
            .filter(scan::Column::Lane.eq(&self.row.lane))
            .filter(scan::Column::Id.lt(&self.row.id))
            .filter(scan::Column::Status.is_in([Stored::Succeeded, Stored::Incomplete]))
            .filter(scan::Column::Pruned.eq(false))
            .order_by_desc(scan::Column::Id)
            .one(tx)
            .await?)
    }

    /// What it saw opens: what nobody knew, and what was fixed. What somebody has ignored for longer stays ignored.
    async fn open(&self, tx: &impl ConnectionTrait) -> Result<()> {
        let mine = || finding::Column::Id.in_subquery(seen_by(&self.row.id));
        let waived = Condition::all().add(finding::Column::IgnoredReason.is_not_null()).add(
            Condition::any()
                .add(finding::Column::IgnoredUntil.is_null())
                .add(finding::Column::IgnoredUntil.gt(self.now)),
        );
        finding::Entity::update_many()
            .col_expr(finding::Column::State, Expr::value(FindingState::Ignored))
            .filter(finding::Column::State.eq(FindingState::Fixed))
            .filter(waived)
            .filter(mine())
            .exec(tx)
            .await?;
        finding::Entity::update_many()
            .col_expr(finding::Column::State, Expr::value(FindingState::Open))
            .filter(finding::Column::State.is_in([FindingState::Pending, FindingState::Fixed]))
            .filter(mine())
            .exec(tx)
            .await?;
        Ok(())
    }

    /// How many it saw that the scan before did not. What only tools report that had no result then, and was known all the
    /// same, is not new.
    async fn newly_seen(&self, tx: &impl ConnectionTrait, before: Option<&scan::Model>) -> Result<i64> {
        let mine = scan_finding::Entity::find().filter(scan_finding::Column::ScanId.eq(&self.row.id));
        let Some(before) = before else { return count(mine.count(tx).await?) };
        let fresh = mine.filter(Expr::exists(seen_too(&before.id)).not());
        let silent: BTreeSet<String> = match has_result(before) {
            true => machine::tools_of(before)?.into_iter().filter(|t| !t.succeeded()).map(|t| t.name).collect(),
            false => BTreeSet::new(),
        };
        if silent.is_empty() {
            return count(fresh.count(tx).await?);
        }
        let rows: Vec<(serde_json::Value, FindingState)> = fresh
            .select_only()
            .join(
                sea_orm::JoinType::InnerJoin,
                scan_finding::Entity::belongs_to(finding::Entity)
                    .from(scan_finding::Column::FindingId)
                    .to(finding::Column::Id)
                    .into(),
            )
            .column(finding::Column::DetectedBy)
            .column(finding::Column::State)
            .into_tuple()
            .all(tx)
            .await?;
        let is_new = |(by, state): &(serde_json::Value, FindingState)| {
            let by: BTreeSet<String> = serde_json::from_value(by.clone()).unwrap_or_default();
            *state == FindingState::Pending || !by.is_subset(&silent)
        };
        count(rows.iter().filter(|row| is_new(row)).count() as u64)
    }

    /// How many of the scan before are gone with this one.
    async fn fixed(&self, tx: &impl ConnectionTrait, before: &scan::Model, gone: &[String]) -> Result<i64> {
        let mut fixed = 0;
        for ids in gone.chunks(BATCH) {
            let seen = scan_finding::Entity::find()
                .filter(scan_finding::Column::ScanId.eq(&before.id))
                .filter(scan_finding::Column::FindingId.is_in(ids));
            fixed += seen.count(tx).await?;
        }
        count(fixed)
    }

    /// What it had to see and did not: of the service's own lane, what was ever seen there; of another, what was seen there
    /// last and never on the service's own. A tool that has no result has not looked, and what only such tools report stays.
    async fn gone(&self, tx: &impl ConnectionTrait) -> Result<Vec<String>> {
        let mut open = finding::Entity::find()
            .select_only()
            .column(finding::Column::Id)
            .column(finding::Column::DetectedBy)
            .filter(finding::Column::ServiceId.eq(&self.row.service_id))
            .filter(finding::Column::Kind.eq(self.row.kind))
            .filter(finding::Column::State.is_in([FindingState::Open, FindingState::Ignored]))
            .filter(finding::Column::Id.not_in_subquery(seen_by(&self.row.id)));
        let default = is_default(self.app, self.service, &self.row.lane).await?;
        open = open.filter(finding::Column::OnDefault.eq(default));
        if !default {
            open = open.filter(finding::Column::Lane.eq(&self.row.lane));
        }
        let rows: Vec<(String, serde_json::Value)> = open.into_tuple().all(tx).await?;
        let kind = ScanKind::from(self.row.kind);
        let declared = self.app.settings.scanners.iter().filter(|tool| tool.kind == kind);
        let declared: BTreeSet<&str> = declared.map(|tool| tool.name.as_str()).collect();
        let succeeded: BTreeSet<&str> =
            self.tools.iter().filter(|tool| tool.succeeded()).map(|tool| tool.name.as_str()).collect();
        let is_gone = |by: &serde_json::Value| {
            let by: Vec<String> = serde_json::from_value(by.clone()).unwrap_or_default();
            // Tools that are no longer declared will never look again: those that are have the word.
            let mut asked = by.iter().filter(|name| declared.contains(name.as_str())).peekable();
            asked.peek().is_some() && asked.all(|name| succeeded.contains(name.as_str()))
        };
        Ok(rows.into_iter().filter(|(_, by)| is_gone(by)).map(|(id, _)| id).collect())
    }
}

/// The findings that a scan saw.
pub(super) fn seen_by(scan_id: &str) -> SelectStatement {
    Query::select()
        .column(scan_finding::Column::FindingId)
        .from(scan_finding::Entity)
        .and_where(scan_finding::Column::ScanId.eq(scan_id))
        .take()
}

/// Whether another scan saw the finding of a row too.
fn seen_too(scan_id: &str) -> SelectStatement {
    let other = sea_orm::sea_query::Alias::new("other");
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

fn count(n: u64) -> Result<i64> {
    i64::try_from(n).map_err(crate::app::Error::internal)
}
