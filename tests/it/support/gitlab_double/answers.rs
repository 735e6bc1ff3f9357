//! The forms of answers: rows, pages, refusals.

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::state::{Account, Group, Made, State};
use super::{Asked, json_body};

/// An answer of the API.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), body }
    }

    pub(super) fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, headers: Vec::new(), body }
    }

    /// With the ETag that every answer has, and 304 where it is known already.
    pub(super) fn response(self, sent: &HeaderMap) -> Response<Body> {
        let etag = format!("W/\"{}\"", hex::encode(Sha256::digest(self.body.to_string())));
        let known = sent.get("if-none-match").and_then(|value| value.to_str().ok()) == Some(&etag);
        let mut response = Response::builder().header("content-type", "application/json").header("etag", etag);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        if known && self.status == StatusCode::OK {
            return response.status(StatusCode::NOT_MODIFIED).body(Body::empty()).expect("an answer");
        }
        let body = if self.status == StatusCode::NO_CONTENT { Body::empty() } else { json_body(&self.body) };
        response.status(self.status).body(body).expect("an answer")
    }
}

/// What is no API's answer.
pub(super) fn html(status: StatusCode) -> Response<Body> {
    let page = "<!DOCTYPE html><html><head><title>404</title></head><body>Not here</body></html>";
    Response::builder().status(status).header("content-type", "text/html").body(Body::from(page)).expect("an answer")
}

/// `{"message": …}`
pub(super) fn message(status: StatusCode, message: impl Into<Value>) -> Answer {
    Answer { status, headers: Vec::new(), body: json!({ "message": message.into() }) }
}

/// `{"error": …}`
pub(super) fn refused(status: StatusCode, error: &str) -> Answer {
    Answer { status, headers: Vec::new(), body: json!({ "error": error }) }
}

/// `{"error": …, "error_description": …}`, of tokens that are not taken.
pub(super) fn refusal(status: StatusCode, error: &str, description: &str) -> Answer {
    Answer { status, headers: Vec::new(), body: json!({ "error": error, "error_description": description }) }
}

pub(super) fn insufficient_scope(scopes: &[&str]) -> Answer {
    let said = "The request requires higher privileges than provided by the access token.";
    let mut answer = refusal(StatusCode::FORBIDDEN, "insufficient_scope", said);
    answer.body["scope"] = scopes.join(" ").into();
    answer
}

pub(super) fn missing(what: &str) -> Answer {
    message(StatusCode::NOT_FOUND, format!("404 {what} Not Found"))
}

/// A page by offset: <https://docs.gitlab.com/api/rest/#offset-based-pagination>.
pub(super) fn page(asked: &Asked, url: &str, rows: Vec<Value>) -> Answer {
    let per_page = asked.number("per_page").unwrap_or(20).clamp(1, 100);
    let page = asked.number("page").unwrap_or(1).max(1);
    let total = rows.len();
    let pages = total.div_ceil(per_page).max(1);
    let next = if page < pages { (page + 1).to_string() } else { String::new() };
    let mut headers = vec![
        ("x-page", page.to_string()),
        ("x-per-page", per_page.to_string()),
        ("x-next-page", next.clone()),
        ("x-prev-page", if page > 1 { (page - 1).to_string() } else { String::new() }),
    ];
    if total <= 10_000 {
        headers.push(("x-total", total.to_string()));
        headers.push(("x-total-pages", pages.to_string()));
    }
    if !next.is_empty() {
        headers.push(("link", link(asked, url, "page", &next)));
    }
    let rows = rows.into_iter().skip((page - 1).saturating_mul(per_page)).take(per_page).collect();
    Answer { status: StatusCode::OK, headers, body: Value::Array(rows) }
}

/// `<…>; rel="next"`: the same address with one parameter changed.
pub(super) fn link(asked: &Asked, url: &str, name: &str, value: &str) -> String {
    let path: Vec<String> =
        asked.path.iter().map(|part| url::form_urlencoded::byte_serialize(part.as_bytes()).collect()).collect();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(asked.query.iter().filter(|(key, _)| key != name));
    query.append_pair(name, value);
    format!("<{url}/api/v4/{}?{}>; rel=\"next\"", path.join("/"), query.finish())
}

/// <https://docs.gitlab.com/api/users/>: what everybody is told.
pub(super) fn public_account(state: &State, account: &Account) -> Value {
    json!({
        "id": account.id, "username": account.username, "name": account.name, "public_email": null,
        "state": "active", "locked": false, "bot": account.bot,
        "avatar_url": format!("{}/uploads/-/system/user/avatar/{}/avatar.png", state.url, account.id),
        "web_url": format!("{}/{}", state.url, account.username),
    })
}

/// The same, as people see themselves and administrators see everybody.
pub(super) fn whole_account(state: &State, account: &Account, to_administrator: bool) -> Value {
    let mut row = public_account(state, account);
    row["email"] = account.email.as_str().into();
    row["commit_email"] = account.email.as_str().into();
    row["created_at"] = "2024-05-23T08:00:58.000Z".into();
    row["confirmed_at"] = "2024-05-23T09:05:22.000Z".into();
    row["can_create_group"] = true.into();
    row["can_create_project"] = account.can_create_project.into();
    row["projects_limit"] = if account.can_create_project { 100_000 } else { 0 }.into();
    row["two_factor_enabled"] = false.into();
    row["external"] = false.into();
    row["identities"] = json!([]);
    if to_administrator {
        row["is_admin"] = account.is_admin.into();
        row["namespace_id"] = account.id.into();
    }
    row
}

/// <https://docs.gitlab.com/api/namespaces/>
pub(super) fn group_namespace(state: &State, group: &Group) -> Value {
    json!({
        "id": group.id, "name": group.name, "path": group.path.rsplit('/').next(), "kind": "group",
        "full_path": group.path, "parent_id": null, "avatar_url": null,
        "web_url": format!("{}/groups/{}", state.url, group.path),
    })
}

/// The same, of a person.
pub(super) fn own_namespace(state: &State, account: &Account) -> Value {
    json!({
        "id": account.id, "name": account.name, "path": account.username, "kind": "user",
        "full_path": account.username, "parent_id": null, "avatar_url": null,
        "web_url": format!("{}/{}", state.url, account.username),
    })
}

/// <https://docs.gitlab.com/api/projects/>
pub(super) fn project(state: &State, project: &Made) -> Value {
    let (namespace, path) = project.path.rsplit_once('/').unwrap_or(("", &project.path));
    let web = format!("{}/{}", state.url, project.path);
    json!({
        "id": project.id, "name": project.name, "description": project.description, "path": path,
        "path_with_namespace": project.path, "name_with_namespace": format!("{namespace} / {}", project.name),
        "created_at": "2024-09-30T13:46:02.123Z", "last_activity_at": "2024-10-01T13:46:02.123Z",
        "default_branch": project.default_branch, "empty_repo": project.branches.is_empty(),
        "topics": [], "tag_list": [], "forks_count": 0, "star_count": 0, "avatar_url": null,
        "http_url_to_repo": format!("{web}.git"), "ssh_url_to_repo": format!("git@gitlab.example.com:{}.git", project.path),
        "readme_url": format!("{web}/-/blob/{}/README.md", project.default_branch), "web_url": web,
        "visibility": project.visibility, "archived": project.archived, "creator_id": 1,
        "import_status": "none", "runners_token": "GR1348941-runners-secret",
        "namespace": { "name": namespace, "path": namespace, "full_path": namespace, "kind": "group" },
    })
}

/// The same with `simple=true`.
pub(super) fn simple_project(state: &State, made: &Made) -> Value {
    let mut row = project(state, made);
    if let Value::Object(fields) = &mut row {
        for dropped in ["archived", "visibility", "empty_repo", "creator_id", "import_status", "runners_token"] {
            fields.remove(dropped);
        }
    }
    row
}

/// <https://docs.gitlab.com/api/branches/>
pub(super) fn branch(state: &State, project: &Made, name: &str) -> Value {
    let sha = &hex::encode(Sha256::digest(format!("{} {name}", project.id)))[..40];
    let web = format!("{}/{}/-", state.url, project.path);
    json!({
        "name": name, "merged": false, "default": name == project.default_branch && !project.branches.is_empty(),
        "protected": project.branches.get(name), "developers_can_push": false, "developers_can_merge": false,
        "can_push": true, "web_url": format!("{web}/tree/{name}"),
        "commit": {
            "id": sha, "short_id": &sha[..8], "created_at": "2024-06-28T03:44:20.000-07:00", "parent_ids": [],
            "title": "Add it", "message": "Add it\n\nWith a body", "author_name": "Ada", "author_email": "ada@example.com",
            "authored_date": "2024-06-27T05:51:39.000-07:00", "committer_name": "Ada",
            "committer_email": "ada@example.com", "committed_date": "2024-06-28T03:44:20.000-07:00",
            "trailers": {}, "extended_trailers": {}, "web_url": format!("{web}/commit/{sha}"),
        },
    })
}
