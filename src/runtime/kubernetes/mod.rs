//! Kubernetes: one namespace for each environment of a cluster.
//!
//! `manifest` says what a revision is, `apply` makes it so, `follow` waits for it by watches, with `rollout`, which is
//! pure, as the judge. What is whose is in labels, so that nothing has to be remembered between two calls.

mod access;
mod apply;
mod control;
mod drift;
mod follow;
mod instances;
mod logs;
pub mod manifest;
mod namespace;
mod prune;
mod rollout;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod rollout_tests;
mod routes;
mod undo;
mod watch;

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt as _};

use super::labels::{self, ENVIRONMENT, KIOPS, MANAGED_BY};
use super::{
    Applied, InstanceLine, InstanceState, LocalImage, LogQuery, Progress, Rollout, Runtime, RuntimeError, RuntimeEvent,
    RuntimeInfo, Volumes,
};
use crate::cluster::{self, Cluster, ClusterError, InCluster};
use crate::domain::image::{Repository, Tag};
use crate::domain::kubeconfig::ClusterAccess;
use crate::domain::spec::Target;

/// A Kubernetes cluster to deploy to. Cheap to clone.
#[derive(Clone)]
pub struct KubernetesRuntime {
    cluster: Cluster,
}

impl KubernetesRuntime {
    /// Makes a client; asks nothing yet. Has to be called inside of a tokio runtime. `surroundings` are what this server
    /// was told as a pod, where it is one.
    ///
    /// # Errors
    /// [`RuntimeError::Engine`] when the login's parts make no client.
    pub fn connect(access: &ClusterAccess, surroundings: Option<&InCluster>) -> Result<Self, RuntimeError> {
        Ok(Self { cluster: Cluster::connect(access, surroundings).map_err(error)? })
    }

    /// One kind of object in a namespace.
    fn api_in<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.cluster.client(), namespace)
    }
}

/// A cluster's error in the words of the trait.
fn error(error: ClusterError) -> RuntimeError {
    let text = error.to_string();
    match error {
        _ if error.is_passing() => RuntimeError::Unreachable(text),
        ClusterError::Unauthorized(_) | ClusterError::Forbidden(_) => RuntimeError::Unauthorized(text),
        _ => RuntimeError::Engine(text),
    }
}

/// The label selector of an environment's objects.
fn selector_of(target: &Target) -> String {
    let all: BTreeMap<String, String> = labels::of(target);
    all.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

#[async_trait]
impl Runtime for KubernetesRuntime {
    async fn check(&self) -> Result<RuntimeInfo, RuntimeError> {
        self.check_access().await
    }

    async fn admit(&self, target: &Target) -> Result<(), RuntimeError> {
        self.standing(target).await.map(|_| ())
    }

    async fn drift(&self, serving: &Rollout) -> Result<Vec<String>, RuntimeError> {
        self.what_changed(serving).await
    }

    /// Nodes pull for themselves, and no image is the cluster's.
    async fn local_image(&self, _: &Repository, _: &Tag) -> Result<Option<LocalImage>, RuntimeError> {
        Ok(None)
    }

    /// Nodes pull for themselves, when a pod is theirs.
    async fn pull(&self, _: &Rollout, _: &dyn Progress) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn apply(&self, rollout: &Rollout, progress: &dyn Progress) -> Result<Applied, RuntimeError> {
        self.apply_rollout(rollout, progress).await
    }

    async fn finish(&self, rollout: &Rollout, _: &dyn Progress) -> Result<(), RuntimeError> {
        self.prune(rollout).await
    }

    async fn undo(
        &self,
        failed: &Rollout,
        previous: Option<&Rollout>,
        progress: &dyn Progress,
    ) -> Result<(), RuntimeError> {
        progress.line("Bringing back what ran before.").await;
        match previous {
            Some(previous) => self.bring_back(previous, progress).await,
            None => self.take_back(&failed.spec.target).await,
        }
    }

    async fn stop(&self, target: &Target) -> Result<(), RuntimeError> {
        self.stop_all(target).await
    }

    async fn restart(&self, target: &Target) -> Result<(), RuntimeError> {
        self.restart_all(target).await
    }

    async fn remove(&self, target: &Target, volumes: Volumes) -> Result<(), RuntimeError> {
        self.remove_all(target, volumes).await
    }

    async fn instances(&self, target: &Target) -> Result<Vec<InstanceState>, RuntimeError> {
        self.list_instances(target).await
    }

    async fn logs(
        &self,
        target: &Target,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<InstanceLine, RuntimeError>>, RuntimeError> {
        self.read_logs(target, query).await
    }

    /// One watch on all pods of ours, in every namespace.
    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
        let ours = watcher::Config::default().labels(&format!("{MANAGED_BY}={KIOPS}"));
        let mut heard = cluster::watch(Api::<Pod>::all(self.cluster.client()), ours);
        // The caller looks at everything once as soon as it hears, so that nothing may be missed from then on.
        loop {
            match heard.next().await {
                Some(Ok(Event::InitDone)) => break,
                Some(Ok(_)) => {}
                Some(Err(why)) => return Err(error(why)),
                None => return Err(RuntimeError::Unreachable("the cluster tells no events".to_owned())),
            }
        }
        let told = async_stream::stream! {
            while let Some(one) = heard.next().await {
                match one {
                    Ok(Event::Apply(pod) | Event::Delete(pod)) => {
                        let id = pod.labels().get(ENVIRONMENT).cloned();
                        if let Some(environment_id) = id {
                            yield Ok(RuntimeEvent { environment_id });
                        }
                    }
                    Ok(_) => {}
                    Err(why) => {
                        yield Err(error(why));
                        return;
                    }
                }
            }
        };
        Ok(told.boxed())
    }
}
