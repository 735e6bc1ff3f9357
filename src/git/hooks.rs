//! What a pipeline needs of a provider besides its projects: webhooks, and the status of commits.

use async_trait::async_trait;

use super::{GitError, ProjectRef};
use crate::domain::names::CommitHash;
use crate::domain::secret::SecretString;

/// Characters of a status's description, at most: GitHub's limit, and GitLab's is larger.
const DESCRIPTION: usize = 140;

/// A webhook as it is to be. One that exists is brought to this, whatever it was.
#[derive(Clone)]
pub struct NewHook {
    /// Where deliveries go. No other webhook of the project goes there afterwards.
    pub url: String,
    /// What proves them, as [`crate::domain::webhook::new_secret`] made it for this provider.
    pub secret: SecretString,
    /// What is delivered.
    pub events: HookEvents,
    /// The [`HookState::id`] of the webhook that was there before, whose address may have been another.
    pub known_id: Option<String>,
}

/// What a webhook is for; at least one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookEvents {
    /// Pushes to branches.
    pub push: bool,
    /// Merge requests, or pull requests.
    pub merge_requests: bool,
    /// Tags. GitHub has no event for them alone: pushes to branches come too.
    pub tags: bool,
}

/// A webhook as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookState {
    /// The provider's id of it.
    pub id: String,
    /// Deliveries are signed: always on GitHub, on GitLab where the server says that it has taken a signing token. Else
    /// they carry the secret itself (`X-Gitlab-Token`).
    pub signing: bool,
}

/// How far a pipeline is with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitState {
    /// It waits.
    Pending,
    /// It is at work. GitHub has no word of its own for this.
    Running,
    /// It went well.
    Success,
    /// It failed.
    Failure,
    /// Somebody ended it. GitHub calls this an error.
    Canceled,
}

/// What people see at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// How far it is.
    pub state: CommitState,
    /// Whose status it is: the same text again replaces it. At most 255 bytes.
    pub context: String,
    /// One line; what is beyond 140 characters is cut.
    pub description: String,
    /// Where people can see more.
    pub target_url: Option<String>,
}

impl CommitStatus {
    /// The description as providers take it.
    pub(super) fn line(&self) -> String {
        let line = self.description.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.chars().count() <= DESCRIPTION {
            return line;
        }
        let kept: String = line.chars().take(DESCRIPTION - 1).collect();
        format!("{}…", kept.trim_end())
    }
}

/// Webhooks of projects, and the status of commits. Nothing of it is remembered, and nothing that was listed is
/// forgotten for it. No error holds a webhook's secret, not even one that the provider echoed.
#[async_trait]
pub trait GitHooks: Send + Sync {
    /// Makes a webhook, or brings the one that is there to this state: the one with the known id, else one with the very
    /// address. Others with that address are removed, and one that the provider has switched off is made anew. Safe to
    /// repeat, also after a failure in its middle: until it has succeeded, deliveries may come without proof.
    ///
    /// # Errors
    /// [`GitError::NotFound`] for the project; [`GitError::Forbidden`] when the token, or its owner in this project, may
    /// not manage webhooks; [`GitError::Invalid`] when the provider does not take the address, which may be one that it
    /// does not send to.
    async fn save_hook(&self, project: &ProjectRef, hook: &NewHook) -> Result<HookState, GitError>;

    /// Removes the webhook with this id, and every one with this very address. None there, or no such project any more,
    /// is no error.
    ///
    /// # Errors
    /// As [`GitHooks::save_hook`].
    async fn remove_hook(&self, project: &ProjectRef, id: Option<&str>, url: &str) -> Result<(), GitError>;

    /// Says how far a pipeline is with a commit. Saying the same twice is no error, nor is saying late what is no longer
    /// so: GitLab then keeps what it knows.
    ///
    /// # Errors
    /// [`GitError::NotFound`] for the project or commit, [`GitError::Forbidden`].
    async fn report_status(
        &self,
        project: &ProjectRef,
        commit: &CommitHash,
        status: &CommitStatus,
    ) -> Result<(), GitError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_one_line_that_fits() {
        let of = |description: &str| {
            let state = CommitState::Pending;
            let status = CommitStatus {
                state,
                context: "kiops/shop".to_owned(),
                description: description.to_owned(),
                target_url: None,
            };
            status.line()
        };
        assert_eq!(of("waits\n in the\tqueue"), "waits in the queue");
        assert_eq!(of(&"ä".repeat(140)), "ä".repeat(140));
        let long = of(&"ä".repeat(141));
        assert!(long.chars().count() == 140 && long.ends_with("ä…"), "{long}");
    }
}
