//! Lists of branches, in the ways that GitLab's releases page them.

use axum::http::StatusCode;
use serde_json::Value;

use super::Asked;
use super::answers::{Answer, branch, link, message, page};
use super::state::{BranchPages, Made, State};

/// <https://docs.gitlab.com/api/branches/>, as `lib/gitlab/pagination/gitaly_keyset_pager.rb` and
/// `app/finders/branches_finder.rb` have it.
pub(super) fn list(state: &State, asked: &Asked, made: &Made) -> Answer {
    let search = asked.text("search").unwrap_or_default().to_lowercase();
    let mut names: Vec<&String> = made.branches.keys().filter(|name| is_found(&name.to_lowercase(), &search)).collect();
    let keyset = asked.text("pagination").as_deref() == Some("keyset");
    let number = asked.number("page").unwrap_or(1);
    let per_page = asked.number("per_page").unwrap_or(20).clamp(1, 100);
    let numbered = |names: &[&String]| page(asked, &state.url, rows(state, made, names));
    match state.branch_pages {
        // Git sorts as it searches, whatever the case.
        BranchPages::Refs => names.sort_by_key(|name| name.to_lowercase()),
        _ => exact_first(&mut names, &search),
    }
    match state.branch_pages {
        BranchPages::Gitaly if !search.is_empty() && (keyset || number == 1) => {
            let mut answer = Answer::ok(rows(state, made, &names).into());
            if !keyset {
                answer.headers.extend([("x-page", "1".to_owned()), ("x-next-page", "2".to_owned())]);
            } else if names.len() == per_page {
                answer.headers.push(("link", link(asked, &state.url, "page_token", names[per_page - 1])));
            }
            answer
        }
        BranchPages::Gitaly | BranchPages::Refs if keyset => by_token(state, asked, made, &names),
        BranchPages::Gitaly if number == 1 => {
            let mut answer = numbered(&names);
            answer.headers.retain(|(name, _)| *name != "x-next-page");
            answer.headers.push(("x-next-page", "2".to_owned()));
            answer
        }
        BranchPages::Refs if number > 1 && number.saturating_mul(per_page) > 100 => {
            Answer { body: Value::Array(Vec::new()), ..numbered(&names) }
        }
        _ => numbered(&names),
    }
}

/// How GitLab has Git's names searched: `^` and `$` tie the text to an end, and a `$` elsewhere matches nothing.
fn is_found(name: &str, search: &str) -> bool {
    let (text, start) = search.strip_prefix('^').map_or((search, false), |text| (text, true));
    let (text, end) = text.strip_suffix('$').map_or((text, false), |text| (text, true));
    if text.contains('$') {
        return false;
    }
    match (start, end) {
        (true, true) => name == text,
        (true, false) => name.starts_with(text),
        (false, true) => name.ends_with(text),
        (false, false) => name.contains(text),
    }
}

/// The one that is just what was asked for comes first.
fn exact_first(names: &mut [&String], search: &str) {
    names.sort_by_key(|name| name.to_lowercase() != search);
}

fn by_token(state: &State, asked: &Asked, made: &Made, names: &[&String]) -> Answer {
    let per_page = asked.number("per_page").unwrap_or(20).clamp(1, 100);
    let refs = state.branch_pages == BranchPages::Refs;
    let prefix = if refs { "refs/heads/" } else { "" };
    let start = match asked.text("page_token") {
        None => 0,
        Some(token) => match names.iter().position(|name| format!("{prefix}{name}") == token) {
            Some(at) => at + 1,
            None if refs => {
                return message(StatusCode::UNPROCESSABLE_ENTITY, format!("Invalid page token: {token}"));
            }
            None => return message(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error"),
        },
    };
    let mut given: Vec<&String> = names[start..].iter().take(per_page).copied().collect();
    let last = given.last().map(|name| format!("{prefix}{name}"));
    // Git knows whether more follows; else a whole page is taken for a sign of it.
    let more = if refs { start + given.len() < names.len() } else { given.len() == per_page };
    if refs {
        exact_first(&mut given, &asked.text("search").unwrap_or_default().to_lowercase());
    }
    let mut answer = Answer::ok(rows(state, made, &given).into());
    if let Some(last) = last.filter(|_| more) {
        answer.headers.push(("link", link(asked, &state.url, "page_token", &last)));
    }
    answer
}

fn rows(state: &State, made: &Made, names: &[&String]) -> Vec<Value> {
    names.iter().map(|name| branch(state, made, name)).collect()
}
