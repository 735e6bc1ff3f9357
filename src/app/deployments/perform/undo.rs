//! UNDO: what a failed deployment made goes, and what ran before comes back.

use entity::deployment;
use sea_orm::EntityTrait as _;

use super::{ATTEMPTS, Step, Work};
use crate::app::Result;
use crate::app::runtimes::same::Sameness;
use crate::domain::spec::Target;
use crate::runtime::{Progress as _, RuntimeError};

impl Work<'_> {
    pub(super) async fn undo(&mut self) -> Result<Step> {
        if self.deployment.moved_from.is_some() {
            match self.is_it_where_it_serves().await? {
                Sameness::Same => {}
                Sameness::Different => return self.turn_back().await,
                Sameness::Unknown => return self.in_doubt().await,
            }
        }
        let failed = self.rollout(&self.deployment).await?;
        let previous = match &self.environment.current_deployment_id {
            Some(id) => deployment::Entity::find_by_id(id).one(self.app.db.read()).await?,
            None => None,
        };
        let previous = match &previous {
            Some(previous) => Some(self.rollout(previous).await?),
            None => None,
        };
        match self.runtime.undo(&failed, previous.as_ref(), &self.log).await {
            Ok(()) => {
                self.stay_stopped(&failed.spec.target).await;
                self.volumes_stay().await
            }
            Err(error) if self.claim.job.attempts < tries(&error) => Ok(Step::Again(self.log.mask(&error.to_string()))),
            Err(error) => {
                self.log.line(&format!("what ran before could not be brought back: {error}")).await;
                if !self.leave_to_a_job().await? {
                    return Ok(Step::Again("the lease was lost".to_owned()));
                }
                Ok(Step::Failed(self.log.mask(&error.to_string())))
            }
        }
    }

    /// What was stopped on purpose before a deployment that failed is not started by bringing it back.
    async fn stay_stopped(&self, target: &Target) {
        if !self.environment.stopped {
            return;
        }
        if let Err(error) = self.runtime.stop(target).await {
            self.log.line(&format!("warning: it was stopped before, and runs now: {error}")).await;
        }
    }
}

/// How often undoing is tried: an engine that does not answer comes back, one that refuses rarely changes its mind.
fn tries(error: &RuntimeError) -> i32 {
    match error {
        RuntimeError::Unreachable(_) | RuntimeError::TimedOut(_) => 4 * ATTEMPTS,
        _ => ATTEMPTS,
    }
}
