//! The one place that makes errors: a closed list of codes, and unexpected ones logged once with an id.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, SqlErr};

use crate::registry::RegistryError;
use crate::runtime::RuntimeError;

/// What a use case answers.
pub type Result<T> = std::result::Result<T, Error>;

/// `extensions.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Nobody is logged in, or the token does not work.
    Unauthenticated,
    /// They may see it and not do this to it.
    Forbidden,
    /// It does not exist for them.
    NotFound,
    /// The input is at fault.
    BadUserInput,
    /// Somebody else was first, or what was shown is no longer so.
    Conflict,
    /// Something must be done first.
    FailedPrecondition,
    /// Another server did not do its part.
    UpstreamError,
    /// Too much in too short a time.
    RateLimited,
    /// Our own fault.
    Internal,
}

/// `extensions.reason` of FAILED_PRECONDITION: the words of the contract's enum Precondition that are in reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// No token of the Git provider is stored.
    GitNotConfigured,
    /// The Git provider does not take the stored token any more.
    GitTokenRejected,
    /// The stored token may not do this.
    GitScopeMissing,
    /// Nothing was built yet.
    NothingBuilt,
    /// The image is on the engine that built it and nowhere else.
    ImageRepositoryNeeded,
    /// A runtime must be registered first.
    NoRuntime,
    /// The runtime does not answer.
    RuntimeNotReady,
    /// Nothing was deployed yet.
    NothingDeployed,
    /// There is no revision to go back to.
    NoEarlierRevision,
    /// No tool is configured for what is to be scanned.
    ScannerNotConfigured,
    /// Something else is at work on it.
    InProgress,
    /// The security gate keeps it back.
    GateBlocked,
    /// This organization may not use this machine's own engine.
    LocalEngineNotAllowed,
    /// It is stated in kiops.toml.
    Declared,
    /// The Kubernetes namespace is somebody else's.
    NamespaceNotOwned,
}

/// One fault of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the input at fault: `input.containers.1.port`.
    pub field: String,
    /// For people.
    pub message: String,
}

/// An error that may leave the server: its texts hold no secret, address of ours, SQL or path.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind.
    pub code: Code,
    /// For people: what is wrong and who can mend it how.
    pub message: String,
    /// All faults of the input; the first one's field is `extensions.field`.
    pub violations: Vec<Violation>,
    /// Of FAILED_PRECONDITION.
    pub reason: Option<Precondition>,
    /// When to try again.
    pub retry_at: Option<DateTime<Utc>>,
}

impl Code {
    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::Conflict => "CONFLICT",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::UpstreamError => "UPSTREAM_ERROR",
            Self::RateLimited => "RATE_LIMITED",
            Self::Internal => "INTERNAL",
        }
    }
}

impl Precondition {
    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitNotConfigured => "GIT_NOT_CONFIGURED",
            Self::GitTokenRejected => "GIT_TOKEN_REJECTED",
            Self::GitScopeMissing => "GIT_SCOPE_MISSING",
            Self::NothingBuilt => "NOTHING_BUILT",
            Self::ImageRepositoryNeeded => "IMAGE_REPOSITORY_NEEDED",
            Self::NoRuntime => "NO_RUNTIME",
            Self::RuntimeNotReady => "RUNTIME_NOT_READY",
            Self::NothingDeployed => "NOTHING_DEPLOYED",
            Self::NoEarlierRevision => "NO_EARLIER_REVISION",
            Self::ScannerNotConfigured => "SCANNER_NOT_CONFIGURED",
            Self::InProgress => "IN_PROGRESS",
            Self::GateBlocked => "GATE_BLOCKED",
            Self::LocalEngineNotAllowed => "LOCAL_ENGINE_NOT_ALLOWED",
            Self::Declared => "DECLARED",
            Self::NamespaceNotOwned => "NAMESPACE_NOT_OWNED",
        }
    }
}

impl Error {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), violations: Vec::new(), reason: None, retry_at: None }
    }

    /// Nobody is logged in, or the token does not work.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::new(Code::Unauthenticated, "log in, or send an API token")
    }

    /// They may see it and not do this to it.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Code::Forbidden, message)
    }

    /// The same words for what never was and for what another organization has. `what` is like "service".
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// One fault of the input at `field` ("input.name").
    #[must_use]
    pub fn bad_input(field: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        let violations = vec![Violation { field: field.into(), message: message.clone() }];
        Self { violations, ..Self::new(Code::BadUserInput, message) }
    }

    /// Somebody else was first, or what was shown is no longer so.
    #[must_use]
    pub fn conflict(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: Code::Conflict, ..Self::bad_input(field, message) }
    }

    /// Something must be done first; the message says by whom and how.
    #[must_use]
    pub fn precondition(reason: Precondition, message: impl Into<String>) -> Self {
        Self { reason: Some(reason), ..Self::new(Code::FailedPrecondition, message) }
    }

    /// Another server did not do its part.
    #[must_use]
    pub fn upstream(message: impl Into<String>) -> Self {
        Self::new(Code::UpstreamError, message)
    }

    /// Too many attempts; `retry_at` says when to come back.
    #[must_use]
    pub fn rate_limited(message: impl Into<String>, retry_at: DateTime<Utc>) -> Self {
        Self { retry_at: Some(retry_at), ..Self::new(Code::RateLimited, message) }
    }

    /// Logs what happened under a new id; the id is all that leaves.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "an error's id is made wherever the error is, without an App at hand"
    )]
    pub fn internal(what: impl Display) -> Self {
        let id = uuid::Uuid::now_v7().simple().to_string();
        tracing::error!(error_id = %id, error = %what, "internal error");
        Self::new(Code::Internal, format!("something went wrong here; its id in the log is {id}"))
    }
}

/// Gathers every fault of an input, so that a person reads all of them at once.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Notes a fault at `field`.
    pub fn add(&mut self, field: impl Into<String>, message: impl Display) {
        self.0.push(Violation { field: field.into(), message: message.to_string() });
    }

    /// Notes the error of a parse at `field`, or gives the value.
    pub fn check<T, E: Display>(&mut self, field: impl Into<String>, parsed: std::result::Result<T, E>) -> Option<T> {
        parsed.map_err(|e| self.add(field, e)).ok()
    }

    /// Takes over the faults of a part, whose fields are called differently here.
    pub fn absorb(&mut self, part: Self, field: impl Fn(&str) -> String) {
        self.0.extend(part.0.into_iter().map(|v| Violation { field: field(&v.field), message: v.message }));
    }

    /// Each fault, in the order in which they were noted.
    #[must_use]
    pub fn into_list(self) -> Vec<Violation> {
        self.0
    }

    /// BAD_USER_INPUT with every fault, if there is one.
    ///
    /// # Errors
    /// That.
    pub fn finish(self) -> Result<()> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let message = match self.0.len() {
            1 => first.message.clone(),
            n => format!("{} (and {} more)", first.message, n - 1),
        };
        Err(Error { violations: self.0, ..Error::new(Code::BadUserInput, message) })
    }
}

/// Whether the database refused a second row of the same name.
#[must_use]
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        Self::internal(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}

impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Limited { message, retry_at } => Self { retry_at, ..Self::upstream(message) },
            RegistryError::NotFound(message)
            | RegistryError::Unauthorized(message)
            | RegistryError::Refused(message)
            | RegistryError::Unreachable(message)
            | RegistryError::Unkept(message) => Self::upstream(message),
        }
    }
}

impl From<RuntimeError> for Error {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::NotOwned(why) => Self::precondition(Precondition::NamespaceNotOwned, why),
            other => Self::upstream(other.to_string()),
        }
    }
}
