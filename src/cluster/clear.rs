//! The removal of what Jobs of KIOPS left.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt as _};

use super::ground::{KIOPS, MANAGED_BY};
use super::{Cluster, ClusterError, watch};

/// How long the removal of what is left after a run is waited for: a pod on a node that has died stays until the node is
/// back or taken from the cluster.
pub const REMOVAL: Duration = Duration::from_secs(20);
/// Waits between tries to remove something.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// How much longer than its time a Job that never began is left alone.
const FORGOTTEN: i64 = 3600;

/// Removes Jobs of a namespace of ours that never began and whose run is long over: neither deadline nor time to live holds
/// for a Job that is suspended, which one stays that was made by a server that was killed before it let it begin. `made` is a
/// Job of now, by the cluster's own clock. What they own goes with them. What fails here is tried again by the next run.
pub(super) async fn sweep(cluster: &Cluster, namespace: &str, made: &Job) {
    if let Err(failure) = try_to_sweep(cluster, namespace, made).await {
        tracing::warn!(%failure, "Jobs that never began could not be looked for on the cluster");
    }
}

async fn try_to_sweep(cluster: &Cluster, namespace: &str, made: &Job) -> Result<(), ClusterError> {
    let jobs: Api<Job> = Api::namespaced(cluster.client(), namespace);
    let ours = ListParams::default().labels(&format!("{MANAGED_BY}={KIOPS}"));
    let there = tokio::time::timeout(REMOVAL, jobs.list(&ours)).await;
    let there = there.map_err(|_| ClusterError::Unreachable("it takes too long".to_owned()))??;
    for job in there.items.iter().filter(|job| is_forgotten(job, made)) {
        jobs.delete(&job.name_any(), &DeleteParams::background()).await?;
        tracing::info!(job = job.name_any(), "a Job that never began was removed from the cluster");
    }
    Ok(())
}

/// Removes an object. What is gone already is removed, and a cluster that is away for a moment is asked again. A Job goes at
/// once, and the cluster removes its pods: what they do when they end is of no interest.
///
/// # Errors
/// As the API server answers.
pub async fn remove<K>(cluster: &Cluster, namespace: &str, name: &str) -> Result<(), ClusterError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(cluster.client(), namespace);
    let how = DeleteParams::background();
    let mut waits = WAITS.iter();
    loop {
        match (api.delete(name, &how).await.map_err(ClusterError::from), waits.next()) {
            (Ok(_) | Err(ClusterError::NotFound(_)), _) => return Ok(()),
            (Err(failure), Some(wait)) if failure.is_passing() => tokio::time::sleep(*wait).await,
            (Err(failure), _) => return Err(failure),
        }
    }
}

/// Waits until no pod is there that a selector chooses.
///
/// # Errors
/// As the API server answers.
pub async fn wait_until_gone(cluster: &Cluster, namespace: &str, selector: &str) -> Result<(), ClusterError> {
    let pods: Api<Pod> = Api::namespaced(cluster.client(), namespace);
    let mut pods = watch(pods, watcher::Config::default().labels(selector));
    let mut left = BTreeSet::new();
    let mut coming = BTreeSet::new();
    while let Some(heard) = pods.next().await {
        let heard = match heard {
            Ok(heard) => heard,
            // It begins anew by itself.
            Err(failure) if failure.is_passing() || matches!(failure, ClusterError::TooOld(_)) => continue,
            Err(failure) => return Err(failure),
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

/// Whether a Job has not begun, and is so much older than another one that nobody can be about to begin it.
fn is_forgotten(job: &Job, made: &Job) -> bool {
    let Some(spec) = job.spec.as_ref().filter(|spec| spec.suspend == Some(true)) else { return false };
    let second = |job: &Job| job.metadata.creation_timestamp.as_ref().map(|at| at.0.as_second());
    let (Some(then), Some(now)) = (second(job), second(made)) else { return false };
    now - then > spec.active_deadline_seconds.unwrap_or_default() + FORGOTTEN
}
