//! Whose a namespace is.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use super::watch::{Known, watch};
use super::{KubernetesRuntime, error, manifest};
use crate::cluster::{ClusterError, FIELD_MANAGER};
use crate::domain::spec::Target;
use crate::runtime::RuntimeError;
use crate::runtime::labels::{self, KIOPS, MANAGED_BY};

/// What the namespace of an environment is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is not there.
    Absent,
    /// It was made for this very environment.
    Ours,
    /// It is ours and being deleted.
    Leaving,
}

impl KubernetesRuntime {
    /// Looks at an environment's namespace.
    ///
    /// # Errors
    /// [`RuntimeError::NotOwned`] for one that is somebody else's or another environment's, and for those that Kubernetes
    /// keeps for itself, whether they are there or not.
    pub(super) async fn standing(&self, target: &Target) -> Result<Standing, RuntimeError> {
        let name = &target.namespace;
        if name == "default" || name.starts_with("kube-") {
            return Err(RuntimeError::NotOwned(format!(
                "the namespace {name} is one that Kubernetes keeps for itself"
            )));
        }
        let found = match self.namespaces().get(name).await.map_err(ClusterError::from) {
            Ok(found) => found,
            Err(ClusterError::NotFound(_)) => return Ok(Standing::Absent),
            Err(why) => return Err(error(why)),
        };
        let ours: std::collections::BTreeMap<String, String> = labels::of(target);
        if ours.iter().any(|(key, value)| found.labels().get(key) != Some(value)) {
            let whose = match found.labels().get(MANAGED_BY).map(String::as_str) {
                Some(KIOPS) => "belongs to another service or environment",
                _ => "exists already and was not made by KIOPS",
            };
            return Err(RuntimeError::NotOwned(format!(
                "the namespace {name} {whose}: give the environment another one, or remove it"
            )));
        }
        let leaves = found.metadata.deletion_timestamp.is_some();
        Ok(if leaves { Standing::Leaving } else { Standing::Ours })
    }

    /// Makes the namespace where it is not there. It is created and not applied, so that one which somebody else makes at
    /// this moment stays theirs.
    ///
    /// # Errors
    /// [`RuntimeError::NotOwned`] as [`Self::standing`] has it, [`RuntimeError::TimedOut`] for one that is still being deleted.
    pub(super) async fn claim_namespace(&self, target: &Target, until: Instant) -> Result<(), RuntimeError> {
        loop {
            match self.standing(target).await? {
                Standing::Ours => return Ok(()),
                Standing::Leaving => self.until_gone(target, until).await?,
                Standing::Absent => {
                    let by = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
                    match self.namespaces().create(&by, &manifest::namespace(target)).await.map_err(ClusterError::from)
                    {
                        Ok(_) => return Ok(()),
                        // Somebody was faster: whose is it now?
                        Err(ClusterError::Conflict(_)) => {}
                        Err(why) => return Err(error(why)),
                    }
                }
            }
        }
    }

    /// Deletes the namespace with all that is in it. Returns at once; see [`Self::until_gone`].
    pub(super) async fn delete_namespace(&self, target: &Target) -> Result<(), RuntimeError> {
        let deleted = self.namespaces().delete(&target.namespace, &DeleteParams::background()).await;
        match deleted.map_err(ClusterError::from) {
            // It is on its way already.
            Ok(_) | Err(ClusterError::NotFound(_) | ClusterError::Conflict(_)) => Ok(()),
            Err(why) => Err(error(why)),
        }
    }

    /// Waits for the namespace to be gone: the cluster first deletes what is in it, and that takes its time.
    ///
    /// # Errors
    /// [`RuntimeError::TimedOut`] when it is still there at `until`.
    pub(super) async fn until_gone(&self, target: &Target, until: Instant) -> Result<(), RuntimeError> {
        use futures_util::StreamExt as _;
        let name = &target.namespace;
        let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut heard = watch(self.namespaces(), one);
        let mut known = Known::<Namespace>::default();
        while !known.is_whole || known.all.contains_key(name) {
            match tokio::time::timeout_at(until, heard.next()).await {
                Ok(Some(Ok(event))) => known.take(event),
                Ok(Some(Err(why))) if why.is_passing() || matches!(why, ClusterError::TooOld(_)) => {}
                Ok(Some(Err(why))) => return Err(error(why)),
                Ok(None) | Err(_) => {
                    return Err(RuntimeError::TimedOut(format!(
                        "the namespace {name} is still being deleted: something in it may wait for its own cleaning up"
                    )));
                }
            }
        }
        Ok(())
    }

    fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.cluster.client())
    }
}
