//! Sending requests through the filter.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};
use tokio::time::Instant;
use tracing::Instrument as _;
use url::{Host, Url};

use super::address;
use super::error::{NetError, Refusal, innermost, origin_of, refusal_in};
use super::policy::Policy;
use super::request::{Redirects, Request, Response, Trust};
use super::resolve::{Lookup, ResolveError, Resolver, system};
use super::tls;
use crate::measure::{self, Ended, spans};

/// Redirects within one origin, at most.
const MAX_REDIRECTS: usize = 5;

/// The outbound client; clones share their connections.
#[derive(Clone)]
pub struct Outbound {
    inner: Arc<Inner>,
}

struct Inner {
    policy: Arc<Policy>,
    lookup: Lookup,
    operator: reqwest::Client,
    user: reqwest::Client,
    /// For addresses with this server's own port, since a resolver is not told the port.
    own_port: reqwest::Client,
}

impl Outbound {
    /// A client under a policy.
    ///
    /// # Errors
    /// [`NetError::Setup`] when a certificate of `net.ca_file` cannot be used.
    pub fn new(policy: Policy) -> Result<Self, NetError> {
        Self::with_lookup(policy, system())
    }

    pub(super) fn with_lookup(policy: Policy, lookup: Lookup) -> Result<Self, NetError> {
        let tls = tls::client_config(&policy)?;
        let policy = Arc::new(policy);
        let client = |filter: Option<Arc<Policy>>, own_port: Option<u16>| {
            reqwest::ClientBuilder::new()
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(Resolver { lookup: lookup.clone(), policy: filter, own_port })
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .connect_timeout(policy.connect_timeout())
                .pool_idle_timeout(Duration::from_secs(30))
                .user_agent(concat!("kiops/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| NetError::Setup(format!("the outbound client cannot be made: {}", innermost(&error))))
        };
        let inner = Inner {
            operator: client(None, None)?,
            user: client(Some(policy.clone()), None)?,
            own_port: client(Some(policy.clone()), policy.own_port())?,
            policy: policy.clone(),
            lookup: lookup.clone(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// See [`NetError`].
    pub async fn send(&self, request: Request) -> Result<Response, NetError> {
        let mut incoming = self.open(request).await?;
        let mut body = BytesMut::new();
        while let Some(chunk) = incoming.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status: incoming.status, headers: incoming.headers, body: body.freeze(), url: incoming.url })
    }

    /// Sends a request and gives the answer's head; the body is read piece by piece, within the same limits.
    ///
    /// # Errors
    /// See [`NetError`].
    pub async fn open(&self, request: Request) -> Result<Incoming, NetError> {
        let (target, begun) = (request.target, Instant::now());
        let (host, port) = (request.url.host_str().unwrap_or_default(), request.url.port_or_known_default());
        let span = spans::outbound(request.method.as_str(), host, port.unwrap_or_default());
        let answer = self.open_uncounted(request).instrument(span.clone()).await;
        let ended =
            answer.as_ref().map_or_else(|error| Ended::Failed(error.word()), |a| Ended::Answered(a.status.as_u16()));
        measure::outbound(target, ended, begun.elapsed());
        spans::came_back(&span, ended);
        answer
    }

    async fn open_uncounted(&self, request: Request) -> Result<Incoming, NetError> {
        let limit = request.timeout.unwrap_or(self.inner.policy.request_timeout());
        let deadline = Instant::now() + limit;
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let client = self.client_for(&url, request.trust)?;
            let mut builder = client.request(request.method.clone(), url.clone()).headers(request.headers.clone());
            if let Some(body) = &request.body {
                builder = builder.body(body.clone());
            }
            let address = origin_of(&url);
            let answer = tokio::time::timeout_at(deadline, builder.send())
                .await
                .map_err(|_| NetError::Timeout { address: address.clone(), after: limit })?
                .map_err(|error| self.explain(&address, limit, &error))?;
            match next_hop(&request, &url, &answer)? {
                Some(next) => url = next,
                None => return Incoming::new(answer, url, Limits { deadline, limit, max_body: request.max_body }),
            }
        }
        Err(NetError::Redirected { address: origin_of(&url) })
    }

    /// The addresses of a host that passed the filter, for clients that are not HTTP.
    ///
    /// # Errors
    /// [`NetError::Refused`] when none passed; [`NetError::Unreachable`] when there is none.
    pub async fn resolve(&self, host: &str, port: u16, trust: Trust) -> Result<Vec<SocketAddr>, NetError> {
        let bad = || NetError::Invalid("that is not a host name".to_owned());
        let url = Url::parse(&format!("http://{host}:{port}/")).map_err(|_| bad())?;
        self.client_for(&url, trust)?;
        let name = match url.host().ok_or_else(bad)? {
            Host::Ipv4(ip) => return Ok(vec![SocketAddr::new(IpAddr::V4(ip), port)]),
            Host::Ipv6(ip) => return Ok(vec![SocketAddr::new(IpAddr::V6(ip), port)]),
            Host::Domain(name) => name,
        };
        let policy = match trust {
            Trust::Operator => None,
            Trust::User => Some(self.inner.policy.clone()),
        };
        let resolver = Resolver { lookup: self.inner.lookup.clone(), policy, own_port: Some(port) };
        let address = format!("{name}:{port}");
        let limit = self.inner.policy.connect_timeout();
        let found = tokio::time::timeout(limit, resolver.addresses(name))
            .await
            .map_err(|_| NetError::Timeout { address: address.clone(), after: limit })?;
        match found {
            Ok(found) => Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()),
            Err(ResolveError::Refused(why)) => Err(NetError::Refused(Refusal { address, why })),
            Err(error) => Err(NetError::Unreachable { address, reason: error.to_string() }),
        }
    }

    /// The client for an address, after all that can be checked before the name is resolved.
    fn client_for(&self, url: &Url, trust: Trust) -> Result<&reqwest::Client, NetError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(NetError::Invalid("an address begins with https:// or http://".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NetError::Invalid("give the address without a login inside it".to_owned()));
        }
        if trust == Trust::Operator {
            return Ok(&self.inner.operator);
        }
        let policy = &self.inner.policy;
        let port = url.port_or_known_default().unwrap_or_default();
        let verdict = match url.host() {
            Some(Host::Ipv4(ip)) => address::check_socket(policy, "", SocketAddr::new(IpAddr::V4(ip), port)),
            Some(Host::Ipv6(ip)) => address::check_socket(policy, "", SocketAddr::new(IpAddr::V6(ip), port)),
            Some(Host::Domain(name)) => address::check_name(name),
            None => return Err(NetError::Invalid("the address has no host".to_owned())),
        };
        verdict.map_err(|why| NetError::Refused(Refusal { address: origin_of(url), why }))?;
        if policy.own_port() == Some(port) { Ok(&self.inner.own_port) } else { Ok(&self.inner.user) }
    }

    fn explain(&self, address: &str, limit: Duration, error: &reqwest::Error) -> NetError {
        let address = address.to_owned();
        if let Some(why) = refusal_in(error) {
            return NetError::Refused(Refusal { address, why });
        }
        if error.is_timeout() {
            let after = if error.is_connect() { self.inner.policy.connect_timeout() } else { limit };
            return NetError::Timeout { address, after };
        }
        NetError::Unreachable { address, reason: innermost(error) }
    }
}

/// Where a redirect within the origin leads; none when the answer is to be given as it is.
fn next_hop(request: &Request, url: &Url, answer: &reqwest::Response) -> Result<Option<Url>, NetError> {
    let redirects = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    if !redirects || request.redirects == Redirects::Manual {
        return Ok(None);
    }
    let refused = || NetError::Redirected { address: origin_of(url) };
    let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).ok_or_else(refused)?;
    let next = url.join(location).map_err(|_| refused())?;
    let followed = matches!(request.method, Method::GET | Method::HEAD)
        && next.origin() == url.origin()
        && next.username().is_empty()
        && next.password().is_none();
    if followed { Ok(Some(next)) } else { Err(refused()) }
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    deadline: Instant,
    limit: Duration,
    max_body: usize,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Incoming {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The address that answered, after redirects.
    pub url: Url,
    answer: reqwest::Response,
    limits: Limits,
    taken: usize,
}

impl Incoming {
    fn new(answer: reqwest::Response, url: Url, limits: Limits) -> Result<Self, NetError> {
        let announced = answer.headers().get(reqwest::header::CONTENT_LENGTH);
        let announced = announced.and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
        let incoming =
            Self { status: answer.status(), headers: answer.headers().clone(), url, answer, limits, taken: 0 };
        // The answer to HEAD announces a length that is never sent.
        let body_follows = incoming.answer.content_length().is_some_and(|length| length > 0);
        if body_follows && announced.is_some_and(|length| length > limits.max_body) {
            return Err(incoming.too_large());
        }
        Ok(incoming)
    }

    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    /// [`NetError::TooLarge`], [`NetError::Timeout`], or [`NetError::Unreachable`] when the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        let address = origin_of(&self.url);
        let Limits { deadline, limit, max_body } = self.limits;
        let chunk = tokio::time::timeout_at(deadline, self.answer.chunk())
            .await
            .map_err(|_| NetError::Timeout { address: address.clone(), after: limit })?
            .map_err(|error| NetError::Unreachable { address, reason: innermost(&error) })?;
        if let Some(chunk) = &chunk {
            self.taken = self.taken.saturating_add(chunk.len());
            if self.taken > max_body {
                return Err(self.too_large());
            }
        }
        Ok(chunk)
    }

    fn too_large(&self) -> NetError {
        NetError::TooLarge { address: origin_of(&self.url), limit: self.limits.max_body }
    }
}
