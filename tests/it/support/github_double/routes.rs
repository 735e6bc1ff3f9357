//! What is answered to what.

use serde_json::{Value, json};

use super::state::{Kind, Part, Repository, State, Token};
use super::{Call, Reply, answers, hooks};

/// GitHub's answer, with its headers.
pub(super) fn answer(state: &mut State, call: &Call) -> Reply {
    // https://docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent
    if call.header("user-agent").is_empty() {
        return Reply::refusal(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        );
    }
    let given = call.header("authorization");
    let given = given.strip_prefix("Bearer ").or_else(|| given.strip_prefix("token ")).unwrap_or_default();
    let Some(token) = state.tokens.get(given).cloned() else { return Reply::refusal(401, "Bad credentials") };
    let search = call.segments.first().is_some_and(|first| first == "search");
    let (left, limit, resource) =
        if search { (&mut state.searches_left, 30, "search") } else { (&mut state.left, 5000, "core") };
    let spent = *left == Some(0);
    *left = left.map(|left| left.saturating_sub(1));
    let left = left.unwrap_or(limit);
    let reset = state.reset;
    let reply = if spent {
        Reply::refusal(403, &format!("API rate limit exceeded for user ID {}.", state.users[&token.login].id))
    } else {
        route(state, call, &token)
    };
    let mut reply = reply
        .with("x-ratelimit-limit", limit.to_string())
        .with("x-ratelimit-remaining", left.to_string())
        .with("x-ratelimit-used", (limit - left.min(limit)).to_string())
        .with("x-ratelimit-reset", reset.to_string())
        .with("x-ratelimit-resource", resource)
        .with("x-github-media-type", "github.v3; format=json")
        .with("x-github-api-version-selected", "2022-11-28");
    if let Kind::Classic(scopes) = &token.kind {
        reply = reply.with("x-oauth-scopes", scopes.clone()).with("x-accepted-oauth-scopes", "");
    }
    if let Some(expires) = &token.expires {
        reply = reply.with("github-authentication-token-expiration", expires.clone());
    }
    reply
}

fn route(state: &mut State, call: &Call, token: &Token) -> Reply {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match (call.method.as_str(), &segments[..]) {
        ("GET", ["user"]) => Reply::ok(answers::me(state, &token.login, &call.base)),
        ("GET", ["user", "repos"]) => mine(state, call, token),
        ("POST", ["user", "repos"]) => {
            let owner = token.login.clone();
            create(state, call, token, &owner)
        }
        ("GET", ["user", "memberships", "orgs"]) => memberships(state, call, token),
        ("GET", ["orgs", login]) => match state.organizations.get_key_value(*login) {
            Some((login, organization)) => Reply::ok(answers::organization(login, organization, &call.base)),
            None => missing(),
        },
        ("POST", ["orgs", login, "repos"]) => create_in(state, call, token, login),
        ("GET", ["search", "repositories"]) => search(state, call, token),
        (_, ["repos", owner, name, rest @ ..]) => {
            let path = format!("{owner}/{name}");
            match state.at(&path).map(|repository| repository.id) {
                Some(id) => below(state, call, token, id, rest),
                None => moved(state, call, &path, rest),
            }
        }
        (_, ["repositories", id, rest @ ..]) => match id.parse() {
            Ok(id) => below(state, call, token, id, rest),
            Err(_) => missing(),
        },
        _ => missing(),
    }
}

pub(super) fn missing() -> Reply {
    Reply::refusal(404, "Not Found")
}

/// Where an old path leads: 301 for what reads, 307 for what changes something.
fn moved(state: &State, call: &Call, path: &str, rest: &[&str]) -> Reply {
    let Some(id) = state.moved.get(&path.to_lowercase()) else { return missing() };
    let mut url = url::Url::parse(&format!("{}/repositories/{id}", call.base)).expect("an address");
    url.path_segments_mut().expect("it has a path").extend(rest);
    let query: Vec<_> = call.query.iter().collect();
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let status = if call.method == "GET" { 301 } else { 307 };
    let mut reply = Reply::refusal(status, "Moved Permanently").with("location", url.as_str());
    reply.body = json!({ "message": "Moved Permanently", "url": url.as_str(),
        "documentation_url": "https://docs.github.com/v3/#http-redirects" });
    reply
}

/// Asks of a permission that the token lacks are refused with what would be accepted.
pub(super) fn lacks(token: &Token, scopes: &[&str], permission: &'static str) -> Option<Reply> {
    if token.may(scopes, permission) {
        return None;
    }
    Some(match token.kind {
        Kind::Classic(_) => missing(),
        Kind::FineGrained(_) => Reply::refusal(403, "Resource not accessible by personal access token")
            .with("x-accepted-github-permissions", permission),
    })
}

fn mine(state: &State, call: &Call, token: &Token) -> Reply {
    let affiliation = call.query.get("affiliation").map_or("owner,collaborator,organization_member", String::as_str);
    let visibility = call.query.get("visibility").map_or("all", String::as_str);
    let mut rows: Vec<(&Repository, Part)> = state
        .repositories
        .values()
        .filter_map(|r| Some((r, state.part(&token.login, r)?)))
        .filter(|(_, part)| affiliation.split(',').any(|one| one == part.affiliation()))
        .filter(|(r, _)| !r.private || token.sees_private())
        .filter(|(r, _)| visibility == "all" || (visibility == "private") == r.private)
        .collect();
    if call.query.get("sort").is_some_and(|sort| sort == "created") {
        rows.sort_by_key(|(r, _)| (r.created, r.id));
        if call.query.get("direction").is_none_or(|direction| direction == "desc") {
            rows.reverse();
        }
    } else {
        rows.sort_by_key(|(r, _)| r.full_name().to_lowercase());
    }
    paged(call, &rows, |(r, part)| answers::repository(state, r, Some(*part), &call.base))
}

fn memberships(state: &State, call: &Call, token: &Token) -> Reply {
    let may = match token.kind {
        Kind::Classic(_) => token.may(&["read:org", "write:org", "admin:org"], ""),
        Kind::FineGrained(_) => token.may(&[], "members=read"),
    };
    if !may {
        return match token.kind {
            Kind::Classic(_) => {
                Reply::refusal(403, "You need at least read:org scope or user scope to list your organizations.")
            }
            Kind::FineGrained(_) => Reply::refusal(403, "Resource not accessible by personal access token")
                .with("x-accepted-github-permissions", "members=read"),
        };
    }
    let wanted = call.query.get("state").map(String::as_str);
    let all = &state.users[&token.login].memberships;
    let rows: Vec<_> = all.iter().filter(|(_, _, status)| wanted.is_none_or(|wanted| wanted == *status)).collect();
    paged(call, &rows, |row| answers::membership(state, &token.login, row, &call.base))
}

/// A page of rows, with the `Link` header.
fn paged<T>(call: &Call, rows: &[T], show: impl Fn(&T) -> Value) -> Reply {
    let (links, from, to) = page(call, rows.len());
    let reply = Reply::ok(rows[from..to].iter().map(show).collect());
    if links.is_empty() { reply } else { reply.with("link", links) }
}

/// The `Link` header, and which rows the page has.
fn page(call: &Call, rows: usize) -> (String, usize, usize) {
    let size = call.number("per_page", 30).clamp(1, 100);
    let number = call.number("page", 1).max(1);
    let last = rows.div_ceil(size).max(1);
    let address = |number: usize| {
        let path: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        let mut url = url::Url::parse(&call.base).expect("an address");
        url.path_segments_mut().expect("it has a path").pop_if_empty().extend(path);
        let mut query: Vec<_> = call.query.iter().filter(|(name, _)| *name != "page").collect();
        query.sort();
        url.query_pairs_mut().extend_pairs(query).append_pair("page", &number.to_string());
        url
    };
    let mut links = Vec::new();
    let mut link = |relation: &str, to: usize| links.push(format!("<{}>; rel=\"{relation}\"", address(to)));
    if number > 1 {
        link("prev", number - 1);
    }
    if number < last {
        link("next", number + 1);
        link("last", last);
    }
    if number > 1 {
        link("first", 1);
    }
    let from = (size * (number - 1)).min(rows);
    (links.join(", "), from, (from + size).min(rows))
}

/// <https://docs.github.com/search-github/searching-on-github/searching-for-repositories>, as far as words, `in:name`,
/// `fork:`, `user:` and `org:` go. Words match names at the beginnings of their parts.
fn search(state: &State, call: &Call, token: &Token) -> Reply {
    let query = call.query.get("q").cloned().unwrap_or_default();
    let (mut words, mut owners) = (Vec::new(), Vec::new());
    for part in query.split_whitespace() {
        match part.split_once(':') {
            Some(("user" | "org", login)) => owners.push(login.to_lowercase()),
            Some(_) => {}
            None => words.push(part.to_lowercase()),
        }
    }
    let known = |login: &String| {
        state.users.keys().chain(state.organizations.keys()).any(|other| other.eq_ignore_ascii_case(login))
    };
    if query.len() > 256 || query.is_empty() || (!owners.is_empty() && !owners.iter().any(known)) {
        let mut refusal = Reply::refusal(422, "Validation Failed");
        refusal.body["errors"] = json!([{ "message": "The listed users and repositories cannot be searched either because the resources do not exist or you do not have permission to view them.",
            "resource": "Search", "field": "q", "code": "invalid" }]);
        return refusal;
    }
    let (size, number) = (call.number("per_page", 30).clamp(1, 100), call.number("page", 1).max(1));
    if size * (number - 1) >= 1000 {
        return Reply::refusal(422, "Only the first 1000 search results are available");
    }
    let begins = |name: &str, word: &str| {
        name.split(['-', '_', '.']).any(|part| part.starts_with(word)) || name.starts_with(word)
    };
    let mut rows: Vec<&Repository> = state
        .repositories
        .values()
        .filter(|r| r.indexed && (owners.is_empty() || owners.contains(&r.owner.to_lowercase())))
        .filter(|r| !r.private || (token.sees_private() && state.part(&token.login, r).is_some()))
        .filter(|r| words.iter().all(|word| begins(&r.name.to_lowercase(), word)))
        .collect();
    rows.sort_by_key(|r| (r.name.len(), r.id));
    let total = rows.len();
    rows.truncate(1000);
    let (links, from, to) = page(call, rows.len());
    let show = |r: &&Repository| answers::found(answers::repository(state, r, state.part(&token.login, r), &call.base));
    let items: Vec<Value> = rows[from..to].iter().map(show).collect();
    let reply = Reply::ok(json!({ "total_count": total, "incomplete_results": false, "items": items }));
    if links.is_empty() { reply } else { reply.with("link", links) }
}

fn create_in(state: &mut State, call: &Call, token: &Token, login: &str) -> Reply {
    let Some(organization) = state.organizations.get(login) else { return missing() };
    let open = organization.members_can_create.unwrap_or(true);
    let memberships = &state.users[&token.login].memberships;
    match memberships.iter().find(|(name, _, status)| name == login && *status == "active") {
        None => missing(),
        Some((_, role, _)) if *role == "admin" || open => create(state, call, token, login),
        Some(_) => Reply::refusal(403, "You need admin access to the organization before adding a repository to it."),
    }
}

fn create(state: &mut State, call: &Call, token: &Token, owner: &str) -> Reply {
    if let Some(reply) = lacks(token, &["repo", "public_repo"], "administration=write") {
        return reply;
    }
    let refuse = |message: &str| {
        let mut refusal = Reply::refusal(422, "Repository creation failed.");
        refusal.body["errors"] =
            json!([{ "resource": "Repository", "code": "custom", "field": "name", "message": message }]);
        refusal
    };
    let Some(name) = call.body["name"].as_str().filter(|name| !name.is_empty()) else {
        return refuse("name is too short (minimum is 1 character)");
    };
    // What a name can't hold becomes a hyphen.
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let path = format!("{owner}/{name}");
    if state.at(&path).is_some() {
        return refuse("name already exists on this account");
    }
    let slow = state.slow_readme;
    let repository = state.repository(&path);
    repository.private = call.body["private"].as_bool().unwrap_or(false);
    repository.description = call.body["description"].as_str().map(str::to_owned);
    if call.body["auto_init"] != true || slow > 0 {
        repository.branches.clear();
        repository.readme_in = (call.body["auto_init"] == true).then_some(slow);
    }
    let made = repository.clone();
    let value = answers::full(answers::repository(state, &made, state.part(&token.login, &made), &call.base));
    Reply { status: 201, headers: vec![("location", format!("{}/repos/{path}", call.base))], body: value }
}

fn below(state: &mut State, call: &Call, token: &Token, id: u64, rest: &[&str]) -> Reply {
    let Some(repository) = state.repositories.get_mut(&id) else { return missing() };
    repository.looked_at();
    let repository = repository.clone();
    let part = state.part(&token.login, &repository);
    if repository.private && (part.is_none() || !token.sees_private()) {
        return missing();
    }
    let contents = if repository.private { lacks(token, &["repo"], "contents=read") } else { None };
    let admin = part.is_some_and(Part::is_admin);
    match (call.method.as_str(), rest) {
        ("GET", []) => Reply::ok(answers::full(answers::repository(state, &repository, part, &call.base))),
        ("GET", ["branches"]) => contents.unwrap_or_else(|| {
            let rows: Vec<_> = repository.branches.iter().collect();
            paged(call, &rows, |(name, branch)| answers::short_branch(&repository, name, branch, &call.base))
        }),
        ("GET", ["branches", name @ ..]) => contents.unwrap_or_else(|| {
            let name = name.join("/");
            match repository.branches.get(&name) {
                Some(branch) => Reply::ok(answers::branch(&repository, &name, branch, &call.base)),
                None => Reply::refusal(404, "Branch not found"),
            }
        }),
        ("POST", ["branches", name @ .., "rename"]) => {
            if let Some(reply) = lacks(token, &["repo", "public_repo"], "administration=write") {
                return reply;
            }
            rename(state, call, id, &name.join("/"))
        }
        (_, ["keys" | "hooks", ..]) if !admin => missing(),
        ("GET", ["keys"]) => lacks(token, &["repo"], "administration=read").unwrap_or_else(|| Reply::ok(json!([]))),
        (_, ["hooks", ..]) => hooks::answer(state, call, token, &repository),
        ("POST", ["statuses", _]) => hooks::status(state, call, token, &repository),
        _ => missing(),
    }
}

fn rename(state: &mut State, call: &Call, id: u64, from: &str) -> Reply {
    let slow = state.slow_rename;
    let Some(repository) = state.repositories.get_mut(&id) else { return missing() };
    let Some(branch) = repository.branches.get(from).cloned() else { return Reply::refusal(404, "Branch not found") };
    let Some(to) = call.body["new_name"].as_str().filter(|name| !name.is_empty() && !name.contains(' ')) else {
        return Reply::refusal(422, "Validation Failed");
    };
    if repository.branches.contains_key(to) || repository.renaming.is_some() {
        return Reply::refusal(422, "Branch already exists");
    }
    repository.renaming = Some((slow, from.to_owned(), to.to_owned()));
    if slow == 0 {
        repository.looked_at();
    }
    let body = answers::branch(repository, to, &branch, &call.base);
    Reply { status: 201, headers: Vec::new(), body }
}
