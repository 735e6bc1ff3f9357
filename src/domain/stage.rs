//! The stages of a pipeline, and how they move on: pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::status::{IllegalTransition, RunStatus};

/// A part of a pipeline: the words of the contract's enum StageKind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StageKind {
    /// Fetching the commit.
    Source,
    /// Building the image, and pushing it.
    Build,
    /// Looking for vulnerabilities.
    Scan,
    /// Running the test command in the image.
    Test,
    /// Deploying the image.
    Deploy,
}

impl StageKind {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Source, Self::Build, Self::Scan, Self::Test, Self::Deploy];

    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "SOURCE",
            Self::Build => "BUILD",
            Self::Scan => "SCAN",
            Self::Test => "TEST",
            Self::Deploy => "DEPLOY",
        }
    }

    /// The stage of a word; none where there is no such stage.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Where a stage stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Which.
    pub kind: StageKind,
    /// Where it stands.
    pub status: RunStatus,
    /// Why it failed or was skipped, for the person who pushed.
    pub message: Option<String>,
    /// When work on it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The stages of one pipeline, in order. One is at work at a time, and one that has ended is never begun again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stages(Vec<Stage>);

impl Default for Stages {
    fn default() -> Self {
        let waiting =
            |kind| Stage { kind, status: RunStatus::Queued, message: None, started_at: None, finished_at: None };
        Self(StageKind::ALL.map(waiting).to_vec())
    }
}

impl Stages {
    /// All of them, in order.
    #[must_use]
    pub fn all(&self) -> &[Stage] {
        &self.0
    }

    /// One of them; none in a row of a version that had no such stage.
    #[must_use]
    pub fn get(&self, kind: StageKind) -> Option<&Stage> {
        self.0.iter().find(|stage| stage.kind == kind)
    }

    /// The first one that has not ended: what is to be done next, or goes on after a crash.
    #[must_use]
    pub fn next(&self) -> Option<&Stage> {
        self.0.iter().find(|stage| !stage.status.is_final())
    }

    /// Whether a stage ended well, or had nothing to do. An incomplete SCAN holds nothing up by itself: a gate judges what
    /// scans saw, and whether enough of them did.
    #[must_use]
    pub fn passed(&self, kind: StageKind) -> bool {
        self.get(kind).is_some_and(|stage| {
            matches!(stage.status, RunStatus::Succeeded | RunStatus::Incomplete | RunStatus::Skipped)
        })
    }

    /// A stage comes to where it stands from now on. Staying where it is, is no step and no fault: a worker that goes on
    /// from where another was killed begins nothing.
    ///
    /// # Errors
    /// When the state machine has no such step.
    pub fn advance(
        &mut self,
        kind: StageKind,
        next: RunStatus,
        message: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<(), IllegalTransition> {
        let Some(stage) = self.0.iter_mut().find(|stage| stage.kind == kind) else { return Ok(()) };
        if stage.status != next {
            stage.status = stage.status.advance(next)?;
        }
        stage.message = message;
        if next == RunStatus::Running {
            stage.started_at = stage.started_at.or(Some(now));
        }
        if next.is_final() {
            stage.finished_at = Some(now);
        }
        Ok(())
    }

    /// What has not ended is skipped, or canceled where it was at work: the pipeline is over.
    pub fn close(&mut self, now: DateTime<Utc>) {
        for stage in self.0.iter_mut().filter(|stage| !stage.status.is_final()) {
            stage.status = match stage.status {
                RunStatus::Queued => RunStatus::Skipped,
                _ => RunStatus::Canceled,
            };
            stage.finished_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap_or_default()
    }

    #[test]
    fn stages_follow_one_another_and_none_is_begun_twice() {
        let mut stages = Stages::default();
        for kind in StageKind::ALL {
            assert_eq!(stages.next().map(|s| s.kind), Some(kind));
            stages.advance(kind, RunStatus::Running, None, now()).expect("it is queued");
            stages.advance(kind, RunStatus::Running, None, now()).expect("to stay is no step");
            stages.advance(kind, RunStatus::Succeeded, None, now()).expect("it runs");
            assert!(stages.advance(kind, RunStatus::Running, None, now()).is_err(), "it has ended");
            assert!(stages.passed(kind));
        }
        assert_eq!(stages.next(), None);
    }

    #[test]
    fn what_was_not_reached_is_skipped() {
        let mut stages = Stages::default();
        stages.advance(StageKind::Source, RunStatus::Running, None, now()).expect("it is queued");
        stages.close(now());
        let ends: Vec<_> = stages.all().iter().map(|s| s.status).collect();
        let skipped = RunStatus::Skipped;
        assert_eq!(ends, [RunStatus::Canceled, skipped, skipped, skipped, skipped]);
    }

    #[test]
    fn words_are_the_contracts() {
        for kind in StageKind::ALL {
            assert_eq!(StageKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(StageKind::parse("LINT"), None);
    }
}
