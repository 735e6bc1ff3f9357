//! What can go wrong on the way out. No message holds a path, a query, a login or a byte of the answer.

use std::fmt;
use std::time::Duration;

use url::Url;

use super::address::Why;

/// An address that this server does not talk to, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The address as it was given, without path, query and login.
    pub address: String,
    /// Why it is refused.
    pub why: Why,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remedy = if self.why.can_be_allowed() {
            "; an operator can let it through with net.allow"
        } else {
            "; net.allow cannot let it through"
        };
        write!(f, "{} is not an address this server talks to: it is {}{remedy}", self.address, self.why)
    }
}

impl std::error::Error for Refusal {}

/// Why a request brought no answer. An answer with an error status is an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// The address filter refused it; nothing was sent.
    #[error("{0}")]
    Refused(Refusal),
    /// It is not an address that can be asked: not http or https, no host, or a login inside.
    #[error("{0}")]
    Invalid(String),
    /// No whole answer in time.
    #[error("{address} did not answer within {} s", after.as_secs_f32())]
    Timeout {
        /// Origin asked.
        address: String,
        /// The limit that was passed.
        after: Duration,
    },
    /// No connection, no TLS, or one that broke.
    #[error("{address} cannot be reached: {reason}")]
    Unreachable {
        /// Origin asked.
        address: String,
        /// Innermost cause, like "Connection refused".
        reason: String,
    },
    /// The answer is larger than this request takes.
    #[error("{address} answered more than {limit} bytes")]
    TooLarge {
        /// Origin asked.
        address: String,
        /// Most bytes taken.
        limit: usize,
    },
    /// It redirects to another origin, or for ever.
    #[error("{address} redirects to another address, which is not followed; give the final address")]
    Redirected {
        /// Origin asked.
        address: String,
    },
    /// The client itself cannot be made, by a fault in the configuration.
    #[error("{0}")]
    Setup(String),
}

impl NetError {
    /// One word for it, where requests are counted.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Invalid(_) => "invalid",
            Self::Timeout { .. } => "timeout",
            Self::Unreachable { .. } => "unreachable",
            Self::TooLarge { .. } => "too_large",
            Self::Redirected { .. } => "redirected",
            Self::Setup(_) => "setup",
        }
    }
}

/// Scheme, host and port of an address: all of it that messages may show.
#[must_use]
pub fn origin_of(url: &Url) -> String {
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// The innermost cause, which is the one that says something, bounded in length.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string().chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The refusal in a chain of errors, if the filter is what stopped the connection.
pub(super) fn refusal_in(error: &(dyn std::error::Error + 'static)) -> Option<Why> {
    let mut cause = Some(error);
    while let Some(one) = cause {
        if let Some(why) = one.downcast_ref::<Why>() {
            return Some(*why);
        }
        cause = one.source();
    }
    None
}
