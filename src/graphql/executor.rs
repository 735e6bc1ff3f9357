//! The seam between the transports and what executes: who is calling, and what answers.

use std::{future::Future, net::IpAddr};

use async_graphql::{ErrorExtensionValues, Request, Response, ServerError};
use futures_util::stream::BoxStream;

/// The name of the cookie that `login` sets for browsers.
pub const SESSION_COOKIE: &str = "kiops_session";

/// What the transports (HTTP and WebSocket) ask of the API behind them. Clones are cheap and share everything.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Who is calling: nobody, or a user of one organization, and from which address.
    type Caller: Clone + Send + Sync + 'static;

    /// Finds out who is calling. No token is an anonymous caller, which is not an error; a token that is not
    /// valid always is one.
    fn authenticate(
        &self,
        token: Option<&str>,
        from: IpAddr,
    ) -> impl Future<Output = Result<Self::Caller, AuthFailure>> + Send;

    /// Whether the caller may go on with an open socket. Asked every two seconds; false closes it. It is false
    /// once the token has expired or was revoked, its user was removed, or the role is another than before.
    fn still_valid(&self, caller: &Self::Caller) -> impl Future<Output = bool> + Send;

    /// Counts a request of somebody, known by a hash, who may make so many a minute. Asked only where there is such a
    /// limit and this server alone has not counted more. None: they may go on; else after so many seconds.
    fn count(&self, who: &str, per_minute: u32) -> impl Future<Output = Option<u64>> + Send;

    /// Executes a query or a mutation. The request has its parsed document; headers that resolvers asked for
    /// (`insert_http_header`) come back in the response.
    fn execute(&self, caller: Self::Caller, request: Request) -> impl Future<Output = Response> + Send;

    /// Executes a subscription. Dropping the stream ends it.
    fn execute_stream(&self, caller: Self::Caller, request: Request) -> BoxStream<'static, Response>;

    /// Whether the server can do its work.
    ///
    /// # Errors
    /// The reason why not, in words fit for `/readyz`: no address and no secret.
    fn ready(&self) -> impl Future<Output = Result<(), String>> + Send;
}

/// Why nobody is let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailure {
    /// The token is unknown, expired or revoked: 401 UNAUTHENTICATED.
    #[error("The token is not valid.")]
    BadToken,
    /// Too many tries: 429 RATE_LIMITED.
    #[error("Too many attempts. Try again in {retry_after} seconds.")]
    TooMany {
        /// Seconds until the next try.
        retry_after: u64,
    },
    /// The token could not be checked, for example because the database is away: 503 INTERNAL.
    #[error("The server cannot check tokens at the moment.")]
    Unavailable,
}

/// The words of `extensions.code` that the transports use themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// No token, or a bad one.
    Unauthenticated,
    /// A foreign origin.
    Forbidden,
    /// A request, document or variables that are not as they should be.
    BadUserInput,
    /// Too many requests.
    RateLimited,
    /// A fault of the server, or work that took too long.
    Internal,
}

impl ErrorCode {
    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::RateLimited => "RATE_LIMITED",
            Self::Internal => "INTERNAL",
        }
    }
}

/// An error with its `extensions.code` and without a place in the document.
#[must_use]
pub fn coded_error(message: impl Into<String>, code: ErrorCode) -> ServerError {
    let mut error = ServerError::new(message, None);
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code.as_str());
    error.extensions = Some(extensions);
    error
}

/// Whether nothing was executed: the response has errors alone and none has a path, as with faults of syntax,
/// validation and variables.
#[must_use]
pub fn is_request_error(response: &Response) -> bool {
    response.data == async_graphql::Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// The `Set-Cookie` value with which `login` gives a browser its session. `max_age` is in seconds; 0 takes the
/// cookie back. `secure` is for servers whose public address is https.
#[must_use]
pub fn session_cookie(token: &str, max_age: u64, secure: Transport) -> String {
    let secure = if secure == Transport::Https { "; Secure" } else { "" };
    format!("{SESSION_COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}")
}

/// How browsers reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In the clear.
    Http,
    /// Over TLS, so that cookies are for TLS alone.
    Https,
}
