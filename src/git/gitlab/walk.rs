//! Going through the pages of a project's branches, whichever way the server has of paging them.

use super::super::GitError;
use super::super::call::{Answer, Memory};
use super::Gitlab;
use super::paging::{MOST, Page, goes_on, next_token, number, says_next};
use super::wire::BranchRow;

/// Numbered pages that a name is looked for on, before and after the one that it was on.
const NEAR: usize = 5;
/// Pages that a name is looked for on from the start, when the server no longer knows where its page begins.
const FAR: usize = 20;

/// What to look for, in GitLab's way of asking: the text may stand anywhere, but `^` before it and `$` after it tie it
/// to an end of the name, and `*` is any text.
pub(super) struct Search<'a> {
    text: Option<&'a str>,
}

impl<'a> Search<'a> {
    pub(super) fn new(text: Option<&'a str>) -> Self {
        Self { text }
    }

    /// What Git allows in no branch's name, and GitLab might read as a pattern.
    pub(super) fn finds_nothing(&self) -> bool {
        self.text.is_some_and(|text| text.contains(['^', '*', '?', '[', '\\', '~', ':', ' ']))
    }

    /// What GitLab is asked for. A `$` anywhere makes a pattern of the whole text, so that what follows the first one
    /// is left to [`Search::matches`].
    fn asked(&self) -> Option<&'a str> {
        self.text.map(|text| text.split('$').next().unwrap_or_default()).filter(|text| !text.is_empty())
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.text.is_none_or(|text| name.to_lowercase().contains(&text.to_lowercase()))
    }

    fn is_exact(&self, name: &str) -> bool {
        self.asked().is_some_and(|asked| asked.eq_ignore_ascii_case(name))
    }

    /// Drops the rows that come before a name which is not among them. GitLab lists by name, after the one that is just
    /// what was asked for: byte by byte, or, since it has Git itself search, in lower case.
    fn drop_through(&self, rows: &mut Vec<BranchRow>, name: &str) {
        let by_bytes = self.is_by_bytes(rows);
        rows.retain(|row| self.is_after(&row.name, name, by_bytes));
    }

    fn is_by_bytes(&self, rows: &[BranchRow]) -> bool {
        rows.iter().map(|row| row.name.as_str()).filter(|name| !self.is_exact(name)).is_sorted()
    }

    fn is_after(&self, other: &str, name: &str, by_bytes: bool) -> bool {
        match (self.is_exact(other), self.is_exact(name)) {
            (true, _) => false,
            (false, true) => true,
            (false, false) if by_bytes => other > name,
            (false, false) => (other.to_lowercase(), other) > (name.to_lowercase(), name),
        }
    }
}

/// One page, or what is left of it.
pub(super) struct Rows {
    pub(super) list: Vec<BranchRow>,
    /// How the next page is asked for, where there is one.
    pub(super) next: Option<Page>,
}

/// A list of branches that is gone through, page by page.
///
/// Pages are asked for by tokens: <https://docs.gitlab.com/api/rest/#keyset-based-pagination>, with the parameter
/// `page_token` of <https://docs.gitlab.com/api/branches/>'s OpenAPI description. Numbered ones are what older servers
/// have alone (they answer so whatever is asked for), and what some newer ones answer with nothing after the first
/// hundred branches (<https://gitlab.com/gitlab-org/gitlab/-/work_items/605032>).
pub(super) struct Walk<'a> {
    gitlab: &'a Gitlab,
    id: &'a str,
    search: Search<'a>,
    page: Page,
    fetched: usize,
    /// The last name of the last page.
    last: Option<String>,
    /// It began again at the start, which mends what it can mend the first time.
    restarted: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(gitlab: &'a Gitlab, id: &'a str, search: Search<'a>) -> Self {
        Self { gitlab, id, search, page: Page::Token(None), fetched: 0, last: None, restarted: false }
    }

    /// The page that rows were last given from.
    pub(super) fn page(&self) -> &Page {
        &self.page
    }

    /// How many pages were fetched.
    pub(super) fn fetched(&self) -> usize {
        self.fetched
    }

    /// Whether a branch is what is searched for.
    pub(super) fn finds(&self, row: &BranchRow) -> bool {
        self.search.matches(&row.name)
    }

    pub(super) async fn first(&mut self) -> Result<Rows, GitError> {
        self.fetch(Page::Token(None)).await
    }

    /// The page after the one that was given last.
    pub(super) async fn next(&mut self, page: Page) -> Result<Rows, GitError> {
        let last = self.last.clone();
        match (self.fetch(page.clone()).await, last) {
            (Err(error), Some(last)) if self.is_lost(&page, &error) => self.restart(&last).await,
            (other, _) => other,
        }
    }

    /// What comes after a name, wherever it has moved to, and even when it is gone.
    pub(super) async fn after(&mut self, page: Page, name: &str) -> Result<Rows, GitError> {
        let rows = match self.fetch(page.clone()).await {
            Err(error) if self.is_lost(&page, &error) => return self.restart(name).await,
            other => other?,
        };
        match page {
            Page::Number(number) => self.near(rows, number, name).await,
            Page::Token(_) => self.forward(rows, name, FAR).await,
        }
    }

    /// A page begins after a branch that is gone: newer servers say so with 422, older ones with 500.
    fn is_lost(&self, page: &Page, error: &GitError) -> bool {
        !self.restarted
            && matches!(page, Page::Token(Some(_)))
            && matches!(error, GitError::Invalid(_) | GitError::Unreachable(_))
    }

    async fn restart(&mut self, name: &str) -> Result<Rows, GitError> {
        self.restarted = true;
        let rows = self.first().await?;
        self.forward(rows, name, FAR).await
    }

    /// Looks on the numbered pages before, then on those after.
    async fn near(&mut self, mut rows: Rows, mut number: usize, name: &str) -> Result<Rows, GitError> {
        let is_later = |search: &Search, rows: &Rows| {
            let by_bytes = search.is_by_bytes(&rows.list);
            rows.list.first().is_none_or(|row| search.is_after(&row.name, name, by_bytes))
        };
        let mut left = NEAR;
        while number > 1 && !holds(&rows, name) && is_later(&self.search, &rows) {
            // It was on no page near this one: there are far fewer by now, or nobody was given this cursor.
            number = if left == 0 { 1 } else { number - 1 };
            left = left.saturating_sub(1);
            rows = self.fetch(Page::Number(number)).await?;
        }
        self.forward(rows, name, NEAR).await
    }

    /// Goes on to the page where the name is, or what comes after it, and gives that.
    async fn forward(&mut self, mut rows: Rows, name: &str, pages: usize) -> Result<Rows, GitError> {
        for _ in 0..=pages {
            if let Some(at) = rows.list.iter().position(|row| row.name == name) {
                rows.list.drain(..=at);
                return Ok(rows);
            }
            self.search.drop_through(&mut rows.list, name);
            match rows.next.take() {
                Some(next) if rows.list.is_empty() => rows = self.fetch(next).await?,
                next => return Ok(Rows { next, ..rows }),
            }
        }
        let said = "the list of branches has changed too much to go on in it: begin at its start";
        Err(GitError::Invalid(format!("{}: {said}", self.gitlab.api.name())))
    }

    async fn fetch(&mut self, page: Page) -> Result<Rows, GitError> {
        self.fetched += 1;
        self.page = page;
        let mut url = self.gitlab.at(&["projects", self.id, "repository", "branches"]);
        // Whole pages, whatever is wanted: they are remembered, and a name stays on its page.
        url.query_pairs_mut().append_pair("per_page", &MOST.to_string());
        match &self.page {
            Page::Number(number) => {
                url.query_pairs_mut().append_pair("page", &number.to_string());
            }
            Page::Token(token) => {
                url.query_pairs_mut()
                    .append_pair("pagination", "keyset")
                    .extend_pairs(token.iter().map(|token| ("page_token", token)));
            }
        }
        if let Some(text) = self.search.asked() {
            url.query_pairs_mut().append_pair("search", text);
        }
        // A page that is remembered may end with the very branch that is gone, and one with a number may have moved
        // against the next.
        let moved = self.restarted || matches!(self.page, Page::Number(_));
        let memory = if moved { Memory::Revalidated } else { Memory::Recent };
        // A project without a repository is answered 404 here.
        let Some(answer) = self.gitlab.find(url, memory).await? else {
            return Ok(Rows { list: Vec::new(), next: None });
        };
        let list: Vec<BranchRow> = self.gitlab.api.json(&answer)?;
        let rows = self.rows(&answer, list)?;
        if let Some(row) = rows.list.last() {
            self.last = Some(row.name.clone());
        }
        Ok(rows)
    }

    fn rows(&mut self, answer: &Answer, mut list: Vec<BranchRow>) -> Result<Rows, GitError> {
        if let Page::Token(token) = &self.page {
            if let Some(number) = number(answer) {
                self.page = Page::Number(number);
            } else if let Some(token) = token
                && let again = list.iter().position(|row| row.name == *token)
                && (again.is_some() || list.len() > MOST)
            {
                // Where GitLab searches by itself, it gives everything that it finds, token or not.
                if self.search.asked().is_none() {
                    return Err(self.gitlab.api.garbled());
                }
                match again {
                    Some(at) => drop(list.drain(..=at)),
                    None => self.search.drop_through(&mut list, token),
                }
                return Ok(Rows { list, next: None });
            }
        }
        let next = match &self.page {
            _ if list.len() > MOST => None,
            // https://gitlab.com/gitlab-org/gitlab/-/work_items/605032: better no list than a part that looks whole.
            Page::Number(2..) if list.is_empty() && says_next(answer) => return Err(self.gitlab.api.garbled()),
            Page::Number(number) => goes_on(answer, MOST, list.len()).then(|| Page::Number(number + 1)),
            Page::Token(token) => match next_token(answer) {
                Some(next) => Some(Page::Token(Some(next))),
                // Headers may have been lost on the way, and then numbers are left.
                None => (token.is_none() && list.len() == MOST).then_some(Page::Number(2)),
            },
        };
        Ok(Rows { list, next })
    }
}

fn holds(rows: &Rows, name: &str) -> bool {
    rows.list.iter().any(|row| row.name == name)
}
