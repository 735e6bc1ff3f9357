//! One page of a list, by the sort key of its rows.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Error, Result};
use crate::domain::paging::{Cursor, PageRequest};

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
    /// Makes a page of at most `limit + 1` rows that were read in the direction of the request: the one too many says
    /// that there are more.
    pub fn new(request: &PageRequest, mut rows: Vec<T>, cursor: impl Fn(&T) -> Cursor, count: Count) -> Self {
        let limit = request.limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let came_from_elsewhere = request.cursor.is_some();
        if request.backwards {
            rows.reverse();
        }
        let (has_next_page, has_previous_page) = if request.backwards {
            (came_from_elsewhere, more)
        } else {
            (more, came_from_elsewhere)
        };
        Self {
            items: rows.into_iter().map(|row| (cursor(&row), row)).collect(),
            has_next_page,
            has_previous_page,
            count,
        }
    }
}

/// The one value of a cursor of lists that are sorted by id.
///
/// # Errors
/// BAD_USER_INPUT for a cursor of another list.
pub fn id_of(request: &PageRequest) -> Result<Option<&str>> {
    let field = if request.backwards { "before" } else { "after" };
    match &request.cursor {
        None => Ok(None),
        Some(Cursor(parts)) => match parts.as_slice() {
            [id] => Ok(Some(id)),
            _ => Err(Error::bad_input(field, "is no cursor of this list")),
        },
    }
}

impl<T> Page<T> {
    /// The same page of other things.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(|(cursor, item)| (cursor, f(item))).collect(),
            has_next_page: self.has_next_page,
            has_previous_page: self.has_previous_page,
            count: self.count,
        }
    }
}
