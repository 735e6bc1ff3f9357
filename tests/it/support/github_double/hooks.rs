//! Webhooks and the status of commits.

use serde_json::{Value, json};

use super::routes::{lacks, missing};
use super::state::{Hook, Repository, State, Status, Token, stamp};
use super::{Call, Reply, answers};

/// <https://docs.github.com/rest/repos/webhooks>
pub(super) fn answer(state: &mut State, call: &Call, token: &Token, repository: &Repository) -> Reply {
    let at = call.segments.iter().position(|segment| segment == "hooks").unwrap_or_default();
    let id = call.segments.get(at + 1).and_then(|id| id.parse::<u64>().ok());
    let found = id.and_then(|id| state.hooks.get(&id)).filter(|hook| hook.repository == repository.id).cloned();
    let write = ["repo", "admin:repo_hook", "write:repo_hook"];
    let refused = match call.method.as_str() {
        "GET" => {
            lacks(token, &["repo", "admin:repo_hook", "write:repo_hook", "read:repo_hook"], "repository_hooks=read")
        }
        "DELETE" => lacks(token, &write[..2], "repository_hooks=write"),
        _ => lacks(token, &write, "repository_hooks=write"),
    };
    if let Some(reply) = refused {
        return reply;
    }
    match (call.method.as_str(), id, found) {
        ("GET", None, _) => {
            let rows: Vec<Value> = state
                .hooks
                .values()
                .filter(|hook| hook.repository == repository.id)
                .map(|hook| row(repository, hook, &call.base))
                .collect();
            let (size, number) = (call.number("per_page", 30).clamp(1, 100), call.number("page", 1).max(1));
            Reply::ok(rows.into_iter().skip(size * (number - 1)).take(size).collect())
        }
        ("POST", None, _) => {
            let hook = Hook {
                id: state.next_id(),
                repository: repository.id,
                active: true,
                events: vec!["push".to_owned()],
                url: String::new(),
                secret: String::new(),
                content_type: "form".to_owned(),
                insecure_ssl: "0".to_owned(),
            };
            let reply = change(state, call, repository, hook);
            Reply { status: if reply.status == 200 { 201 } else { reply.status }, ..reply }
        }
        ("PATCH", Some(_), Some(hook)) => change(state, call, repository, hook),
        ("DELETE", Some(_), Some(hook)) => {
            state.hooks.remove(&hook.id);
            Reply { status: 204, headers: Vec::new(), body: Value::Null }
        }
        _ => missing(),
    }
}

fn change(state: &mut State, call: &Call, repository: &Repository, mut hook: Hook) -> Reply {
    let refuse = |message: &str| {
        let mut reply = Reply::refusal(422, "Validation Failed");
        reply.body["errors"] = json!([{ "resource": "Hook", "code": "custom", "message": message }]);
        reply
    };
    if let Some(config) = call.body["config"].as_object() {
        let text = |name: &str| config.get(name).and_then(Value::as_str).map(str::to_owned);
        // What is left out of a configuration is no longer there.
        hook.url = text("url").unwrap_or_default();
        hook.secret = text("secret").unwrap_or_default();
        hook.content_type = text("content_type").unwrap_or_else(|| "form".to_owned());
        hook.insecure_ssl = text("insecure_ssl").unwrap_or_else(|| "0".to_owned());
    }
    if !hook.url.starts_with("http") {
        return refuse("url must be a valid URL");
    }
    if let Some(events) = call.body["events"].as_array() {
        hook.events = events.iter().filter_map(|event| event.as_str().map(str::to_owned)).collect();
    }
    hook.active = call.body["active"].as_bool().unwrap_or(hook.active);
    let same = |other: &Hook| other.id != hook.id && other.repository == hook.repository && other.url == hook.url;
    if state.hooks.values().any(same) {
        return refuse("Hook already exists on this repository");
    }
    let reply = Reply::ok(row(repository, &hook, &call.base));
    state.hooks.insert(hook.id, hook);
    reply
}

fn row(repository: &Repository, hook: &Hook, base: &str) -> Value {
    let url = format!("{base}/repos/{}/hooks/{}", repository.full_name(), hook.id);
    let mut config = json!({ "url": hook.url, "content_type": hook.content_type, "insecure_ssl": hook.insecure_ssl });
    if !hook.secret.is_empty() {
        config["secret"] = "********".into();
    }
    json!({
        "type": "Repository", "id": hook.id, "name": "web", "active": hook.active, "events": hook.events,
        "config": config, "updated_at": stamp(1_700_000_000), "created_at": stamp(1_700_000_000), "url": url,
        "test_url": format!("{url}/test"), "ping_url": format!("{url}/pings"),
        "deliveries_url": format!("{url}/deliveries"),
        "last_response": { "code": null, "status": "unused", "message": null },
    })
}

/// <https://docs.github.com/rest/commits/statuses#create-a-commit-status>
pub(super) fn status(state: &mut State, call: &Call, token: &Token, repository: &Repository) -> Reply {
    if let Some(reply) = lacks(token, &["repo", "repo:status"], "statuses=write") {
        return reply;
    }
    if state.part(&token.login, repository).is_none() {
        return missing();
    }
    let text = |name: &str| call.body[name].as_str().map(str::to_owned);
    let Some(wanted) = text("state").filter(|s| ["error", "failure", "pending", "success"].contains(&s.as_str()))
    else {
        return Reply::refusal(422, "Validation Failed");
    };
    if text("description").is_some_and(|text| text.chars().count() > 140) {
        return Reply::refusal(422, "Validation Failed");
    }
    let sha = call.segments.last().cloned().unwrap_or_default();
    if sha.len() != 40 {
        return Reply::refusal(422, &format!("No commit found for SHA: {sha}"));
    }
    let status = Status {
        id: state.next_id(),
        repository: repository.id,
        sha,
        context: text("context").unwrap_or_else(|| "default".to_owned()),
        state: wanted,
        description: text("description"),
        target_url: text("target_url"),
    };
    let url = format!("{}/repos/{}/statuses/{}", call.base, repository.full_name(), status.sha);
    let body = json!({
        "url": url, "avatar_url": null, "id": status.id, "node_id": format!("S{}", status.id), "state": status.state,
        "description": status.description, "target_url": status.target_url, "context": status.context,
        "created_at": stamp(1_700_000_000), "updated_at": stamp(1_700_000_000),
        "creator": answers::person(state, &token.login, &call.base),
    });
    state.statuses.push(status);
    Reply { status: 201, headers: Vec::new(), body }
}
