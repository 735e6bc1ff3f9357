//! Accounts for people, which takes a token of an instance administrator.

use reqwest::Method;
use serde_json::json;

use super::super::call::Memory;
use super::super::{GitError, NewAccount};
use super::token::{Standing, about_me, standing};
use super::wire::{EmailRow, NamespaceRow, UserRow};
use super::{Gitlab, taken};

/// Users whose further addresses are looked at, of those that a search for an address finds.
const LOOKED_AT: usize = 5;

/// <https://docs.gitlab.com/api/users/>: `search` finds administrators every address, and others public
/// ones alone, which are told from "nobody has it" only by knowing what the token is.
pub(super) async fn find_by_email(gitlab: &Gitlab, email: &str) -> Result<Option<String>, GitError> {
    be_administrator(gitlab).await?;
    let mut url = gitlab.at(&["users"]);
    url.query_pairs_mut().extend_pairs([("search", email), ("per_page", "100")]);
    let answer = gitlab.api.get(url, Memory::Never).await?;
    let users: Vec<UserRow> = gitlab.api.json(&answer)?;
    let same = |other: &str| other.eq_ignore_ascii_case(email);
    let has = |user: &UserRow| {
        [&user.email, &user.commit_email, &user.public_email].into_iter().flatten().any(|other| same(other))
    };
    if let Some(user) = users.iter().find(|user| has(user)) {
        return Ok(Some(user.username.clone()));
    }
    // Further addresses, confirmed or not, are found by the search and not shown with the user. Who was found without
    // having the text in their names has such a one; of those who have it there little is looked at.
    let (named, found): (Vec<UserRow>, Vec<UserRow>) = users.into_iter().partition(|user| user.is_named(email));
    let mut users = found.into_iter().chain(named);
    for user in users.by_ref().take(LOOKED_AT) {
        let url = gitlab.at(&["users", &user.id.to_string(), "emails"]);
        let Some(answer) = gitlab.find(url, Memory::Never).await? else { continue };
        let emails: Vec<EmailRow> = gitlab.api.json(&answer)?;
        if emails.iter().any(|other| same(&other.email)) {
            return Ok(Some(user.username));
        }
    }
    if users.next().is_some() {
        let said = "has more accounts with that address in their names than are looked at: it is taken for one's own";
        return Err(GitError::Taken(format!("{} {said}", gitlab.api.name())));
    }
    Ok(None)
}

async fn be_administrator(gitlab: &Gitlab) -> Result<(), GitError> {
    let me = about_me(gitlab, Memory::Recent).await?;
    let lacks = match standing(gitlab, Some(&me), Memory::Recent).await? {
        Standing::Administrator => return Ok(()),
        Standing::Unarmed => "the server has Admin Mode on, and the token lacks the scope admin_mode",
        Standing::Ordinary => "it takes a token of an instance administrator",
    };
    Err(GitError::Forbidden(format!(
        "{} does not tell the token who has an address or a name: {lacks}",
        gitlab.api.name()
    )))
}

/// People by <https://docs.gitlab.com/api/users/>, groups too by
/// <https://docs.gitlab.com/api/namespaces/#retrieve-namespace-details>: either may lack the other's. To an administrator
/// 404 means that there is none; others are answered so for what they may not see.
///
/// `/namespaces/:id/exists` would be the same in one call, and is limited to 20 a minute for each user
/// (<https://docs.gitlab.com/security/rate_limits/>).
pub(super) async fn is_free(gitlab: &Gitlab, username: &str) -> Result<bool, GitError> {
    if matches!(username, "" | "." | "..") {
        return Ok(false);
    }
    be_administrator(gitlab).await?;
    let mut url = gitlab.at(&["users"]);
    url.query_pairs_mut().append_pair("username", username);
    let answer = gitlab.api.get(url, Memory::Never).await?;
    let users: Vec<UserRow> = gitlab.api.json(&answer)?;
    if !users.is_empty() {
        return Ok(false);
    }
    let Some(answer) = gitlab.find(gitlab.at(&["namespaces", username]), Memory::Never).await? else { return Ok(true) };
    let namespace: NamespaceRow = gitlab.api.json(&answer)?;
    // Digits alone are read as an id, and some other namespace's path is no answer.
    Ok(!namespace.full_path.eq_ignore_ascii_case(username))
}

/// <https://docs.gitlab.com/api/users/>. `reset_password` mails a link by which the owner chooses a
/// password; none is sent. `skip_confirmation` spares them a second mail that asks for the same proof: only who reads
/// that address can follow the link.
pub(super) async fn create(gitlab: &Gitlab, new: &NewAccount) -> Result<(), GitError> {
    let body = json!({
        "email": new.email,
        "name": new.name,
        "username": new.username,
        "reset_password": true,
        "skip_confirmation": true,
    });
    let made = gitlab.api.send(Method::POST, gitlab.at(&["users"]), &body).await;
    made.map(|_| ()).map_err(taken)
}
