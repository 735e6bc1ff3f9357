//! Finding images and their tags.

use super::{App, Error, Result, Scope, registries};
use crate::domain::image::Repository;
use crate::domain::paging::{Cursor, PageRequest};
use crate::registry::{TagPage, TagRequest};

pub use crate::registry::{HubRepository, ListedTag};

const MAX_SEARCH: usize = 200;

/// A page of tags, each with the cursor that goes on after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tags {
    /// In the registry's order.
    pub tags: Vec<(Cursor, ListedTag)>,
    /// Whether more come after the last one.
    pub has_next: bool,
    /// Whether some came before the first one.
    pub has_previous: bool,
    /// How many there are, where the registry says.
    pub total: Option<i32>,
}

/// Searches Docker Hub.
///
/// # Errors
/// BAD_USER_INPUT for a bad search or bound, UPSTREAM_ERROR when the Hub does not answer.
pub async fn search(app: &App, text: &str, first: Option<i32>) -> Result<Vec<HubRepository>> {
    let limit = page_size(app, first)?;
    let text = text.trim();
    if text.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    checked_search("search", text)?;
    Ok(app.registries.search(text, limit).await?)
}

/// Lists an image's tags with the organization's own login, if it has one for the host.
///
/// # Errors
/// BAD_USER_INPUT for a bad image, bound or cursor, UPSTREAM_ERROR (with a time, where the registry says one) when
/// the registry does not answer.
pub async fn tags(app: &App, scope: &Scope, image: &str, search: Option<&str>, page: &PageRequest) -> Result<Tags> {
    let limit = page.size.clamp(1, 100);
    let repository = Repository::parse(image).map_err(|e| Error::bad_input("image", e.to_string()))?;
    let search = search.map(str::trim).filter(|s| !s.is_empty());
    if let Some(text) = search {
        checked_search("search", text)?;
    }
    let position = match &page.after {
        Some(cursor) => Position::read(cursor)?,
        None => Position { page: None, size: limit, skip: 0 },
    };
    let login = registries::login_for(app, scope, None, repository.host()).await?;
    let request = TagRequest { first: position.size, after: position.page.clone() };
    let found = app.registries.tags(&repository, search, request, login.as_ref()).await?;
    Ok(position.cut(found, page.size))
}

/// Where a page begins: the registry's own page, how large it was asked for, and how much of it is behind us.
struct Position {
    page: Option<String>,
    size: u32,
    skip: usize,
}

impl Position {
    fn read(cursor: &Cursor) -> Result<Self> {
        let read = || {
            let [page, size, skip] = cursor.0.as_slice() else { return None };
            Some(Self {
                page: Some(page.clone()).filter(|p| !p.is_empty()),
                size: size.parse().ok().filter(|s| (1..=100).contains(s))?,
                skip: skip.parse().ok().filter(|s| *s <= 100)?,
            })
        };
        read().ok_or_else(|| Error::bad_input("after", "this is no cursor of a list of tags"))
    }

    fn write(page: Option<&str>, size: u32, skip: usize) -> Cursor {
        Cursor(vec![page.unwrap_or_default().to_owned(), size.to_string(), skip.to_string()])
    }

    fn cut(&self, page: TagPage, limit: u32) -> Tags {
        let fetched = page.tags.len();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let tags: Vec<_> = page
            .tags
            .into_iter()
            .enumerate()
            .skip(self.skip)
            .take(limit)
            .map(|(i, tag)| {
                let cursor = match &page.next {
                    Some(next) if i + 1 == fetched => Self::write(Some(next), self.size, 0),
                    _ => Self::write(self.page.as_deref(), self.size, i + 1),
                };
                (cursor, tag)
            })
            .collect();
        Tags {
            has_next: self.skip + tags.len() < fetched || page.next.is_some(),
            has_previous: self.page.is_some() || self.skip > 0,
            tags,
            total: page.total,
        }
    }
}

fn page_size(app: &App, first: Option<i32>) -> Result<u32> {
    let pages = app.settings.pages;
    let max = pages.max.min(100);
    match first {
        None => Ok(pages.default.min(max)),
        Some(n) => u32::try_from(n)
            .ok()
            .filter(|n| *n <= max)
            .ok_or_else(|| Error::bad_input("first", format!("first is a number from 0 to {max}"))),
    }
}

fn checked_search(field: &str, text: &str) -> Result<()> {
    if text.len() > MAX_SEARCH || text.chars().any(char::is_control) {
        return Err(Error::bad_input(field, format!("a search has at most {MAX_SEARCH} characters on one line")));
    }
    Ok(())
}
