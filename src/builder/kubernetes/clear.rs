//! The removal of what a run left.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;

use super::ClusterBuilder;
use super::failure::error;
use super::manifest::Stage;
use crate::builder::BuilderError;
use crate::cluster::clear::{REMOVAL, remove, wait_until_gone};

impl ClusterBuilder {
    /// Removes a run's Job and Secret, and waits until none of its pods is left, for a while.
    ///
    /// # Errors
    /// [`BuilderError::Unreachable`] when the cluster does not answer, or does not say in time that they are gone.
    pub(super) async fn remove(&self, stage: Stage, run_id: &str) -> Result<(), BuilderError> {
        let late = || {
            let text = format!("the cluster does not say that {} is gone with its pod", stage.name(run_id));
            BuilderError::Unreachable(text)
        };
        tokio::time::timeout(REMOVAL, self.remove_at_last(stage, run_id)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn remove_at_last(&self, stage: Stage, run_id: &str) -> Result<(), BuilderError> {
        let (name, namespace) = (stage.name(run_id), self.place.namespace.as_str());
        remove::<Job>(&self.cluster, namespace, &name).await.map_err(error)?;
        remove::<Secret>(&self.cluster, namespace, &name).await.map_err(error)?;
        wait_until_gone(&self.cluster, namespace, &stage.selector(run_id)).await.map_err(error)
    }

    /// As [`Self::remove`], where nothing depends on it.
    pub(super) async fn remove_quietly(&self, stage: Stage, run_id: &str) {
        if let Err(why) = self.remove(stage, run_id).await {
            tracing::warn!(run = run_id, %why, "a run could not be removed from the cluster");
        }
    }
}
