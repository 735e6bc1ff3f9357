//! Docker Hub's listing API (<https://docs.docker.com/reference/api/hub/latest/>): search, tags, tokens.

use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::future::Cache;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::auth::{below, refused, token_of};
use super::client::{Asker, LoginKey, fingerprint};
use super::{HubRepository, ListedTag, RegistryError, TagPage, TagRequest};
use crate::domain::image::{Digest, Repository, Tag};
use crate::domain::secret::{ExposeSecret, RegistryLogin, SecretString};
use crate::net::{NetError, Request, Response, Trust};

/// Short-lived tokens that logins were exchanged for. The Hub's live ten minutes; these are dropped sooner.
#[derive(Clone)]
pub(super) struct Tokens(Cache<LoginKey, SecretString>);

impl Default for Tokens {
    fn default() -> Self {
        Self(Cache::builder().time_to_live(Duration::from_secs(240)).max_capacity(1_000).build())
    }
}

/// The listing, as one call needs it.
pub(super) struct Hub<'a> {
    pub(super) asker: &'a Asker,
    pub(super) api: &'a Url,
    pub(super) tokens: &'a Tokens,
}

#[derive(Deserialize)]
struct Listing<T> {
    count: Option<i64>,
    next: Option<String>,
    results: Vec<T>,
}

#[derive(Deserialize)]
struct FoundRepository {
    repo_name: String,
    short_description: Option<String>,
    #[serde(default)]
    is_official: bool,
    #[serde(default)]
    star_count: f64,
    #[serde(default)]
    pull_count: f64,
}

#[derive(Deserialize)]
struct FoundTag {
    name: String,
    digest: Option<String>,
    full_size: Option<f64>,
    images: Option<Vec<FoundImage>>,
    tag_last_pushed: Option<String>,
    last_updated: Option<String>,
}

#[derive(Deserialize)]
struct FoundImage {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

/// Repositories that the Hub finds for a text, in its order.
pub(super) async fn search(
    asker: &Asker,
    api: &Url,
    text: &str,
    limit: u32,
) -> Result<Vec<HubRepository>, RegistryError> {
    let mut url = below(api, "v2/search/repositories/");
    url.query_pairs_mut().append_pair("query", text).append_pair("page_size", &limit.to_string());
    let answer = asker.send(Request::get(url, Trust::Operator), "Docker Hub").await?;
    if answer.status != StatusCode::OK {
        return Err(failed("Docker Hub", answer.status));
    }
    let listing: Listing<FoundRepository> = read(&answer, "Docker Hub")?;
    let valid = listing.results.into_iter().filter(|found| Repository::parse(&found.repo_name).is_ok());
    Ok(valid
        .take(limit as usize)
        .map(|found| HubRepository {
            name: found.repo_name,
            description: found.short_description.map(|text| one_line(&text)).filter(|text| !text.is_empty()),
            official: found.is_official,
            // `as` saturates, and a star count is no place to fail.
            stars: found.star_count.max(0.0) as i32,
            pulls: found.pull_count.max(0.0),
        })
        .collect())
}

impl Hub<'_> {
    /// A page of tags. The cursor is how many tags precede it.
    pub(super) async fn tags(
        &self,
        repository: &Repository,
        search: Option<&str>,
        page: &TagRequest,
        login: Option<&RegistryLogin>,
    ) -> Result<TagPage, RegistryError> {
        let subject = format!("docker.io/{}", repository.path());
        let Some((namespace, name)) = repository.path().split_once('/').filter(|(_, name)| !name.contains('/')) else {
            return Err(no_repository(&subject));
        };
        let first = page.first.clamp(1, 100);
        let offset = page.after.as_deref().and_then(|text| text.parse::<u32>().ok()).unwrap_or(0).min(1_000_000);
        let (number, skip) = (offset / first + 1, (offset % first) as usize);
        let mut url = below(self.api, &format!("v2/namespaces/{namespace}/repositories/{name}/tags"));
        url.query_pairs_mut().append_pair("page_size", &first.to_string()).append_pair("page", &number.to_string());
        if let Some(text) = search {
            url.query_pairs_mut().append_pair("name", text);
        }
        let answer = self.ask(url, login, &subject).await?;
        match answer.status {
            StatusCode::OK => {}
            // Past the last page the Hub knows nothing either.
            StatusCode::NOT_FOUND if number > 1 => return Ok(TagPage { tags: Vec::new(), next: None, total: None }),
            StatusCode::NOT_FOUND => return Err(no_repository(&subject)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if login.is_none() => {
                return Err(super::auth::needs_login(&subject));
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(no_repository(&subject)),
            status => return Err(failed(&subject, status)),
        }
        let listing: Listing<FoundTag> = read(&answer, &subject)?;
        let given = u32::try_from(listing.results.len()).unwrap_or(u32::MAX).min(first);
        let end = offset - skip as u32 + given;
        let tags: Vec<ListedTag> = listing
            .results
            .into_iter()
            .take(first as usize)
            .skip(skip)
            .filter(|tag| Tag::parse(&tag.name).is_ok() && search.is_none_or(|text| tag.name.contains(text)))
            .map(listed)
            .collect();
        // Only that there is a next page is believed, never where: the address is made here.
        let next = listing.next.filter(|_| given > 0 && end > offset).map(|_| end.to_string());
        Ok(TagPage { tags, next, total: listing.count.and_then(|n| i32::try_from(n.max(0)).ok()) })
    }

    async fn ask(&self, url: Url, login: Option<&RegistryLogin>, subject: &str) -> Result<Response, RegistryError> {
        let request = Request::get(url, Trust::Operator);
        let Some(login) = login else { return self.asker.send(request, subject).await };
        let key = fingerprint(login);
        let token = self.tokens.0.try_get_with(key, self.token(login, subject)).await;
        let token = token.map_err(|error: std::sync::Arc<RegistryError>| (*error).clone())?;
        let unusable = |error: NetError| RegistryError::Unreachable(format!("{subject}: {error}"));
        let answer = self.asker.send(request.bearer(&token).map_err(unusable)?, subject).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            self.tokens.0.invalidate(&key).await;
        }
        Ok(answer)
    }

    /// Exchanges a login for a token, by the present endpoint or, where it is missing, by the one before it.
    async fn token(&self, login: &RegistryLogin, subject: &str) -> Result<SecretString, RegistryError> {
        let secret = login.token.expose_secret();
        let forms = [
            ("v2/auth/token", json!({ "identifier": login.username, "secret": secret })),
            ("v2/users/login", json!({ "username": login.username, "password": secret })),
        ];
        for (path, body) in forms {
            let request = Request::post_json(below(self.api, path), Trust::Operator, &body)
                .map_err(|error| RegistryError::Unreachable(format!("{subject}: {error}")))?;
            let answer = self.asker.send(request, subject).await?;
            match answer.status {
                StatusCode::OK => {
                    return token_of(&answer).ok_or_else(|| rubbish(subject));
                }
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {}
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                    return Err(refused(subject));
                }
                status => return Err(failed(subject, status)),
            }
        }
        Err(RegistryError::Unreachable(format!("{subject}: Docker Hub offers no way to log in")))
    }
}

fn listed(tag: FoundTag) -> ListedTag {
    let platforms = tag.images.unwrap_or_default().iter().filter_map(platform).collect();
    let pushed = tag.tag_last_pushed.or(tag.last_updated);
    ListedTag {
        name: tag.name,
        digest: tag.digest.filter(|text| Digest::parse(text).is_ok()),
        size_bytes: tag.full_size.filter(|size| *size >= 0.0),
        platforms,
        pushed_at: pushed
            .and_then(|text| DateTime::parse_from_rfc3339(&text).ok())
            .map(|time| time.with_timezone(&Utc)),
    }
}

/// `linux/arm64/v8`; attestations are listed as `unknown/unknown`, which is no platform.
fn platform(image: &FoundImage) -> Option<String> {
    let known = |part: &Option<String>| part.clone().filter(|text| !text.is_empty() && text != "unknown");
    let (os, architecture) = (known(&image.os)?, known(&image.architecture)?);
    let variant = known(&image.variant).map(|variant| format!("/{variant}")).unwrap_or_default();
    Some(one_line(&format!("{os}/{architecture}{variant}")))
}

fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
    plain.trim().to_owned()
}

fn read<T: serde::de::DeserializeOwned>(answer: &Response, subject: &str) -> Result<T, RegistryError> {
    answer.json().map_err(|_| rubbish(subject))
}

fn rubbish(subject: &str) -> RegistryError {
    RegistryError::Unreachable(format!("{subject}: Docker Hub answers something other than its API promises"))
}

fn failed(subject: &str, status: StatusCode) -> RegistryError {
    RegistryError::Unreachable(format!("{subject}: Docker Hub answers with an error (HTTP {})", status.as_u16()))
}

fn no_repository(subject: &str) -> RegistryError {
    RegistryError::NotFound(format!("{subject}: no such repository on Docker Hub, or a login is needed to see it"))
}
