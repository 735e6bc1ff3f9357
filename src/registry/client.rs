//! The registries there are, picked by host, with a short memory of what they listed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use moka::future::Cache;
use reqwest::StatusCode;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::auth::{self, Session, below};
use super::{HubRepository, ListedTag, Registries, RegistryError, TagPage, TagRequest, Wanted, hub, oci, save};
use crate::domain::image::{DOCKER_HUB, Digest, Repository, Tag, normalise_host};
use crate::domain::secret::{ExposeSecret, RegistryLogin};
use crate::net::{Incoming, NetError, Outbound, Request, Response, Trust, retry_at};

/// How long a listing is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Longest wait for one answer of a registry.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Longest time that one layer of an image may take; whoever waits for all of it may have less.
const BLOB_LIMIT: Duration = Duration::from_secs(3600);
/// Longest time that reading all tags may take.
const LISTING_LIMIT: Duration = Duration::from_secs(30);

/// The current time, passed in so that tests need no waiting.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Where Docker Hub is: the `[docker_hub]` section. The operator's own addresses, which pass no filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// The listing: `https://hub.docker.com`.
    pub hub_api_url: String,
    /// The registry: `https://registry-1.docker.io`.
    pub hub_registry_url: String,
    /// The tokens: `https://auth.docker.io`.
    pub hub_auth_url: String,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            hub_api_url: "https://hub.docker.com".to_owned(),
            hub_registry_url: "https://registry-1.docker.io".to_owned(),
            hub_auth_url: "https://auth.docker.io".to_owned(),
        }
    }
}

/// The registries that answer over the network: Docker Hub, and any that speaks the OCI distribution API.
/// Clones share what is remembered. Two callers with different logins never share an answer.
#[derive(Clone)]
pub struct RegistryClient {
    asker: Asker,
    hub_api: Url,
    hub_registry: Url,
    hub_auth: Url,
    searches: Cache<(String, u32), Arc<Vec<HubRepository>>>,
    hub_pages: Cache<PageKey, Arc<TagPage>>,
    oci_tags: Cache<ListKey, Arc<oci::AllTags>>,
    hub_tokens: hub::Tokens,
}

type ListKey = (Repository, Option<LoginKey>);
type PageKey = (ListKey, Option<String>, TagRequest);

/// A login's fingerprint: what was seen with one login is not shown to another. Kept in memory only.
pub(super) type LoginKey = [u8; 32];

impl RegistryClient {
    /// A client that speaks to user-given hosts through the filter of `outbound`. `plain_http` lists hosts spoken to
    /// without TLS besides loopback, beyond those that the outbound policy lists.
    ///
    /// # Errors
    /// A sentence that names the key of `[docker_hub]` at fault.
    pub fn new(
        outbound: Outbound,
        settings: &RegistrySettings,
        plain_http: Vec<String>,
        clock: Clock,
    ) -> Result<Self, String> {
        let address = |key: &str, text: &str| {
            Url::parse(text)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
                .ok_or_else(|| format!("docker_hub.{key} is not an address that begins with https:// or http://"))
        };
        let listing = || Cache::builder().time_to_live(REMEMBERED);
        Ok(Self {
            hub_api: address("api_url", &settings.hub_api_url)?,
            hub_registry: address("registry_url", &settings.hub_registry_url)?,
            hub_auth: address("auth_url", &settings.hub_auth_url)?,
            asker: Asker {
                outbound,
                plain_http: plain_http.into_iter().map(|host| host.trim().to_ascii_lowercase()).collect(),
                clock,
            },
            searches: Cache::builder().time_to_live(REMEMBERED).max_capacity(500).build(),
            hub_pages: Cache::builder().time_to_live(REMEMBERED).max_capacity(1_000).build(),
            oci_tags: listing()
                .weigher(|_, list: &Arc<oci::AllTags>| u32::try_from(list.names.len()).unwrap_or(u32::MAX).max(1))
                .max_capacity(500_000)
                .build(),
            hub_tokens: hub::Tokens::default(),
        })
    }

    fn session<'a>(
        &'a self,
        host: &str,
        path: Option<&str>,
        login: Option<&'a RegistryLogin>,
    ) -> Result<Session<'a>, RegistryError> {
        let subject = path.map_or_else(|| host.to_owned(), |path| format!("{host}/{path}"));
        let is_hub = host == DOCKER_HUB;
        let base = if is_hub {
            self.hub_registry.clone()
        } else {
            let scheme = if self.asker.is_plain_host(host) { "http" } else { "https" };
            Url::parse(&format!("{scheme}://{host}/"))
                .map_err(|_| RegistryError::Refused(format!("{host} is not a registry's host")))?
        };
        Ok(Session {
            asker: &self.asker,
            base,
            trust: if is_hub || login.is_some_and(|login| login.trusted) { Trust::Operator } else { Trust::User },
            login,
            subject,
            hub_auth: is_hub.then(|| self.hub_auth.clone()),
            scope: path.map(|path| format!("repository:{path}:pull")),
            authorization: None,
        })
    }

    async fn oci_page(
        &self,
        repository: &Repository,
        search: Option<&str>,
        page: &TagRequest,
        login: Option<&RegistryLogin>,
    ) -> Result<TagPage, RegistryError> {
        let load = async {
            let mut session = self.session(repository.host(), Some(repository.path()), login)?;
            let listed = tokio::time::timeout(LISTING_LIMIT, oci::all_tags(&mut session, repository)).await;
            listed
                .unwrap_or_else(|_| {
                    Err(RegistryError::Unreachable(format!(
                        "{repository}: the registry takes too long to list its tags"
                    )))
                })
                .map(Arc::new)
        };
        let key = (repository.clone(), login.map(fingerprint));
        let all = self.oci_tags.try_get_with(key, load).await.map_err(|error| (*error).clone())?;
        Ok(cut_page(&all, search, page))
    }
}

/// The page of a sorted list that follows the name `page.after`, which need not be in the list.
fn cut_page(all: &oci::AllTags, search: Option<&str>, page: &TagRequest) -> TagPage {
    let first = page.first.clamp(1, 100) as usize;
    let matches = || all.names.iter().filter(|name| search.is_none_or(|text| name.contains(text)));
    let after = page.after.as_deref().unwrap_or_default();
    let mut rest = matches().filter(|name| name.as_str() > after);
    let tags: Vec<ListedTag> = rest.by_ref().take(first).map(|name| bare(name)).collect();
    let next = rest.next().and(tags.last()).map(|tag| tag.name.clone());
    let total = if all.complete { i32::try_from(matches().count()).ok() } else { None };
    TagPage { tags, next, total }
}

fn bare(name: &str) -> ListedTag {
    ListedTag { name: name.to_owned(), digest: None, size_bytes: None, platforms: Vec::new(), pushed_at: None }
}

#[async_trait]
impl Registries for RegistryClient {
    async fn search(&self, text: &str, limit: u32) -> Result<Vec<HubRepository>, RegistryError> {
        let text = text.trim();
        if text.is_empty() || text.len() > 255 {
            return Ok(Vec::new());
        }
        let limit = limit.clamp(1, 100);
        let load = async { hub::search(&self.asker, &self.hub_api, text, limit).await.map(Arc::new) };
        let found = self.searches.try_get_with((text.to_owned(), limit), load).await;
        found.map(|list| list.as_ref().clone()).map_err(|error| (*error).clone())
    }

    async fn tags(
        &self,
        repository: &Repository,
        search: Option<&str>,
        page: TagRequest,
        login: Option<&RegistryLogin>,
    ) -> Result<TagPage, RegistryError> {
        let search = search.map(str::trim).filter(|text| !text.is_empty());
        if search.is_some_and(|text| text.len() > 128) {
            return Ok(TagPage { tags: Vec::new(), next: None, total: Some(0) });
        }
        if repository.host() != DOCKER_HUB {
            return self.oci_page(repository, search, &page, login).await;
        }
        let page = TagRequest { first: page.first.clamp(1, 100), after: page.after.filter(|text| text.len() <= 20) };
        let key = ((repository.clone(), login.map(fingerprint)), search.map(str::to_owned), page.clone());
        let hub = hub::Hub { asker: &self.asker, api: &self.hub_api, tokens: &self.hub_tokens };
        let load = async { hub.tags(repository, search, &page, login).await.map(Arc::new) };
        let found = self.hub_pages.try_get_with(key, load).await;
        found.map(|page| page.as_ref().clone()).map_err(|error| (*error).clone())
    }

    async fn resolve(
        &self,
        repository: &Repository,
        tag: &Tag,
        login: Option<&RegistryLogin>,
    ) -> Result<Digest, RegistryError> {
        let mut session = self.session(repository.host(), Some(repository.path()), login)?;
        session.subject = format!("{}:{tag}", session.subject);
        oci::resolve(&mut session, repository, tag).await
    }

    async fn save(&self, wanted: &Wanted<'_>, login: Option<&RegistryLogin>) -> Result<(), RegistryError> {
        let repository = wanted.repository;
        let mut session = self.session(repository.host(), Some(repository.path()), login)?;
        save::save(&mut session, wanted).await
    }

    async fn check_login(&self, host: &str, login: &RegistryLogin) -> Result<(), RegistryError> {
        let host = normalise_host(host.trim());
        let valid = Repository::parse(&format!("{host}/x")).is_ok_and(|repository| repository.host() == host);
        if !valid {
            return Err(RegistryError::Refused(
                "that is not a registry's host, like docker.io or registry.example.com:5000".to_owned(),
            ));
        }
        if host != DOCKER_HUB {
            return oci::check_login(&mut self.session(&host, None, Some(login))?).await;
        }
        let mut url = below(&self.hub_auth, "token");
        url.query_pairs_mut().append_pair("service", "registry.docker.io").append_pair("account", &login.username);
        let mut request = Request::get(url, Trust::Operator);
        if let Some(value) = auth::basic(login, &host)? {
            request = request.header(reqwest::header::AUTHORIZATION, value);
        }
        let answer = self.asker.send(request, &host).await?;
        match answer.status {
            StatusCode::OK if auth::token_of(&answer).is_some() => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => Err(auth::refused(&host)),
            status => Err(RegistryError::Unreachable(format!(
                "{host}: the registry gives no token (HTTP {})",
                status.as_u16()
            ))),
        }
    }
}

/// A hash of user name, token and how far it is trusted; the length keeps `ab` + `c` apart from `a` + `bc`.
pub(super) fn fingerprint(login: &RegistryLogin) -> LoginKey {
    let mut hash = Sha256::new();
    hash.update([u8::from(login.trusted)]);
    hash.update((login.username.len() as u64).to_be_bytes());
    hash.update(login.username.as_bytes());
    hash.update(login.token.expose_secret().as_bytes());
    hash.finalize().into()
}

/// Sends requests and turns what the network says into what the room says.
#[derive(Clone)]
pub(super) struct Asker {
    outbound: Outbound,
    plain_http: Vec<String>,
    clock: Clock,
}

impl Asker {
    /// An answer of any status but 429, which is [`RegistryError::Limited`].
    pub(super) async fn send(&self, request: Request, subject: &str) -> Result<Response, RegistryError> {
        let limit = ANSWER_LIMIT.min(self.outbound.policy().request_timeout());
        let answer = self
            .outbound
            .send(request.timeout(limit).counted_as("registry"))
            .await
            .map_err(|error| self.error(error, subject))?;
        if answer.status != StatusCode::TOO_MANY_REQUESTS {
            return Ok(answer);
        }
        Err(RegistryError::Limited {
            message: format!("{subject}: the registry limits requests; a tag can still be typed"),
            retry_at: retry_at(&answer, (self.clock)()),
        })
    }

    /// The head of an answer whose body may be large and take long.
    pub(super) async fn open(&self, request: Request, subject: &str) -> Result<Incoming, RegistryError> {
        let answer = self.outbound.open(request.timeout(BLOB_LIMIT).counted_as("registry")).await;
        let answer = answer.map_err(|error| self.error(error, subject))?;
        match answer.status {
            StatusCode::TOO_MANY_REQUESTS => Err(RegistryError::Limited {
                message: format!("{subject}: the registry limits requests"),
                retry_at: None,
            }),
            _ => Ok(answer),
        }
    }

    /// What the network says, of what was asked for.
    pub(super) fn error(&self, error: NetError, subject: &str) -> RegistryError {
        match error {
            NetError::Refused(_) | NetError::Invalid(_) => RegistryError::Refused(format!("{subject}: {error}")),
            error => RegistryError::Unreachable(format!("{subject}: {error}")),
        }
    }

    /// Whether an address may be spoken to without TLS.
    pub(super) fn is_plain(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        self.is_plain_host(&url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    }

    fn is_plain_host(&self, authority: &str) -> bool {
        self.outbound.policy().is_plain_http(authority) || self.plain_http.iter().any(|host| host == authority)
    }
}
