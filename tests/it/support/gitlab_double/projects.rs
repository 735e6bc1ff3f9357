//! Projects and their branches.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answers::{Answer, branch, link, message, missing, page, project, refused, simple_project};
use super::state::{Made, State};
use super::{Asked, branches, hooks};

/// <https://docs.gitlab.com/api/projects/#list-all-projects>
pub(super) fn list(state: &State, asked: &Asked) -> Answer {
    let account = state.caller_account(&asked.caller);
    // lib/gitlab/sql/pattern.rb: words of three characters and more, each somewhere in one field; without any, the
    // whole text is the whole field.
    let text = asked.text("search").unwrap_or_default().to_lowercase();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let terms: Vec<&str> = text.split(' ').filter(|word| word.chars().count() >= 3).collect();
    let namespaces = asked.yes("search_namespaces");
    let matches = |made: &Made| {
        let last = made.path.rsplit('/').next().unwrap_or_default();
        let path = if namespaces { made.path.as_str() } else { last };
        let fields = [path, &made.name, made.description.as_deref().unwrap_or_default()].map(str::to_lowercase);
        let is_found = |field: &String| match terms.as_slice() {
            [] => *field == text,
            terms => terms.iter().all(|term| field.contains(term)),
        };
        text.is_empty() || fields.iter().any(is_found)
    };
    let (before, after) = (asked.number("id_before"), asked.number("id_after"));
    let wanted = |made: &&Made| {
        let mine =
            if asked.yes("membership") { state.is_member(&account, made) } else { state.may_read(&asked.caller, made) };
        let older = before.is_none_or(|before| made.id < before as u64);
        let newer = after.is_none_or(|after| made.id > after as u64);
        mine && older && newer && matches(made)
    };
    let row = |made: &Made| if asked.yes("simple") { simple_project(state, made) } else { project(state, made) };
    let mut found: Vec<&Made> = state.projects.values().filter(wanted).collect();
    let ascending = asked.text("sort").as_deref() == Some("asc");
    if !ascending {
        found.reverse();
    }
    if asked.text("pagination").as_deref() != Some("keyset") {
        return page(asked, &state.url, found.into_iter().map(row).collect());
    }
    if asked.text("order_by").as_deref() != Some("id") {
        return refused(
            StatusCode::METHOD_NOT_ALLOWED,
            "Keyset pagination is not yet available for this type of request",
        );
    }
    let per_page = asked.number("per_page").unwrap_or(20).clamp(1, 100);
    found.truncate(per_page);
    let mut answer = Answer::ok(Value::Null);
    if let Some(last) = found.last().filter(|_| found.len() == per_page) {
        let name = if ascending { "id_after" } else { "id_before" };
        answer.headers.push(("link", link(asked, &state.url, name, &last.id.to_string())));
    }
    answer.body = found.into_iter().map(row).collect::<Vec<_>>().into();
    answer
}

/// <https://docs.gitlab.com/api/projects/>
pub(super) fn create(state: &mut State, asked: &Asked) -> Answer {
    let account = state.caller_account(&asked.caller);
    let Some(name) = asked.text("name").or_else(|| asked.text("path")) else {
        return refused(StatusCode::BAD_REQUEST, "name, path are missing, at least one parameter must be provided");
    };
    let last = asked.text("path").unwrap_or_else(|| name.clone());
    let namespace = match asked.text("namespace_id") {
        None => Some(account.username.clone()),
        Some(id) if id == account.id.to_string() => Some(account.username.clone()),
        Some(id) => state.groups.iter().find(|group| group.id.to_string() == id).map(|group| group.path.clone()),
    };
    let Some(namespace) = namespace else { return missing("Namespace") };
    let own = namespace == account.username;
    let rule = state.groups.iter().find(|group| group.path == namespace).map_or(100, |group| group.creation);
    let may =
        if own { account.can_create_project && !account.bot } else { state.level(account.id, &namespace) >= rule };
    if !may {
        return message(StatusCode::BAD_REQUEST, json!({ "namespace": ["is not valid"] }));
    }
    let path = format!("{namespace}/{last}");
    if state.projects.values().any(|made| made.path.eq_ignore_ascii_case(&path)) {
        let taken = json!(["has already been taken"]);
        let said = json!({ "project_namespace.name": taken, "name": taken, "path": taken });
        return message(StatusCode::BAD_REQUEST, said);
    }
    let wish = asked.text("default_branch").filter(|_| !state.ignores_default_branch);
    let first = wish.unwrap_or_else(|| "main".to_owned());
    let id = state.project(&path, &first);
    let readme = asked.yes("initialize_with_readme");
    let visibility = asked.text("visibility");
    let Some(made) = state.projects.get_mut(&id) else { return missing("Project") };
    made.name = name;
    made.visibility = visibility.unwrap_or_else(|| "private".to_owned());
    if !readme {
        made.branches.clear();
    }
    let made = made.clone();
    Answer::created(project(state, &made))
}

/// All that lies below a project; `id` is its id or its path.
pub(super) fn one(state: &mut State, asked: &Asked, id: &str, rest: &[&str]) -> Answer {
    let is = |made: &Made| made.id.to_string() == id || made.path.eq_ignore_ascii_case(id);
    let Some(made) = state.projects.values().find(|made| is(made) && state.may_read(&asked.caller, made)).cloned()
    else {
        // https://docs.gitlab.com/api/rest/#redirects
        let moved = |made: &&Made| made.former.iter().any(|old| old.eq_ignore_ascii_case(id));
        let moved = state.projects.values().filter(|made| state.may_read(&asked.caller, made)).find(moved);
        return moved.map_or_else(|| missing("Project"), |made| redirect(state, asked, made.id, rest));
    };
    match (&asked.method, rest) {
        (&Method::GET, []) => Answer::ok(project(state, &made)),
        (&Method::PUT, []) => change(state, asked, made),
        (&Method::GET, ["repository", "branches"]) => branches::list(state, asked, &made),
        (&Method::POST, ["repository", "branches"]) => add_branch(state, asked, made),
        (&Method::GET, ["repository", "branches", name]) => match made.branches.contains_key(*name) {
            true => Answer::ok(branch(state, &made, name)),
            false => missing("Branch"),
        },
        (&Method::POST, ["repository", "commits"]) => commit(state, asked, made),
        (_, ["hooks", rest @ ..]) => hooks::answer(state, asked, &made, rest),
        (&Method::POST, ["statuses", sha]) => hooks::status(state, asked, &made, sha),
        _ => message(StatusCode::NOT_FOUND, "404 Not Found"),
    }
}

fn redirect(state: &State, asked: &Asked, id: u64, rest: &[&str]) -> Answer {
    if asked.method != Method::GET {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "Non GET methods are not allowed for moved projects");
    }
    let encode = |part: &&str| url::form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>();
    let below: String = rest.iter().map(|part| format!("/{}", encode(part))).collect();
    let to = format!("{}/api/v4/projects/{id}{below}", state.url);
    let mut answer =
        message(StatusCode::MOVED_PERMANENTLY, format!("This resource has been moved permanently to {to}"));
    answer.headers.push(("location", to));
    answer
}

fn add_branch(state: &mut State, asked: &Asked, mut made: Made) -> Answer {
    let (Some(name), Some(from)) = (asked.text("branch"), asked.text("ref")) else {
        return refused(StatusCode::BAD_REQUEST, "branch, ref are missing");
    };
    if made.branches.contains_key(&name) {
        return message(StatusCode::BAD_REQUEST, "Branch already exists");
    }
    if !made.branches.contains_key(&from) {
        return message(
            StatusCode::BAD_REQUEST,
            format!("Failed to create branch '{name}': invalid reference name '{from}'"),
        );
    }
    made.branches.insert(name.clone(), false);
    let answer = Answer::created(branch(state, &made, &name));
    state.projects.insert(made.id, made);
    answer
}

/// <https://docs.gitlab.com/api/commits/>: the first one makes the branch.
fn commit(state: &mut State, asked: &Asked, mut made: Made) -> Answer {
    let Some(name) = asked.text("branch").filter(|_| asked.body["actions"].is_array()) else {
        return refused(StatusCode::BAD_REQUEST, "branch, commit_message, actions are missing");
    };
    if !made.branches.is_empty() && !made.branches.contains_key(&name) {
        return message(StatusCode::BAD_REQUEST, "You can only create or edit files when you are on a branch");
    }
    if made.branches.is_empty() {
        made.default_branch = name.clone();
    }
    made.branches.entry(name.clone()).or_insert(false);
    let answer = Answer::created(branch(state, &made, &name)["commit"].take());
    state.projects.insert(made.id, made);
    answer
}

fn change(state: &mut State, asked: &Asked, mut made: Made) -> Answer {
    if let Some(name) = asked.text("default_branch") {
        if !made.branches.contains_key(&name) {
            return message(
                StatusCode::BAD_REQUEST,
                json!({ "base": ["Could not change HEAD: branch does not exist"] }),
            );
        }
        made.default_branch = name;
    }
    let answer = Answer::ok(project(state, &made));
    state.projects.insert(made.id, made);
    answer
}
