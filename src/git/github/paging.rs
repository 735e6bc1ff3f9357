//! Going through GitHub's numbered pages, and on after any row of them:
//! <https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api>.
//!
//! Pages always hold a hundred rows, whatever a caller wants, so that a cursor means the same whatever the next call
//! asks for, and the short pages of a dialog are cut from one answer that is remembered. The `Link` header is believed
//! in whether there is a next page and how many there are, never in where: addresses are made here.

use std::collections::VecDeque;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::header::{HeaderMap, LINK};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;

use super::super::call::PATIENCE;
use super::super::{GitError, Item, ListRequest, Listed};

/// Rows of a page: the most that GitHub gives.
pub(super) const ROWS: &str = "100";
/// Pages that a call reads at most.
const MOST: u32 = 100;
/// Pages that a call reads at most once it has something to show.
const ENOUGH: u32 = 20;
/// Pages that are read at a time where rows are sought. GitHub asks for restraint:
/// <https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api>.
pub(super) const AT_A_TIME: u32 = 4;
/// Pages that are looked through for the row of a cursor.
const STEPS: u32 = 5;
/// Bytes of a cursor, at most.
const CURSOR: usize = 2048;

/// How the rows of a list are sorted by their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
    /// As GitHub sees fit.
    Unknown,
}

/// A row, and how to find it again.
#[derive(Debug, Clone)]
pub(super) struct Entry<R> {
    pub(super) id: String,
    /// What the list is sorted by; none where that is not known.
    pub(super) key: Option<String>,
    pub(super) row: R,
}

/// One page of one list.
#[derive(Debug, Clone)]
pub(super) struct Page<R> {
    pub(super) rows: Vec<Entry<R>>,
    /// GitHub says that there is another.
    pub(super) more: bool,
    /// The last page's number, where GitHub says it.
    pub(super) last: Option<u32>,
}

impl<R> Page<R> {
    /// All that there is.
    pub(super) fn only(rows: Vec<Entry<R>>) -> Self {
        Self { rows, more: false, last: None }
    }

    /// Rows with what the answer's `Link` header says.
    pub(super) fn linked(rows: Vec<Entry<R>>, headers: &HeaderMap) -> Self {
        let links = links(headers);
        let to = |wanted: &str| links.iter().find(|(relation, _)| relation == wanted).map(|(_, number)| *number);
        Self { rows, more: to("next").is_some(), last: to("last").flatten() }
    }
}

/// The relations of a `Link` header (RFC 8288) with the page number in each address.
fn links(headers: &HeaderMap) -> Vec<(String, Option<u32>)> {
    let text = headers.get(LINK).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let relation = |part: &str| part.trim().strip_prefix("rel=").map(|name| name.trim_matches('"').to_owned());
    text.split(", ")
        .filter_map(|link| {
            let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            let url = Url::parse(address).ok();
            let number = url.and_then(|url| url.query_pairs().find(|(name, _)| name == "page")?.1.parse().ok());
            Some((parameters.split(';').find_map(relation)?, number))
        })
        .collect()
}

/// Lists that follow one another, each in pages.
#[async_trait]
pub(super) trait Pages: Sync {
    type Row: Send;

    /// How many lists there are.
    fn lists(&self) -> usize;

    /// How a list is sorted.
    fn order(&self, list: usize) -> Order;

    /// Pages of a list that may be read at once. More than one is for lists whose rows are mostly left out.
    fn at_a_time(&self, _list: usize) -> u32 {
        1
    }

    /// A page of a list; the first is 1. One beyond the end is empty.
    async fn page(&self, list: usize, number: u32) -> Result<Page<Self::Row>, GitError>;
}

/// Which row a call goes on after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor(usize, u32, usize, String, Option<String>);

impl Cursor {
    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// None for what was never given out: the list begins at its beginning then.
    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|_| text.len() <= CURSOR)?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// Whether rows are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// Every row is shown.
    All,
    /// Rows are left out, so a next page may hold none that is shown.
    Some,
}

/// What was found, and whether the search for it went to its end.
#[derive(Debug)]
pub(super) struct Harvest<T> {
    pub(super) listed: Listed<T>,
    /// Pages that were read without reaching the end; none when it was reached.
    pub(super) gave_up_after: Option<u32>,
}

enum Step<R> {
    Row(String, R),
    End,
    Tired,
}

/// Why no more rows were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Halt {
    /// No more were wanted.
    Full,
    /// There are no more.
    End,
    /// There may be more, and it has read as much as a call may.
    Tired,
}

/// A way through the lists.
pub(super) struct Walk<'a, P: Pages> {
    pages: &'a P,
    choice: Choice,
    list: usize,
    number: u32,
    waiting: VecDeque<(Cursor, P::Row)>,
    more: bool,
    last: Option<u32>,
    read: u32,
    found: usize,
    began: Instant,
}

impl<'a, P: Pages> Walk<'a, P> {
    /// A way that begins after the request's cursor.
    pub(super) async fn begin(pages: &'a P, request: &ListRequest, choice: Choice) -> Result<Self, GitError> {
        let mut walk = Self {
            pages,
            choice,
            list: 0,
            number: 1,
            waiting: VecDeque::new(),
            more: true,
            last: None,
            read: 0,
            found: 0,
            began: Instant::now(),
        };
        let cursor = request.after.as_deref().and_then(Cursor::parse);
        if let Some(cursor) = cursor.filter(|cursor| cursor.0 < pages.lists() && (1..=1_000_000).contains(&cursor.1)) {
            walk.go_on_after(&cursor).await?;
        }
        Ok(walk)
    }

    /// As many rows as are asked for, of those that `keep` makes something of.
    pub(super) async fn gather<T>(
        mut self,
        first: u32,
        keep: impl Fn(P::Row) -> Option<T>,
    ) -> Result<Harvest<T>, GitError> {
        let mut items = Vec::new();
        loop {
            if items.len() >= first as usize && self.choice == Choice::All && self.waiting.is_empty() && self.more {
                return Ok(Harvest { listed: Listed { items, has_next: true }, gave_up_after: None });
            }
            let (has_next, gave_up_after) = match self.next().await? {
                Step::Row(cursor, row) => match keep(row) {
                    Some(_) if items.len() >= first as usize => (true, None),
                    Some(value) => {
                        self.found += 1;
                        items.push(Item { cursor, value });
                        continue;
                    }
                    None => continue,
                },
                Step::End => (false, None),
                Step::Tired => (true, Some(self.read)),
            };
            return Ok(Harvest { listed: Listed { items, has_next }, gave_up_after });
        }
    }

    /// The next rows, at most `most` of them, and why there are no more.
    pub(super) async fn some(&mut self, most: usize) -> Result<(Vec<(String, P::Row)>, Halt), GitError> {
        let mut rows = Vec::new();
        // What is done with the rows takes time too.
        if self.began.elapsed() >= PATIENCE {
            return Ok((rows, Halt::Tired));
        }
        while rows.len() < most {
            match self.next().await? {
                Step::Row(cursor, row) => rows.push((cursor, row)),
                Step::End => return Ok((rows, Halt::End)),
                Step::Tired => return Ok((rows, Halt::Tired)),
            }
        }
        Ok((rows, Halt::Full))
    }

    async fn next(&mut self) -> Result<Step<P::Row>, GitError> {
        loop {
            if let Some((cursor, row)) = self.waiting.pop_front() {
                return Ok(Step::Row(cursor.text(), row));
            }
            if !self.more {
                if self.list + 1 >= self.pages.lists() {
                    return Ok(Step::End);
                }
                (self.list, self.number, self.more, self.last) = (self.list + 1, 1, true, None);
            }
            if self.read >= MOST || (self.found > 0 && self.read >= ENOUGH) || self.began.elapsed() >= PATIENCE {
                return Ok(Step::Tired);
            }
            self.read_on().await?;
        }
    }

    /// Reads the next page, or the next few where GitHub has said that there are so many.
    async fn read_on(&mut self) -> Result<(), GitError> {
        let (pages, list, from) = (self.pages, self.list, self.number);
        let known = self.last.map_or(1, |last| (last + 1).saturating_sub(from));
        let count = known.min(pages.at_a_time(list)).min(MOST - self.read).max(1);
        let asked = stream::iter((from..from + count).map(|number| pages.page(list, number)));
        let answers: Vec<_> = asked.buffered(AT_A_TIME as usize).try_collect().await?;
        for (number, page) in (from..).zip(answers) {
            self.take(number, 0, page);
        }
        Ok(())
    }

    fn take(&mut self, number: u32, from: usize, page: Page<P::Row>) {
        self.read += 1;
        self.number = number + 1;
        self.more = page.more;
        self.last = page.last.or(self.last);
        let list = self.list;
        let rows = page.rows.into_iter().enumerate().skip(from);
        self.waiting.extend(rows.map(|(index, entry)| (Cursor(list, number, index, entry.id, entry.key), entry.row)));
    }

    /// Finds the cursor's row again, which what came or went since has moved.
    async fn go_on_after(&mut self, cursor: &Cursor) -> Result<(), GitError> {
        self.list = cursor.0;
        let order = self.pages.order(self.list);
        let mut number = cursor.1;
        // The row is on no page before this one.
        let mut lowest = 1;
        for step in 1..=STEPS {
            let page = self.pages.page(self.list, number).await?;
            let last_try = step == STEPS;
            match find(&page.rows, cursor, order) {
                Spot::From(index) => {
                    self.take(number, index, page);
                    return Ok(());
                }
                Spot::Before if number > lowest && !last_try => {
                    self.read += 1;
                    number -= 1;
                }
                Spot::Before => {
                    self.take(number, 0, page);
                    return Ok(());
                }
                Spot::After if page.more && !last_try => {
                    self.read += 1;
                    number += 1;
                    lowest = number;
                }
                Spot::After => {
                    let end = page.rows.len();
                    self.take(number, end, page);
                    return Ok(());
                }
                // It was moved over the edge of its page, or is gone and the row after it has its place.
                Spot::Unknown => {
                    self.take(number, 0, page);
                    if self.more && self.beyond(cursor).await? {
                        self.waiting.retain(|(at, _)| at.1 > cursor.1);
                    } else {
                        self.waiting.retain(|(at, _)| at.2 >= cursor.2);
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether the cursor's row is on the page after its own; what comes after it waits then.
    async fn beyond(&mut self, cursor: &Cursor) -> Result<bool, GitError> {
        let number = cursor.1 + 1;
        let page = self.pages.page(self.list, number).await?;
        let Some(index) = page.rows.iter().position(|entry| entry.id == cursor.3) else {
            self.read += 1;
            return Ok(false);
        };
        self.take(number, index + 1, page);
        Ok(true)
    }
}

/// Where on a page the rows are that come after a cursor's.
enum Spot {
    From(usize),
    /// All of the page comes after it.
    Before,
    /// All of the page comes before it.
    After,
    /// It is not here, and the list's order does not tell where else.
    Unknown,
}

fn find<R>(rows: &[Entry<R>], cursor: &Cursor, order: Order) -> Spot {
    let Cursor(_, _, _, id, key) = cursor;
    if let Some(index) = rows.iter().position(|entry| entry.id == *id) {
        return Spot::From(index + 1);
    }
    let Some(key) = key.as_ref().filter(|_| order != Order::Unknown) else { return Spot::Unknown };
    let comes_after = |entry: &Entry<R>| {
        entry.key.as_ref().is_some_and(|own| if order == Order::Ascending { own > key } else { own < key })
    };
    match rows.iter().position(comes_after) {
        Some(0) => Spot::Before,
        Some(index) => Spot::From(index),
        None if rows.is_empty() => Spot::Before,
        None => Spot::After,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn of(link: &str) -> (bool, Option<u32>) {
        let headers = HeaderMap::from_iter([(LINK, link.parse().unwrap())]);
        let page = Page::<()>::linked(Vec::new(), &headers);
        (page.more, page.last)
    }

    #[test]
    fn links_say_whether_there_is_more_and_how_much() {
        let github = r#"<https://api.github.com/user/repos?a=b%2Cc&page=2>; rel="next", <https://api.github.com/user/repos?page=7>; rel="last""#;
        let cases = [
            (github, (true, Some(7))),
            (r#"<https://x/?page=1>; rel="prev", <https://x/?page=1>; rel="first""#, (false, None)),
            (r#"<https://x/?page=99999999999>; rel="last", <y>; rel="next""#, (true, None)),
            (r#"<https://x/?page=2>; title="a"; rel=next"#, (true, None)),
            ("", (false, None)),
            ("next", (false, None)),
            ("<>;;rel", (false, None)),
        ];
        for (link, expected) in cases {
            assert_eq!(of(link), expected, "{link}");
        }
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let cursor = Cursor(2, 17, 99, "feature/ä".to_owned(), Some("k".to_owned()));
        assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        assert_eq!(Cursor::parse(&"A".repeat(CURSOR + 1)), None);
    }
}
