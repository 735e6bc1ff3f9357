//! How GitLab's lists go on: <https://docs.gitlab.com/api/rest/#pagination>.

use super::super::call::Answer;

/// Rows of a page, at most.
pub(super) const MOST: usize = 100;
/// Pages that are fetched for one call, at most.
pub(super) const PAGES: usize = 100;

/// Whether a list of `asked` rows a page goes on after this page of `got`.
///
/// A whole page may be the last. A shorter one is, unless the server gives pages smaller than it was asked for and
/// says that there is a next one; the address which it gives for that is never followed.
pub(super) fn goes_on(answer: &Answer, asked: usize, got: usize) -> bool {
    got >= asked || (got > 0 && says_next(answer))
}

fn says_next(answer: &Answer) -> bool {
    let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    !text("x-next-page").trim().is_empty() || text("link").contains("rel=\"next\"")
}

/// Where a list of branches goes on: after a name, which was last seen on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct After {
    /// From 1; 0 is before the first page, where the default branch is.
    pub(super) page: usize,
    pub(super) name: String,
}

impl After {
    pub(super) fn parse(cursor: &str) -> Option<Self> {
        let (page, name) = cursor.split_once('.')?;
        let page = page.parse::<usize>().ok().filter(|page| *page <= 1_000_000)?;
        Some(Self { page, name: name.to_owned() })
    }

    pub(super) fn cursor(page: usize, name: &str) -> String {
        format!("{page}.{name}")
    }
}
