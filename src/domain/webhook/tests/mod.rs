//! Deliveries as providers send them, as their documentation shows them, and as nobody would.
#![expect(clippy::unwrap_used, reason = "tests")]

mod decisions;
mod examples;
mod hostile;
mod signatures;

use serde_json::{Value, json};

use super::*;
use crate::domain::git::Provider;
use crate::domain::names::BranchName;

const SHA: &str = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7";
const OLD: &str = "95790bf891e76fee5e1747ab589903a6a1f80f22";
const ZEROS: &str = "0000000000000000000000000000000000000000";

fn event<'a>(name: &'a str) -> Headers<'a> {
    Headers { event: Some(name), ..Headers::default() }
}

fn gitlab(name: &str, payload: &Value) -> Result<Event, InvalidPayload> {
    read(Provider::Gitlab, &event(name), payload.to_string().as_bytes())
}

fn github(name: &str, payload: &Value) -> Result<Event, InvalidPayload> {
    read(Provider::Github, &event(name), payload.to_string().as_bytes())
}

/// A service on project 15 that wants everything, and pushes to `main` alone.
fn filter() -> Filter {
    Filter {
        branches: Vec::new(),
        on_push: true,
        on_merge_request: true,
        on_tag: true,
        service_branch: BranchName::parse("main").unwrap(),
        external_project_id: "15".to_owned(),
    }
}

/// "PUSH branch main da1560886d…" or why not.
fn said(decision: &Decision) -> String {
    match decision {
        Decision::Ignore(reason) => format!("ignored: {reason}"),
        Decision::Start(start) => {
            assert!(start.trusted);
            let trigger = match start.trigger {
                Trigger::Push => "PUSH",
                Trigger::MergeRequest => "MERGE_REQUEST",
                Trigger::Tag => "TAG",
            };
            format!("{trigger} {} {} {}", start.kind.word(), start.name, start.commit)
        }
    }
}

/// A push of one commit to `main`, as GitLab sends it:
/// <https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events>.
fn gitlab_push() -> Value {
    json!({
        "object_kind": "push", "event_name": "push", "before": OLD, "after": SHA, "ref": "refs/heads/main",
        "ref_protected": true, "checkout_sha": SHA, "message": null, "user_id": 4, "user_name": "Ada Lovelace",
        "project_id": 15,
        "project": {
            "id": 15, "name": "Shop", "web_url": "https://gitlab.example.com/acme/shop",
            "git_ssh_url": "git@evil.example:acme/shop.git", "git_http_url": "https://evil.example/acme/shop.git",
            "path_with_namespace": "acme/shop", "default_branch": "main",
        },
        "commits": [
            { "id": OLD, "message": "An earlier one [skip ci]", "timestamp": "2026-01-02T03:04:05+02:00" },
            { "id": SHA, "message": "Add the basket\n\nIt holds things.\n", "timestamp": "2026-01-03T03:04:05+02:00",
                "url": "https://gitlab.example.com/acme/shop/-/commit/da15", "author": { "name": "Ada Lovelace" } },
        ],
        "total_commits_count": 4, "push_options": {},
    })
}

/// A merge request that was opened:
/// <https://docs.gitlab.com/user/project/integrations/webhook_events/#merge-request-events>.
fn gitlab_merge_request() -> Value {
    json!({
        "object_kind": "merge_request", "event_type": "merge_request",
        "project": { "id": 15, "path_with_namespace": "acme/shop" },
        "object_attributes": {
            "id": 99, "iid": 7, "action": "open", "state": "opened", "draft": false, "title": "A basket",
            "source_branch": "feature/basket", "target_branch": "main", "source_project_id": 15,
            "target_project_id": 15, "url": "https://gitlab.example.com/acme/shop/-/merge_requests/7",
            "last_commit": { "id": SHA, "message": "Add the basket", "author": { "name": "Ada Lovelace" },
                "timestamp": "2026-01-03T03:04:05+02:00" },
        },
    })
}

/// A push of one commit to `main`, as GitHub sends it: <https://docs.github.com/webhooks/webhook-events-and-payloads#push>.
fn github_push() -> Value {
    json!({
        "ref": "refs/heads/main", "before": OLD, "after": SHA, "created": false, "deleted": false, "forced": false,
        "repository": { "id": 15, "full_name": "acme/shop", "clone_url": "https://evil.example/acme/shop.git" },
        "commits": [{ "id": SHA, "message": "Add the basket" }],
        "head_commit": { "id": SHA, "message": "Add the basket", "timestamp": "2026-01-03T03:04:05+02:00",
            "author": { "name": "Ada Lovelace", "email": "ada@example.com" } },
    })
}

/// The same with something else at a JSON pointer.
fn with(payload: &Value, pointer: &str, value: Value) -> Value {
    let mut payload = payload.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    payload.pointer_mut(parent).unwrap()[name] = value;
    payload
}

/// The same without what is at a JSON pointer.
fn without(payload: &Value, pointer: &str) -> Value {
    let mut payload = payload.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    payload.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    payload
}
