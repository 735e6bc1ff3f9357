//! SOURCE: the exact commit, fetched with the organization's token.

use entity::pipeline;
use sea_orm::Set;

use super::{Step, Work};
use crate::app::pipelines::origin::{self, Place};
use crate::app::pipelines::start::CommitInfo;
use crate::app::{Error, Result};
use crate::builder::source::{Fetched, SourceError, SourceLimits};
use crate::builder::{Journal as _, Output};
use crate::domain::names::CommitHash;

/// Files of a tree at most.
const FILES: u64 = 200_000;
/// Longest commit message that is kept, in characters.
const MESSAGE: usize = 4_000;

impl Work<'_> {
    pub(super) async fn source(&mut self) -> Result<Step> {
        let place = match origin::place(self.app, &self.scope, &self.service).await? {
            Ok(place) => place,
            Err(why) => return Ok(Step::Failed(why)),
        };
        let commit = match self.commit(&place).await? {
            Ok(commit) => commit,
            Err(step) => return Ok(step),
        };
        let fetched = match self.fetch(&place, &commit).await {
            Ok(fetched) => fetched,
            Err(error) => return Ok(Step::Failed(error.to_string())),
        };
        let info = CommitInfo {
            sha: commit.to_string(),
            message: Some(fetched.message.chars().take(MESSAGE).collect()),
            author_name: Some(fetched.author_name.clone()),
            committed_at: fetched.committed_at,
            web_url: Some(origin::page_of(&self.service, &place, &commit)),
        };
        let mut change: pipeline::ActiveModel = self.pipeline.clone().into();
        change.commit = Set(Some(serde_json::to_value(&info)?));
        change.source_tree = Set(Some(fetched.tree));
        match self.write(change).await? {
            true => Ok(Step::Passed(None)),
            false => Ok(Step::Lost),
        }
    }

    /// The commit that is built. It is written down before anything else is done: what is repeated is repeated for it.
    async fn commit(&mut self, place: &Place) -> Result<std::result::Result<CommitHash, Step>> {
        if let Some(known) = &self.pipeline.commit_sha {
            return Ok(CommitHash::parse(known).map_err(|why| Step::Failed(why.to_string())));
        }
        let name = self.pipeline.ref_name.clone();
        let resolved = match self.patiently(|| self.app.sources.resolve(&place.origin, &name), is_away).await {
            Ok(resolved) => resolved,
            Err(error) => return Ok(Err(Step::Failed(error.to_string()))),
        };
        let mut change: pipeline::ActiveModel = self.pipeline.clone().into();
        change.commit_sha = Set(Some(resolved.commit.to_string()));
        Ok(match self.write(change).await? {
            true => Ok(resolved.commit),
            false => Err(Step::Lost),
        })
    }

    async fn fetch(&self, place: &Place, commit: &CommitHash) -> std::result::Result<Fetched, SourceError> {
        let limits = SourceLimits {
            bytes: self.app.settings.builds.max_context_bytes,
            files: FILES,
            time: self.app.settings.builds.timeout,
        };
        let folder = self.folder();
        if let Some(parent) = folder.parent() {
            let made = tokio::fs::create_dir_all(parent).await;
            made.map_err(|e| SourceError::Broken(format!("the folder for sources can't be made: {e}")))?;
        }
        let fetch = || self.app.sources.fetch(&place.origin, commit, &folder, limits, self.log.as_ref());
        self.patiently(fetch, is_away).await
    }

    /// The source is there: fetched again where another server fetched it, or this one has lost it.
    pub(super) async fn have_source(&mut self) -> Result<std::result::Result<(), Step>> {
        if tokio::fs::try_exists(self.folder()).await.unwrap_or(false) {
            return Ok(Ok(()));
        }
        self.log.line(Output::System, "this server does not have the source: it is fetched again").await;
        let place = match origin::place(self.app, &self.scope, &self.service).await? {
            Ok(place) => place,
            Err(why) => return Ok(Err(Step::Failed(why))),
        };
        let sha = self.pipeline.commit_sha.as_deref().unwrap_or_default();
        let commit = CommitHash::parse(sha).map_err(Error::internal)?;
        Ok(self.fetch(&place, &commit).await.map(|_| ()).map_err(|error| Step::Failed(error.to_string())))
    }
}

fn is_away(error: &SourceError) -> bool {
    matches!(error, SourceError::Unreachable(_))
}
