//! Webhooks and the status of commits.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Asked;
use super::answers::{Answer, message, missing, page, refused};
use super::state::{Hook, Made, Signing, State, Status};

/// <https://docs.gitlab.com/api/project_webhooks/>
pub(super) fn answer(state: &mut State, asked: &Asked, made: &Made, rest: &[&str]) -> Answer {
    if !state.maintains(&asked.caller, made) {
        return message(StatusCode::FORBIDDEN, "403 Forbidden");
    }
    let id = rest.first().and_then(|id| id.parse::<u64>().ok());
    let found = id.and_then(|id| state.hooks.get(&id)).filter(|hook| hook.project == made.id).cloned();
    match (&asked.method, rest, found) {
        (&Method::GET, [], _) => {
            let rows = state.hooks.values().filter(|hook| hook.project == made.id);
            let rows = rows.map(|hook| row(state, hook)).collect();
            page(asked, &state.url, rows)
        }
        (&Method::POST, [], _) => {
            let id = state.id();
            let hook = Hook {
                id,
                project: made.id,
                url: String::new(),
                token: String::new(),
                signing_token: String::new(),
                push_events: true,
                tag_push_events: false,
                merge_requests_events: false,
                enable_ssl_verification: true,
                push_events_branch_filter: String::new(),
                alert_status: "executable",
            };
            let mut answer = change(state, asked, hook);
            if answer.status == StatusCode::OK {
                answer.status = StatusCode::CREATED;
            }
            answer
        }
        (_, [_], None) => missing("Hook"),
        (&Method::GET, [_], Some(hook)) => Answer::ok(row(state, &hook)),
        (&Method::PUT, [_], Some(hook)) => change(state, asked, hook),
        (&Method::DELETE, [_], Some(hook)) => {
            state.hooks.remove(&hook.id);
            Answer { status: StatusCode::NO_CONTENT, headers: Vec::new(), body: Value::Null }
        }
        _ => missing("Hook"),
    }
}

fn change(state: &mut State, asked: &Asked, mut hook: Hook) -> Answer {
    let Some(url) = asked.text("url") else { return refused(StatusCode::BAD_REQUEST, "url is missing") };
    if !["https://", "http://"].iter().any(|scheme| url.starts_with(scheme)) {
        return message(
            StatusCode::UNPROCESSABLE_ENTITY,
            json!({ "url": ["is blocked: Only allowed schemes are http, https"] }),
        );
    }
    hook.url = url;
    if let Some(token) = asked.text("token") {
        hook.token = token;
    }
    if let Some(token) = asked.text("signing_token").filter(|_| state.signing == Signing::On) {
        let key = token.strip_prefix("whsec_").map(str::len);
        if key != Some(44) {
            return message(StatusCode::UNPROCESSABLE_ENTITY, json!({ "signing_token": ["is invalid"] }));
        }
        hook.signing_token = token;
    }
    for (name, field) in [
        ("push_events", &mut hook.push_events),
        ("tag_push_events", &mut hook.tag_push_events),
        ("merge_requests_events", &mut hook.merge_requests_events),
        ("enable_ssl_verification", &mut hook.enable_ssl_verification),
    ] {
        if asked.text(name).is_some() {
            *field = asked.yes(name);
        }
    }
    if let Some(filter) = asked.text("push_events_branch_filter") {
        hook.push_events_branch_filter = filter;
    }
    let answer = Answer::ok(row(state, &hook));
    state.hooks.insert(hook.id, hook);
    answer
}

fn row(state: &State, hook: &Hook) -> Value {
    let mut row = json!({
        "id": hook.id, "url": hook.url, "name": null, "description": null, "project_id": hook.project,
        "push_events": hook.push_events, "push_events_branch_filter": hook.push_events_branch_filter,
        "tag_push_events": hook.tag_push_events, "merge_requests_events": hook.merge_requests_events,
        "issues_events": false, "enable_ssl_verification": hook.enable_ssl_verification,
        "alert_status": hook.alert_status, "disabled_until": null, "url_variables": [], "custom_headers": [],
        "created_at": "2026-01-02T03:04:05.000Z",
    });
    if state.signing != Signing::Unknown {
        row["token_present"] = (!hook.token.is_empty()).into();
        row["signing_token_present"] = (!hook.signing_token.is_empty()).into();
    }
    row
}

/// <https://docs.gitlab.com/api/commits/#set-commit-pipeline-status>
pub(super) fn status(state: &mut State, asked: &Asked, made: &Made, sha: &str) -> Answer {
    let Some(wanted) = asked.text("state") else { return refused(StatusCode::BAD_REQUEST, "state is missing") };
    if !["pending", "running", "success", "failed", "canceled", "skipped"].contains(&wanted.as_str()) {
        return refused(StatusCode::BAD_REQUEST, "state does not have a valid value");
    }
    let name = asked.text("name").or_else(|| asked.text("context")).unwrap_or_else(|| "default".to_owned());
    let is_open = |status: &&mut Status| {
        status.project == made.id
            && status.sha == sha
            && status.name == name
            && ["pending", "running"].contains(&status.state.as_str())
    };
    let (description, target_url) = (asked.text("description"), asked.text("target_url"));
    let new = match state.statuses.iter_mut().rev().find(is_open) {
        Some(open) => {
            let event = match (open.state.as_str(), wanted.as_str()) {
                (_, "pending") => Some("enqueue"),
                ("running", "running") => Some("run"),
                _ => None,
            };
            if let Some(event) = event {
                let said = format!(
                    "Cannot transition status via :{event} from :{} (Reason(s): Status cannot transition via \"{event}\")",
                    open.state
                );
                return message(StatusCode::BAD_REQUEST, said);
            }
            (open.state, open.description, open.target_url) = (wanted, description, target_url);
            open.clone()
        }
        None => {
            let id = state.id();
            let new =
                Status { id, project: made.id, sha: sha.to_owned(), name, state: wanted, description, target_url };
            state.statuses.push(new.clone());
            new
        }
    };
    Answer::created(json!({
        "id": new.id, "sha": new.sha, "ref": "main", "status": new.state, "name": new.name,
        "description": new.description, "target_url": new.target_url, "allow_failure": false,
    }))
}
