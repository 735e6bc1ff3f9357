//! Ending a deployment at work before its time: at once while nothing that runs was touched, else by way of UNDO.

use async_trait::async_trait;
use entity::{DeploymentPhase, deployment};
use sea_orm::EntityTrait as _;
use tokio_util::sync::CancellationToken;

use super::Work;
use crate::app::Result;
use crate::app::deployments::cancel;
use crate::app::log::RunLog;
use crate::runtime::{Applied, Progress, Rollout, RuntimeError};

/// The log of a rollout that somebody may want ended.
struct Watched<'a> {
    log: &'a RunLog,
    unwanted: CancellationToken,
}

#[async_trait]
impl Progress for Watched<'_> {
    async fn line(&self, text: &str) {
        Progress::line(self.log, text).await;
    }

    async fn unwanted(&self) {
        self.unwanted.cancelled().await;
    }
}

/// Whether somebody wants a deployment ended that has not touched what runs.
pub(super) fn is_unbegun_and_canceled(deployment: &deployment::Model) -> bool {
    deployment.cancel_requested && deployment.phase == DeploymentPhase::Prepare
}

impl Work<'_> {
    /// Waits for a call that changes nothing that runs, or until somebody wants the deployment ended: the call is dropped
    /// then, and none comes back.
    pub(super) async fn unless_canceled<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        if self.deployment.cancel_requested {
            return None;
        }
        tokio::select! {
            done = call => Some(done),
            () = cancel::wanted(self.app, &self.deployment.id) => None,
        }
    }

    /// Brings the revision up. None when somebody wants it ended: the runtime was told, and has come back. It is not left
    /// in the middle of a call, which would go on in the engine while what it did is being undone.
    pub(super) async fn bring_up(&self, rollout: &Rollout) -> Option<std::result::Result<Applied, RuntimeError>> {
        if self.deployment.cancel_requested {
            return None;
        }
        let progress = Watched { log: &self.log, unwanted: CancellationToken::new() };
        let mut call = self.runtime.apply(rollout, &progress);
        tokio::select! {
            done = &mut call => return Some(done),
            () = cancel::wanted(self.app, &self.deployment.id) => progress.unwanted.cancel(),
        }
        // However it ended, it is not to serve.
        let _ended = call.await;
        None
    }

    /// From APPLY to UNDO. False: the lease was lost.
    pub(super) async fn turn_to_undo(&mut self, message: String) -> Result<bool> {
        Progress::line(&self.log, &message).await;
        let what_now = match self.deployment.moved_from {
            Some(_) => "removing what was made there, but for volumes; what ran before never stopped",
            None => "bringing back what ran before",
        };
        Progress::line(&self.log, what_now).await;
        self.advance(DeploymentPhase::Undo, Some(message)).await
    }

    /// What was said by whoever wants it ended.
    pub(super) async fn why_canceled(&self) -> Result<String> {
        let row = deployment::Entity::find_by_id(&self.deployment.id).one(self.app.db.read()).await?;
        Ok(row.and_then(|row| row.message).unwrap_or_else(|| "canceled".to_owned()))
    }
}
