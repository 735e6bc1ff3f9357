//! Images: what the engine holds, and fetching what it lacks.

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt;
use secrecy::ExposeSecret;

use super::{DockerRuntime, error};
use crate::domain::image::{DOCKER_HUB, Digest, Repository, Tag};
use crate::domain::secret::RegistryLogin;
use crate::domain::spec::ContainerSpec;
use crate::engine::EngineError;
use crate::runtime::words::mask;
use crate::runtime::{LocalImage, Progress, Rollout, RuntimeError};

/// Waits between tries of a pull that may yet succeed.
const BACKOFF: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// How long one pull may be silent.
const SILENCE: Duration = Duration::from_secs(300);

/// What a failed pull means.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Verdict {
    /// Trying again is no use.
    Refused,
    /// The registry can't be reached now.
    Transient,
    /// Neither is sure.
    Unclear,
}

impl DockerRuntime {
    pub(super) async fn pull_images(&self, rollout: &Rollout, progress: &dyn Progress) -> Result<(), RuntimeError> {
        for container in &rollout.spec.containers {
            let by_tag = format!("{}:{}", container.repository, container.tag);
            if let Some(id) = &container.image_id {
                self.own_image(container, id).await?;
                continue;
            }
            let (wanted, version) = match &container.digest {
                Some(digest) => (format!("{}@{digest}", container.repository), digest.as_str()),
                None => (by_tag.clone(), container.tag.as_str()),
            };
            if self.image_id(&wanted).await?.is_some() {
                continue;
            }
            progress.line(&format!("Pulling {wanted}.")).await;
            let login = rollout.logins.get(container.repository.host());
            let Err(failure) = self.pull_one(&container.repository, version, login).await else { continue };
            let host = container.repository.host();
            let verdict = judge(&failure, login.is_some());
            if verdict != Verdict::Refused && self.image_id(&by_tag).await?.is_some() {
                let text = format!("{host} cannot be reached; the engine's own {by_tag} is used.");
                progress.line(&text).await;
                continue;
            }
            let text = mask(rollout, &format!("image {by_tag} cannot be pulled from {host}: {failure}"));
            return Err(match (verdict, failure) {
                (Verdict::Refused, _) => RuntimeError::ImageRefused(text),
                (_, failure @ EngineError::Unreachable(_)) => error(failure),
                _ => RuntimeError::Image(text),
            });
        }
        Ok(())
    }

    async fn pull_one(
        &self,
        repository: &Repository,
        version: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<(), EngineError> {
        let mut waits = BACKOFF.iter();
        loop {
            let failure = match self.pull_once(repository, version, login).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            match (judge(&failure, login.is_some()), waits.next()) {
                (Verdict::Transient, Some(wait)) => tokio::time::sleep(*wait).await,
                _ => return Err(failure),
            }
        }
    }

    async fn pull_once(
        &self,
        repository: &Repository,
        version: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<(), EngineError> {
        let options = CreateImageOptions {
            from_image: Some(repository.to_string()),
            tag: Some(version.to_owned()),
            ..Default::default()
        };
        let server = match repository.host() {
            DOCKER_HUB => "https://index.docker.io/v1/".to_owned(),
            host => host.to_owned(),
        };
        let credentials = login.map(|login| DockerCredentials {
            username: Some(login.username.clone()),
            password: Some(login.token.expose_secret().to_owned()),
            serveraddress: Some(server),
            ..Default::default()
        });
        let mut stream = self.engine.api().await?.create_image(Some(options), None, credentials).boxed();
        loop {
            match tokio::time::timeout(SILENCE, stream.next()).await {
                Err(_) => return Err(EngineError::Answer { status: 200, message: "timeout: it stalled".to_owned() }),
                Ok(None) => return Ok(()),
                Ok(Some(Err(failure))) => return Err(failure.into()),
                Ok(Some(Ok(part))) => {
                    if let Some(message) = part.error_detail.and_then(|detail| detail.message) {
                        return Err(EngineError::Answer { status: 200, message });
                    }
                }
            }
        }
    }

    /// The reference that the engine holds the image by, and its id.
    pub(super) async fn image_of(&self, container: &ContainerSpec) -> Result<(String, String), RuntimeError> {
        if let Some(id) = &container.image_id {
            let id = self.own_image(container, id).await?;
            return Ok((id.clone(), id));
        }
        let by_tag = format!("{}:{}", container.repository, container.tag);
        if let Some(digest) = &container.digest {
            let by_digest = format!("{}@{digest}", container.repository);
            if let Some(id) = self.image_id(&by_digest).await? {
                return Ok((by_digest, id));
            }
        }
        match self.image_id(&by_tag).await? {
            Some(id) => Ok((by_tag, id)),
            None => Err(RuntimeError::Image(format!("the engine has no image {by_tag}"))),
        }
    }

    /// The id of an image that is in no registry. A tag of that name may be another image by now, and is not asked.
    async fn own_image(&self, container: &ContainerSpec, id: &str) -> Result<String, RuntimeError> {
        let found = self.image_id(id).await?;
        found.ok_or_else(|| {
            RuntimeError::ImageRefused(format!(
                "the image of {} ({}:{}) is no longer on the engine: build it again, or give the service an image \
                 repository",
                container.name, container.repository, container.tag
            ))
        })
    }

    async fn image_id(&self, reference: &str) -> Result<Option<String>, RuntimeError> {
        let api = self.engine.api().await.map_err(error)?;
        match api.inspect_image(reference).await.map_err(EngineError::from) {
            Ok(image) => Ok(image.id),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(error(failure)),
        }
    }

    pub(super) async fn find_local(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<LocalImage>, RuntimeError> {
        let api = self.engine.api().await.map_err(error)?;
        let image = match api.inspect_image(&format!("{repository}:{tag}")).await.map_err(EngineError::from) {
            Ok(image) => image,
            Err(failure) if failure.is_missing() => return Ok(None),
            Err(failure) => return Err(error(failure)),
        };
        let own = |text: &String| {
            let (name, digest) = text.split_once('@')?;
            (Repository::parse(name).ok()? == *repository).then(|| Digest::parse(digest).ok())?
        };
        Ok(Some(LocalImage { digest: image.repo_digests.iter().flatten().find_map(own) }))
    }
}

fn judge(failure: &EngineError, has_login: bool) -> Verdict {
    const REFUSED: [&str; 9] = [
        "manifest unknown",
        "not found",
        "access denied",
        "denied:",
        "unauthorized",
        "no basic auth credentials",
        "does not exist",
        "authentication required",
        "no matching manifest",
    ];
    const TRANSIENT: [&str; 12] = [
        "connection refused",
        "no such host",
        "timeout",
        "timed out",
        "deadline exceeded",
        "eof",
        "connection reset",
        "no route to host",
        "network is unreachable",
        "temporary failure",
        "toomanyrequests",
        "service unavailable",
    ];
    let EngineError::Answer { status, message } = failure else {
        return match failure {
            EngineError::Unauthorized(_) => Verdict::Refused,
            _ => Verdict::Unclear,
        };
    };
    let text = message.to_ascii_lowercase();
    let says = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    match status {
        _ if says(&TRANSIENT) => Verdict::Transient,
        404 => Verdict::Refused,
        _ if says(&REFUSED) => Verdict::Refused,
        502..=504 => Verdict::Transient,
        500 if !has_login => Verdict::Refused,
        _ => Verdict::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_judged() {
        let answer = |status, message: &str| EngineError::Answer { status, message: message.to_owned() };
        assert_eq!(judge(&answer(404, "manifest for x not found"), true), Verdict::Refused);
        assert_eq!(judge(&answer(500, "Head https://r/v2: no basic auth credentials"), false), Verdict::Refused);
        assert_eq!(
            judge(&answer(500, "dial tcp 127.0.0.1:5000: connect: connection refused"), false),
            Verdict::Transient
        );
        assert_eq!(judge(&answer(500, "dial tcp: lookup r: no such host"), true), Verdict::Transient);
        assert_eq!(judge(&answer(500, "something else"), true), Verdict::Unclear);
    }
}
