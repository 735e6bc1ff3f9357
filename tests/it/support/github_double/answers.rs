//! The objects of GitHub's answers, whole.

use serde_json::{Value, json};

use super::state::{Branch, Organization, Part, Repository, State, stamp};

/// GitHub's own example of a listed repository, with its names put in.
fn template(repository: &Repository, base: &str) -> Value {
    static TEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let description: Value =
            serde_json::from_str(include_str!("../../../fixtures/github/openapi.json")).expect("it is JSON");
        description["components"]["examples"]["repository-items-default-response"]["value"][0].to_string()
    });
    let text = TEXT
        .replace("octocat/Hello-World", &repository.full_name())
        .replace("Hello-World", &repository.name)
        .replace("octocat", &repository.owner)
        .replace("https://api.github.com", base);
    serde_json::from_str(&text).expect("names hold nothing that JSON minds")
}

pub(super) fn repository(state: &State, repository: &Repository, part: Option<Part>, base: &str) -> Value {
    let mut value = template(repository, base);
    let admin = part.is_some_and(Part::is_admin);
    let reads = state.organizations.get(&repository.owner).is_some_and(|organization| organization.members_only_read);
    let push = part.is_some() && (admin || !reads);
    let fields = json!({
        "id": repository.id,
        "private": repository.private,
        "visibility": if repository.private { "private" } else { "public" },
        "description": repository.description,
        "archived": repository.archived,
        "default_branch": repository.default_branch,
        "size": if repository.branches.is_empty() { 0 } else { 108 },
        "created_at": stamp(repository.created),
        "updated_at": stamp(repository.created + 30),
        "pushed_at": stamp(repository.created + if repository.branches.is_empty() { 0 } else { 60 }),
        "permissions": {
            "admin": admin, "maintain": admin, "push": push, "triage": push, "pull": true,
        },
    });
    merge(&mut value, fields);
    let owner = match state.organizations.get(&repository.owner) {
        Some(organization) => account(&repository.owner, organization.id, "Organization", base),
        None => account(&repository.owner, state.users.get(&repository.owner).map_or(0, |user| user.id), "User", base),
    };
    value["owner"] = owner;
    value
}

/// What a single repository has more than a listed one.
pub(super) fn full(mut value: Value) -> Value {
    merge(
        &mut value,
        json!({ "network_count": 0, "has_discussions": true, "subscribers_count": 1, "forks": 0, "open_issues": 0, "watchers": 0,
        "license": null }),
    );
    value
}

/// What a search adds.
pub(super) fn found(mut value: Value) -> Value {
    let default = value["default_branch"].clone();
    merge(
        &mut value,
        json!({ "score": 1.0, "master_branch": default, "forks": 0,
        "open_issues": 0, "watchers": 0, "license": null }),
    );
    value
}

fn account(login: &str, id: u64, kind: &str, base: &str) -> Value {
    let user = format!("{base}/users/{login}");
    json!({
        "login": login, "id": id, "node_id": format!("NODE{id}"), "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}?v=4"),
        "gravatar_id": "", "url": user, "html_url": format!("https://github.com/{login}"),
        "followers_url": format!("{user}/followers"), "following_url": format!("{user}/following{{/other_user}}"),
        "gists_url": format!("{user}/gists{{/gist_id}}"), "starred_url": format!("{user}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{user}/subscriptions"), "organizations_url": format!("{user}/orgs"),
        "repos_url": format!("{user}/repos"), "events_url": format!("{user}/events{{/privacy}}"),
        "received_events_url": format!("{user}/received_events"), "type": kind, "site_admin": false,
    })
}

/// A person, as others see them.
pub(super) fn person(state: &State, login: &str, base: &str) -> Value {
    account(login, state.users.get(login).map_or(0, |user| user.id), "User", base)
}

/// The token's owner, as they see themselves.
pub(super) fn me(state: &State, login: &str, base: &str) -> Value {
    let user = &state.users[login];
    let mut value = account(login, user.id, "User", base);
    merge(
        &mut value,
        json!({
            "name": user.name, "company": null, "blog": "", "location": null, "email": null, "hireable": null, "bio": null,
            "twitter_username": null, "public_repos": 0, "public_gists": 0, "followers": 0, "following": 0,
            "created_at": stamp(1_500_000_000), "updated_at": stamp(1_600_000_000),
        }),
    );
    value
}

fn simple_organization(login: &str, organization: &Organization, base: &str) -> Value {
    let url = format!("{base}/orgs/{login}");
    json!({
        "login": login, "id": organization.id, "node_id": format!("NODE{}", organization.id), "url": url,
        "repos_url": format!("{url}/repos"), "events_url": format!("{url}/events"), "hooks_url": format!("{url}/hooks"),
        "issues_url": format!("{url}/issues"), "members_url": format!("{url}/members{{/member}}"),
        "public_members_url": format!("{url}/public_members{{/member}}"),
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{}?v=4", organization.id), "description": null,
    })
}

pub(super) fn organization(login: &str, organization: &Organization, base: &str) -> Value {
    let mut value = simple_organization(login, organization, base);
    merge(
        &mut value,
        json!({
            "html_url": format!("https://github.com/{login}"), "has_organization_projects": true,
            "has_repository_projects": true, "public_repos": 0, "public_gists": 0, "followers": 0, "following": 0,
            "type": "Organization", "created_at": stamp(1_500_000_000), "updated_at": stamp(1_600_000_000),
            "archived_at": null,
        }),
    );
    if let Some(name) = &organization.name {
        value["name"] = json!(name);
    }
    if let Some(may) = organization.members_can_create {
        value["members_can_create_repositories"] = json!(may);
    }
    value
}

pub(super) fn membership(state: &State, login: &str, of: &(String, &str, &str), base: &str) -> Value {
    let (name, role, status) = of;
    let organization = &state.organizations[name];
    json!({
        "url": format!("{base}/orgs/{name}/memberships/{login}"), "state": status, "role": role,
        "organization_url": format!("{base}/orgs/{name}"),
        "organization": simple_organization(name, organization, base),
        "user": account(login, state.users[login].id, "User", base),
    })
}

pub(super) fn short_branch(repository: &Repository, name: &str, branch: &Branch, base: &str) -> Value {
    let url = format!("{base}/repos/{}", repository.full_name());
    json!({
        "name": name, "protected": branch.protected,
        "commit": { "sha": branch.sha, "url": format!("{url}/commits/{}", branch.sha) },
        "protection": protection(branch), "protection_url": format!("{url}/branches/{}/protection", encoded(name)),
    })
}

fn protection(branch: &Branch) -> Value {
    json!({ "enabled": branch.protected,
        "required_status_checks": { "enforcement_level": "off", "contexts": [], "checks": [] } })
}

pub(super) fn branch(repository: &Repository, name: &str, branch: &Branch, base: &str) -> Value {
    let url = format!("{base}/repos/{}", repository.full_name());
    let page = format!("https://github.com/{}", repository.full_name());
    let signature =
        json!({ "name": "Ada Lovelace", "email": "ada@example.com", "date": stamp(repository.created + 60) });
    let mut value = short_branch(repository, name, branch, base);
    let itself = format!("{url}/branches/{}", encoded(name));
    value["_links"] = json!({ "self": itself, "html": format!("{page}/tree/{name}") });
    value["commit"] = json!({
        "sha": branch.sha, "node_id": format!("C{}", branch.sha), "url": format!("{url}/commits/{}", branch.sha),
        "html_url": format!("{page}/commit/{}", branch.sha), "comments_url": format!("{url}/commits/{}/comments", branch.sha),
        "author": null, "committer": null, "parents": [],
        "commit": {
            "author": signature, "committer": signature, "message": "Initial commit",
            "tree": { "sha": branch.sha, "url": format!("{url}/git/trees/{}", branch.sha) },
            "url": format!("{url}/git/commits/{}", branch.sha), "comment_count": 0,
            "verification": { "verified": false, "reason": "unsigned", "signature": null, "payload": null,
                "verified_at": null },
        },
    });
    value
}

fn encoded(name: &str) -> String {
    let mut url = url::Url::parse("http://x").expect("an address");
    url.path_segments_mut().expect("it has a path").push(name);
    url.path()[1..].to_owned()
}

fn merge(into: &mut Value, from: Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { return };
    into.extend(from);
}
