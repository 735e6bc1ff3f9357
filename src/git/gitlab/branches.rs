//! Branches: <https://docs.gitlab.com/api/branches/>.

use super::super::call::Memory;
use super::super::{Branch, GitError, Item, ListRequest, Listed, ProjectRef};
use super::Gitlab;
use super::paging::{After, MOST, PAGES, goes_on};
use super::projects::{self, segment};
use super::wire::BranchRow;

/// One branch; none when there is no such branch, or no such project.
pub(super) async fn find(
    gitlab: &Gitlab,
    project: &ProjectRef,
    name: &str,
    memory: Memory,
) -> Result<Option<Branch>, GitError> {
    let Some(segment) = segment(project) else { return Ok(None) };
    let url = gitlab.at(&["projects", segment, "repository", "branches", name]);
    let Some(answer) = gitlab.find(url, memory).await? else { return Ok(None) };
    let row: BranchRow = gitlab.api.json(&answer)?;
    Ok(row.branch())
}

/// The default branch first, then the others by name. Branches have no keyset pages
/// (<https://docs.gitlab.com/api/rest/#supported-resources>), so that a cursor is a name and the page that it was last
/// seen on: branches made or removed meanwhile move pages, not names.
pub(super) async fn list(
    gitlab: &Gitlab,
    project: &ProjectRef,
    request: &ListRequest,
) -> Result<Option<Listed<Branch>>, GitError> {
    let Some(found) = projects::find(gitlab, project, Memory::Recent).await? else { return Ok(None) };
    // From here on by its id: its path may be an old one.
    let known = ProjectRef::Known { external_id: found.external_id, path: found.path };
    let Some(id) = segment(&known) else { return Ok(None) };
    let search = Search::new(request.search.as_deref());
    if search.finds_nothing() {
        return Ok(Some(Listed { items: Vec::new(), has_next: false }));
    }
    let mut walk = Walk { gitlab, id, search, default: found.default_branch, page: 1, fetched: 0 };
    let first = (request.first as usize).clamp(1, MOST);
    let mut items = Vec::new();
    let mut rows = match request.after.as_deref().and_then(After::parse) {
        None => {
            items.extend(walk.default_branch(&known).await?);
            walk.rows().await?
        }
        Some(after) => walk.rows_after(&after).await?,
    };
    loop {
        for row in rows.list {
            if items.len() == first {
                return Ok(Some(Listed { items, has_next: true }));
            }
            items.push(Item { cursor: After::cursor(walk.page, row.name.as_str()), value: row });
        }
        if !rows.more {
            return Ok(Some(Listed { items, has_next: false }));
        }
        if walk.fetched >= PAGES {
            return Ok(Some(Listed { items, has_next: true }));
        }
        walk.page += 1;
        rows = walk.rows().await?;
    }
}

/// What to look for, in GitLab's way of asking: the text may stand anywhere, but `^` before it and `$` after it tie it
/// to an end of the name, and `*` is any text.
struct Search<'a> {
    text: Option<&'a str>,
}

impl<'a> Search<'a> {
    fn new(text: Option<&'a str>) -> Self {
        Self { text }
    }

    /// Git allows neither in a branch's name.
    fn finds_nothing(&self) -> bool {
        self.text.is_some_and(|text| text.contains(['^', '*']))
    }

    /// What GitLab is asked for: a `$` at the end is left to [`Search::matches`].
    fn asked(&self) -> Option<&'a str> {
        self.text.map(|text| text.trim_end_matches('$')).filter(|text| !text.is_empty())
    }

    fn matches(&self, name: &str) -> bool {
        self.text.is_none_or(|text| name.to_lowercase().contains(&text.to_lowercase()))
    }

    /// The order in which GitLab lists: by name, byte by byte, after the one that is just what was asked for.
    fn key<'n>(&self, name: &'n str) -> (bool, &'n str) {
        (!self.asked().is_some_and(|asked| asked.eq_ignore_ascii_case(name)), name)
    }
}

struct Walk<'a> {
    gitlab: &'a Gitlab,
    id: &'a str,
    search: Search<'a>,
    default: Option<String>,
    page: usize,
    fetched: usize,
}

struct Rows {
    /// Without the default branch.
    list: Vec<Branch>,
    /// There is another page.
    more: bool,
}

impl Walk<'_> {
    async fn default_branch(&self, project: &ProjectRef) -> Result<Option<Item<Branch>>, GitError> {
        let Some(name) = self.default.as_deref().filter(|name| self.search.matches(name)) else { return Ok(None) };
        let found = find(self.gitlab, project, name, Memory::Recent).await?;
        // The project says so; a branch may have become the default one since.
        Ok(found.map(|branch| Item { cursor: After::cursor(0, name), value: Branch { is_default: true, ..branch } }))
    }

    async fn rows(&mut self) -> Result<Rows, GitError> {
        let (rows, more) = self.fetch().await?;
        Ok(self.kept(rows, more))
    }

    /// What comes after a name, wherever it has moved to, and even when it is gone.
    async fn rows_after(&mut self, after: &After) -> Result<Rows, GitError> {
        self.page = after.page.max(1);
        let (mut rows, mut more) = self.fetch().await?;
        if after.page == 0 {
            return Ok(self.kept(rows, more));
        }
        if let Some(at) = rows.iter().position(|row| row.name == after.name) {
            rows.drain(..=at);
            return Ok(self.kept(rows, more));
        }
        let last = self.search.key(&after.name);
        while self.page > 1 && self.fetched < PAGES && rows.first().is_none_or(|row| self.search.key(&row.name) > last)
        {
            self.page -= 1;
            (rows, more) = self.fetch().await?;
        }
        while more && self.fetched < PAGES && rows.last().is_none_or(|row| self.search.key(&row.name) <= last) {
            self.page += 1;
            (rows, more) = self.fetch().await?;
        }
        rows.retain(|row| self.search.key(&row.name) > last);
        Ok(self.kept(rows, more))
    }

    fn kept(&self, rows: Vec<BranchRow>, more: bool) -> Rows {
        let default = self.default.as_deref();
        let wanted = |row: &BranchRow| Some(row.name.as_str()) != default && self.search.matches(&row.name);
        let branch = |row: BranchRow| Some(Branch { is_default: false, ..row.branch()? });
        Rows { list: rows.into_iter().filter(wanted).filter_map(branch).collect(), more }
    }

    async fn fetch(&mut self) -> Result<(Vec<BranchRow>, bool), GitError> {
        self.fetched += 1;
        let mut url = self.gitlab.at(&["projects", self.id, "repository", "branches"]);
        // Whole pages, whatever is wanted: they are remembered, and a name stays on its page.
        url.query_pairs_mut()
            .extend_pairs([("per_page", MOST.to_string().as_str()), ("page", self.page.to_string().as_str())]);
        if let Some(text) = self.search.asked() {
            url.query_pairs_mut().append_pair("search", text);
        }
        // A project without a repository is answered 404 here.
        let Some(answer) = self.gitlab.find(url, Memory::Recent).await? else { return Ok((Vec::new(), false)) };
        let rows: Vec<BranchRow> = self.gitlab.api.json(&answer)?;
        let more = goes_on(&answer, MOST, rows.len());
        Ok((rows, more))
    }
}
