//! Projects, branches and namespaces, listed with the organization's token.

use super::{Connected, connect, project_path, seen};
use crate::app::{Actor, App, Error, Result};
use crate::domain::git::{Provider, TokenRight};
use crate::domain::paging::{Cursor, PageRequest};
use crate::git::{Branch, GitError, ListRequest, Listed, Namespace, Project, ProjectRef};

/// Rows that providers list at a time.
const MAX_ROWS: u32 = 100;
/// Bytes of a search, at most.
const MAX_SEARCH: usize = 255;

/// One page of what a provider lists. It does not say how many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitPage<T> {
    /// In the provider's order, each with the cursor that goes on after it.
    pub items: Vec<(Cursor, T)>,
    /// There are more after these.
    pub has_next_page: bool,
    /// There are some before these.
    pub has_previous_page: bool,
}

/// A project, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundProject {
    /// Which provider.
    pub provider: Provider,
    /// The provider's address.
    pub base_url: String,
    /// The project.
    pub project: Project,
}

/// Projects that the organization's token takes part in, newest first; those that the provider finds by `search`: part
/// of the name, or a path. GitLab looks into descriptions too; it takes a text of one or two characters for a whole
/// name, path or description, and leaves such words out beside longer ones.
///
/// # Errors
/// FAILED_PRECONDITION where the provider is not set up, BAD_USER_INPUT for a bad search or cursor, UPSTREAM_ERROR that
/// names the provider when it does not answer.
pub async fn projects(
    app: &App,
    actor: &Actor,
    which: Provider,
    search: Option<&str>,
    page: &PageRequest,
) -> Result<GitPage<FoundProject>> {
    let connected = connect(app, actor, which, &[TokenRight::ReadProjects]).await?;
    let Some(request) = request(search, page)? else { return Ok(GitPage::empty(page)) };
    let found = connected.client.projects(&request).await;
    let found = answered(app, actor, &connected, &request, found).await?;
    seen::note(app, &actor.scope, &connected, found.items.iter().map(|i| &i.value)).await;
    Ok(GitPage::of(page, found).map(|project| connected.found(project)))
}

/// One project by its path; none where there is none that the token may see.
///
/// # Errors
/// As [`projects`].
pub async fn project(app: &App, actor: &Actor, which: Provider, path: &str) -> Result<Option<FoundProject>> {
    let path = project_path(which, path).map_err(|e| Error::bad_input("path", e.to_string()))?;
    let connected = connect(app, actor, which, &[TokenRight::ReadProjects]).await?;
    let project = match connected.client.project(&ProjectRef::Path(path)).await {
        Ok(project) => project,
        Err(error) => return Err(connected.failed(app, actor, error).await),
    };
    seen::note(app, &actor.scope, &connected, project.iter()).await;
    Ok(project.map(|project| connected.found(project)))
}

/// Branches of a project, the default one first.
///
/// # Errors
/// As [`projects`], and NOT_FOUND when there is no such project.
pub async fn branches(
    app: &App,
    actor: &Actor,
    which: Provider,
    project: ProjectRef,
    search: Option<&str>,
    page: &PageRequest,
) -> Result<GitPage<Branch>> {
    let connected = connect(app, actor, which, &[TokenRight::ReadProjects]).await?;
    let Some(request) = request(search, page)? else { return Ok(GitPage::empty(page)) };
    let found = connected.client.branches(&project, &request).await.transpose();
    let found = found.ok_or_else(|| Error::not_found("project"))?;
    Ok(GitPage::of(page, answered(app, actor, &connected, &request, found).await?))
}

/// Where the token may make projects: its own account first, then groups or organizations.
///
/// # Errors
/// As [`projects`].
pub async fn namespaces(
    app: &App,
    actor: &Actor,
    which: Provider,
    search: Option<&str>,
    page: &PageRequest,
) -> Result<GitPage<Namespace>> {
    let connected = connect(app, actor, which, &[TokenRight::ReadNamespaces]).await?;
    let Some(request) = request(search, page)? else { return Ok(GitPage::empty(page)) };
    let found = connected.client.namespaces(&request).await;
    Ok(GitPage::of(page, answered(app, actor, &connected, &request, found).await?))
}

/// The project that an argument of this name means.
///
/// # Errors
/// BAD_USER_INPUT for what is no path of the provider's.
pub fn project_named(which: Provider, field: &str, text: &str) -> Result<ProjectRef> {
    let path = project_path(which, text).map_err(|e| Error::bad_input(field, e.to_string()))?;
    Ok(ProjectRef::Path(path))
}

impl Connected {
    fn found(&self, project: Project) -> FoundProject {
        FoundProject { provider: self.which, base_url: self.settings.base_url.clone(), project }
    }
}

impl<T> GitPage<T> {
    fn empty(page: &PageRequest) -> Self {
        Self { items: Vec::new(), has_next_page: false, has_previous_page: page.after.is_some() }
    }

    fn of(page: &PageRequest, found: Listed<T>) -> Self {
        let items = found.items.into_iter().map(|item| (Cursor(vec![item.cursor]), item.value)).collect();
        Self { items, has_next_page: found.has_next, has_previous_page: page.after.is_some() }
    }

    fn map<U>(self, mut f: impl FnMut(T) -> U) -> GitPage<U> {
        GitPage {
            items: self.items.into_iter().map(|(cursor, item)| (cursor, f(item))).collect(),
            has_next_page: self.has_next_page,
            has_previous_page: self.has_previous_page,
        }
    }
}

/// What to ask for; none for a page of nothing, which no provider knows.
fn request(search: Option<&str>, page: &PageRequest) -> Result<Option<ListRequest>> {
    let search = search.map(str::trim).filter(|text| !text.is_empty());
    if page.size > MAX_ROWS {
        return Err(Error::bad_input("first", format!("at most {MAX_ROWS} at a time: providers list no more")));
    }
    if search.is_some_and(|text| text.len() > MAX_SEARCH || text.chars().any(char::is_control)) {
        return Err(Error::bad_input("search", format!("a search has at most {MAX_SEARCH} bytes on one line")));
    }
    let after = match page.after.as_ref().map(|cursor| cursor.0.as_slice()) {
        None => None,
        Some([cursor]) => Some(cursor.clone()),
        Some(_) => return Err(no_cursor()),
    };
    Ok((page.size > 0).then(|| ListRequest { first: page.size, after, search: search.map(str::to_owned) }))
}

async fn answered<T>(
    app: &App,
    actor: &Actor,
    connected: &Connected,
    request: &ListRequest,
    answer: std::result::Result<Listed<T>, GitError>,
) -> Result<Listed<T>> {
    match answer {
        Ok(listed) => Ok(listed),
        // A search that is too wide is given up, and a provider may find fault with a cursor that is forged.
        Err(GitError::Invalid(message)) if request.search.is_some() => Err(Error::bad_input("search", message)),
        Err(GitError::Invalid(_)) if request.after.is_some() => Err(no_cursor()),
        Err(error) => Err(connected.failed(app, actor, error).await),
    }
}

fn no_cursor() -> Error {
    Error::bad_input("after", "this is no cursor of this list: use one from pageInfo or edges")
}
