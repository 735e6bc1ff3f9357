//! Where a token may make projects.

use serde::Deserialize;
use serde_json::json;

use super::super::call::Memory;
use super::super::{GitError, Item, ListRequest, Listed, Namespace, NamespaceKind};
use super::Gitlab;
use super::paging::MOST;
use super::token::about_me;
use super::wire::Me;

/// Only GraphQL knows the groups that one may make projects in, by role, by the group's own rule, and by being shared
/// with: <https://docs.gitlab.com/api/graphql/reference/>, `permissionScope`.
const GROUPS: &str = "query groups($search: String, $first: Int, $after: String) { currentUser { \
     groups(permissionScope: CREATE_PROJECTS, search: $search, first: $first, after: $after) { \
     edges { cursor node { fullPath name avatarUrl } } pageInfo { hasNextPage } } } }";

/// The cursor of the own account, before all groups.
const OWN: &str = "own";
/// What the cursors of groups begin with; GitLab's own follows.
const GROUP: &str = "group.";

/// The own account, where it may make projects, then groups.
pub(super) async fn list(gitlab: &Gitlab, request: &ListRequest) -> Result<Listed<Namespace>, GitError> {
    let first = (request.first as usize).clamp(1, MOST);
    let mut items = Vec::new();
    let after = match request.after.as_deref() {
        Some(OWN) => None,
        Some(cursor) if cursor.starts_with(GROUP) => cursor.strip_prefix(GROUP),
        _ => {
            let me = about_me(gitlab, Memory::Recent).await?;
            items.extend(own(gitlab, &me, request.search.as_deref()));
            None
        }
    };
    let want = first - items.len();
    let groups = groups(gitlab, request, after, (want + 1).min(MOST)).await?;
    let has_next = groups.page_info.has_next_page || groups.edges.len() > want;
    items.extend(groups.edges.into_iter().take(want).map(|edge| Item {
        cursor: format!("{GROUP}{}", edge.cursor),
        value: Namespace {
            avatar_url: edge.node.avatar_url.and_then(|at| gitlab.picture(&at)),
            path: edge.node.full_path,
            name: edge.node.name,
            kind: NamespaceKind::Group,
        },
    }));
    Ok(Listed { items, has_next })
}

/// None for the account of a project's or a group's token, and for people whom the server's administrators let make
/// no projects (<https://docs.gitlab.com/administration/settings/account_and_limit_settings/>).
fn own(gitlab: &Gitlab, me: &Me, search: Option<&str>) -> Option<Item<Namespace>> {
    let may = me.can_create_project.unwrap_or_else(|| me.projects_limit.is_none_or(|limit| limit > 0));
    let sought = search.map(str::to_lowercase);
    let found =
        sought.is_none_or(|text| [&me.username, &me.name].iter().any(|name| name.to_lowercase().contains(&text)));
    (may && found && !me.bot).then(|| Item {
        cursor: OWN.to_owned(),
        value: Namespace {
            path: me.username.clone(),
            name: me.name.clone(),
            kind: NamespaceKind::User,
            avatar_url: me.avatar_url.as_deref().and_then(|at| gitlab.picture(at)),
        },
    })
}

#[derive(Deserialize)]
struct Answered {
    data: Option<Data>,
    errors: Option<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    current_user: Option<CurrentUser>,
}

#[derive(Deserialize)]
struct CurrentUser {
    groups: Option<Groups>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Groups {
    edges: Vec<Edge>,
    page_info: PageInfo,
}

#[derive(Deserialize)]
struct Edge {
    cursor: String,
    node: Node,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    full_path: String,
    name: String,
    avatar_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
}

async fn groups(gitlab: &Gitlab, request: &ListRequest, after: Option<&str>, first: usize) -> Result<Groups, GitError> {
    let variables = json!({ "search": request.search, "first": first, "after": after });
    let body = json!({ "query": GROUPS, "variables": variables });
    let answer = gitlab.api.query(gitlab.graphql(), &body, Memory::Recent).await?;
    let answered: Answered = gitlab.api.json(&answer)?;
    if answered.errors.is_some_and(|errors| !errors.is_empty()) {
        let said = gitlab.api.words(&answer.body).unwrap_or_default();
        let said = format!("{} does not list groups: {said}", gitlab.api.name());
        // A cursor may be forged, or from another server. All else that it was asked, it has to understand.
        return Err(if after.is_some() { GitError::Invalid(said) } else { GitError::Unreachable(said) });
    }
    let data = answered.data.ok_or_else(|| gitlab.api.garbled())?;
    // To GraphQL, a token without one of these scopes is nobody.
    let user = data.current_user.ok_or_else(|| {
        GitError::Forbidden(format!(
            "{} does not let the token list groups: it needs read_api or api",
            gitlab.api.name()
        ))
    })?;
    user.groups.ok_or_else(|| gitlab.api.garbled())
}
