//! A page of services of which only some columns are read, with those of what belongs to them, in one statement however many
//! services there are.

use entity::{deployment, environment, pipeline, runtime, service};
use sea_orm::sea_query::{
    Alias, DynIden, Expr, ExprTrait as _, IntoIden, JoinType, Query, SelectStatement, SimpleExpr,
};
use sea_orm::{ColumnTrait, ColumnType, ConnectionTrait as _, QueryResult, QuerySelect, QueryTrait as _};

use super::list::{Sought, cursor_of_key, key_of};
use super::{ServiceFilter, ServiceOrder};
use crate::app::deployments::PRODUCTION;
use crate::app::page::Page;
use crate::app::{App, Result, Scope};
use crate::domain::paging::PageRequest;

/// What a column is read from. All but the service may be missing, and have nothing but nulls then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The service itself.
    Service,
    /// Its newest pipeline.
    LatestPipeline,
    /// Of the environment that is meant where none is named, the newest deployment.
    LatestDeployment,
    /// Of that environment, the deployment that serves.
    CurrentDeployment,
    /// Where that environment is, or where the service goes while it has none.
    Runtime,
}

/// A column that is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    part: Part,
    column: DynIden,
    read: fn(&QueryResult, usize) -> Result<Cell>,
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        self.part == other.part && self.column == other.column
    }
}

/// What stands in a column of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A text, or the word of an enum.
    Text(String),
    /// A number.
    Int(i32),
    /// Yes or no.
    Bool(bool),
    /// A moment.
    Time(chrono::DateTime<chrono::Utc>),
}

impl Wanted {
    /// By what columns are sorted, so that the same columns are the same statement in whichever order they are asked for.
    #[must_use]
    pub fn key(&self) -> (Part, String) {
        (self.part, self.column.to_string())
    }

    /// A column of one of the parts: a text, an enum, a number of 32 bits, a boolean or a time.
    ///
    /// # Panics
    /// When it is of another kind.
    #[must_use]
    pub fn of(part: Part, column: impl ColumnTrait) -> Self {
        let read = match column.def().get_column_type() {
            ColumnType::String(_) | ColumnType::Text => |row: &QueryResult, at| cell(row, at, Cell::Text),
            ColumnType::Integer => |row: &QueryResult, at| cell(row, at, Cell::Int),
            ColumnType::Boolean => |row: &QueryResult, at| cell(row, at, Cell::Bool),
            ColumnType::TimestampWithTimeZone => |row: &QueryResult, at| cell(row, at, Cell::Time),
            other => panic!("a column of {other:?} is not read by itself"),
        };
        Self { part, column: column.into_iden(), read }
    }
}

fn cell<T: sea_orm::TryGetable>(row: &QueryResult, at: usize, wrap: fn(T) -> Cell) -> Result<Cell> {
    Ok(row.try_get_by_index::<Option<T>>(at)?.map_or(Cell::Null, wrap))
}

/// A page of services as [`list`](super::list) gives it: of each the columns that are wanted, in that order.
///
/// # Errors
/// BAD_USER_INPUT for a cursor of another list or order, INTERNAL when the database does not answer.
pub async fn brief(
    app: &App,
    scope: &Scope,
    filter: &ServiceFilter,
    order: ServiceOrder,
    request: &PageRequest,
    wanted: &[Wanted],
) -> Result<Page<Vec<Cell>>> {
    let Sought { rows, count } = super::list::sought(app, scope, filter, order, request).await?;
    let key: Vec<Wanted> = key_of(order).iter().map(|column| Wanted::of(Part::Service, *column)).collect();
    let all = || key.iter().chain(wanted);
    let mut rows = rows.select_only();
    for one in all() {
        rows = rows.expr(column(one.part.alias(), one.column.clone()));
    }
    join(QuerySelect::query(&mut rows), wanted);
    let found = app.db.read().query_all(rows.as_query()).await?;
    let read = |row| all().enumerate().map(|(at, one)| (one.read)(row, at)).collect::<Result<Vec<Cell>>>();
    let mut cells = found.iter().map(read).collect::<Result<Vec<_>>>()?;
    let keys: Vec<_> = cells.iter_mut().map(|row| row.drain(..key.len()).collect::<Vec<_>>()).collect();
    let rows = keys.into_iter().zip(cells).collect();
    let page = Page::new(request, rows, |(key, _)| cursor_of_key(order, key), count);
    Ok(page.filter_map(|(_, row)| Some(row)))
}

/// The table that tells what environment is meant where none is named.
const MAIN: &str = "main";

impl Part {
    fn alias(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::LatestPipeline => "latest_pipeline",
            Self::LatestDeployment => "latest_deployment",
            Self::CurrentDeployment => "current_deployment",
            Self::Runtime => "place",
        }
    }
}

fn column(table: &'static str, column: impl IntoIden) -> SimpleExpr {
    Expr::col((Alias::new(table), column.into_iden()))
}

/// Adds the tables that are wanted. What belongs to a service is of its organization.
fn join(statement: &mut SelectStatement, wanted: &[Wanted]) {
    let is_wanted = |part: Part| wanted.iter().any(|one| one.part == part);
    let own = column("service", service::Column::OrganizationId);
    let mut add = |entity: DynIden, alias: &'static str, on: SimpleExpr| {
        let own = column(alias, Alias::new("organization_id")).eq(own.clone());
        statement.join_as(JoinType::LeftJoin, entity, Alias::new(alias), on.and(own));
    };
    if is_wanted(Part::LatestPipeline) {
        let id = column("service", service::Column::LatestPipelineId);
        let alias = Part::LatestPipeline.alias();
        add(pipeline::Entity.into_iden(), alias, column(alias, pipeline::Column::Id).eq(id));
    }
    let (latest, current, place) = (Part::LatestDeployment, Part::CurrentDeployment, Part::Runtime);
    if !(is_wanted(latest) || is_wanted(current) || is_wanted(place)) {
        return;
    }
    add(environment::Entity.into_iden(), MAIN, column(MAIN, environment::Column::Id).eq(main_environment()));
    let kept = [(latest, environment::Column::LatestDeploymentId), (current, environment::Column::CurrentDeploymentId)];
    for (part, id) in kept {
        if is_wanted(part) {
            let on = column(part.alias(), deployment::Column::Id).eq(column(MAIN, id));
            add(deployment::Entity.into_iden(), part.alias(), on);
        }
    }
    if is_wanted(place) {
        let id = Expr::col((Alias::new(MAIN), environment::Column::RuntimeId))
            .if_null(column("service", service::Column::RuntimeId));
        add(runtime::Entity.into_iden(), place.alias(), column(place.alias(), runtime::Column::Id).eq(id));
    }
}

/// The id of a service's environment that is meant where none is named, as `environments::main` picks it: production, or the
/// only one there is.
fn main_environment() -> SimpleExpr {
    let own = |column: environment::Column| Expr::col((environment::Entity, column));
    let service = |column: service::Column| (service::Entity, column);
    let of_service = || {
        let mut of_service = Query::select();
        of_service
            .from(environment::Entity)
            .and_where(own(environment::Column::ServiceId).equals(service(service::Column::Id)))
            .and_where(own(environment::Column::OrganizationId).equals(service(service::Column::OrganizationId)));
        of_service
    };
    let id = || own(environment::Column::Id);
    let mut production = of_service();
    production.expr(id()).and_where(own(environment::Column::Name).eq(PRODUCTION));
    let mut only = of_service();
    only.expr(id().min()).and_having(id().count().eq(1));
    let query = |select: SelectStatement| SimpleExpr::SubQuery(None, Box::new(select.into()));
    query(production).if_null(query(only))
}
