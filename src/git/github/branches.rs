//! Branches of a repository.

use async_trait::async_trait;

use super::super::call::Memory;
use super::super::{Branch, GitError, ListRequest, Listed, ProjectRef};
use super::paging::{AT_A_TIME, Choice, Entry, Order, Page, Pages, ROWS, Walk};
use super::{Github, wire};
use crate::domain::names::{BranchName, ProjectPath};

/// The default branch, then the one whose name the text is, then the others in GitHub's order, which is by name.
struct Branches<'a> {
    github: &'a Github,
    path: ProjectPath,
    default: Option<String>,
    exact: Option<BranchName>,
    /// In lower case.
    search: Option<String>,
}

impl Branches<'_> {
    fn matches(&self, name: &str) -> bool {
        self.search.as_ref().is_none_or(|text| name.to_lowercase().contains(text))
    }

    fn is_default(&self, name: &str) -> bool {
        self.default.as_deref() == Some(name)
    }

    fn is_exact(&self, name: &str) -> bool {
        self.exact.as_ref().is_some_and(|exact| exact.as_str() == name)
    }

    async fn one(&self, name: Option<&str>) -> Result<Page<(usize, wire::BranchRow)>, GitError> {
        let Some(name) = name else { return Ok(Page::only(Vec::new())) };
        let found = read(self.github, &self.path, name, Memory::Recent).await?;
        Ok(Page::only(found.into_iter().map(|row| entry(0, row)).collect()))
    }
}

#[async_trait]
impl Pages for Branches<'_> {
    type Row = (usize, wire::BranchRow);

    fn lists(&self) -> usize {
        3
    }

    fn order(&self, _: usize) -> Order {
        Order::Ascending
    }

    fn at_a_time(&self, _: usize) -> u32 {
        if self.search.is_some() { AT_A_TIME } else { 1 }
    }

    async fn page(&self, list: usize, number: u32) -> Result<Page<(usize, wire::BranchRow)>, GitError> {
        match (list, number) {
            (0, 1) => self.one(self.default.as_deref().filter(|name| self.matches(name))).await,
            (1, 1) => self.one(self.exact.as_ref().map(BranchName::as_str).filter(|name| !self.is_default(name))).await,
            (0 | 1, _) => Ok(Page::only(Vec::new())),
            _ => {
                let url = listing(self.github, &self.path, ROWS, number)?;
                let answer = self.github.api.get(url, Memory::Recent).await?;
                let rows: Vec<wire::BranchRow> = self.github.api.json(&answer)?;
                Ok(Page::linked(rows.into_iter().map(|row| entry(2, row)).collect(), &answer.headers))
            }
        }
    }
}

fn entry(list: usize, row: wire::BranchRow) -> Entry<(usize, wire::BranchRow)> {
    Entry { id: row.name.clone(), key: Some(row.name.clone()), row: (list, row) }
}

/// Where branches are listed (<https://docs.github.com/rest/branches/branches#list-branches>).
fn listing(github: &Github, path: &ProjectPath, rows: &str, number: u32) -> Result<url::Url, GitError> {
    let mut url = below(github, path, &["branches"])?;
    url.query_pairs_mut().append_pair("per_page", rows).append_pair("page", &number.to_string());
    Ok(url)
}

/// An address below a repository's.
pub(super) fn below(github: &Github, path: &ProjectPath, rest: &[&str]) -> Result<url::Url, GitError> {
    let mut segments = vec!["repos"];
    segments.extend(path.parts());
    segments.extend(rest);
    if segments.len() == rest.len() + 3 { Ok(github.api.url(&segments)) } else { Err(github.api.garbled()) }
}

/// One branch by its name (<https://docs.github.com/rest/branches/branches#get-a-branch>). GitHub redirects from a
/// branch's old name to its new one, which is another branch than was asked for.
pub(super) async fn read(
    github: &Github,
    path: &ProjectPath,
    name: &str,
    memory: Memory,
) -> Result<Option<wire::BranchRow>, GitError> {
    let url = below(github, path, &["branches", name])?;
    let Some(answer) = github.get_if_there(url, memory).await? else { return Ok(None) };
    let row: wire::BranchRow = github.api.json(&answer)?;
    Ok(Some(row).filter(|row| row.name == name))
}

/// Whether a repository is seen to have no branch yet.
pub(super) async fn is_empty(github: &Github, path: &ProjectPath, memory: Memory) -> Result<bool, GitError> {
    let answer = match github.api.get(listing(github, path, "1", 1)?, memory).await {
        Ok(answer) => answer,
        // Who may not read the source may see the repository all the same.
        Err(GitError::Forbidden(_) | GitError::NotFound(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    let rows: Vec<wire::BranchRow> = github.api.json(&answer)?;
    Ok(rows.is_empty())
}

pub(super) fn path_of(github: &Github, repository: &wire::Repository) -> Result<ProjectPath, GitError> {
    ProjectPath::parse(&repository.full_name).map_err(|_| github.api.garbled())
}

/// The default branch first, and with a text the branch of that very name, then by name. GitHub can't seek in
/// branches: a text that is in few names takes a walk through up to a hundred pages, of which what was found by then
/// is given.
pub(super) async fn list(
    github: &Github,
    project: &ProjectRef,
    request: &ListRequest,
) -> Result<Option<Listed<Branch>>, GitError> {
    let Some(repository) = github.repository(project, Memory::Recent).await? else { return Ok(None) };
    let branches = Branches {
        github,
        path: path_of(github, &repository)?,
        default: repository.default_branch.clone().filter(|name| !name.is_empty()),
        exact: request.search.as_ref().and_then(|text| BranchName::parse(text).ok()),
        search: request.search.as_ref().map(|text| text.to_lowercase()),
    };
    let walk = Walk::begin(&branches, request, Choice::Some).await?;
    let harvest = walk
        .gather(request.first, |(list, row)| {
            let again = list == 2 && (branches.is_default(&row.name) || branches.is_exact(&row.name));
            row.branch(&repository).filter(|_| !again && branches.matches(&row.name))
        })
        .await?;
    match (harvest.gave_up_after, &request.search) {
        (Some(pages), Some(text)) if harvest.listed.items.is_empty() && request.after.is_none() => {
            Err(GitError::Invalid(format!(
                "none of the {pages}00 branches that were looked through has {text:?} in its name; give the name whole"
            )))
        }
        _ => Ok(Some(harvest.listed.or_end())),
    }
}

/// One branch, asked for at the repository's present path.
pub(super) async fn one(github: &Github, project: &ProjectRef, name: &BranchName) -> Result<Option<Branch>, GitError> {
    let Some(repository) = github.repository(project, Memory::Revalidated).await? else { return Ok(None) };
    let path = path_of(github, &repository)?;
    let row = read(github, &path, name.as_str(), Memory::Revalidated).await?;
    Ok(row.and_then(|row| row.branch(&repository)))
}
