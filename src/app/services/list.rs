//! Finding services.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use entity::{ServiceStatus, SourceKind, environment, service};
use sea_orm::sea_query::{Expr, ExprTrait as _, LikeExpr, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, Order, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select,
};

use super::brief::Cell;
use crate::app::page::{Count, Page, each_once};
use crate::app::scans::list::rank_of;
use crate::app::scans::{counts, effect};
use crate::app::{App, Error, Result, Scope};
use crate::domain::paging::{Cursor, Direction, PageRequest};
use crate::domain::scan::Severity;

/// Which services.
#[derive(Debug, Clone, Default)]
pub struct ServiceFilter {
    /// Part of the name.
    pub search: Option<String>,
    /// One of these sources; none: all.
    pub source: Option<Vec<SourceKind>>,
    /// One of these statuses; none: all.
    pub status: Option<Vec<ServiceStatus>>,
    /// One of these risks; none: all. Without an open finding a service has none.
    pub risk: Option<Vec<Severity>>,
    /// With this runtime, or with an environment there.
    pub runtime_id: Option<String>,
}

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServiceOrder {
    /// By name.
    #[default]
    Name,
    /// The newest first.
    Newest,
    /// Those that changed last first.
    LastChanged,
}

/// A page of services.
///
/// # Errors
/// BAD_USER_INPUT for a cursor of another list or order, INTERNAL when the database does not answer.
pub async fn list(
    app: &App,
    scope: &Scope,
    filter: &ServiceFilter,
    order: ServiceOrder,
    request: &PageRequest,
) -> Result<Page<service::Model>> {
    let Sought { rows, count } = sought(app, scope, filter, order, request).await?;
    let rows = rows.all(app.db.read()).await?;
    Ok(Page::new(request, rows, |row| cursor_of(order, row), count))
}

/// What a page is read from.
pub(super) struct Sought {
    /// Its rows and one more, in the direction of the request.
    pub rows: Select<service::Entity>,
    /// Counts the whole list.
    pub count: Count,
}

/// What a page of services is read from.
///
/// # Errors
/// As [`list`].
pub(super) async fn sought(
    app: &App,
    scope: &Scope,
    filter: &ServiceFilter,
    order: ServiceOrder,
    request: &PageRequest,
) -> Result<Sought> {
    if filter.risk.is_some() {
        effect::up_to_date(app, scope).await?;
    }
    let all = filtered(scope, filter);
    let (db, counted) = (app.db.clone(), all.clone());
    let count: Count = Arc::new(move || {
        let (db, counted) = (db.clone(), counted.clone());
        Box::pin(async move { Ok(counted.count(db.read()).await?) })
    });
    let mut rows = all.limit(u64::from(request.size) + 1);
    if let Some(cursor) = &request.after {
        rows = rows.filter(beyond("after", order, cursor, false)?);
    }
    if let Some(cursor) = &request.before {
        rows = rows.filter(beyond("before", order, cursor, true)?);
    }
    let (forth, back) = match order {
        ServiceOrder::Name => (Order::Asc, Order::Desc),
        ServiceOrder::Newest | ServiceOrder::LastChanged => (Order::Desc, Order::Asc),
    };
    let direction = match request.direction {
        Direction::Forward => forth,
        Direction::Backward => back,
    };
    for column in key_of(order) {
        rows = rows.order_by(*column, direction.clone());
    }
    Ok(Sought { rows, count })
}

/// One service; none for what this organization does not have.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn by_id(app: &App, scope: &Scope, id: &str) -> Result<Option<service::Model>> {
    let row = scope.services().filter(service::Column::Id.eq(id)).one(app.db.read());
    Ok(row.await?)
}

/// One service by its name.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn by_name(app: &App, scope: &Scope, name: &str) -> Result<Option<service::Model>> {
    let row = scope.services().filter(service::Column::Name.eq(name)).one(app.db.read());
    Ok(row.await?)
}

fn filtered(scope: &Scope, filter: &ServiceFilter) -> Select<service::Entity> {
    let mut rows = scope.services();
    if let Some(text) = filter.search.as_deref().map(str::trim).filter(|t| !t.is_empty()) {
        rows = rows.filter(Expr::col((service::Entity, service::Column::Name)).like(contains(text)));
    }
    if let Some(sources) = &filter.source {
        rows = rows.filter(service::Column::Source.is_in(each_once(sources)));
    }
    if let Some(statuses) = &filter.status {
        rows = rows.filter(service::Column::Status.is_in(each_once(statuses)));
    }
    if let Some(risks) = &filter.risk {
        let worst = SimpleExpr::SubQuery(None, Box::new(counts::worst_rank().into()));
        rows = rows.filter(worst.is_in(each_once(risks).into_iter().map(rank_of)));
    }
    if let Some(id) = &filter.runtime_id {
        let deployed_there = scope
            .environments()
            .select_only()
            .column(environment::Column::ServiceId)
            .filter(environment::Column::RuntimeId.eq(id));
        rows = rows.filter(
            Condition::any()
                .add(service::Column::RuntimeId.eq(id))
                .add(service::Column::Id.in_subquery(deployed_there.into_query())),
        );
    }
    rows
}

/// A pattern for text that is meant as it stands. Names are in lower case.
fn contains(text: &str) -> LikeExpr {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars().take(200) {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        // PostgreSQL takes no NUL in a text, and no name has one.
        pattern.push(if c == '\0' { '\u{fffd}' } else { c });
    }
    pattern.push('%');
    LikeExpr::new(pattern).escape('\\')
}

/// What services are sorted by.
pub(super) fn key_of(order: ServiceOrder) -> &'static [service::Column] {
    match order {
        ServiceOrder::Name => &[service::Column::Name],
        ServiceOrder::Newest => &[service::Column::Id],
        ServiceOrder::LastChanged => &[service::Column::ChangedAt, service::Column::Id],
    }
}

fn cursor_of(order: ServiceOrder, row: &service::Model) -> Cursor {
    cursor(
        order,
        match order {
            ServiceOrder::Name => vec![row.name.clone()],
            ServiceOrder::Newest => vec![row.id.clone()],
            ServiceOrder::LastChanged => vec![micros(row.changed_at), row.id.clone()],
        },
    )
}

/// The cursor of a row whose columns of [`key_of`] these are.
pub(super) fn cursor_of_key(order: ServiceOrder, key: &[Cell]) -> Cursor {
    let text = |cell: &Cell| match cell {
        Cell::Text(text) => text.clone(),
        Cell::Time(time) => micros(*time),
        Cell::Null | Cell::Int(_) | Cell::Bool(_) => unreachable!("services are sorted by texts and times"),
    };
    cursor(order, key.iter().map(text).collect())
}

fn micros(time: DateTime<Utc>) -> String {
    time.timestamp_micros().to_string()
}

fn cursor(order: ServiceOrder, key: Vec<String>) -> Cursor {
    let name = match order {
        ServiceOrder::Name => "name",
        ServiceOrder::Newest => "newest",
        ServiceOrder::LastChanged => "changed",
    };
    Cursor(std::iter::once(name.to_owned()).chain(key).collect())
}

/// What lies behind a cursor, or in front of it where `backwards`.
fn beyond(field: &str, order: ServiceOrder, cursor: &Cursor, backwards: bool) -> Result<Condition> {
    let foreign = || Error::bad_input(field, "this is no cursor of this list in this order");
    let parts: Vec<&str> = cursor.0.iter().map(String::as_str).collect();
    let side = |column: service::Column, value: sea_orm::Value, greater: bool| {
        if greater { column.gt(value) } else { column.lt(value) }
    };
    match (order, parts.as_slice()) {
        (ServiceOrder::Name, ["name", name]) => {
            Ok(Condition::all().add(side(service::Column::Name, (*name).into(), !backwards)))
        }
        (ServiceOrder::Newest, ["newest", id]) => {
            Ok(Condition::all().add(side(service::Column::Id, (*id).into(), backwards)))
        }
        (ServiceOrder::LastChanged, ["changed", at, id]) => {
            let at = at.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or_else(foreign)?;
            let same = Condition::all().add(service::Column::ChangedAt.eq(at)).add(side(
                service::Column::Id,
                (*id).into(),
                backwards,
            ));
            Ok(Condition::any().add(side(service::Column::ChangedAt, at.into(), backwards)).add(same))
        }
        _ => Err(foreign()),
    }
}
