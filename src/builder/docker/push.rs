//! Pushing an image: an engine says in the stream of a good answer that it failed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use hyper::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::{DockerBuilder, error};
use crate::builder::buildkit::{is_refused_push, push_refused, words};
use crate::builder::{BuilderError, Journal, Output};
use crate::domain::image::{DOCKER_HUB, Digest, Repository, Tag};
use crate::domain::secret::RegistryLogin;
use crate::engine::{EngineError, Line, neutralise};

/// Waits between tries of a push that may yet succeed.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// How long a push may be silent.
const SILENCE: Duration = Duration::from_secs(300);
/// A line of the engine's answer.
#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    aux: Option<Pushed>,
}

/// What was pushed.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pushed {
    #[serde(default)]
    digest: Option<String>,
}

impl DockerBuilder {
    pub(super) async fn push_image(
        &self,
        repository: &Repository,
        tag: &Tag,
        login: Option<&RegistryLogin>,
        journal: &dyn Journal,
    ) -> Result<Digest, BuilderError> {
        let name = format!("{repository}:{tag}");
        if self.image_id(&name).await?.is_none() {
            return Err(BuilderError::Engine(format!("the engine has no image {name} to push")));
        }
        journal.line(Output::System, &format!("Pushing {name}.")).await;
        let mut waits = WAITS.iter();
        loop {
            let failure = match self.push_once(repository, tag, login).await {
                Ok(digest) => {
                    journal.line(Output::System, &format!("Pushed {name}, digest {digest}.")).await;
                    return Ok(digest);
                }
                Err(failure @ EngineError::Unreachable(_)) => return Err(error(failure)),
                Err(failure) => failure,
            };
            let said = neutralise(&failure.to_string());
            if is_refused(&failure) {
                return Err(push_refused(repository, &name, login, &said));
            }
            let Some(wait) = waits.next() else {
                return Err(BuilderError::PushFailed(format!("{name} could not be pushed, after three tries: {said}")));
            };
            let text = format!("The push failed and is tried again in {}: {said}", words(*wait));
            journal.line(Output::System, &text).await;
            tokio::time::sleep(*wait).await;
        }
    }

    async fn push_once(
        &self,
        repository: &Repository,
        tag: &Tag,
        login: Option<&RegistryLogin>,
    ) -> Result<Digest, EngineError> {
        let path = format!("/images/{repository}/push?");
        let path = Serializer::new(path).append_pair("tag", tag.as_str()).finish();
        let mut answer = self.engine.post(&path, &[header(repository, login)?]).await?;
        let mut digest = None;
        loop {
            let line = match tokio::time::timeout(SILENCE, answer.line()).await {
                Err(_) => return Err(EngineError::Answer { status: 200, message: "the push stalled".to_owned() }),
                Ok(line) => line?,
            };
            let Some(line) = line else { break };
            let Line::Text(text) = line else { continue };
            let Ok(part) = serde_json::from_slice::<Part>(&text) else { continue };
            if let Some(message) = part.error {
                return Err(EngineError::Answer { status: 200, message });
            }
            digest = part.aux.and_then(|pushed| pushed.digest).or(digest);
        }
        let digest = digest.and_then(|text| Digest::parse(&text).ok());
        digest.ok_or_else(|| EngineError::Answer { status: 200, message: "the engine names no digest".to_owned() })
    }
}

/// The login, as the engine wants it; without one it still wants the header.
fn header(repository: &Repository, login: Option<&RegistryLogin>) -> Result<(HeaderName, HeaderValue), EngineError> {
    let server = match repository.host() {
        DOCKER_HUB => "https://index.docker.io/v1/",
        host => host,
    };
    let login = match login {
        Some(login) => serde_json::json!({
            "username": login.username,
            "password": login.token.expose_secret(),
            "serveraddress": server,
        }),
        None => serde_json::json!({}),
    };
    let mut value = HeaderValue::from_str(&URL_SAFE.encode(login.to_string())).map_err(|_| EngineError::Garbled)?;
    value.set_sensitive(true);
    Ok((HeaderName::from_static("x-registry-auth"), value))
}

fn is_refused(failure: &EngineError) -> bool {
    match failure {
        EngineError::Unauthorized(_) => true,
        EngineError::Answer { status: 401 | 403, .. } => true,
        EngineError::Answer { message, .. } => is_refused_push(message),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_trouble() {
        let says = |message: &str| is_refused(&EngineError::Answer { status: 200, message: message.to_owned() });
        assert!(says("denied: requested access to the resource is denied"));
        assert!(says("unauthorized: authentication required"));
        assert!(says("no basic auth credentials"));
        assert!(!says("Put \"http://r/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused"));
        assert!(!says("received unexpected HTTP status: 503 Service Unavailable"));
    }
}
