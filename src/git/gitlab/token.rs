//! Who a token is and what it may do.

use chrono::NaiveTime;

use super::super::call::Memory;
use super::super::{GitError, TokenInfo};
use super::Gitlab;
use super::wire::{Me, ProjectRow, TokenRow};
use crate::domain::git::{MissingRight, TokenRight};

/// What else than the scopes decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// May do what administrators may.
    Administrator,
    /// Is one, and its token may not act as one: the server has Admin Mode on, and the token lacks `admin_mode`.
    Unarmed,
    /// Is none.
    Ordinary,
}

/// Asks the token about itself, its owner, and, where its owner is an administrator, for something that only these
/// are answered.
pub(super) async fn identify(gitlab: &Gitlab) -> Result<TokenInfo, GitError> {
    let token = about_itself(gitlab).await?;
    let me = match about_me(gitlab, Memory::Never).await {
        Ok(me) => Some(me),
        // The scopes `read_repository` and `write_repository` let nobody read this.
        Err(GitError::Forbidden(_)) => None,
        Err(error) => return Err(error),
    };
    let standing = standing(gitlab, me.as_ref(), Memory::Never).await?;
    let known = token.as_ref().map(|token| token.scopes.clone()).filter(|scopes| names_rights(scopes));
    let missing = match &known {
        Some(scopes) => missing(scopes, standing),
        None => without_scopes(gitlab, standing).await?,
    };
    let expires_at = token.and_then(|token| token.expires_at).map(|day| day.and_time(NaiveTime::MIN).and_utc());
    Ok(TokenInfo::new(me.map(|me| me.username), known.unwrap_or_default(), missing, expires_at))
}

/// <https://docs.gitlab.com/api/personal_access_tokens/#self-inform>: from GitLab 15.5 on, for personal, project and
/// group access tokens. None where it is not answered; whether the token is taken at all is then seen elsewhere.
async fn about_itself(gitlab: &Gitlab) -> Result<Option<TokenRow>, GitError> {
    let url = gitlab.at(&["personal_access_tokens", "self"]);
    let token: TokenRow = match gitlab.api.get(url, Memory::Never).await {
        Ok(answer) => gitlab.api.json(&answer)?,
        Err(GitError::NotFound(_) | GitError::Forbidden(_) | GitError::Unauthorized(_) | GitError::Invalid(_)) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let name = gitlab.api.name();
    if token.revoked == Some(true) {
        return Err(GitError::Unauthorized(format!("{name} does not take the token: it was revoked")));
    }
    if token.active == Some(false) {
        return Err(GitError::Unauthorized(format!("{name} does not take the token: it has expired")));
    }
    Ok(Some(token))
}

/// <https://docs.gitlab.com/api/users/>
pub(super) async fn about_me(gitlab: &Gitlab, memory: Memory) -> Result<Me, GitError> {
    let answer = gitlab.api.get(gitlab.at(&["user"]), memory).await?;
    gitlab.api.json(&answer)
}

/// An administrator's other addresses are told to administrators alone, Admin Mode or not
/// (<https://docs.gitlab.com/api/user_email_addresses/#list-all-email-addresses-for-a-user>).
pub(super) async fn standing(gitlab: &Gitlab, me: Option<&Me>, memory: Memory) -> Result<Standing, GitError> {
    let Some(me) = me.filter(|me| me.is_admin) else { return Ok(Standing::Ordinary) };
    match gitlab.api.get(gitlab.at(&["users", &me.id.to_string(), "emails"]), memory).await {
        Ok(_) => Ok(Standing::Administrator),
        Err(GitError::Forbidden(_) | GitError::NotFound(_)) => Ok(Standing::Unarmed),
        Err(error) => Err(error),
    }
}

/// Fine-grained tokens say `granular` and have their permissions elsewhere.
fn names_rights(scopes: &[String]) -> bool {
    !scopes.is_empty() && !scopes.iter().any(|scope| scope == "granular")
}

/// What the scopes do not give: <https://docs.gitlab.com/user/profile/personal_access_tokens/#personal-access-token-scopes>.
pub(super) fn missing(scopes: &[String], standing: Standing) -> Vec<MissingRight> {
    let has = |wanted: &[&str]| wanted.iter().any(|wanted| scopes.iter().any(|scope| scope == wanted));
    let lacks = |wanted: &'static [&str]| (!has(wanted)).then_some(wanted[0]);
    let rights = [
        (TokenRight::ReadProjects, lacks(&["read_api", "api"])),
        (TokenRight::ReadSource, lacks(&["read_repository", "write_repository", "api"])),
        (TokenRight::ReadNamespaces, lacks(&["read_api", "api"])),
        (TokenRight::CreateProjects, lacks(&["api"])),
        (TokenRight::InstallWebhooks, lacks(&["api"])),
        (TokenRight::CreateAccounts, lacks_accounts(standing, lacks(&["api"]))),
    ];
    collect(rights)
}

/// An administrator's token first needs the scope that everybody's does: without it, Admin Mode can't be told.
fn lacks_accounts(standing: Standing, scope: Option<&'static str>) -> Option<&'static str> {
    match standing {
        Standing::Administrator => scope,
        Standing::Unarmed => scope.or(Some("admin_mode")),
        Standing::Ordinary => Some("instance administrator"),
    }
}

/// A token that names no scopes lacks what can be seen to be lacking: one that may not list may do nothing of the API.
async fn without_scopes(gitlab: &Gitlab, standing: Standing) -> Result<Vec<MissingRight>, GitError> {
    let mut url = gitlab.at(&["projects"]);
    url.query_pairs_mut().extend_pairs([("membership", "true"), ("simple", "true"), ("per_page", "1")]);
    let lists = match gitlab.api.get(url, Memory::Never).await {
        Ok(answer) => gitlab.api.json::<Vec<ProjectRow>>(&answer).map(|_| true)?,
        Err(GitError::Forbidden(_)) => false,
        Err(error) => return Err(error),
    };
    let unless_it_lists = |scope: &'static str| (!lists).then_some(scope);
    Ok(collect([
        (TokenRight::ReadProjects, unless_it_lists("read_api")),
        (TokenRight::ReadSource, None),
        (TokenRight::ReadNamespaces, unless_it_lists("read_api")),
        (TokenRight::CreateProjects, unless_it_lists("api")),
        (TokenRight::InstallWebhooks, unless_it_lists("api")),
        (TokenRight::CreateAccounts, lacks_accounts(standing, unless_it_lists("api"))),
    ]))
}

fn collect(rights: [(TokenRight, Option<&str>); 6]) -> Vec<MissingRight> {
    let missing = |(right, scope): (TokenRight, Option<&str>)| Some(MissingRight { scope: scope?.to_owned(), right });
    rights.into_iter().filter_map(missing).collect()
}
