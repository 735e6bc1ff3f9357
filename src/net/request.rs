//! A request to make and the answer to it.

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::error::NetError;
use crate::domain::secret::{ExposeSecret, SecretString};

/// Most bytes of an answer, unless a request says otherwise: 10 MiB.
pub const MAX_BODY: usize = 10 * 1024 * 1024;

/// Whose address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trust {
    /// From the configuration file: passes no filter.
    Operator,
    /// From a user, or from an answer: passes the address filter.
    User,
}

/// What to do with an answer that points elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// Follow up to five within the same scheme, host and port (GET and HEAD only); another origin is
    /// [`NetError::Redirected`].
    SameOrigin,
    /// Give the answer as it is; the caller looks at `Location`.
    Manual,
}

/// A request. Headers that carry a credential are marked sensitive, so that no log shows them.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) trust: Trust,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    pub(super) max_body: usize,
    pub(super) timeout: Option<Duration>,
    pub(super) redirects: Redirects,
    pub(super) target: &'static str,
}

impl Request {
    /// A request with nothing but an address.
    #[must_use]
    pub fn new(method: Method, url: Url, trust: Trust) -> Self {
        Self {
            method,
            url,
            trust,
            headers: HeaderMap::new(),
            body: None,
            max_body: MAX_BODY,
            timeout: None,
            redirects: Redirects::SameOrigin,
            target: "other",
        }
    }

    /// What it goes to, where requests are counted: a word of few.
    #[must_use]
    pub fn counted_as(self, target: &'static str) -> Self {
        Self { target, ..self }
    }

    /// A GET.
    #[must_use]
    pub fn get(url: Url, trust: Trust) -> Self {
        Self::new(Method::GET, url, trust)
    }

    /// A POST with a JSON body.
    ///
    /// # Errors
    /// When the value has no JSON form, which is a fault of the caller.
    pub fn post_json(url: Url, trust: Trust, body: &impl Serialize) -> Result<Self, NetError> {
        Self::new(Method::POST, url, trust).json(body)
    }

    /// With a header, in place of one of the same name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The value of a header given before, sensitive where it was made so.
    #[must_use]
    pub fn header_value(&self, name: &HeaderName) -> Option<HeaderValue> {
        self.headers.get(name).cloned()
    }

    /// With a header whose value is a secret.
    ///
    /// # Errors
    /// When the secret holds characters that no header may; the message does not show it.
    pub fn secret_header(self, name: HeaderName, value: &SecretString) -> Result<Self, NetError> {
        let value = sensitive(value.expose_secret())?;
        Ok(self.header(name, value))
    }

    /// With `Authorization: Bearer`.
    ///
    /// # Errors
    /// As [`Request::secret_header`].
    pub fn bearer(self, token: &SecretString) -> Result<Self, NetError> {
        let value = sensitive(&format!("Bearer {}", token.expose_secret()))?;
        Ok(self.header(AUTHORIZATION, value))
    }

    /// With `Authorization: Basic` (RFC 7617).
    ///
    /// # Errors
    /// When the user name holds a colon, which Basic cannot carry.
    pub fn basic(self, username: &str, password: &SecretString) -> Result<Self, NetError> {
        if username.contains(':') {
            return Err(NetError::Invalid("a user name for HTTP Basic holds no colon".to_owned()));
        }
        let pair = format!("{username}:{}", password.expose_secret());
        let value = sensitive(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))?;
        Ok(self.header(AUTHORIZATION, value))
    }

    /// With a JSON body.
    ///
    /// # Errors
    /// When the value has no JSON form, which is a fault of the caller.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self, NetError> {
        let bytes = serde_json::to_vec(body).map_err(|_| NetError::Invalid("the body has no JSON form".to_owned()))?;
        self.body = Some(Bytes::from(bytes));
        Ok(self.header(reqwest::header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
    }

    /// With a body of bytes.
    #[must_use]
    pub fn body(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }

    /// Takes at most so many bytes of answer.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Waits at most so long for the whole answer.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// With another way to treat redirects.
    #[must_use]
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }
}

fn sensitive(text: &str) -> Result<HeaderValue, NetError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| NetError::Invalid("a credential holds characters that no HTTP header may carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A whole answer, of any status.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as sent: nothing is decompressed.
    pub body: Bytes,
    /// The address that answered, after redirects.
    pub url: Url,
}

impl Response {
    /// A header's value, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body read as JSON.
    ///
    /// # Errors
    /// When it is something else; what it is stays out of the message, for it may echo a credential.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, NetError> {
        serde_json::from_slice(&self.body).map_err(|_| NetError::Unreachable {
            address: super::origin_of(&self.url),
            reason: "it answered something other than what its API promises".to_owned(),
        })
    }
}
