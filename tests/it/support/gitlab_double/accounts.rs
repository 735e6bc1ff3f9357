//! Tokens, people and namespaces.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Asked;
use super::answers::{
    Answer, group_namespace, message, missing, own_namespace, page, public_account, refused, whole_account,
};
use super::state::{Account, Group, State};

/// <https://docs.gitlab.com/api/personal_access_tokens/#self-inform>
pub(super) fn token(state: &State, asked: &Asked) -> Answer {
    if state.knows_no_self {
        return missing("Token");
    }
    let token = &asked.caller;
    Answer::ok(json!({
        "id": 4, "name": "kiops", "revoked": token.revoked, "created_at": "2024-07-23T14:31:47.729Z",
        "description": "", "scopes": token.scopes, "user_id": token.account, "last_used_at": null,
        "active": true, "expires_at": token.expires_at,
    }))
}

pub(super) fn me(state: &State, asked: &Asked) -> Answer {
    let account = state.caller_account(&asked.caller);
    Answer::ok(whole_account(state, &account, account.is_admin))
}

/// <https://docs.gitlab.com/api/users/>: a whole address finds whoever made it public, and for administrators whoever
/// has it.
pub(super) fn list(state: &State, asked: &Asked) -> Answer {
    let administrator = state.is_administrator(&asked.caller);
    let username = asked.text("username").map(|name| name.to_lowercase());
    let search = asked.text("search").map(|text| text.to_lowercase());
    let has = |account: &Account, text: &str| {
        let others = account.emails.iter().map(|(email, _)| email);
        others.chain([&account.email]).any(|email| email.eq_ignore_ascii_case(text))
    };
    let wanted = |account: &&Account| {
        let named = username.as_ref().is_none_or(|name| account.username.to_lowercase() == *name);
        let found = search.as_ref().is_none_or(|text| {
            let names = [account.username.to_lowercase(), account.name.to_lowercase()];
            names.iter().any(|name| name.contains(text)) || (administrator && has(account, text))
        });
        named && found
    };
    let row = |account: &Account| match administrator {
        true => whole_account(state, account, true),
        false => public_account(state, account),
    };
    let rows = state.accounts.iter().rev().filter(wanted).map(row).collect();
    page(asked, &state.url, rows)
}

pub(super) fn one(state: &State, asked: &Asked, id: &str) -> Answer {
    let found = state.accounts.iter().find(|account| account.id.to_string() == id);
    match found {
        None => missing("User"),
        Some(account) if state.is_administrator(&asked.caller) => Answer::ok(whole_account(state, account, true)),
        Some(account) => Answer::ok(public_account(state, account)),
    }
}

/// <https://docs.gitlab.com/api/user_email_addresses/>
pub(super) fn emails(state: &State, asked: &Asked, id: &str) -> Answer {
    if !state.is_administrator(&asked.caller) {
        return message(StatusCode::FORBIDDEN, "403 Forbidden");
    }
    let Some(account) = state.accounts.iter().find(|account| account.id.to_string() == id) else {
        return missing("User");
    };
    let row = |(at, (email, confirmed)): (usize, &(String, bool))| json!({ "id": at + 1, "email": email, "confirmed_at": confirmed.then_some("2024-03-26T19:07:56.248Z") });
    Answer::ok(account.emails.iter().enumerate().map(row).collect::<Vec<_>>().into())
}

pub(super) fn create(state: &mut State, asked: &Asked) -> Answer {
    if !state.is_administrator(&asked.caller) {
        return message(StatusCode::FORBIDDEN, "403 Forbidden");
    }
    let (Some(email), Some(username), Some(name)) = (asked.text("email"), asked.text("username"), asked.text("name"))
    else {
        return refused(StatusCode::BAD_REQUEST, "email, username, name are missing");
    };
    if !asked.yes("reset_password") && !asked.yes("force_random_password") && asked.text("password").is_none() {
        let said =
            "password, reset_password, force_random_password are missing, at least one parameter must be provided";
        return refused(StatusCode::BAD_REQUEST, said);
    }
    let holds = |account: &Account| {
        let others = account.emails.iter().map(|(email, _)| email);
        others.chain([&account.email]).any(|other| other.eq_ignore_ascii_case(&email))
    };
    if state.accounts.iter().any(holds) {
        return message(StatusCode::CONFLICT, "Email has already been taken");
    }
    if state.accounts.iter().any(|account| account.username.eq_ignore_ascii_case(&username)) {
        return message(StatusCode::CONFLICT, "Username has already been taken");
    }
    if state.is_taken(&username) {
        return message(StatusCode::BAD_REQUEST, json!({ "username": ["has already been taken"] }));
    }
    let id = state.person(&username);
    let account = state.account(id);
    account.email = email;
    account.name = name;
    let made = account.clone();
    Answer::created(whole_account(state, &made, true))
}

/// The own one and those of one's groups.
pub(super) fn namespaces(state: &State, asked: &Asked) -> Answer {
    let account = state.caller_account(&asked.caller);
    let search = asked.text("search").unwrap_or_default().to_lowercase();
    let groups = state.groups.iter().filter(|group| state.level(account.id, &group.path) > 0);
    let rows = std::iter::once(own_namespace(state, &account)).chain(groups.map(|group| group_namespace(state, group)));
    let found = |row: &Value| row["full_path"].as_str().is_some_and(|path| path.to_lowercase().contains(&search));
    page(asked, &state.url, rows.filter(found).collect())
}

/// By id, or else by path: digits are always an id.
pub(super) fn namespace(state: &State, asked: &Asked, path: &str) -> Answer {
    let id = path.parse::<u64>().ok();
    let is = |own: u64, full: &str| id.map_or_else(|| full.eq_ignore_ascii_case(path), |id| id == own);
    let account = state.caller_account(&asked.caller);
    let seen = |group: &&Group| state.level(account.id, &group.path) > 0 || state.is_administrator(&asked.caller);
    if is(account.id, &account.username) {
        return Answer::ok(own_namespace(state, &account));
    }
    match state.groups.iter().filter(seen).find(|group| is(group.id, &group.path)) {
        Some(group) => Answer::ok(group_namespace(state, group)),
        None => missing("Namespace"),
    }
}

pub(super) fn exists(state: &State, path: &str) -> Answer {
    let exists = state.is_taken(path);
    let suggests: Vec<String> = if exists { vec![format!("{path}1")] } else { Vec::new() };
    Answer::ok(json!({ "exists": exists, "suggests": suggests }))
}
