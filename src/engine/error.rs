//! What a Docker engine's refusals mean, without the payloads that they came with.

use bollard::errors::Error as Sdk;

/// Longest text of an engine that is passed on.
const LONGEST: usize = 600;

/// Why the engine did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// No connection, or it broke.
    #[error("the Docker engine does not answer: {0}")]
    Unreachable(String),
    /// The connection's own parts are no use: address or certificates.
    #[error("{0}")]
    Address(String),
    /// The engine, or the TLS handshake with it, refuses us.
    #[error("the Docker engine refuses us: {0}")]
    Unauthorized(String),
    /// It answered with a status that is no success.
    #[error("{message}")]
    Answer {
        /// The HTTP status; 200 when the error came in the answer's stream.
        status: u16,
        /// The engine's own words.
        message: String,
    },
    /// It answered something that is no answer of a Docker engine.
    #[error("the Docker engine's answer cannot be read")]
    Garbled,
}

impl EngineError {
    /// The object does not exist (404).
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Answer { status: 404, .. })
    }

    /// The object exists already, or is in a state that does not allow it (409).
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Answer { status: 409, .. })
    }

    /// A host port could not be had because somebody else has it.
    #[must_use]
    pub fn is_port_taken(&self) -> bool {
        let Self::Answer { message, .. } = self else { return false };
        ["port is already allocated", "address already in use", "ports are not available", "port is reserved"]
            .iter()
            .any(|sign| message.contains(sign))
    }
}

impl From<Sdk> for EngineError {
    fn from(error: Sdk) -> Self {
        match error {
            // 403 is also what a network with members answers; plugins that refuse a caller name themselves.
            Sdk::DockerResponseServerError { status_code, message }
                if status_code == 401 || (status_code == 403 && message.contains("authorization denied")) =>
            {
                Self::Unauthorized(short(&message))
            }
            Sdk::DockerResponseServerError { status_code, message } => {
                Self::Answer { status: status_code, message: short(&message) }
            }
            Sdk::DockerStreamError { error } => Self::Answer { status: 200, message: short(&error) },
            Sdk::DockerContainerWaitError { error, .. } => Self::Answer { status: 200, message: short(&error) },
            Sdk::SocketNotFoundError(path) => Self::Unreachable(short(&format!("there is no socket {path}"))),
            Sdk::RequestTimeoutError => Self::Unreachable("it took too long to answer".to_owned()),
            Sdk::IOError { err } => broken(&err),
            Sdk::HyperResponseError { err } => broken(&err),
            Sdk::HyperLegacyError { err } => broken(&err),
            Sdk::APIVersionParseError {} => Self::Garbled,
            // The other variants can hold what was sent or received, so that their text is not passed on.
            _ => Self::Garbled,
        }
    }
}

/// A broken connection in the words of its innermost cause: the outer ones only say "client error (Connect)".
fn broken(error: &(dyn std::error::Error + 'static)) -> EngineError {
    let mut innermost = error;
    let mut refused = false;
    loop {
        refused |= innermost.is::<rustls::Error>();
        if let Some(io) = innermost.downcast_ref::<std::io::Error>() {
            refused |= io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
            refused |= io.kind() == std::io::ErrorKind::PermissionDenied;
        }
        match innermost.source() {
            Some(source) => innermost = source,
            None => break,
        }
    }
    let text = short(&innermost.to_string());
    if refused { EngineError::Unauthorized(text) } else { EngineError::Unreachable(text) }
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
        let answer = |status, message: &str| {
            EngineError::from(Sdk::DockerResponseServerError { status_code: status, message: message.to_owned() })
        };
        assert!(answer(404, "no such container").is_missing());
        assert!(answer(409, "in use").is_conflict());
        assert!(answer(500, "Bind for 0.0.0.0:80 failed: port is already allocated").is_port_taken());
        assert!(matches!(answer(403, "authorization denied by plugin x"), EngineError::Unauthorized(_)));
        assert!(matches!(answer(403, "network has active endpoints"), EngineError::Answer { .. }));
    }

    #[test]
    fn long_answers_are_cut_at_a_character() {
        let cut = short(&"ä".repeat(1000));
        assert!(cut.len() <= LONGEST + '…'.len_utf8());
        assert!(!short("a\nb\x1b[0m").contains(['\n', '\x1b']));
    }
}
