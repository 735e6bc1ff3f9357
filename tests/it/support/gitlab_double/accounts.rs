//! Tokens, people and namespaces.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Asked;
use super::answers::{
    Answer, group_namespace, message, missing, own_namespace, page, public_account, refused, whole_account,
};
use super::state::{Account, State};

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
        // app/models/user.rb: `username_exists_as_a_different_namespace`.
        let said = "A user, alias, or group already exists with that username.";
        return message(StatusCode::BAD_REQUEST, json!({ "base": [said] }));
    }
    let id = state.person(&username);
    let account = state.account(id);
    account.email = email;
    account.name = name;
    let made = account.clone();
    Answer::created(whole_account(state, &made, true))
}

/// The own one and those of one's groups; for administrators, all.
pub(super) fn namespaces(state: &State, asked: &Asked) -> Answer {
    let search = asked.text("search").unwrap_or_default().to_lowercase();
    let rows = seen_namespaces(state, asked);
    let found = |row: &Value| row["full_path"].as_str().is_some_and(|path| path.to_lowercase().contains(&search));
    page(asked, &state.url, rows.filter(found).collect())
}

/// By id, or else by path: digits are always an id.
pub(super) fn namespace(state: &State, asked: &Asked, path: &str) -> Answer {
    let id = path.parse::<u64>().ok();
    let is = |row: &Value| match id {
        Some(id) => row["id"] == id,
        None => row["full_path"].as_str().is_some_and(|full| full.eq_ignore_ascii_case(path)),
    };
    seen_namespaces(state, asked).find(is).map_or_else(|| missing("Namespace"), Answer::ok)
}

fn seen_namespaces<'a>(state: &'a State, asked: &Asked) -> impl Iterator<Item = Value> + use<'a> {
    let me = asked.caller.account;
    let all = state.is_administrator(&asked.caller);
    let people = state.accounts.iter().filter(move |account| all || account.id == me);
    let groups = state.groups.iter().filter(move |group| all || state.level(me, &group.path) > 0);
    people.map(|account| own_namespace(state, account)).chain(groups.map(|group| group_namespace(state, group)))
}

/// Twenty times a minute for each user, whoever that is: <https://docs.gitlab.com/security/rate_limits/>.
pub(super) fn exists(state: &mut State, asked: &Asked, path: &str) -> Answer {
    let account = asked.caller.account;
    let lately = |(_, at): &(u64, Instant)| at.elapsed() < Duration::from_secs(60);
    state.exists_asked.retain(lately);
    if state.exists_asked.iter().filter(|(asker, _)| *asker == account).count() >= 20 {
        let said = "This endpoint has been requested too many times. Try again later.";
        let mut answer = message(StatusCode::TOO_MANY_REQUESTS, json!({ "error": said }));
        answer.headers.push(("retry-after", "60".to_owned()));
        return answer;
    }
    state.exists_asked.push((account, Instant::now()));
    let exists = state.is_taken(path);
    let suggests: Vec<String> = if exists { vec![format!("{path}1")] } else { Vec::new() };
    Answer::ok(json!({ "exists": exists, "suggests": suggests }))
}
