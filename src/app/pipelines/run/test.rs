//! TEST: the service's test command in a container of the built image.

use super::{Step, Work, failed};
use crate::app::Result;
use crate::app::pipelines::image;
use crate::builder::{Journal as _, Output, TestRequest};

/// What to do where each worker builds on an engine of its own.
const ELSEWHERE: &str = "the image that was built is not on the engine that this server builds on: where several servers \
    work, build.runtime of kiops.toml names one engine that all of them reach";

impl Work<'_> {
    pub(super) async fn test(&mut self) -> Result<Step> {
        let command = self.snapshot.build.test_command.clone().unwrap_or_default();
        let Some(built) = image::of(&self.pipeline)? else {
            return Ok(Step::Failed("there is no image to test".to_owned()));
        };
        let builder = match self.builder().await? {
            Ok(builder) => builder,
            Err(step) => return Ok(step),
        };
        // Built by another server, on an engine that this one does not know.
        if matches!(builder.holds(&built.id).await, Ok(false)) {
            return Ok(Step::Failed(ELSEWHERE.to_owned()));
        }
        let words = command.join(" ");
        self.log.line(Output::System, &format!("Testing: {words}")).await;
        if let Err(error) = self.afresh(builder.as_ref()).await {
            return Ok(failed(error));
        }
        let host = built.repository.host();
        let request = TestRequest {
            mark: self.mark(),
            image_id: built.id.clone(),
            platform: self.snapshot.build.platforms.first().cloned(),
            login: self.login(host).map(|login| (host.to_owned(), login.clone())),
            command,
            limits: self.limits()?,
        };
        Ok(match builder.test(&request, self.log.as_ref()).await {
            Ok(end) if end.exit_code == 0 => Step::Passed(None),
            Ok(end) if end.out_of_memory => Step::Failed(format!(
                "`{words}` was killed: it wanted more memory than profile {} has",
                request.limits.profile
            )),
            Ok(end) => Step::Failed(format!("`{words}` ended with exit code {}", end.exit_code)),
            Err(error) => failed(error),
        })
    }
}
