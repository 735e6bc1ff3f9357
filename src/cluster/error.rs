//! What a cluster's refusals mean, without the payloads that they came with.

use kube::Error as Sdk;
use kube::client::UpgradeConnectionError;

/// Longest text of an API server that is passed on.
const LONGEST: usize = 600;

/// Why the cluster did not do what was asked. The texts are the API server's own sentences.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// No connection, or it broke, or the server's certificate is not trusted.
    #[error("the cluster does not answer: {0}")]
    Unreachable(String),
    /// The connection's own parts are no use: address, certificates, files.
    #[error("{0}")]
    Access(String),
    /// The login is not known, or not any more (401).
    #[error("the cluster does not take the login: {0}")]
    Unauthorized(String),
    /// The login may not do this, or an admission rule is against it (403).
    #[error("{0}")]
    Forbidden(String),
    /// There is no such object (404).
    #[error("{0}")]
    NotFound(String),
    /// It exists already, or was changed meanwhile, or is somebody else's (409).
    #[error("{0}")]
    Conflict(String),
    /// The object is not one that the server takes (400, 422).
    #[error("{0}")]
    Invalid(String),
    /// What was asked to be watched on from is forgotten: list again (410).
    #[error("{0}")]
    TooOld(String),
    /// It answered with another status.
    #[error("the cluster answered {status}: {message}")]
    Other {
        /// The HTTP status.
        status: u16,
        /// The server's own words.
        message: String,
    },
    /// It answered something that is no answer of Kubernetes.
    #[error("the cluster's answer cannot be read")]
    Garbled,
}

impl ClusterError {
    /// Whether trying again later can help: nobody answered, or the server has too much to do.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Other { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

impl From<Sdk> for ClusterError {
    fn from(error: Sdk) -> Self {
        match error {
            Sdk::Api(status) => answer(status.code, &status.message),
            Sdk::HyperError(error) => broken(&error),
            Sdk::ReadEvents(error) => broken(&error),
            Sdk::Service(error) => match error.downcast::<Sdk>() {
                Ok(inner) => Self::from(*inner),
                Err(error) => broken(error.as_ref()),
            },
            Sdk::UpgradeConnection(UpgradeConnectionError::GetPendingUpgrade(error)) => broken(&error),
            Sdk::Auth(_) => Self::Access("the service account's token cannot be read or used".to_owned()),
            // The other variants can hold what was sent or received, so that their text is not passed on.
            _ => Self::Garbled,
        }
    }
}

impl From<kube::runtime::watcher::Error> for ClusterError {
    fn from(error: kube::runtime::watcher::Error) -> Self {
        use kube::runtime::watcher::Error as Watch;
        match error {
            Watch::InitialListFailed(error) | Watch::WatchStartFailed(error) | Watch::WatchFailed(error) => {
                error.into()
            }
            Watch::WatchError(status) => answer(status.code, &status.message),
            _ => Self::Garbled,
        }
    }
}

fn answer(status: u16, message: &str) -> ClusterError {
    let message = short(message);
    match status {
        401 => ClusterError::Unauthorized(message),
        403 => ClusterError::Forbidden(message),
        404 => ClusterError::NotFound(message),
        409 => ClusterError::Conflict(message),
        400 | 422 => ClusterError::Invalid(message),
        410 => ClusterError::TooOld(message),
        _ => ClusterError::Other { status, message },
    }
}

/// A broken connection in the words of its innermost cause: the outer ones only say "client error (Connect)".
fn broken(error: &(dyn std::error::Error + 'static)) -> ClusterError {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    ClusterError::Unreachable(short(&innermost.to_string()))
}

/// One line of at most [`LONGEST`] bytes.
fn short(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > LONGEST {
        let cut = (0..=LONGEST).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.truncate(cut);
        line.push('…');
    }
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_meanings() {
        assert_eq!(answer(401, "x"), ClusterError::Unauthorized("x".to_owned()));
        assert_eq!(answer(403, "x"), ClusterError::Forbidden("x".to_owned()));
        assert_eq!(answer(404, "x"), ClusterError::NotFound("x".to_owned()));
        assert_eq!(answer(409, "x"), ClusterError::Conflict("x".to_owned()));
        assert_eq!(answer(422, "x"), ClusterError::Invalid("x".to_owned()));
        assert_eq!(answer(400, "x"), ClusterError::Invalid("x".to_owned()));
        assert_eq!(answer(410, "x"), ClusterError::TooOld("x".to_owned()));
        assert!(answer(503, "x").is_passing() && answer(429, "x").is_passing() && !answer(403, "x").is_passing());
    }

    #[test]
    fn long_answers_are_cut_at_a_character() {
        let ClusterError::Forbidden(cut) = answer(403, &"ä".repeat(1000)) else { panic!("it is a 403") };
        assert!(cut.len() <= LONGEST + '…'.len_utf8());
        assert!(!short("a\nb\x1b[0m").contains(['\n', '\x1b']));
    }
}
