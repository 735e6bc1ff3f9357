//! What a token may do: <https://docs.github.com/rest/authentication/authenticating-to-the-rest-api>.

use chrono::{DateTime, NaiveDateTime, Utc};
use reqwest::header::HeaderMap;

use super::super::call::Memory;
use super::super::{GitError, TokenInfo};
use super::projects::EVERYTHING;
use super::{Github, wire};
use crate::domain::git::{MissingRight, TokenRight};

/// Who the token is and what it lacks. Classic tokens name their scopes in `X-OAuth-Scopes`, an empty one being none;
/// an answer without that header is to a fine-grained token, which is tried.
pub(super) async fn identify(github: &Github) -> Result<TokenInfo, GitError> {
    // https://docs.github.com/rest/users/users#get-the-authenticated-user
    let (account, headers) = match github.api.get(github.api.url(&["user"]), Memory::Never).await {
        Ok(answer) => (Some(github.api.json::<wire::Account>(&answer)?.login), answer.headers),
        Err(error) if Github::is_installations(&error) => (None, HeaderMap::new()),
        Err(error) => return Err(error),
    };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let expires_at = text("github-authentication-token-expiration").and_then(expiry);
    let Some(named) = text("x-oauth-scopes") else {
        let missing = tried(github, account.as_deref()).await?;
        return Ok(TokenInfo::new(account, Vec::new(), missing, expires_at));
    };
    let scopes: Vec<String> = named.split(',').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect();
    let missing = lacking(&scopes);
    Ok(TokenInfo::new(account, scopes, missing, expires_at))
}

/// What a classic token lacks by its scopes
/// (<https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps>). `public_repo` lists public
/// repositories and installs their webhooks; a private one it can neither fetch nor make.
fn lacking(scopes: &[String]) -> Vec<MissingRight> {
    let has = |wanted: &[&str]| scopes.iter().any(|scope| wanted.contains(&scope.as_str()));
    let needs = [
        (TokenRight::ReadProjects, "repo", has(&["repo", "public_repo"])),
        (TokenRight::ReadSource, "repo", has(&["repo"])),
        (TokenRight::ReadNamespaces, "read:org", has(&["read:org", "write:org", "admin:org"])),
        (TokenRight::CreateProjects, "repo", has(&["repo"])),
        (
            TokenRight::InstallWebhooks,
            "admin:repo_hook",
            has(&["repo", "public_repo", "admin:repo_hook", "write:repo_hook"]),
        ),
    ];
    needs.into_iter().filter(|(.., has)| !has).map(|(right, scope, _)| missing(scope, right)).collect()
}

fn missing(scope: &str, right: TokenRight) -> MissingRight {
    MissingRight { scope: scope.to_owned(), right }
}

/// What a fine-grained token is seen to lack, in the words of
/// <https://docs.github.com/rest/authentication/permissions-required-for-fine-grained-personal-access-tokens>. Only
/// reads are sent. A private repository is what permissions can be tried on: everybody may read a public one, and the
/// token need not have been given it. A permission to read says nothing of the one to write, but who lacks the first
/// lacks the second; what can't be tried is not claimed to be missing.
///
/// Whose the token is, a person's or an organization's, GitHub does not say, and only an organization's can be given
/// "Members". A refused list of memberships is called a lack where a private repository of somebody else is seen, so
/// that it is an organization's; else nobody could mend it, and there is nothing to list: a person's own token makes
/// repositories in no organization. Where GitHub answers with an empty list instead, nothing is seen to be lacking.
async fn tried(github: &Github, account: Option<&str>) -> Result<Vec<MissingRight>, GitError> {
    use TokenRight::{CreateProjects, InstallWebhooks, ReadNamespaces, ReadProjects, ReadSource};

    let mut lacks = Vec::new();
    let mut url = github.api.url(&["user", "repos"]);
    url.query_pairs_mut()
        .append_pair("affiliation", EVERYTHING)
        .append_pair("visibility", "private")
        .append_pair("per_page", "100");
    let repositories: Vec<wire::Repository> = match github.api.get(url, Memory::Never).await {
        Ok(answer) => github.api.json(&answer)?,
        Err(GitError::Forbidden(_)) => {
            lacks.push(missing("Metadata: read", ReadProjects));
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    let private = |row: &&wire::Repository| row.private && row.project().is_some();
    if let Some(any) = repositories.iter().find(private) {
        // https://docs.github.com/rest/branches/branches#list-branches
        if is_refused(github, any, "branches").await? {
            lacks.extend([missing("Contents: read", ReadProjects), missing("Contents: read", ReadSource)]);
        }
    }
    let mut url = github.api.url(&["user", "memberships", "orgs"]);
    url.query_pairs_mut().append_pair("state", "active").append_pair("per_page", "1");
    match github.api.get(url, Memory::Never).await {
        Err(GitError::Forbidden(_)) => {
            let others = |row: &wire::Repository| {
                row.private && account.is_none_or(|account| !row.owner.login.eq_ignore_ascii_case(account))
            };
            if account.is_none() || repositories.iter().any(others) {
                lacks.push(missing("Members: read", ReadNamespaces));
            }
        }
        answer => drop(answer?),
    }
    // Where its owner is an administrator, only the token itself can be what is refused.
    let own = |row: &&wire::Repository| private(row) && row.permissions.is_some_and(|may| may.admin);
    if let Some(own) = repositories.iter().find(own) {
        // https://docs.github.com/rest/deploy-keys/deploy-keys#list-deploy-keys
        if is_refused(github, own, "keys").await? {
            lacks.push(missing("Administration: write", CreateProjects));
        }
        // https://docs.github.com/rest/repos/webhooks#list-repository-webhooks
        if is_refused(github, own, "hooks").await? {
            lacks.push(missing("Webhooks: write", InstallWebhooks));
        }
    }
    Ok(lacks)
}

/// Whether the token may not list something of a repository.
async fn is_refused(github: &Github, repository: &wire::Repository, what: &str) -> Result<bool, GitError> {
    let mut url = github.api.url(&["repos", &repository.owner.login, &repository.name, what]);
    url.query_pairs_mut().append_pair("per_page", "1");
    match github.api.get(url, Memory::Never).await {
        Err(GitError::Forbidden(_)) => Ok(true),
        Ok(_) | Err(GitError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// `2027-03-31 00:00:00 UTC`, or with an offset: `2027-03-31 00:00:00 +0900`
/// (<https://github.blog/changelog/2021-07-26-expiration-options-for-personal-access-tokens/>).
fn expiry(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let plain = text.strip_suffix(" UTC").and_then(|t| NaiveDateTime::parse_from_str(t, "%Y-%m-%d %H:%M:%S").ok());
    let with_offset = || DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S %z").ok();
    let standard = || DateTime::parse_from_rfc3339(text).ok();
    plain.map(|time| time.and_utc()).or_else(|| Some(with_offset().or_else(standard)?.with_timezone(&Utc)))
}
