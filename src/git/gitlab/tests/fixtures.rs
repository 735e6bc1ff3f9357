//! Answers with every field that GitLab's documentation names, and what is read from them.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::wire::{BranchRow, EmailRow, HookRow, Me, NamespaceRow, ProjectRow, TokenRow, UserRow};

/// An answer, without the page that it is from.
fn answer<T: DeserializeOwned>(text: &str) -> T {
    let fixture: Value = serde_json::from_str(text).unwrap();
    assert!(fixture["page"].as_str().unwrap().starts_with("https://docs.gitlab.com/"));
    serde_json::from_value(fixture["answer"].clone()).unwrap()
}

#[test]
fn a_project_is_read_whole() {
    let row: ProjectRow = answer(include_str!("../fixtures/project.json"));
    let project = row.project().unwrap();
    assert_eq!((project.external_id.as_str(), project.path.as_str()), ("3", "acme/web/shop"));
    assert_eq!((project.name.as_str(), project.description.as_deref()), ("Web Shop", Some("Sells things.")));
    assert_eq!(project.web_url, "https://gitlab.example.com/acme/web/shop");
    assert_eq!(project.default_branch.as_deref(), Some("main"));
    assert!(project.private && !project.archived);
    assert_eq!(project.last_activity_at.unwrap().to_rfc3339(), "2025-09-30T13:46:02+00:00");
}

#[test]
fn what_simple_leaves_out_is_why_it_is_not_asked_for() {
    let rows: Vec<Value> = answer(include_str!("../fixtures/projects_simple.json"));
    assert!(rows[0].get("archived").is_none() && rows[0].get("empty_repo").is_none());
    let row: ProjectRow = serde_json::from_value(rows[0].clone()).unwrap();
    assert!(row.project().unwrap().private, "without visibility, nothing is taken for public");
}

#[test]
fn an_empty_and_an_internal_project_are_what_they_are() {
    let fixture: Value = serde_json::from_str(include_str!("../fixtures/project.json")).unwrap();
    let with = |field: &str, value: Value| {
        let mut row = fixture["answer"].clone();
        row[field] = value;
        serde_json::from_value::<ProjectRow>(row).unwrap().project()
    };
    assert_eq!(with("empty_repo", true.into()).unwrap().default_branch, None);
    assert_eq!(with("default_branch", Value::Null).unwrap().default_branch, None);
    assert!(with("visibility", "internal".into()).unwrap().private);
    assert!(!with("visibility", "public".into()).unwrap().private);
    assert!(with("archived", true.into()).unwrap().archived);
    assert_eq!(with("last_activity_at", "0000-00-00".into()).unwrap().last_activity_at, None);
    assert_eq!(with("path_with_namespace", "../x".into()), None);
}

#[test]
fn branches_are_read_whole() {
    let rows: Vec<BranchRow> = answer(include_str!("../fixtures/branches.json"));
    let main = rows.into_iter().next().unwrap().branch().unwrap();
    assert_eq!((main.name.as_str(), main.is_default, main.protected), ("main", true, true));
    assert_eq!(main.commit.sha, "7b5c3cc8be40ee161ae89a06bba6229da1032a0c");
    assert_eq!(main.commit.message.as_deref(), Some("Add the basket"));
    assert_eq!(main.commit.author_name.as_deref(), Some("Ada Lovelace"));
    assert_eq!(main.commit.committed_at.unwrap().to_rfc3339(), "2025-06-28T10:44:20+00:00");
    assert!(main.commit.web_url.unwrap().ends_with("/-/commit/7b5c3cc8be40ee161ae89a06bba6229da1032a0c"));
}

#[test]
fn tokens_and_people_are_read_whole() {
    let token: TokenRow = answer(include_str!("../fixtures/token.json"));
    assert_eq!((token.scopes, token.active, token.revoked), (vec!["api".to_owned()], Some(true), Some(false)));
    assert_eq!(token.expires_at.unwrap().to_string(), "2026-08-15");
    let me: Me = answer(include_str!("../fixtures/user.json"));
    assert_eq!((me.username.as_str(), me.is_admin, me.bot), ("ada", false, false));
    assert_eq!((me.can_create_project, me.projects_limit), (Some(true), Some(100)));
    let root: Me = answer(include_str!("../fixtures/user_admin.json"));
    assert!(root.is_admin);
    let users: Vec<UserRow> = answer(include_str!("../fixtures/users_admin.json"));
    assert_eq!((users[0].id, users[0].email.as_deref()), (1, Some("ada@example.com")));
    let public: Vec<UserRow> = answer(include_str!("../fixtures/users.json"));
    assert_eq!((public[0].username.as_str(), public[0].email.as_deref()), ("ada", None));
    let emails: Vec<EmailRow> = answer(include_str!("../fixtures/emails.json"));
    assert_eq!(emails[1].email, "ada@new.example");
}

#[test]
fn namespaces_are_read_whole() {
    let namespace: NamespaceRow = answer(include_str!("../fixtures/namespace.json"));
    assert_eq!((namespace.id, namespace.full_path.as_str()), (2, "acme"));
}

#[test]
fn webhooks_are_read_whole() {
    let hook: HookRow = answer(include_str!("../fixtures/hook.json"));
    assert_eq!((hook.id, hook.url.as_str()), (1, "https://kiops.example.com/webhooks/gitlab/1"));
    assert_eq!((hook.token_present, hook.signing_token_present, hook.is_off()), (Some(false), Some(true), false));
    // As servers answer that know of no signing tokens.
    let old: HookRow = serde_json::from_str(r#"{"id": 1, "url": "https://x", "alert_status": "disabled"}"#).unwrap();
    assert_eq!((old.token_present, old.signing_token_present, old.is_off()), (None, None, true));
}
