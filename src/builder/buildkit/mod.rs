//! What builds with BuildKit have in common, wherever it runs: which files it is sent, its account of a build as lines,
//! and why it failed.

mod account;
mod failure;
mod files;
mod ignore;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::DateTime;

use super::{BuildRequest, BuilderError};
use crate::domain::image::Repository;
use crate::domain::secret::RegistryLogin;
use crate::vault::Masker;

pub use account::Account;
pub use failure::{Failure, is_refused_push, single};
pub use files::{Context, Wanted};

/// The Dockerfile's name in a folder of its own.
pub const DOCKERFILE: &str = "Dockerfile";
/// The label that says when an image was made: the time that its files get, so that a web server's answer to "changed
/// since?" is right.
const CREATED: &str = "org.opencontainers.image.created";
/// The time of files without that label: 2000-01-01. Archives of some formats cannot hold one before 1980.
const LONG_AGO: i64 = 946_684_800;

/// The second that every file of a build gets as its time.
pub fn second_of_files(request: &BuildRequest) -> i64 {
    let label = request.labels.iter().find(|(key, _)| key == CREATED);
    let created = label.and_then(|(_, value)| DateTime::parse_from_rfc3339(value).ok());
    created.map_or(LONG_AGO, |at| at.timestamp())
}

/// Lists what a build is sent; every entry gets this time.
///
/// # Errors
/// [`BuilderError::Refused`] when it is too large or holds what cannot be sent.
pub async fn list(request: &BuildRequest, at: DateTime<chrono::Utc>) -> Result<Context, BuilderError> {
    let waiting = Waiting::default();
    let wanted = Wanted {
        root: request.context.clone(),
        rules: request.dockerignore.clone(),
        at,
        max_bytes: request.max_context_bytes,
        given_up: Arc::clone(&waiting.given_up),
    };
    let listing = tokio::task::spawn_blocking(move || Context::list(&wanted));
    listing.await.map_err(|_| BuilderError::Refused("the build context cannot be read".to_owned()))?
}

/// Knows all that a build is given in secret.
pub fn masker(request: &BuildRequest) -> Masker {
    let tokens = request.logins.iter().map(|(_, login)| &login.token);
    Masker::new(request.secrets.iter().map(|(_, value)| value).chain(tokens))
}

/// What a builder says may hold what it was given.
pub fn masked(masker: &Masker, error: BuilderError) -> BuilderError {
    match error {
        BuilderError::Failed(text) => BuilderError::Failed(masker.mask(&text)),
        BuilderError::Refused(text) => BuilderError::Refused(masker.mask(&text)),
        BuilderError::Engine(text) => BuilderError::Engine(masker.mask(&text)),
        BuilderError::PushRefused(text) => BuilderError::PushRefused(masker.mask(&text)),
        BuilderError::PushFailed(text) => BuilderError::PushFailed(masker.mask(&text)),
        other => other,
    }
}

/// A registry does not take an image.
pub fn push_refused(repository: &Repository, name: &str, login: Option<&RegistryLogin>, said: &str) -> BuilderError {
    let who = if login.is_some() { "the login it was given" } else { "no login" };
    BuilderError::PushRefused(format!("{} refuses {name} with {who}: {said}", repository.host()))
}

/// A duration as people write it.
pub fn words(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// Somebody waits for a thread; when this is dropped nobody does.
#[derive(Default)]
struct Waiting {
    given_up: Arc<AtomicBool>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}
