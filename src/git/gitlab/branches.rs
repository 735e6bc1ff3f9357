//! Branches: <https://docs.gitlab.com/api/branches/>.

use super::super::call::Memory;
use super::super::{Branch, GitError, Item, ListRequest, Listed, ProjectRef};
use super::Gitlab;
use super::paging::{After, MOST, PAGES};
use super::projects::{self, segment};
use super::walk::{Search, Walk};
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

/// The default branch first, then the others by name. A cursor is a name and the page that it was last seen on:
/// branches made or removed meanwhile move pages, not names.
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
    let first = (request.first as usize).clamp(1, MOST);
    let mut items = Vec::new();
    let after = request.after.as_deref().and_then(After::parse);
    if after.is_none()
        && let Some(name) = found.default_branch.as_deref().filter(|name| search.matches(name))
    {
        // The project says so; a branch may have become the default one since.
        items.extend(
            find(gitlab, &known, name, Memory::Recent)
                .await?
                .map(|branch| Item { cursor: After::Default.cursor(), value: Branch { is_default: true, ..branch } }),
        );
    }
    let mut walk = Walk::new(gitlab, id, search);
    let mut rows = match after {
        None | Some(After::Default) => walk.first().await?,
        Some(After::Name(page, name)) => walk.after(page, &name).await?,
    };
    let default = found.default_branch.as_deref();
    loop {
        let next = rows.next.take();
        for row in rows.list.into_iter().filter(|row| Some(row.name.as_str()) != default && walk.finds(row)) {
            let cursor = After::Name(walk.page().clone(), row.name.clone()).cursor();
            let Some(branch) = row.branch() else { continue };
            if items.len() == first {
                return Ok(Some(Listed { items, has_next: true }));
            }
            items.push(Item { cursor, value: Branch { is_default: false, ..branch } });
        }
        let Some(next) = next else { return Ok(Some(Listed { items, has_next: false })) };
        if walk.fetched() >= PAGES {
            return Ok(Some(Listed { items, has_next: true }));
        }
        rows = walk.next(next).await?;
    }
}
