//! Reading scans and findings.

use std::collections::HashMap;
use std::sync::Arc;

use entity::{FindingState, finding, scan, scan_finding};
use sea_orm::sea_query::{Expr, ExprTrait as _, LikeExpr};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Select,
};

use super::{effect, machine};
use crate::app::page::{self, Count, Page};
use crate::app::{Actor, App, Error, Result, Scope};
use crate::domain::paging::{Cursor, PageRequest};
use crate::domain::scan::Severity;

/// Longest text that is looked for, in characters.
const SEARCH: usize = 200;

/// Which findings; all of the organization's when nothing is named.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one service.
    pub service_id: Option<String>,
    /// A part of the title, the rule or the place.
    pub search: Option<String>,
    /// Of one of these kinds.
    pub kinds: Option<Vec<entity::ScanKind>>,
    /// Of one of these severities.
    pub severities: Option<Vec<Severity>>,
    /// In one of these states.
    pub states: Option<Vec<FindingState>>,
}

/// Where a severity is in lists: 0 for the worst.
#[must_use]
pub fn rank_of(severity: Severity) -> i32 {
    match severity {
        Severity::Critical => 0,
        Severity::High => 1,
        Severity::Medium => 2,
        Severity::Low => 3,
        Severity::Info => 4,
    }
}

/// The severity of a rank.
#[must_use]
pub fn severity_of(rank: i32) -> Severity {
    Severity::ALL.into_iter().find(|severity| rank_of(*severity) == rank).unwrap_or(Severity::Info)
}

/// A page of a service's scans, newest first.
///
/// # Errors
/// BAD_USER_INPUT for a cursor of another list, INTERNAL when the database does not answer.
pub async fn scans(
    app: &App,
    actor: &Actor,
    (service_id, kind): (&str, Option<entity::ScanKind>),
    request: &PageRequest,
) -> Result<Page<scan::Model>> {
    let mut select = actor.scope.scans().filter(scan::Column::ServiceId.eq(service_id));
    if let Some(kind) = kind {
        select = select.filter(scan::Column::Kind.eq(kind));
    }
    page::by_id(app, select, scan::Column::Id, request, |row| row.id.clone()).await
}

/// One scan.
///
/// # Errors
/// NOT_FOUND.
pub async fn one(app: &App, actor: &Actor, id: &str) -> Result<scan::Model> {
    let found = actor.scope.scans().filter(scan::Column::Id.eq(id)).one(app.db.read()).await?;
    found.ok_or_else(|| Error::not_found("scan"))
}

/// The scans of many pipelines at once, by pipeline, oldest first.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn of_pipelines(
    app: &App,
    scope: &Scope,
    ids: &[String],
) -> Result<HashMap<String, Arc<Vec<Arc<scan::Model>>>>> {
    let rows = scope.scans().filter(scan::Column::PipelineId.is_in(ids)).order_by_asc(scan::Column::Id);
    let mut found: HashMap<String, Vec<Arc<scan::Model>>> = HashMap::new();
    for row in rows.all(app.db.read()).await? {
        if let Some(pipeline) = row.pipeline_id.clone() {
            found.entry(pipeline).or_default().push(Arc::new(row));
        }
    }
    Ok(found.into_iter().map(|(id, rows)| (id, Arc::new(rows))).collect())
}

/// Findings by their ids, many at once. Those that are still being stored are not among them.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn by_ids(app: &App, scope: &Scope, ids: &[String]) -> Result<HashMap<String, Arc<finding::Model>>> {
    effect::up_to_date(app, scope).await?;
    let rows = scope
        .findings()
        .filter(finding::Column::Id.is_in(ids))
        .filter(finding::Column::State.ne(FindingState::Pending))
        .all(app.db.read())
        .await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), Arc::new(row))).collect())
}

/// A page of findings, the worst first, and of those the newest.
///
/// # Errors
/// BAD_USER_INPUT for a cursor of another list, INTERNAL when the database does not answer.
pub async fn findings(
    app: &App,
    actor: &Actor,
    filter: &Filter,
    request: &PageRequest,
) -> Result<Page<finding::Model>> {
    effect::up_to_date(app, &actor.scope).await?;
    let all = [FindingState::Open, FindingState::Fixed, FindingState::Ignored];
    // Each once, however often somebody names it.
    let wanted = |state: &FindingState| filter.states.as_ref().is_none_or(|states| states.contains(state));
    let states: Vec<FindingState> = all.into_iter().filter(wanted).collect();
    let select = select(&actor.scope, filter);
    let behind = request.after.as_ref().map(place_of).transpose()?;
    // Each state by itself is read in the order of an index; what is read for nothing is less than what sorting takes.
    let mut rows = Vec::new();
    for state in &states {
        let mut of_state = select.clone().filter(finding::Column::State.eq(*state));
        if let Some((rank, id)) = &behind {
            of_state = of_state.filter(beyond((finding::Column::Rank, *rank), (finding::Column::Id, id)));
        }
        let of_state = of_state
            .order_by_asc(finding::Column::Rank)
            .order_by_desc(finding::Column::Id)
            .limit(u64::from(request.size) + 1);
        rows.extend(of_state.all(app.db.read()).await?);
    }
    rows.sort_by(|one, other| one.rank.cmp(&other.rank).then_with(|| other.id.cmp(&one.id)));
    let (db, counted) = (app.db.clone(), select.filter(finding::Column::State.is_in(states)));
    let count: Count = Arc::new(move || {
        let (db, counted) = (db.clone(), counted.clone());
        Box::pin(async move { Ok(counted.count(db.read()).await?) })
    });
    Ok(Page::new(request, rows, |row| cursor_of(row.rank, &row.id), count))
}

/// A page of what a scan saw, as bad as it was then, the worst first. Nothing before the scan has ended.
///
/// # Errors
/// As [`findings`].
pub async fn of_scan(
    app: &App,
    actor: &Actor,
    (scan, severity): (&scan::Model, Option<Severity>),
    request: &PageRequest,
) -> Result<Page<finding::Model>> {
    let mut select = scan_finding::Entity::find().filter(scan_finding::Column::ScanId.eq(&scan.id));
    if !machine::has_result(scan) || scan.pruned {
        select = select.filter(Expr::val(1).eq(0));
    }
    if let Some(severity) = severity {
        select = select.filter(scan_finding::Column::Rank.eq(rank_of(severity)));
    }
    let (db, counted) = (app.db.clone(), select.clone());
    let count: Count = Arc::new(move || {
        let (db, counted) = (db.clone(), counted.clone());
        Box::pin(async move { Ok(counted.count(db.read()).await?) })
    });
    if let Some(cursor) = &request.after {
        let (rank, id) = place_of(cursor)?;
        let column = (scan_finding::Column::FindingId, id.as_str());
        select = select.filter(beyond((scan_finding::Column::Rank, rank), column));
    }
    let seen = select
        .order_by_asc(scan_finding::Column::Rank)
        .order_by_desc(scan_finding::Column::FindingId)
        .limit(u64::from(request.size) + 1)
        .all(app.db.read())
        .await?;
    let ids: Vec<String> = seen.iter().map(|row| row.finding_id.clone()).collect();
    let rows = by_ids(app, &actor.scope, &ids).await?;
    let page = Page::new(request, seen, |row| cursor_of(row.rank, &row.finding_id), count);
    Ok(page.filter_map(|row| rows.get(&row.finding_id).map(|found| found.as_ref().clone())))
}

fn select(scope: &Scope, filter: &Filter) -> Select<finding::Entity> {
    // What is of one service is found by that, and is the organization's all the same.
    let mut select = scope.findings();
    if let Some(service_id) = &filter.service_id {
        select = select.filter(finding::Column::ServiceId.eq(service_id));
    }
    if let Some(kinds) = &filter.kinds {
        select = select.filter(finding::Column::Kind.is_in(page::each_once(kinds)));
    }
    if let Some(severities) = &filter.severities {
        let ranks = page::each_once(severities).into_iter().map(rank_of);
        select = select.filter(finding::Column::Rank.is_in(ranks));
    }
    if let Some(text) = filter.search.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        let mut places = Condition::any();
        for column in [finding::Column::Title, finding::Column::Rule, finding::Column::Location] {
            let lower = Expr::expr(sea_orm::sea_query::Func::lower(Expr::col((finding::Entity, column))));
            places = places.add(lower.like(contains(text)));
        }
        select = select.filter(places);
    }
    select
}

/// A text in which this one is, however it is written.
fn contains(text: &str) -> LikeExpr {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars().take(SEARCH) {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        // PostgreSQL takes no NUL in a text.
        pattern.push(if c == '\0' { '\u{fffd}' } else { c });
    }
    pattern.push('%');
    LikeExpr::new(pattern).escape('\\')
}

fn cursor_of(rank: i32, id: &str) -> Cursor {
    Cursor(vec![rank.to_string(), id.to_owned()])
}

fn place_of(cursor: &Cursor) -> Result<(i32, String)> {
    let foreign = || Error::bad_input("after", "this is no cursor of this list: use one from pageInfo or edges");
    match cursor.0.as_slice() {
        [rank, id] => Ok((rank.parse().map_err(|_| foreign())?, id.clone())),
        _ => Err(foreign()),
    }
}

/// What lies behind a place in the order of rank and id.
fn beyond<C: sea_orm::ColumnTrait>((rank_column, rank): (C, i32), (id_column, id): (C, &str)) -> Condition {
    let same = Condition::all().add(rank_column.eq(rank)).add(id_column.lt(id));
    Condition::any().add(rank_column.gt(rank)).add(same)
}

/// The word of a finding's state: a waiver that has run out counts no more.
#[must_use]
pub fn state_of(app: &App, row: &finding::Model) -> crate::domain::scan::FindingState {
    use crate::domain::scan::FindingState as Shown;
    match row.state {
        FindingState::Ignored if row.ignored_until.is_some_and(|until| until <= app.clock.now()) => Shown::Open,
        FindingState::Ignored => Shown::Ignored,
        FindingState::Fixed => Shown::Fixed,
        FindingState::Open | FindingState::Pending => Shown::Open,
    }
}
