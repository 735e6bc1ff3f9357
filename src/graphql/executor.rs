//! The seam between the transports and what executes: who is calling, and what answers.

use std::{future::Future, net::IpAddr, time::Duration};

use async_graphql::{ErrorExtensionValues, Name, Request, Response, ServerError, Value};
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::app::answers::{Answer, Question, Recalled, Version};

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

    /// Counts a request of somebody, known by a hash, in their window of a minute over all servers. Asked only where there is
    /// such a limit and this server alone has not counted more. None: there is no other server, or it can't be asked.
    fn count(&self, who: &str) -> impl Future<Output = Option<Window>> + Send;

    /// Executes a query or a mutation. The request has its parsed document; headers that resolvers asked for
    /// (`insert_http_header`) come back in the response.
    fn execute(&self, caller: Self::Caller, request: Request) -> impl Future<Output = Response> + Send;

    /// What is known of a question: perhaps its answer, which is true, and was given to this very token.
    fn recall(&self, question: &Question) -> impl Future<Output = Recalled> + Send;

    /// Notes a question that was answered, and keeps its answer where there is one to keep: see [`Answers`]. It has errors
    /// and headers of its own in no case, and the document was found [`rows_only`].
    ///
    /// [`Answers`]: crate::app::answers::Answers
    /// [`rows_only`]: super::rows_only::rows_only
    fn remember(
        &self,
        caller: &Self::Caller,
        question: Question,
        answer: Option<(Version, Answer)>,
    ) -> impl Future<Output = ()> + Send;

    /// Executes a subscription. Dropping the stream ends it.
    fn execute_stream(&self, caller: Self::Caller, request: Request) -> BoxStream<'static, Emitted>;

    /// Whether the server can do its work.
    ///
    /// # Errors
    /// The reason why not, in words fit for `/readyz`: no address and no secret.
    fn ready(&self) -> impl Future<Output = Result<(), String>> + Send;
}

/// What was counted of somebody in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Requests, the one that was just counted among them.
    pub count: u32,
    /// Until it is over.
    pub left: Duration,
}

/// What a subscription gives at once.
#[derive(Debug)]
pub enum Emitted {
    /// One event.
    One(Response),
    /// Events that are JSON already: what stands at the subscription's one field, a text a line.
    Written {
        /// The key of the field.
        field: Name,
        /// The texts, with a line break between them.
        texts: Bytes,
    },
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

impl Emitted {
    /// Each event by itself, as a response.
    #[must_use]
    pub fn responses(self) -> Vec<Response> {
        let (field, texts) = match self {
            Self::One(response) => return vec![response],
            Self::Written { field, texts } => (field, texts),
        };
        let values = texts
            .split(|byte| *byte == b'\n')
            .map(|text| serde_json::from_slice::<Value>(text).expect("what was written is JSON"));
        values.map(|value| Response::new(Value::Object([(field.clone(), value)].into_iter().collect()))).collect()
    }
}

impl From<Response> for Emitted {
    fn from(mut response: Response) -> Self {
        match &mut response.data {
            Value::Object(fields) if fields.len() == 1 && matches!(fields.first(), Some((_, Value::Binary(_)))) => {
                match fields.pop() {
                    Some((field, Value::Binary(texts))) => Self::Written { field, texts },
                    _ => Self::One(response),
                }
            }
            _ => Self::One(response),
        }
    }
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
    /// A document was named by its hash alone, and is not known: it is to be sent with it.
    PersistedQueryNotFound,
    /// Documents can't be named by their hashes here.
    PersistedQueryNotSupported,
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
            Self::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::PersistedQueryNotSupported => "PERSISTED_QUERY_NOT_SUPPORTED",
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
