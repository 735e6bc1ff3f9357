//! Repositories: the token owner's, those that match a text, and one.

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::super::call::Memory;
use super::super::{GitError, Item, ListRequest, Listed, Project, ProjectRef};
use super::branches::is_empty;
use super::paging::{AT_A_TIME, Choice, Entry, Order, Page, Pages, ROWS, Walk};
use super::search::{self, Wanted};
use super::{Github, wire};

/// Pages of repositories, up to which a text is sought in the list itself.
const SMALL: u32 = 5;
/// Who takes part how: <https://docs.github.com/rest/repos/repos#list-repositories-for-the-authenticated-user>.
pub(super) const EVERYTHING: &str = "owner,collaborator,organization_member";

/// Everything that the token's owner owns, was invited to, or sees through an organization, newest first.
struct Mine<'a> {
    github: &'a Github,
    at_a_time: u32,
}

#[async_trait]
impl Pages for Mine<'_> {
    type Row = wire::Repository;

    fn lists(&self) -> usize {
        1
    }

    fn order(&self, _: usize) -> Order {
        Order::Descending
    }

    fn at_a_time(&self, _: usize) -> u32 {
        self.at_a_time
    }

    async fn page(&self, _: usize, number: u32) -> Result<Page<wire::Repository>, GitError> {
        mine(self.github, EVERYTHING, number).await
    }
}

/// A page of the repositories that the token's owner takes part in, newest first
/// (<https://docs.github.com/rest/repos/repos#list-repositories-for-the-authenticated-user>).
pub(super) async fn mine(github: &Github, affiliation: &str, number: u32) -> Result<Page<wire::Repository>, GitError> {
    let mut url = github.api.url(&["user", "repos"]);
    url.query_pairs_mut()
        .append_pair("affiliation", affiliation)
        .append_pair("sort", "created")
        .append_pair("direction", "desc")
        .append_pair("per_page", ROWS)
        .append_pair("page", &number.to_string());
    let answer = github.api.get(url, Memory::Recent).await?;
    let rows: Vec<wire::Repository> = github.api.json(&answer)?;
    Ok(Page::linked(rows.into_iter().map(entry).collect(), &answer.headers))
}

pub(super) fn entry(row: wire::Repository) -> Entry<wire::Repository> {
    Entry { id: row.id.to_string(), key: row.made(), row }
}

/// Without a text: everything, newest first. With one: those whose name holds each of its words, letters of either
/// size being alike; `owner/name` narrows to that owner.
///
/// - Up to 500 repositories are looked through here, newest first, which misses none.
/// - More are sought by GitHub's search, best match first, among the own account's and the organizations'
///   (<https://docs.github.com/rest/search/search#search-repositories>). It goes by words and their beginnings, lags
///   behind what was just made, gives a thousand at most for a text, and fewer when it takes too long. Repositories of other owners, which it can't
///   be asked for, are then looked through here, and one that is named whole is asked for by its address.
pub(super) async fn list(github: &Github, request: &ListRequest) -> Result<Listed<Project>, GitError> {
    let mine = Mine { github, at_a_time: if request.search.is_some() { AT_A_TIME } else { 1 } };
    let Some(text) = &request.search else {
        let walk = Walk::begin(&mine, request, Choice::All).await?;
        return settled(github, walk.gather(request.first, Candidate::of).await?.listed.or_end()).await;
    };
    let Some(wanted) = Wanted::parse(text) else {
        return Ok(Listed { items: Vec::new(), has_next: false });
    };
    let beginning = mine.page(0, 1).await?;
    let harvest = if !beginning.more || beginning.last.is_some_and(|last| last <= SMALL) {
        let walk = Walk::begin(&mine, request, Choice::Some).await?;
        walk.gather(request.first, |row| if wanted.matches(&row) { Candidate::of(row) } else { None }).await?
    } else {
        search::among_many(github, request, &wanted).await?
    };
    match harvest.gave_up_after {
        Some(pages) if harvest.listed.items.is_empty() && request.after.is_none() => Err(GitError::Invalid(format!(
            "none of the {pages}00 repositories that were looked through has {text:?} in its name; give it whole, like \
             owner/repository"
        ))),
        _ => settled(github, harvest.listed.or_end()).await,
    }
}

/// A row of a list, as far as the list tells.
pub(super) struct Candidate {
    project: Project,
    may_be_empty: bool,
}

impl Candidate {
    /// None where the repository is none that KIOPS can show.
    pub(super) fn of(row: wire::Repository) -> Option<Self> {
        Some(Self { project: row.project()?, may_be_empty: row.may_be_empty() })
    }
}

/// The rows as they are shown. Of the few that may be empty GitHub is asked for branches, as [`one`] does.
async fn settled(github: &Github, listed: Listed<Candidate>) -> Result<Listed<Project>, GitError> {
    let asked =
        listed.items.into_iter().map(async |Item { cursor, value: Candidate { mut project, may_be_empty } }| {
            if may_be_empty && is_empty(github, &project.path, Memory::Recent).await? {
                project.default_branch = None;
            }
            Ok::<_, GitError>(Item { cursor, value: project })
        });
    let items = stream::iter(asked).buffered(AT_A_TIME as usize).try_collect().await?;
    Ok(Listed { items, has_next: listed.has_next })
}

/// One repository. GitHub names a default branch before there is any, so one that may be empty is asked for branches.
pub(super) async fn one(github: &Github, project: &ProjectRef) -> Result<Option<Project>, GitError> {
    let Some(found) = github.repository(project, Memory::Revalidated).await? else { return Ok(None) };
    let mut project = found.project().ok_or_else(|| github.api.garbled())?;
    if found.size == Some(0) && is_empty(github, &project.path, Memory::Revalidated).await? {
        project.default_branch = None;
    }
    Ok(Some(project))
}
