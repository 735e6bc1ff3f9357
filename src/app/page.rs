//! One page of a list, by the sort key of its rows.

use std::sync::Arc;

use entity::DbError;
use futures_util::future::BoxFuture;
use sea_orm::{
    ColumnTrait, DatabaseConnection, EntityTrait, FromQueryResult, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Select, SelectTwo,
};

use super::{App, Error, Result};
use crate::domain::paging::{Cursor, Direction, PageRequest};

/// Counts all rows of a list; called only when somebody asks.
pub type Count = Arc<dyn Fn() -> BoxFuture<'static, Result<u64>> + Send + Sync>;

/// What a list answers.
#[derive(Clone)]
pub struct Page<T> {
    /// The rows in the list's order, each with its cursor.
    pub items: Vec<(Cursor, T)>,
    /// There are more after these.
    pub has_next_page: bool,
    /// There are more before these.
    pub has_previous_page: bool,
    /// How many there are in all.
    pub count: Count,
}

impl<T> Page<T> {
    /// Makes a page of at most `size + 1` rows that were read in the direction of the request: the one too many says
    /// that there are more.
    pub fn new(request: &PageRequest, mut rows: Vec<T>, cursor: impl Fn(&T) -> Cursor, count: Count) -> Self {
        let size = request.size as usize;
        let more = rows.len() > size;
        rows.truncate(size);
        let (has_next_page, has_previous_page) = match request.direction {
            Direction::Forward => (more, request.after.is_some()),
            Direction::Backward => {
                rows.reverse();
                (request.before.is_some(), more)
            }
        };
        Self {
            items: rows.into_iter().map(|row| (cursor(&row), row)).collect(),
            has_next_page,
            has_previous_page,
            count,
        }
    }
}

/// What a filter names, each once however often it does: a statement has room for so much.
pub fn each_once<T: Copy + PartialEq>(named: &[T]) -> Vec<T> {
    let mut once = Vec::new();
    for one in named {
        if !once.contains(one) {
            once.push(*one);
        }
    }
    once
}

/// The one value of a cursor of lists that are sorted by id.
fn id_of(field: &str, cursor: Option<&Cursor>) -> Result<Option<String>> {
    match cursor {
        None => Ok(None),
        Some(Cursor(parts)) => match parts.as_slice() {
            [id] => Ok(Some(id.clone())),
            _ => Err(Error::bad_input(field, "this is no cursor of this list: use one from pageInfo or edges")),
        },
    }
}

impl<T> Page<T> {
    /// The same page of other things; what has no counterpart is left out.
    pub fn filter_map<U>(self, mut f: impl FnMut(T) -> Option<U>) -> Page<U> {
        Page {
            items: self.items.into_iter().filter_map(|(cursor, item)| Some((cursor, f(item)?))).collect(),
            has_next_page: self.has_next_page,
            has_previous_page: self.has_previous_page,
            count: self.count,
        }
    }
}

/// Rows that can be read and counted: of one table, or of two that are joined.
pub trait Rows: QueryFilter + QueryOrder + QuerySelect + Clone + Send + Sync + 'static {
    /// What a row is read into.
    type Row: Send;
    /// Reads them all.
    fn read(self, db: &DatabaseConnection)
    -> impl Future<Output = std::result::Result<Vec<Self::Row>, DbError>> + Send;
    /// Counts them.
    fn total(self, db: &DatabaseConnection) -> impl Future<Output = std::result::Result<u64, DbError>> + Send;
}

impl<E> Rows for Select<E>
where
    E: EntityTrait<Model: FromQueryResult + Send + Sync>,
{
    type Row = E::Model;

    async fn read(self, db: &DatabaseConnection) -> std::result::Result<Vec<E::Model>, DbError> {
        self.all(db).await
    }

    async fn total(self, db: &DatabaseConnection) -> std::result::Result<u64, DbError> {
        PaginatorTrait::count(self, db).await
    }
}

impl<E, F> Rows for SelectTwo<E, F>
where
    E: EntityTrait<Model: FromQueryResult + Send + Sync>,
    F: EntityTrait<Model: FromQueryResult + Send + Sync>,
{
    type Row = (E::Model, Option<F::Model>);

    async fn read(self, db: &DatabaseConnection) -> std::result::Result<Vec<Self::Row>, DbError> {
        self.all(db).await
    }

    async fn total(self, db: &DatabaseConnection) -> std::result::Result<u64, DbError> {
        PaginatorTrait::count(self, db).await
    }
}

/// A page of rows, those with the largest id first. Ids sort by the time they were made.
///
/// # Errors
/// BAD_USER_INPUT for a cursor of another list, INTERNAL when the database does not answer.
pub async fn by_id<S: Rows>(
    app: &App,
    all: S,
    column: impl ColumnTrait,
    request: &PageRequest,
    id: impl Fn(&S::Row) -> String,
) -> Result<Page<S::Row>> {
    let (db, counted) = (app.db.clone(), all.clone());
    let count: Count = Arc::new(move || {
        let (db, counted) = (db.clone(), counted.clone());
        Box::pin(async move { Ok(counted.total(db.read()).await?) })
    });
    let mut rows = QuerySelect::limit(all, u64::from(request.size) + 1);
    if let Some(id) = id_of("after", request.after.as_ref())? {
        rows = QueryFilter::filter(rows, column.lt(id));
    }
    if let Some(id) = id_of("before", request.before.as_ref())? {
        rows = QueryFilter::filter(rows, column.gt(id));
    }
    rows = match request.direction {
        Direction::Forward => rows.order_by_desc(column),
        Direction::Backward => rows.order_by_asc(column),
    };
    let rows = rows.read(app.db.read()).await?;
    Ok(Page::new(request, rows, |row| Cursor(vec![id(row)]), count))
}
