//! Projects: listing, finding, making.

use reqwest::Method;
use serde_json::json;

use super::super::call::Memory;
use super::super::{GitError, Item, ListRequest, Listed, NewProject, Project, ProjectRef, Visibility};
use super::paging::{MOST, PAGES, goes_on};
use super::wire::{NamespaceRow, ProjectRow};
use super::{Gitlab, branches, taken};
use crate::domain::names::BranchName;

/// Newest first, by id, which neither a new project nor an old one's activity moves: a cursor is the id after which
/// to go on (<https://docs.gitlab.com/api/projects/#list-all-projects>, `id_before`, with keyset pagination).
///
/// The whole rows are asked for: `simple=true` leaves out `archived`, and from older servers `visibility`. GitLab
/// looks for texts in names, paths and descriptions; one of one or two characters must be the whole of one, and such a
/// word beside longer ones is left out (`lib/gitlab/sql/pattern.rb`).
pub(super) async fn list(gitlab: &Gitlab, request: &ListRequest) -> Result<Listed<Project>, GitError> {
    let first = (request.first as usize).clamp(1, MOST);
    let mut before = request.after.as_deref().and_then(|cursor| cursor.parse::<u64>().ok());
    let mut items = Vec::new();
    for _ in 0..PAGES {
        let want = first - items.len();
        // One more than is wanted says whether the list goes on.
        let (rows, more) = page(gitlab, request, before, (want + 1).min(MOST)).await?;
        let has_next = rows.len() > want || more;
        for row in rows.into_iter().take(want) {
            before = Some(row.id);
            if let Some(value) = row.project() {
                items.push(Item { cursor: value.external_id.clone(), value });
            }
        }
        if !has_next {
            return Ok(Listed { items, has_next });
        }
        if items.len() == first {
            let has_next = want < MOST || !page(gitlab, request, before, 1).await?.0.is_empty();
            return Ok(Listed { items, has_next });
        }
    }
    Ok(Listed { items, has_next: true })
}

async fn page(
    gitlab: &Gitlab,
    request: &ListRequest,
    before: Option<u64>,
    size: usize,
) -> Result<(Vec<ProjectRow>, bool), GitError> {
    let mut url = gitlab.at(&["projects"]);
    url.query_pairs_mut().extend_pairs([
        ("membership", "true"),
        ("pagination", "keyset"),
        ("order_by", "id"),
        ("sort", "desc"),
        ("per_page", &size.to_string()),
    ]);
    if let Some(before) = before {
        url.query_pairs_mut().append_pair("id_before", &before.to_string());
    }
    if let Some(text) = &request.search {
        url.query_pairs_mut().append_pair("search", text);
        if text.contains('/') {
            url.query_pairs_mut().append_pair("search_namespaces", "true");
        }
    }
    let answer = gitlab.api.get(url, Memory::Recent).await?;
    let rows: Vec<ProjectRow> = gitlab.api.json(&answer)?;
    let more = goes_on(&answer, size, rows.len());
    Ok((rows, more))
}

/// The segment of addresses that means a project: its id where that is known, which outlives its path, else the path;
/// none where the id is none of GitLab's.
pub(super) fn segment(project: &ProjectRef) -> Option<&str> {
    match project {
        ProjectRef::Path(path) => Some(path.as_str()),
        ProjectRef::Known { external_id, .. } => {
            let is_id = !external_id.is_empty() && external_id.bytes().all(|byte| byte.is_ascii_digit());
            is_id.then_some(external_id.as_str())
        }
    }
}

/// <https://docs.gitlab.com/api/projects/>. A path that it had before is redirected to its id
/// (<https://docs.gitlab.com/api/rest/#redirects>).
pub(super) async fn find(gitlab: &Gitlab, project: &ProjectRef, memory: Memory) -> Result<Option<Project>, GitError> {
    let Some(segment) = segment(project) else { return Ok(None) };
    let Some(answer) = gitlab.find(gitlab.at(&["projects", segment]), memory).await? else { return Ok(None) };
    let row: ProjectRow = gitlab.api.json(&answer)?;
    Ok(row.project())
}

/// <https://docs.gitlab.com/api/projects/>
pub(super) async fn create(gitlab: &Gitlab, new: &NewProject) -> Result<Project, GitError> {
    let mut body = json!({
        "name": new.name,
        "path": new.name,
        "visibility": match new.visibility { Visibility::Private => "private", Visibility::Public => "public" },
        // A default branch is taken together with a README only.
        "initialize_with_readme": true,
        "default_branch": new.branch.as_str(),
    });
    if let Some(path) = &new.namespace {
        body["namespace_id"] = namespace_id(gitlab, path).await?.into();
    }
    let made = gitlab.api.send(Method::POST, gitlab.at(&["projects"]), &body).await;
    let row: ProjectRow = gitlab.api.json(&made.map_err(taken)?)?;
    row.project().ok_or_else(|| gitlab.api.garbled())
}

/// <https://docs.gitlab.com/api/namespaces/#retrieve-namespace-details>. A path of digits alone would be read as an id, so
/// the answer must be the one that was asked for.
async fn namespace_id(gitlab: &Gitlab, path: &str) -> Result<u64, GitError> {
    let missing =
        || GitError::NotFound(format!("{} knows no group or user {path} that the token may see", gitlab.api.name()));
    if matches!(path, "" | "." | "..") {
        return Err(missing());
    }
    let answer = gitlab.find(gitlab.at(&["namespaces", path]), Memory::Never).await?.ok_or_else(missing)?;
    let row: NamespaceRow = gitlab.api.json(&answer)?;
    if row.full_path.eq_ignore_ascii_case(path) { Ok(row.id) } else { Err(missing()) }
}

/// GitLab makes the branch that [`create`] named; one that ignored it, or made no README, is mended here.
pub(super) async fn first_branch(gitlab: &Gitlab, project: &Project, branch: &BranchName) -> Result<(), GitError> {
    let known = ProjectRef::Known { external_id: project.external_id.clone(), path: project.path.clone() };
    let gone = || GitError::NotFound(format!("{} no longer knows {}", gitlab.api.name(), project.path));
    let id = segment(&known).ok_or_else(gone)?;
    let now = find(gitlab, &known, Memory::Never).await?.ok_or_else(gone)?;
    if branches::find(gitlab, &known, branch.as_str(), Memory::Never).await?.is_none() {
        let made = match &now.default_branch {
            // https://docs.gitlab.com/api/branches/
            Some(from) => {
                let body = json!({ "branch": branch.as_str(), "ref": from });
                gitlab.api.send(Method::POST, gitlab.at(&["projects", id, "repository", "branches"]), &body).await
            }
            // https://docs.gitlab.com/api/commits/: the first commit of a project makes its branch.
            None => {
                let readme =
                    json!({ "action": "create", "file_path": "README.md", "content": format!("# {}\n", now.name) });
                let body = json!({
                    "branch": branch.as_str(), "commit_message": "Initial commit", "actions": [readme],
                });
                gitlab.api.send(Method::POST, gitlab.at(&["projects", id, "repository", "commits"]), &body).await
            }
        };
        // Somebody else may have made it meanwhile.
        if let Err(error) = made
            && branches::find(gitlab, &known, branch.as_str(), Memory::Never).await?.is_none()
        {
            return Err(error);
        }
    }
    if now.default_branch.as_deref() != Some(branch.as_str()) {
        // https://docs.gitlab.com/api/projects/
        let body = json!({ "default_branch": branch.as_str() });
        gitlab.api.send(Method::PUT, gitlab.at(&["projects", id]), &body).await?;
    }
    Ok(())
}
