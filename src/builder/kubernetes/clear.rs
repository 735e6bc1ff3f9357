//! What runs stand on, and the removal of what a run left.

use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::DeleteParams;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt as _};

use super::ClusterBuilder;
use super::failure::error;
use super::manifest::{PURPOSE, PURPOSE_BUILDS, Stage, namespace, network_policy};
use super::run::Run;
use crate::builder::{BuilderError, KIOPS, MANAGED_BY};
use crate::cluster::{ClusterError, watch};

/// How long the removal of what is left after a run may take, where nobody waits for it.
const QUIET: Duration = Duration::from_secs(20);

impl ClusterBuilder {
    /// Sees that the namespace of runs is there and ours, and that its network policy holds.
    pub(super) async fn have_ground(&self, run: &Run<'_>) -> Result<(), BuilderError> {
        let name = self.place.namespace.as_str();
        let namespaces: Api<Namespace> = Api::all(self.cluster.client());
        let found = run.in_time(async { namespaces.get_opt(name).await.map_err(ClusterError::from) }).await?;
        if found.is_some_and(|found| !is_ours(&found)) {
            return Err(BuilderError::Refused(format!(
                "namespace {name} of the cluster was not made by KIOPS for builds: build.namespace of kiops.toml can name \
                 another one"
            )));
        }
        run.in_time(self.cluster.apply(&namespace(&self.place), &())).await?;
        run.in_time(self.cluster.apply(&network_policy(&self.place), &())).await?;
        Ok(())
    }

    /// Removes a run's Job and Secret, and waits until none of its pods is left.
    pub(super) async fn remove(&self, stage: Stage, run_id: &str) -> Result<(), BuilderError> {
        let name = stage.name(run_id);
        // The Job goes at once, and the cluster removes its pods: what they do when they end is of no interest.
        gone(self.api::<Job>().delete(&name, &DeleteParams::background()).await)?;
        gone(self.api::<Secret>().delete(&name, &DeleteParams::default()).await)?;
        self.wait_until_gone(stage, run_id).await
    }

    /// As [`Self::remove`], where nothing depends on it.
    pub(super) async fn remove_quietly(&self, stage: Stage, run_id: &str) {
        let removed = tokio::time::timeout(QUIET, self.remove(stage, run_id)).await;
        if let Err(why) = removed.unwrap_or_else(|_| Err(BuilderError::Unreachable("it takes too long".to_owned()))) {
            tracing::warn!(run = run_id, %why, "a run could not be removed from the cluster");
        }
    }

    async fn wait_until_gone(&self, stage: Stage, run_id: &str) -> Result<(), BuilderError> {
        let config = watcher::Config::default().labels(&stage.selector(run_id));
        let mut pods = watch(self.api::<Pod>(), config);
        let mut left = std::collections::BTreeSet::new();
        let mut coming = std::collections::BTreeSet::new();
        while let Some(heard) = pods.next().await {
            match heard.map_err(error)? {
                Event::Init => {
                    coming.clear();
                    continue;
                }
                Event::InitApply(pod) => {
                    coming.insert(pod.name_any());
                    continue;
                }
                Event::InitDone => left = std::mem::take(&mut coming),
                Event::Apply(pod) => {
                    left.insert(pod.name_any());
                }
                Event::Delete(pod) => {
                    left.remove(&pod.name_any());
                }
            }
            if left.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn is_ours(namespace: &Namespace) -> bool {
    let label = |key: &str| namespace.labels().get(key).map(String::as_str);
    label(MANAGED_BY) == Some(KIOPS) && label(PURPOSE) == Some(PURPOSE_BUILDS)
}

/// What is gone already is removed.
fn gone<T>(deleted: Result<T, kube::Error>) -> Result<(), BuilderError> {
    match deleted.map_err(ClusterError::from) {
        Ok(_) | Err(ClusterError::NotFound(_)) => Ok(()),
        Err(failure) => Err(error(failure)),
    }
}
