//! Relay connections over pages of use cases.

use async_graphql::connection::{Connection, Edge, EmptyFields};
use async_graphql::{Object, ObjectType, OutputType};

use super::errors::{ApiError, Result};
use crate::app::git::lists::GitPage;
use crate::app::page::{Count, Page};
use crate::app::{App, Error};
use crate::domain::paging::{Cursor, PageLimits, PageRequest};

/// A list that can say how many there are in all.
pub type Counted<N> = Connection<String, N, Total, EmptyFields>;

/// A list that can't.
pub type Uncounted<N> = Connection<String, N, EmptyFields, EmptyFields>;

/// Counts when asked.
pub struct Total(Count);

#[Object]
impl Total {
    /// How many there are in all; counted only when asked for.
    async fn total_count(&self) -> Option<Result<i32>> {
        let count = (self.0)().await.map_err(ApiError::from);
        Some(count.map(|n| i32::try_from(n).unwrap_or(i32::MAX)))
    }
}

/// The arguments of a list.
#[derive(Debug, Default, Clone)]
pub struct Window {
    /// From the beginning.
    pub first: Option<i32>,
    /// Those after this cursor.
    pub after: Option<String>,
    /// From the end.
    pub last: Option<i32>,
    /// Those before this cursor.
    pub before: Option<String>,
}

impl Window {
    /// Of a list that goes one way.
    #[must_use]
    pub fn forward(first: Option<i32>, after: Option<String>) -> Self {
        Self { first, after, ..Self::default() }
    }

    /// Checks them against the bounds of ordinary lists.
    ///
    /// # Errors
    /// BAD_USER_INPUT naming the argument at fault.
    pub fn check(&self, app: &App) -> Result<PageRequest> {
        self.check_against(app.settings.pages)
    }

    /// Checks them against other bounds.
    ///
    /// # Errors
    /// BAD_USER_INPUT naming the argument at fault.
    pub fn check_against(&self, limits: PageLimits) -> Result<PageRequest> {
        let (after, before) = (self.after.as_deref(), self.before.as_deref());
        Ok(PageRequest::new(self.first, after, self.last, before, limits)
            .map_err(|e| Error::bad_input(e.field, e.message))?)
    }
}

/// More rows than any list gives: asking for so many is refused by name before anything is read, so it costs nothing.
const BEYOND: i32 = 1000;

/// What a list costs: as much as its rows.
#[must_use]
pub fn cost(first: Option<i32>, last: Option<i32>, child: usize) -> usize {
    let rows = first.or(last).unwrap_or(20);
    let rows = if rows > BEYOND { 0 } else { usize::try_from(rows).unwrap_or(0) };
    rows.saturating_mul(child.max(1)).saturating_add(1)
}

/// What a field costs that a provider or a runtime is asked for, for each object that it is asked for.
pub const ASKED_ELSEWHERE: usize = 50;

/// How many lines of a log cost as much as a row of another list: they have no lists of their own, and come a thousand at
/// once.
const LINES: usize = 10;

/// What a page of a log costs.
#[must_use]
pub fn cost_of_lines(first: Option<i32>, last: Option<i32>, child: usize) -> usize {
    cost(first, last, child) / LINES + 1
}

/// Wraps a page.
pub fn counted<T, N: OutputType>(page: Page<T>, wrap: impl FnMut(T) -> N) -> Counted<N> {
    let total = Total(page.count);
    let list = Connection::with_additional_fields(page.has_previous_page, page.has_next_page, total);
    edges(list, page.items, wrap)
}

/// Wraps a page of a list that is not counted.
pub fn uncounted<T, N: OutputType>(page: Page<T>, wrap: impl FnMut(T) -> N) -> Uncounted<N> {
    edges(Connection::new(page.has_previous_page, page.has_next_page), page.items, wrap)
}

/// Wraps a page of what a Git provider lists.
pub fn listed<T, N: OutputType>(page: GitPage<T>, wrap: impl FnMut(T) -> N) -> Uncounted<N> {
    edges(Connection::new(page.has_previous_page, page.has_next_page), page.items, wrap)
}

/// The list with its rows.
fn edges<T, N: OutputType, F: ObjectType>(
    mut list: Connection<String, N, F, EmptyFields>,
    items: Vec<(Cursor, T)>,
    mut wrap: impl FnMut(T) -> N,
) -> Connection<String, N, F, EmptyFields> {
    list.edges.extend(items.into_iter().map(|(cursor, row)| Edge::new(cursor.encode(), wrap(row))));
    list
}
