//! The state machine of a run: what it can be, and how it gets there.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a pipeline, of one of its stages, or of a deployment.
///
/// ```text
/// QUEUED ──▶ RUNNING ──▶ SUCCEEDED | INCOMPLETE | FAILED | CANCELED
///   │  ╰──▶ WAITING_APPROVAL ──▶ QUEUED | RUNNING | FAILED | CANCELED
///   ╰──▶ SKIPPED | CANCELED | FAILED
/// ```
/// A running one goes back to QUEUED when its worker gave it back or lost its lease, and to WAITING_APPROVAL when
/// it has come to a deployment that somebody must allow. A final state is never left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunStatus {
    /// Waits for a worker.
    Queued,
    /// A worker is at it, under a lease.
    Running,
    /// Waits for somebody who may allow it.
    WaitingApproval,
    /// Did all it had to.
    Succeeded,
    /// Came to its end, but a part of it has no result.
    Incomplete,
    /// Did not come to its end.
    Failed,
    /// Somebody ended it.
    Canceled,
    /// Had nothing to do, or what it needed failed.
    Skipped,
}

/// A step that the state machine does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is {from} cannot become {to}")]
pub struct IllegalTransition {
    /// The state it is in.
    pub from: RunStatus,
    /// The state that was wanted.
    pub to: RunStatus,
}

impl RunStatus {
    /// Whether it is never left.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Incomplete | Self::Failed | Self::Canceled | Self::Skipped)
    }

    /// The next state, where there is such a step. To stay where one is, is no step.
    ///
    /// # Errors
    /// When the machine has no step from here to there.
    pub const fn advance(self, next: Self) -> Result<Self, IllegalTransition> {
        let allowed = match self {
            Self::Queued => !matches!(next, Self::Queued | Self::Succeeded | Self::Incomplete),
            Self::Running => !matches!(next, Self::Running | Self::Skipped),
            Self::WaitingApproval => matches!(next, Self::Queued | Self::Running | Self::Failed | Self::Canceled),
            Self::Succeeded | Self::Incomplete | Self::Failed | Self::Canceled | Self::Skipped => false,
        };
        if allowed { Ok(next) } else { Err(IllegalTransition { from: self, to: next }) }
    }

    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::WaitingApproval => "WAITING_APPROVAL",
            Self::Succeeded => "SUCCEEDED",
            Self::Incomplete => "INCOMPLETE",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
            Self::Skipped => "SKIPPED",
        }
    }
}

/// As the contract spells it.
impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_machine() {
        let all = [
            RunStatus::Queued,
            RunStatus::Running,
            RunStatus::WaitingApproval,
            RunStatus::Succeeded,
            RunStatus::Incomplete,
            RunStatus::Failed,
            RunStatus::Canceled,
            RunStatus::Skipped,
        ];
        let mut steps = String::new();
        for from in all {
            let to = all.into_iter().filter(|to| from.advance(*to).is_ok());
            steps.push_str(&format!("{from}: {}.\n", to.map(|s| s.to_string()).collect::<Vec<_>>().join(" ")));
        }
        insta::assert_snapshot!(steps, @r"
        QUEUED: RUNNING WAITING_APPROVAL FAILED CANCELED SKIPPED.
        RUNNING: QUEUED WAITING_APPROVAL SUCCEEDED INCOMPLETE FAILED CANCELED.
        WAITING_APPROVAL: QUEUED RUNNING FAILED CANCELED.
        SUCCEEDED: .
        INCOMPLETE: .
        FAILED: .
        CANCELED: .
        SKIPPED: .
        ");
    }
}
