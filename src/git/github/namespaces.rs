//! Where the token may make repositories: its owner's account and organizations.

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::super::call::Memory;
use super::super::{GitError, Item, ListRequest, Listed, Namespace, NamespaceKind};
use super::paging::{Choice, Entry, Halt, Order, Page, Pages, ROWS, Walk};
use super::{Github, wire};

/// Organizations that are asked about at a time.
const AT_A_TIME: usize = 4;
/// Pages of memberships that are read for their names alone.
const PAGES: u32 = 10;

enum Place {
    Own(wire::Account),
    Member(wire::Membership),
}

/// The own account, then memberships.
struct Places<'a> {
    github: &'a Github,
}

#[async_trait]
impl Pages for Places<'_> {
    type Row = Place;

    fn lists(&self) -> usize {
        2
    }

    fn order(&self, _: usize) -> Order {
        Order::Unknown
    }

    async fn page(&self, list: usize, number: u32) -> Result<Page<Place>, GitError> {
        if list == 0 {
            let own = if number == 1 { Some(self.github.owner().await?) } else { None };
            let entry = |own: wire::Account| Entry { id: own.login.clone(), key: None, row: Place::Own(own) };
            return Ok(Page::only(own.into_iter().map(entry).collect()));
        }
        let page = match memberships(self.github, number).await {
            Err(GitError::Forbidden(said)) if said.contains("not accessible by personal access token") => {
                return Ok(Page::only(Vec::new()));
            }
            page => page?,
        };
        let rows = page.rows.into_iter().map(|e| Entry { id: e.id, key: e.key, row: Place::Member(e.row) });
        Ok(Page { rows: rows.collect(), more: page.more, last: page.last })
    }
}

/// A page of memberships (<https://docs.github.com/rest/orgs/members#list-organization-memberships-for-the-authenticated-user>).
async fn memberships(github: &Github, number: u32) -> Result<Page<wire::Membership>, GitError> {
    let mut url = github.api.url(&["user", "memberships", "orgs"]);
    url.query_pairs_mut()
        .append_pair("state", "active")
        .append_pair("per_page", ROWS)
        .append_pair("page", &number.to_string());
    let answer = github.api.get(url, Memory::Recent).await?;
    let rows: Vec<wire::Membership> = github.api.json(&answer)?;
    let active = rows.into_iter().filter(|row| row.state == "active");
    let entries = active.map(|row| Entry { id: row.organization.login.clone(), key: None, row }).collect();
    Ok(Page::linked(entries, &answer.headers))
}

/// The organizations' logins: a thousand at most.
pub(super) async fn logins(github: &Github) -> Result<Vec<String>, GitError> {
    let mut logins = Vec::new();
    for number in 1..=PAGES {
        let page = memberships(github, number).await?;
        logins.extend(page.rows.into_iter().map(|entry| entry.row.organization.login));
        if !page.more {
            break;
        }
    }
    Ok(logins)
}

/// The own account first, then the organizations in GitHub's order. An owner may always make repositories; for a
/// member the organization's own setting decides (`members_can_create_repositories`). GitHub shows that setting not
/// to everybody: where it shows none the organization is listed, and GitHub refuses when the time comes.
///
/// A fine-grained token of a person's own can't be given the right to list organizations and may make nothing in any:
/// that GitHub refuses it the list means that there is none. One of an organization's can be, and [`super::token`]
/// says that it lacks it.
pub(super) async fn list(github: &Github, request: &ListRequest) -> Result<Listed<Namespace>, GitError> {
    let places = Places { github };
    let search = request.search.as_ref().map(|text| text.to_lowercase());
    let mut walk = Walk::begin(&places, request, Choice::All).await?;
    let mut items: Vec<Item<Namespace>> = Vec::new();
    let first = request.first as usize;
    loop {
        let wanted = (first + 1).saturating_sub(items.len()).clamp(1, 2 * AT_A_TIME);
        let (rows, halt) = walk.some(wanted).await?;
        if rows.is_empty() {
            // Without an item there is no cursor to go on from.
            if halt == Halt::Tired && items.is_empty() {
                return Err(GitError::Unreachable(format!(
                    "{} did not list all organizations in time: try again",
                    github.api.name()
                )));
            }
            return Ok(Listed { items, has_next: halt == Halt::Tired });
        }
        let asked = rows.into_iter().map(async |(cursor, place)| {
            let namespace = look(github, place).await?;
            Ok::<_, GitError>(namespace.map(|value| Item { cursor, value }))
        });
        let known: Vec<Option<Item<Namespace>>> = stream::iter(asked).buffered(AT_A_TIME).try_collect().await?;
        let matching = |item: &Item<Namespace>| {
            search.as_ref().is_none_or(|text| {
                item.value.path.to_lowercase().contains(text) || item.value.name.to_lowercase().contains(text)
            })
        };
        for item in known.into_iter().flatten().filter(matching) {
            if items.len() == first {
                return Ok(Listed { items, has_next: true });
            }
            items.push(item);
        }
    }
}

/// A place as it is shown; none where the token may make nothing.
async fn look(github: &Github, place: Place) -> Result<Option<Namespace>, GitError> {
    let membership = match place {
        Place::Own(own) => return Ok(Some(own.namespace(NamespaceKind::User))),
        Place::Member(membership) => membership,
    };
    // https://docs.github.com/rest/orgs/orgs#get-an-organization
    let url = github.api.url(&["orgs", &membership.organization.login]);
    let organization: wire::Account = match github.api.get(url, Memory::Recent).await {
        Ok(answer) => github.api.json(&answer)?,
        // An organization may keep a token out that has not been let in (SAML): it may make nothing there.
        Err(GitError::Forbidden(_) | GitError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let may = membership.role == "admin" || organization.members_can_create_repositories != Some(false);
    Ok(may.then(|| organization.namespace(NamespaceKind::Group)))
}
