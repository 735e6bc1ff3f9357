//! What runs stand on, and the removal of what a run left.

use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt as _};

use super::ClusterBuilder;
use super::failure::error;
use super::manifest::{PURPOSE, PURPOSE_BUILDS, Stage, namespace, network_policy};
use super::run::Run;
use crate::builder::{BuilderError, KIOPS, MANAGED_BY, RUN};
use crate::cluster::{ClusterError, FIELD_MANAGER, watch};

/// How long the removal of what is left after a run is waited for: a pod on a node that has died stays until the node is
/// back or taken from the cluster.
const REMOVAL: Duration = Duration::from_secs(20);
/// Waits between tries to remove something.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// How much longer than its time a Job that never began is left alone.
const FORGOTTEN: i64 = 3600;

impl ClusterBuilder {
    /// Sees that the namespace of runs is there and ours, and that its network policy holds.
    pub(super) async fn have_ground(&self, run: &Run<'_>) -> Result<(), BuilderError> {
        let name = self.place.namespace.as_str();
        let namespaces: Api<Namespace> = Api::all(self.cluster.client());
        let (ground, policy) = (namespace(&self.place), network_policy(&self.place));
        let look = || async { namespaces.get_opt(name).await.map_err(ClusterError::from) };
        let mut found = run.in_time(look).await?;
        if found.is_none() {
            // It is created and not applied, so that one which somebody else makes at this moment stays theirs.
            let by = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
            let make = || async {
                match namespaces.create(&by, &ground).await.map_err(ClusterError::from) {
                    Ok(_) => Ok(None),
                    // Somebody was faster: whose is it now?
                    Err(ClusterError::Conflict(_)) => look().await,
                    Err(failure) => Err(failure),
                }
            };
            found = run.in_time(make).await?;
        }
        if let Some(found) = found {
            if !is_ours(&found) {
                return Err(BuilderError::Refused(format!(
                    "namespace {name} of the cluster was not made by KIOPS for builds: build.namespace of kiops.toml can \
                     name another one"
                )));
            }
            run.in_time(|| self.cluster.apply(&ground, &())).await?;
        }
        run.in_time(|| self.cluster.apply(&policy, &())).await?;
        Ok(())
    }

    /// Removes Jobs that never began and whose run is long over: neither deadline nor time to live holds for a Job that is
    /// suspended, which one stays that was made by a server that was killed before it let it begin. `made` is a Job of now,
    /// by the cluster's own clock. Their Secrets go with them. What fails here is tried again by the next run.
    pub(super) async fn sweep(&self, made: &Job) {
        if let Err(failure) = self.try_to_sweep(made).await {
            tracing::warn!(%failure, "Jobs that never began could not be looked for on the cluster");
        }
    }

    async fn try_to_sweep(&self, made: &Job) -> Result<(), ClusterError> {
        let jobs: Api<Job> = self.api();
        let of_runs = ListParams::default().labels(&format!("{MANAGED_BY}={KIOPS},{RUN}"));
        let there = tokio::time::timeout(REMOVAL, jobs.list(&of_runs)).await;
        let there = there.map_err(|_| ClusterError::Unreachable("it takes too long".to_owned()))??;
        for job in there.items.iter().filter(|job| is_forgotten(job, made)) {
            jobs.delete(&job.name_any(), &DeleteParams::background()).await?;
            tracing::info!(job = job.name_any(), "a Job that never began was removed from the cluster");
        }
        Ok(())
    }

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
        let name = stage.name(run_id);
        // The Job goes at once, and the cluster removes its pods: what they do when they end is of no interest.
        let (jobs, secrets) = (self.api::<Job>(), self.api::<Secret>());
        let (with_its_pods, alone) = (DeleteParams::background(), DeleteParams::default());
        gone(|| jobs.delete(&name, &with_its_pods)).await?;
        gone(|| secrets.delete(&name, &alone)).await?;
        self.wait_until_gone(stage, run_id).await
    }

    /// As [`Self::remove`], where nothing depends on it.
    pub(super) async fn remove_quietly(&self, stage: Stage, run_id: &str) {
        if let Err(why) = self.remove(stage, run_id).await {
            tracing::warn!(run = run_id, %why, "a run could not be removed from the cluster");
        }
    }

    async fn wait_until_gone(&self, stage: Stage, run_id: &str) -> Result<(), BuilderError> {
        let config = watcher::Config::default().labels(&stage.selector(run_id));
        let mut pods = watch(self.api::<Pod>(), config);
        let mut left = std::collections::BTreeSet::new();
        let mut coming = std::collections::BTreeSet::new();
        while let Some(heard) = pods.next().await {
            let heard = match heard {
                Ok(heard) => heard,
                // It begins anew by itself.
                Err(failure) if failure.is_passing() || matches!(failure, ClusterError::TooOld(_)) => continue,
                Err(failure) => return Err(error(failure)),
            };
            match heard {
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

/// Whether a Job has not begun, and is so much older than another one that nobody can be about to begin it.
fn is_forgotten(job: &Job, made: &Job) -> bool {
    let Some(spec) = job.spec.as_ref().filter(|spec| spec.suspend == Some(true)) else { return false };
    let second = |job: &Job| job.metadata.creation_timestamp.as_ref().map(|at| at.0.as_second());
    let (Some(then), Some(now)) = (second(job), second(made)) else { return false };
    now - then > spec.active_deadline_seconds.unwrap_or_default() + FORGOTTEN
}

/// What is gone already is removed. A cluster that is away for a moment is asked again.
async fn gone<T, F>(delete: impl Fn() -> F) -> Result<(), BuilderError>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let mut waits = WAITS.iter();
    loop {
        match (delete().await.map_err(ClusterError::from), waits.next()) {
            (Ok(_) | Err(ClusterError::NotFound(_)), _) => return Ok(()),
            (Err(failure), Some(wait)) if failure.is_passing() => tokio::time::sleep(*wait).await,
            (Err(failure), _) => return Err(error(failure)),
        }
    }
}
