//! Asking a provider over HTTP: one way for limits, repetition, memory and errors, whichever provider it is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use url::Url;

use super::{GitAccess, GitError};
use crate::domain::clock::Clock;
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::net::{NetError, Outbound, Request, Response, Trust, origin_of, retry_at};
use crate::vault::Masker;

/// All of a call ends within this, repetitions included: sooner than a query does (`limits.query_timeout`), so that a
/// provider which is silent fails its own field and not the whole query.
const WHOLE: Duration = Duration::from_secs(8);
/// Requests at once with one token. What is more waits: a list may ask for the branches of a hundred projects.
const AT_ONCE: usize = 10;
/// How often a read is sent at most.
const ATTEMPTS: u32 = 3;
/// The pause before the first repetition; each later one is three times as long.
const PAUSE: Duration = Duration::from_millis(150);
/// A wait that a provider asks for is waited out when it is no longer than this.
const SHORT_WAIT: TimeDelta = TimeDelta::seconds(2);
/// How long what was listed is given without asking.
const FRESH: TimeDelta = TimeDelta::seconds(30);
/// How long it is kept to ask whether it has changed.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// Bytes of answers that are kept, for all organizations together.
const KEPT_BYTES: u64 = 64 * 1024 * 1024;
/// Characters of a provider's own words that an error quotes.
const QUOTED: usize = 300;

/// What every client of the room shares.
#[derive(Clone)]
pub(super) struct Shared {
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    answers: Cache<(Key, String), Arc<Kept>>,
    limits: Cache<(Key, Budget), DateTime<Utc>>,
    gates: Cache<Key, Arc<Semaphore>>,
}

/// What a request counts against. GitHub counts searches apart (30 a minute), and a spent budget for them must not
/// keep anybody from a list: <https://docs.github.com/rest/search/search#rate-limit>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Budget {
    /// What lies below `search/`.
    Search,
    /// Everything; it is asked before a search too.
    Whole,
}

/// Whose answers they are: organization, address and token.
type Key = [u8; 32];

struct Kept {
    answer: Answer,
    etag: Option<HeaderValue>,
    at: DateTime<Utc>,
}

impl Shared {
    pub(super) fn new(outbound: Outbound, clock: Arc<dyn Clock>) -> Self {
        let weight = |_: &(Key, String), kept: &Arc<Kept>| u32::try_from(kept.answer.body.len()).unwrap_or(u32::MAX);
        Self {
            outbound,
            clock,
            answers: Cache::builder()
                .weigher(weight)
                .max_capacity(KEPT_BYTES)
                .time_to_live(KEPT)
                .support_invalidation_closures()
                .build(),
            limits: Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(3600)).build(),
            gates: Cache::builder().max_capacity(10_000).time_to_idle(KEPT).build(),
        }
    }

    /// Waits until there are fewer requests at once.
    async fn turn(&self, key: Key) -> Option<OwnedSemaphorePermit> {
        let gate = self.gates.get_with(key, async { Arc::new(Semaphore::new(AT_ONCE)) }).await;
        // It fails only once it is closed, which nobody does.
        gate.acquire_owned().await.ok()
    }

    pub(super) fn outbound(&self) -> &Outbound {
        &self.outbound
    }
}

/// What makes one provider's requests different from another's.
#[derive(Clone)]
pub(super) struct Dialect {
    /// Where the token goes.
    pub(super) token_header: HeaderName,
    /// What stands before it: `Bearer `.
    pub(super) token_prefix: &'static str,
    /// What every request carries.
    pub(super) headers: HeaderMap,
}

/// One provider's API, for one organization.
#[derive(Clone)]
pub(super) struct Api {
    shared: Shared,
    base: Url,
    trust: Trust,
    headers: HeaderMap,
    masker: Arc<Masker>,
    name: String,
    key: Key,
}

/// An answer with a status of success.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What is read: an address, and a body where it is asked for by one.
struct Question {
    url: Url,
    body: Option<Bytes>,
}

impl Question {
    /// What its answer is remembered by. No address holds a space.
    fn text(&self) -> String {
        let body = self.body.as_deref().map(|body| format!(" {}", String::from_utf8_lossy(body)));
        format!("{}{}", self.url, body.unwrap_or_default())
    }
}

/// Whether an answer may be one that was remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// Half a minute old at most.
    Recent,
    /// The provider is asked whether what is remembered still holds.
    Revalidated,
    /// Nothing is remembered.
    Never,
}

impl Api {
    /// An API below `base`, which has the address filter's trust unless it is the operator's own.
    pub(super) fn new(shared: &Shared, access: &GitAccess, trust: Trust, dialect: Dialect) -> Result<Self, GitError> {
        let base = Url::parse(&access.base_url)
            .ok()
            .filter(|url| !url.cannot_be_a_base())
            .ok_or_else(|| GitError::Refused(format!("{}'s address is not one", access.provider)))?;
        let value = SecretString::from(format!("{}{}", dialect.token_prefix, access.token.expose_secret()));
        let mut value = HeaderValue::from_str(value.expose_secret())
            .map_err(|_| GitError::Refused("the token holds characters that no HTTP header may carry".to_owned()))?;
        value.set_sensitive(true);
        let mut headers = dialect.headers;
        headers.insert(dialect.token_header, value);
        Ok(Self {
            shared: shared.clone(),
            name: format!("{} at {}", access.provider, origin_of(&base)),
            base,
            trust,
            headers,
            masker: Arc::new(Masker::new([&access.token])),
            key: key_of(access),
        })
    }

    /// "GitLab at https://gitlab.example.com": how errors name it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }

    /// An address below the API's, each segment encoded: a slash inside one becomes `%2F`.
    pub(super) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Reads, and repeats while the provider breaks off or answers 5xx.
    pub(super) async fn get(&self, url: Url, memory: Memory) -> Result<Answer, GitError> {
        self.ask(Question { url, body: None }, memory).await
    }

    /// Reads by a POST that changes nothing, as GraphQL's queries are sent; repeated and remembered as a GET is.
    pub(super) async fn query(&self, url: Url, body: &impl Serialize, memory: Memory) -> Result<Answer, GitError> {
        let body = serde_json::to_vec(body).map_err(|_| self.garbled())?;
        self.ask(Question { url, body: Some(body.into()) }, memory).await
    }

    async fn ask(&self, question: Question, memory: Memory) -> Result<Answer, GitError> {
        if memory == Memory::Never {
            return self.read(&question, None).await.map(|response| answer_of(&response));
        }
        // Those who ask for one address at once wait for one answer.
        let slot = self.shared.answers.entry((self.key, question.text()));
        let done = slot
            .and_try_compute_with(async |kept| {
                let kept = kept.map(moka::Entry::into_value);
                let now = self.now();
                if memory == Memory::Recent && kept.as_ref().is_some_and(|kept| now - kept.at < FRESH) {
                    return Ok(Op::Nop);
                }
                let response = self.read(&question, kept.as_ref().and_then(|kept| kept.etag.clone())).await?;
                let answer = match kept {
                    Some(kept) if response.status == StatusCode::NOT_MODIFIED => kept.answer.clone(),
                    // What a proxy says in between is not remembered.
                    _ if serde_json::from_slice::<IgnoredAny>(&response.body).is_err() => return Err(self.garbled()),
                    _ => answer_of(&response),
                };
                let etag = response.headers.get(reqwest::header::ETAG).cloned();
                Ok::<_, GitError>(Op::Put(Arc::new(Kept { answer, etag, at: now })))
            })
            .await?;
        match done {
            CompResult::Inserted(e) | CompResult::ReplacedWith(e) | CompResult::Unchanged(e) => {
                Ok(e.into_value().answer.clone())
            }
            CompResult::StillNone(_) | CompResult::Removed(_) => Err(self.garbled()),
        }
    }

    /// Several reads as one call: they end within the time of one.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T, GitError>>) -> Result<T, GitError> {
        tokio::time::timeout(WHOLE, work).await.unwrap_or_else(|_| {
            Err(GitError::Unreachable(format!("{} did not answer within {} s", self.name, WHOLE.as_secs())))
        })
    }

    /// Changes something: sent once, whatever comes of it.
    pub(super) async fn send(&self, method: Method, url: Url, body: &impl Serialize) -> Result<Answer, GitError> {
        let budget = self.budget(&url);
        self.may_ask(budget).await?;
        let request = self.request(method, url).json(body).map_err(|error| self.unreachable(error))?;
        let _turn = self.shared.turn(self.key).await;
        let response = self.shared.outbound.send(request.timeout(WHOLE)).await.map_err(|e| self.unsent(e))?;
        self.judge(&response, budget).await?;
        Ok(answer_of(&response))
    }

    /// Forgets what was listed, after something was changed.
    pub(super) fn forget(&self) {
        let key = self.key;
        // Fails only where the cache was built without support for it.
        drop(self.shared.answers.invalidate_entries_if(move |(owner, _), _| *owner == key));
    }

    /// The body as what the API promises. One that is something else is not remembered.
    pub(super) fn json<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, GitError> {
        serde_json::from_slice(&answer.body).map_err(|_| {
            self.forget();
            self.garbled()
        })
    }

    /// It answered something other than what its API promises.
    pub(super) fn garbled(&self) -> GitError {
        GitError::Unreachable(format!("{} answered something other than what its API promises", self.name))
    }

    async fn read(&self, question: &Question, etag: Option<HeaderValue>) -> Result<Response, GitError> {
        let deadline = Instant::now() + WHOLE;
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            let failed = match self.read_once(question, etag.clone(), deadline).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let wait = match &failed {
                GitError::Unreachable(_) => pause,
                GitError::Limited { retry_at: Some(at), .. } if *at - self.now() <= SHORT_WAIT => {
                    (*at - self.now()).to_std().unwrap_or_default().max(pause)
                }
                _ => return Err(failed),
            };
            if attempt == ATTEMPTS || Instant::now() + wait >= deadline {
                return Err(failed);
            }
            tokio::time::sleep(wait).await;
            pause *= 3;
            attempt += 1;
        }
    }

    async fn read_once(
        &self,
        question: &Question,
        etag: Option<HeaderValue>,
        deadline: Instant,
    ) -> Result<Response, GitError> {
        let budget = self.budget(&question.url);
        self.may_ask(budget).await?;
        let mut request = match &question.body {
            None => self.request(Method::GET, question.url.clone()),
            Some(body) => self
                .request(Method::POST, question.url.clone())
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(body.clone()),
        };
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let _turn = self.shared.turn(self.key).await;
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let response = self.shared.outbound.send(request.timeout(left)).await.map_err(|e| self.unsent(e))?;
        if response.status != StatusCode::NOT_MODIFIED {
            self.judge(&response, budget).await?;
        }
        Ok(response)
    }

    fn request(&self, method: Method, url: Url) -> Request {
        self.headers.iter().fold(Request::new(method, url, self.trust), |request, (name, value)| {
            request.header(name.clone(), value.clone())
        })
    }

    /// Goes on only where no limit is spent.
    async fn may_ask(&self, budget: Budget) -> Result<(), GitError> {
        for budget in [budget, Budget::Whole] {
            if let Some(until) = self.shared.limits.get(&(self.key, budget)).await
                && until > self.now()
            {
                return Err(self.limited(Some(until)));
            }
        }
        Ok(())
    }

    fn budget(&self, url: &Url) -> Budget {
        let below = url.path().strip_prefix(self.base.path().trim_end_matches('/')).unwrap_or_default();
        if below.starts_with("/search/") { Budget::Search } else { Budget::Whole }
    }

    /// Notes a spent limit, and turns every status but success into an error.
    async fn judge(&self, response: &Response, budget: Budget) -> Result<(), GitError> {
        let spent = ["x-ratelimit-remaining", "ratelimit-remaining"]
            .iter()
            .any(|name| response.header(name).is_some_and(|left| left.trim() == "0"));
        let when = retry_at(response, self.now());
        let status = response.status;
        let asked_to_wait = response.header("retry-after").is_some();
        // GitHub answers 403 for its limits too:
        // https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
        let limited =
            status == StatusCode::TOO_MANY_REQUESTS || (status == StatusCode::FORBIDDEN && (spent || asked_to_wait));
        if (limited || spent)
            && let Some(until) = when
        {
            // A limit that is not a spent budget (GitHub's secondary one) is about every request.
            let budget = if spent { budget } else { Budget::Whole };
            self.shared.limits.insert((self.key, budget), until).await;
        }
        if status.is_success() {
            return Ok(());
        }
        if limited {
            return Err(self.limited(when));
        }
        Err(self.refusal(response))
    }

    fn limited(&self, until: Option<DateTime<Utc>>) -> GitError {
        let when = until.map_or_else(String::new, |at| format!("; try again at {}", at.format("%H:%M:%S UTC")));
        GitError::Limited { message: format!("{} limits requests{when}", self.name), retry_at: until }
    }

    fn refusal(&self, response: &Response) -> GitError {
        let status = response.status.as_u16();
        let said = self.words(&response.body);
        let quoted = said.as_ref().map_or_else(String::new, |said| format!(": {said}"));
        let name = &self.name;
        match status {
            401 => GitError::Unauthorized(format!("{name} does not take the token{quoted}")),
            403 => GitError::Forbidden(format!("{name} does not let the token do this{quoted}")),
            404 | 410 => GitError::NotFound(format!("{name} knows no such thing{quoted}")),
            400 | 409 | 422 => GitError::Invalid(format!("{name} refused{quoted}")),
            300..=399 => GitError::Unreachable(format!("{name} redirects to another address, which is not followed")),
            _ => GitError::Unreachable(format!("{name} answered with HTTP status {status}{quoted}")),
        }
    }

    /// What the provider says went wrong, in one line, without the token. GitLab: `message` (a text, or texts by
    /// field), `error`, `error_description`; GitHub: `message`, and `errors` with a `message` each.
    pub(super) fn words(&self, body: &[u8]) -> Option<String> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let mut said = Vec::new();
        for field in ["message", "error", "error_description", "errors"] {
            gather(&body[field], "", &mut said);
        }
        let line: String = said.join("; ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line: String = self.masker.mask(&line).chars().take(QUOTED).collect();
        (!line.is_empty()).then_some(line)
    }

    fn unsent(&self, error: NetError) -> GitError {
        match error {
            NetError::Refused(_) | NetError::Invalid(_) => GitError::Refused(error.to_string()),
            error => self.unreachable(error),
        }
    }

    fn unreachable(&self, error: NetError) -> GitError {
        GitError::Unreachable(format!("{}: {error}", self.name))
    }
}

fn gather(value: &Value, field: &str, said: &mut Vec<String>) {
    match value {
        Value::String(text) if field.is_empty() => said.push(text.clone()),
        Value::String(text) => said.push(format!("{field} {text}")),
        Value::Array(items) => items.iter().for_each(|item| gather(item, field, said)),
        // GitHub's errors: the words if there are any, else which field and why.
        Value::Object(fields) if fields.contains_key("code") => match (&fields.get("message"), fields.get("field")) {
            (Some(Value::String(text)), _) => said.push(text.clone()),
            (_, Some(Value::String(field))) => {
                said.push(format!("{field}: {}", fields["code"].as_str().unwrap_or_default()));
            }
            _ => {}
        },
        Value::Object(fields) => fields.iter().for_each(|(name, value)| gather(value, name, said)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn answer_of(response: &Response) -> Answer {
    Answer { headers: response.headers.clone(), body: response.body.clone() }
}

/// Lengths keep `ab` + `c` apart from `a` + `bc`.
fn key_of(access: &GitAccess) -> Key {
    let mut hash = Sha256::new();
    for part in [&access.organization_id, &access.base_url, access.token.expose_secret()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}
