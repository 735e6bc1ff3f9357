//! Asking a provider over HTTP: one way for limits, repetition, memory and errors, whichever provider it is.

mod change;
mod limits;
mod memory;
#[cfg(test)]
mod tests;
mod words;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Tick};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use url::Url;

use super::{GitAccess, GitError};
use crate::domain::clock::Clock;
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::net::{NetError, Outbound, Request, Response, Trust, origin_of};
use crate::vault::Masker;
use limits::{Budget, Budgets, limit};
use memory::{Kept, Moment};

pub(super) use limits::Reach;
pub(super) use memory::{Answer, Memory};

/// All of a call ends within this, repetitions included: sooner than a query does (`limits.query_timeout`), so that a
/// provider which is silent fails its own field and not the whole query.
const WHOLE: Duration = Duration::from_secs(8);
/// After this long a call of many requests gives what it has, so that the one which is under way has time to end.
pub(super) const PATIENCE: Duration = Duration::from_millis(WHOLE.as_secs() * 500);
/// Requests at once with one token. What is more waits: a list may ask for the branches of a hundred projects.
const AT_ONCE: usize = 10;
/// What must be left of a call's time for a request to be sent: no provider answers in less.
const LEAST: Duration = Duration::from_millis(50);
/// How often a read is sent at most.
const ATTEMPTS: u32 = 3;
/// The pause before the first repetition; each later one is three times as long.
const PAUSE: Duration = Duration::from_millis(150);
/// A wait that a provider asks for is waited out when it is no longer than this.
const SHORT_WAIT: TimeDelta = TimeDelta::seconds(2);
/// How long an answer is kept to ask whether it has changed.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// Bytes of answers with their questions that are kept, for all organizations together.
const KEPT_BYTES: u64 = 64 * 1024 * 1024;

/// What every client of the room shares.
#[derive(Clone)]
pub(super) struct Shared {
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    answers: Cache<(Key, String), Arc<Kept>>,
    limits: Cache<(Key, Budget), DateTime<Utc>>,
    gates: Cache<Key, Arc<Semaphore>>,
    /// When something was last changed.
    changed: Arc<Mutex<HashMap<Key, Tick>>>,
}

/// Whose answers they are: organization, address and token.
type Key = [u8; 32];

impl Shared {
    pub(super) fn new(outbound: Outbound, clock: Arc<dyn Clock>) -> Self {
        let weight = |(_, question): &(Key, String), kept: &Arc<Kept>| kept.weight(question.len());
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
            changed: Arc::default(),
        }
    }

    /// When something was last changed by who this is.
    fn changed(&self, key: Key) -> Option<Tick> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    /// Notes that something was changed just now.
    fn note_change(&self, key: Key) {
        let now = Tick::now();
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        // What was answered before these is kept no more.
        changed.retain(|_, at| now.duration_since(*at) < KEPT);
        changed.insert(key, now);
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
    /// What its limits are about that are no spent budget.
    pub(super) unspent: Reach,
}

/// One provider's API, for one organization.
#[derive(Clone)]
pub(super) struct Api {
    shared: Shared,
    base: Url,
    trust: Trust,
    headers: HeaderMap,
    token: SecretString,
    masker: Arc<Masker>,
    name: String,
    key: Key,
    unspent: Reach,
}

/// Why a request brought nothing.
enum Failure {
    /// It broke off or was answered 5xx: to be read once more.
    Passing(GitError),
    /// Reading once more would bring the same.
    Lasting(GitError),
}

impl From<Failure> for GitError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Passing(error) | Failure::Lasting(error) => error,
        }
    }
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
            token: access.token.clone(),
            masker: Arc::new(Masker::new([&access.token])),
            key: key_of(access),
            unspent: dialect.unspent,
        })
    }

    /// The same, which keeps one more secret out of what it quotes.
    pub(super) fn hiding(&self, secret: &SecretString) -> Self {
        // What stands before the key of a signature is no secret.
        let key = SecretString::from(secret.expose_secret().trim_start_matches("whsec_"));
        Self { masker: Arc::new(Masker::new([&self.token, secret, &key])), ..self.clone() }
    }

    /// The address that it was made with, which all others are below.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// The address is the operator's own, and passes no filter.
    pub(super) fn is_trusted(&self) -> bool {
        self.trust == Trust::Operator
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
        let place = (self.key, question.text());
        let asked = self.moment();
        let current = |kept: &Kept| kept.is_current(memory, asked, self.shared.changed(self.key));
        if let Some(kept) = self.shared.answers.get(&place).await
            && current(&kept)
        {
            return Ok(kept.answer.clone());
        }
        // Those who ask for one address at once wait for one answer.
        let slot = self.shared.answers.entry(place);
        let done = slot
            .and_try_compute_with(async |kept| {
                let kept = kept.map(moka::Entry::into_value);
                if kept.as_ref().is_some_and(|kept| current(kept)) {
                    return Ok(Op::Nop);
                }
                let began = self.moment();
                let response = self.read(&question, kept.as_ref().and_then(|kept| kept.etag.clone())).await?;
                let new = match kept {
                    Some(kept) if response.status == StatusCode::NOT_MODIFIED => kept.renewed(&response.headers, began),
                    // What a proxy says in between is not remembered.
                    _ if serde_json::from_slice::<IgnoredAny>(&response.body).is_err() => return Err(self.garbled()),
                    _ => Kept::new(&response, began),
                };
                Ok::<_, GitError>(Op::Put(Arc::new(new)))
            })
            .await?;
        match done {
            CompResult::Inserted(e) | CompResult::ReplacedWith(e) | CompResult::Unchanged(e) => {
                Ok(e.into_value().answer.clone())
            }
            CompResult::StillNone(_) | CompResult::Removed(_) => Err(self.garbled()),
        }
    }

    fn moment(&self) -> Moment {
        Moment { at: self.now(), tick: Tick::now() }
    }

    /// Several reads as one call: they end within the time of one.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T, GitError>>) -> Result<T, GitError> {
        tokio::time::timeout(WHOLE, work).await.unwrap_or_else(|_| {
            Err(GitError::Unreachable(format!("{} did not answer within {} s", self.name, WHOLE.as_secs())))
        })
    }

    /// Forgets what was listed, where the provider changes something later than it answered; [`Api::send`] does so
    /// itself.
    pub(super) fn forget(&self) {
        let key = self.key;
        // First, so that a read which began before this does not put back what it found.
        self.shared.note_change(key);
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
            let (failed, wait) = match self.read_once(question, etag.clone(), deadline).await {
                Ok(response) => return Ok(response),
                Err(Failure::Passing(failed)) => (failed, pause),
                Err(Failure::Lasting(GitError::Limited { message, retry_at: Some(at) }))
                    if at - self.now() <= SHORT_WAIT =>
                {
                    let wait = (at - self.now()).to_std().unwrap_or_default().max(pause);
                    (GitError::Limited { message, retry_at: Some(at) }, wait)
                }
                Err(Failure::Lasting(failed)) => return Err(failed),
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
    ) -> Result<Response, Failure> {
        let mut request = match &question.body {
            None => self.request(Method::GET, question.url.clone()),
            Some(body) => self
                .request(Method::POST, question.url.clone())
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(body.clone()),
        };
        // Only a GET may be answered 304 (RFC 9110, 13.1.2).
        if let Some(etag) = etag.filter(|_| question.body.is_none()) {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let method = if question.body.is_none() { Method::GET } else { Method::POST };
        let budgets = self.budgets(&method, &question.url);
        let (_turn, left) = self.turn(deadline).await.map_err(Failure::Lasting)?;
        // Only now: those who went before may have spent a limit.
        self.may_ask(&budgets).await.map_err(Failure::Lasting)?;
        let response = self
            .shared
            .outbound
            .send(request.timeout(left).counted_as("git"))
            .await
            .map_err(|error| self.unsent(error))?;
        if response.status != StatusCode::NOT_MODIFIED {
            self.judge(&response, budgets).await?;
        }
        Ok(response)
    }

    /// Waits until there are fewer requests at once. Gives the time that is left then too.
    async fn turn(&self, deadline: Instant) -> Result<(OwnedSemaphorePermit, Duration), GitError> {
        let gate = self.shared.gates.get_with(self.key, async { Arc::new(Semaphore::new(AT_ONCE)) }).await;
        let turn = tokio::time::timeout_at(deadline, gate.acquire_owned()).await;
        let left = deadline.saturating_duration_since(Instant::now());
        match turn {
            // Nobody closes the gate.
            Ok(Ok(turn)) if left >= LEAST => Ok((turn, left)),
            _ => Err(GitError::Unreachable(format!(
                "{} was not asked: earlier requests took all of {} s",
                self.name,
                WHOLE.as_secs()
            ))),
        }
    }

    fn request(&self, method: Method, url: Url) -> Request {
        self.headers.iter().fold(Request::new(method, url, self.trust), |request, (name, value)| {
            request.header(name.clone(), value.clone())
        })
    }

    /// Goes on only where no limit is spent.
    async fn may_ask(&self, budgets: &Budgets) -> Result<(), GitError> {
        for budget in budgets.all() {
            if let Some(until) = self.shared.limits.get(&(self.key, budget.clone())).await
                && until > self.now()
            {
                return Err(self.limited(Some(until)));
            }
        }
        Ok(())
    }

    fn budgets(&self, method: &Method, url: &Url) -> Budgets {
        Budgets::of(method, url, &self.base, self.unspent)
    }

    /// Notes a limit, and turns every status but success into an error.
    async fn judge(&self, response: &Response, budgets: Budgets) -> Result<(), Failure> {
        let done = response.status.is_success();
        let said = if done { None } else { self.words(&response.body) };
        let limit = limit(response, said.as_deref(), self.now());
        let (until, refused) = limit.as_ref().map_or((None, false), |limit| (limit.until, limit.refused));
        if let Some(limit) = &limit
            && let Some(until) = until
        {
            let place = (self.key, budgets.of_limit(limit));
            // A short limit does not end a long one.
            if self.shared.limits.get(&place).await.is_none_or(|known| known < until) {
                self.shared.limits.insert(place, until).await;
            }
        }
        match (done, refused) {
            (true, _) => Ok(()),
            (false, true) => Err(Failure::Lasting(self.limited(until))),
            (false, false) => Err(self.refusal(response.status, said)),
        }
    }

    fn limited(&self, until: Option<DateTime<Utc>>) -> GitError {
        let when = until.map_or_else(String::new, |at| format!("; try again at {}", at.format("%H:%M:%S UTC")));
        GitError::Limited { message: format!("{} limits requests{when}", self.name), retry_at: until }
    }

    fn refusal(&self, status: StatusCode, said: Option<String>) -> Failure {
        let quoted = said.map_or_else(String::new, |said| format!(": {said}"));
        let name = &self.name;
        Failure::Lasting(match status.as_u16() {
            401 => GitError::Unauthorized(format!("{name} does not take the token{quoted}")),
            403 => GitError::Forbidden(format!("{name} does not let the token do this{quoted}")),
            404 | 410 => GitError::NotFound(format!("{name} knows no such thing{quoted}")),
            400 | 409 | 422 => GitError::Invalid(format!("{name} refused{quoted}")),
            300..=399 => GitError::Unreachable(format!("{name} redirects to another address, which is not followed")),
            code => {
                let error = GitError::Unreachable(format!("{name} answered with HTTP status {code}{quoted}"));
                return if status.is_server_error() { Failure::Passing(error) } else { Failure::Lasting(error) };
            }
        })
    }

    /// What the provider says went wrong, in one line, without the token.
    pub(super) fn words(&self, body: &[u8]) -> Option<String> {
        words::words(body, &self.masker)
    }

    fn unsent(&self, error: NetError) -> Failure {
        let unreachable = GitError::Unreachable(format!("{}: {error}", self.name));
        match error {
            NetError::Refused(_) | NetError::Invalid(_) => Failure::Lasting(GitError::Refused(error.to_string())),
            NetError::Timeout { .. } | NetError::Unreachable { .. } => Failure::Passing(unreachable),
            NetError::TooLarge { .. } | NetError::Redirected { .. } | NetError::Setup(_) => {
                Failure::Lasting(unreachable)
            }
        }
    }
}

fn answer_of(response: &Response) -> Answer {
    Answer { headers: response.headers.clone(), body: response.body.clone() }
}

/// Lengths keep `ab` + `c` apart from `a` + `bc`.
fn key_of(access: &GitAccess) -> Key {
    let mut hash = Sha256::new();
    // What was listed without the filter of addresses is no answer to who has to pass it.
    hash.update([u8::from(access.trusted)]);
    for part in [&access.organization_id, &access.base_url, access.token.expose_secret()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}
