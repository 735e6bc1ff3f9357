//! State machines: what a run and a service can be, and how they get there.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a pipeline, a stage, a build, a scan or a deployment.
///
/// ```text
/// QUEUED ──▶ RUNNING ──▶ SUCCEEDED | INCOMPLETE | FAILED | CANCELED
///   │  ╰──▶ WAITING_APPROVAL ──▶ QUEUED | RUNNING | FAILED | CANCELED
///   ╰──▶ SKIPPED | CANCELED | FAILED
/// ```
/// A running one goes back to QUEUED when its worker gave it back or lost its lease, and to WAITING_APPROVAL when
/// it has come to a deployment that somebody must allow. A final state is never left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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

/// The state of a service or of one of its environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceStatus {
    /// Never built nor deployed.
    Registered,
    /// A build is at work.
    Building,
    /// The last build failed and nothing runs.
    BuildFailed,
    /// A deployment is at work.
    Deploying,
    /// The last deployment failed.
    DeployFailed,
    /// All instances are ready.
    Running,
    /// Some instances are not ready.
    Degraded,
    /// Stopped by somebody.
    Stopped,
    /// Being removed.
    Removing,
}

/// A step that a state machine does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is {from} cannot become {to}")]
pub struct IllegalTransition {
    /// The state it is in.
    pub from: RunStatus,
    /// The state that was wanted.
    pub to: RunStatus,
}

impl RunStatus {
    /// Every state, in the contract's order.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::WaitingApproval,
        Self::Succeeded,
        Self::Incomplete,
        Self::Failed,
        Self::Canceled,
        Self::Skipped,
    ];

    /// The contract's spelling, which is stored too.
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

    /// Reads the contract's spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::WaitingApproval)
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
}

impl ServiceStatus {
    /// Every state, in the contract's order.
    pub const ALL: [Self; 9] = [
        Self::Registered,
        Self::Building,
        Self::BuildFailed,
        Self::Deploying,
        Self::DeployFailed,
        Self::Running,
        Self::Degraded,
        Self::Stopped,
        Self::Removing,
    ];

    /// The contract's spelling, which is stored too.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "REGISTERED",
            Self::Building => "BUILDING",
            Self::BuildFailed => "BUILD_FAILED",
            Self::Deploying => "DEPLOYING",
            Self::DeployFailed => "DEPLOY_FAILED",
            Self::Running => "RUNNING",
            Self::Degraded => "DEGRADED",
            Self::Stopped => "STOPPED",
            Self::Removing => "REMOVING",
        }
    }

    /// Reads the contract's spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// A service's status out of its environments': REMOVING, else BUILDING, else DEPLOYING, else the worst one
    /// (DEPLOY_FAILED, DEGRADED, BUILD_FAILED, STOPPED, RUNNING, REGISTERED). REGISTERED when there are none.
    #[must_use]
    pub fn worst(statuses: impl IntoIterator<Item = Self>) -> Self {
        statuses.into_iter().max_by_key(|status| status.weight()).unwrap_or(Self::Registered)
    }

    const fn weight(self) -> u8 {
        match self {
            Self::Registered => 0,
            Self::Running => 1,
            Self::Stopped => 2,
            Self::BuildFailed => 3,
            Self::Degraded => 4,
            Self::DeployFailed => 5,
            Self::Deploying => 6,
            Self::Building => 7,
            Self::Removing => 8,
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ServiceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_come_back_and_are_serde_s() {
        for status in RunStatus::ALL {
            assert_eq!(RunStatus::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::json!(status), status.as_str());
        }
        for status in ServiceStatus::ALL {
            assert_eq!(ServiceStatus::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::json!(status), status.as_str());
        }
        assert_eq!(RunStatus::parse("queued"), None);
    }

    #[test]
    fn the_whole_machine() {
        let mut steps = String::new();
        for from in RunStatus::ALL {
            let to: Vec<_> =
                RunStatus::ALL.into_iter().filter(|to| from.advance(*to).is_ok()).map(|s| s.as_str()).collect();
            assert_eq!(from.is_final(), to.is_empty(), "{from}");
            steps.push_str(&format!("{from}: {}.\n", to.join(" ")));
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

    #[test]
    fn the_worst_counts() {
        use ServiceStatus as S;
        assert_eq!(S::worst([]), S::Registered);
        assert_eq!(S::worst([S::Running, S::Degraded, S::Stopped]), S::Degraded);
        assert_eq!(S::worst([S::DeployFailed, S::Deploying]), S::Deploying);
        assert_eq!(S::worst([S::Deploying, S::Building]), S::Building);
        assert_eq!(S::worst([S::Registered, S::Running]), S::Running);
    }
}
