//! A build on a cluster.

use async_trait::async_trait;
use chrono::DateTime;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::LogParams;
use tokio::time::Instant;

use super::ClusterBuilder;
use super::account::Reader;
use super::failure::{out_of_memory, unsent};
use super::manifest::{AppArmor, RESULT, SOURCE, Stage, build_job, build_secret};
use super::run::{Ended, Lines, Run};
use super::source::{BROKEN, Source};
use crate::builder::buildkit::{
    self, Failure, is_refused_push, masked, masker, push_refused, second_of_files, single, words,
};
use crate::builder::{BuildRequest, BuilderError, BuiltImage, Journal, Output};
use crate::cluster::log::Printed;
use crate::cluster::pod::{self, End};
use crate::domain::image::Digest;
use crate::engine::neutralise;
use crate::vault::Masker;

/// The key of BuildKit's account under which the image's digest stands
/// (<https://github.com/moby/buildkit/blob/v0.32.2/exporter/containerimage/exptypes/types.go>).
const DIGEST: &str = "\"containerimage.digest\"";
/// What BuildKit says of a push that failed.
const NOT_PUSHED: &str = "failed to push";
/// What BuildKit says where there is no Dockerfile. One is always sent, as the last file, so that then not all has arrived:
/// an archive that breaks off between two files is a whole one to busybox's `tar`.
const NO_DOCKERFILE: &str = "failed to read dockerfile";
/// What `tar` says of an archive that breaks off elsewhere.
const SHORT: &str = "short read";
/// Lines of the first container that are looked at for why it failed.
const LAST_LINES: i64 = 5;

#[async_trait]
impl Lines for Reader<'_> {
    async fn take(&mut self, line: Printed, journal: &dyn Journal) {
        Reader::take(self, &line, journal).await;
    }
}

impl ClusterBuilder {
    pub(super) async fn build_image(
        &self,
        request: &BuildRequest,
        journal: &dyn Journal,
    ) -> Result<BuiltImage, BuilderError> {
        check_platform(request)?;
        let masker = masker(request);
        let outcome = self.run_build(request, &masker, journal).await;
        // Its secrets are not needed any more, however it ended. What is left when this fails the cluster removes later.
        self.remove_quietly(Stage::Build, &request.mark.run_id).await;
        outcome.map_err(|error| masked(&masker, error))
    }

    async fn run_build(
        &self,
        request: &BuildRequest,
        masker: &Masker,
        journal: &dyn Journal,
    ) -> Result<BuiltImage, BuilderError> {
        let run = Run {
            builder: self,
            stage: Stage::Build,
            mark: &request.mark,
            journal,
            time: request.limits.time,
            deadline: Instant::now() + request.limits.time,
        };
        let second = second_of_files(request);
        let at = DateTime::from_timestamp(second, 0).unwrap_or_default();
        let context = buildkit::list(request, at).await?;
        let name = format!("{}:{}", request.repository, request.tag);
        let text = format!("Building {name} from {} files and folders.", context.entries().len());
        journal.line(Output::System, &text).await;
        let limits = &request.limits;
        let text = format!(
            "It runs on the cluster with profile {}: {} cores, {} MiB of memory, at most {}.",
            limits.profile,
            limits.cpu,
            limits.memory >> 20,
            words(limits.time)
        );
        journal.line(Output::System, &text).await;

        run.have_ground().await?;
        let app_armor = AppArmor::of(&run.in_time(|| self.cluster.version()).await?);
        run.begin(build_job(request, &self.place, app_armor), |owner| build_secret(request, &self.place, owner))
            .await?;
        let second = u64::try_from(second).unwrap_or_default();
        let source = Source { context, dockerfile: request.dockerfile.clone(), second };
        let mut reader = Reader::new(masker);
        let followed = run.follow(Some(Box::new(source)), &mut reader).await;
        let failure = reader.end(journal).await;
        let digest = self.outcome(request, followed?, (failure, masker)).await?;
        journal.line(Output::System, &format!("Pushed {name}, digest {digest}.")).await;
        Ok(BuiltImage { id: format!("{}@{digest}", request.repository), digest: Some(digest) })
    }

    /// What a build's pod came to.
    async fn outcome(
        &self,
        request: &BuildRequest,
        ended: Ended,
        (failure, masker): (Failure, &Masker),
    ) -> Result<Digest, BuilderError> {
        let (pod, broken) = (&ended.pod, ended.unsent.map(unsent));
        if let Some(why) = pod::put_out(pod) {
            return Err(BuilderError::Engine(format!("the cluster ended the build: {why}")));
        }
        if let Some(end) = pod::end_of(pod, SOURCE).filter(|end| end.exit_code != 0) {
            return Err(self.not_unpacked(pod, &end, broken).await);
        }
        if let Some(end) = pod::end_of(pod, Stage::Build.as_str()).filter(|end| end.exit_code != 0) {
            // What was built was not what was to be sent.
            if let Some(error) = broken {
                return Err(error);
            }
            return Err(match end.is_out_of_memory() {
                _ if [&failure.reason, &failure.whole].iter().any(|text| text.contains(NO_DOCKERFILE)) => {
                    BuilderError::Unreachable(BROKEN.to_owned())
                }
                true => out_of_memory("the build", &request.limits),
                false => why(request, failure, masker),
            });
        }
        let said = pod::end_of(pod, RESULT).map(|end| end.message).unwrap_or_default();
        digest(&said).ok_or_else(|| {
            BuilderError::Engine("the image was built and pushed, but BuildKit does not say its digest".to_owned())
        })
    }

    /// The first container's own words for why it failed.
    async fn not_unpacked(&self, pod: &Pod, end: &End, unsent: Option<BuilderError>) -> BuilderError {
        if let Some(error @ BuilderError::Refused(_)) = unsent {
            return error;
        }
        let parameters =
            LogParams { container: Some(SOURCE.to_owned()), tail_lines: Some(LAST_LINES), ..LogParams::default() };
        let said = self.api::<Pod>().logs(&pod.name_any(), &parameters).await.unwrap_or_default();
        let last = said.lines().rev().map(neutralise).find(|line| !line.trim().is_empty());
        let last = last.unwrap_or_else(|| format!("exit code {}", end.exit_code));
        match unsent {
            // What broke is the connection, and the rest follows from that.
            Some(BuilderError::Unreachable(why)) => BuilderError::Unreachable(format!("{why} ({last})")),
            _ if last.contains(SHORT) => BuilderError::Unreachable(format!("{BROKEN} ({last})")),
            _ => BuilderError::Engine(format!("the source could not be unpacked on the cluster: {last}")),
        }
    }
}

fn check_platform(request: &BuildRequest) -> Result<(), BuilderError> {
    if request.platforms.len() > 1 {
        return Err(BuilderError::Refused(
            "a cluster builds for one platform at a time, on a node of that kind".to_owned(),
        ));
    }
    match request.platforms.first() {
        Some(platform) if !platform.starts_with("linux/") => {
            Err(BuilderError::Refused(format!("a cluster builds for linux, and not for {platform}")))
        }
        _ => Ok(()),
    }
}

/// Why BuildKit failed: of the Dockerfile, or of the registry that does not take what it made.
fn why(request: &BuildRequest, failure: Failure, masker: &Masker) -> BuilderError {
    let said = [&failure.reason, &failure.whole].into_iter().find(|text| text.contains(NOT_PUSHED));
    let Some(said) = said else { return failure.into_error(masker) };
    let name = format!("{}:{}", request.repository, request.tag);
    let said = single(said, 600, masker);
    let login = request.logins.iter().find(|(host, _)| host == request.repository.host()).map(|(_, login)| login);
    match is_refused_push(&said) {
        true => push_refused(&request.repository, &name, login, &said),
        false => BuilderError::PushFailed(format!("{name} could not be pushed: {said}")),
    }
}

/// The digest in BuildKit's account of what it made. A long account arrives cut, so that it is no JSON.
fn digest(account: &str) -> Option<Digest> {
    let (_, rest) = account.split_once(DIGEST)?;
    let start = rest.find("sha256:")?;
    let end = rest[start..].find('"')?;
    Digest::parse(&rest[start..start + end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_found_among_others() {
        let (config, image) = ("a".repeat(64), "b".repeat(64));
        let account = format!(
            "{{\n  \"containerimage.config.digest\": \"sha256:{config}\",\n  \"containerimage.descriptor\": {{\n    \
             \"digest\": \"sha256:{config}\"\n  }},\n  \"containerimage.digest\": \"sha256:{image}\",\n  \"image.name\": \"x"
        );
        assert_eq!(digest(&account).map(|digest| digest.as_str().to_owned()), Some(format!("sha256:{image}")));
        assert_eq!(digest("{}"), None);
        assert_eq!(digest("\"containerimage.digest\": \"sha256:abc\""), None);
    }
}
