//! Whose a namespace is.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::watch::Known;
use super::{KubernetesRuntime, error, manifest};
use crate::cluster::{ClusterError, FIELD_MANAGER, watch};
use crate::domain::spec::Target;
use crate::runtime::RuntimeError;
use crate::runtime::labels::{self, ENVIRONMENT, KEPT, KIOPS, MANAGED_BY, ORGANIZATION, SERVICE};

/// What the namespace of an environment is to us.
#[derive(Debug)]
pub(super) enum Standing {
    /// It is not there.
    Absent,
    /// It was made for this very environment. Its uid, so that nobody else's of the same name is meant later.
    Ours(String),
    /// It was left with its volumes by an environment of the same organization that was removed.
    Left(Box<Namespace>),
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
        let leaves = found.metadata.deletion_timestamp.is_some();
        let ours: BTreeMap<String, String> = labels::of(target);
        let has = |key: &str| found.labels().get(key) == ours.get(key);
        if found.labels().contains_key(KEPT) && has(MANAGED_BY) && has(ORGANIZATION) {
            return Ok(if leaves { Standing::Leaving } else { Standing::Left(Box::new(found)) });
        }
        if !ours.keys().all(|key| has(key)) {
            let whose = match found.labels().get(MANAGED_BY).map(String::as_str) {
                Some(KIOPS) => "belongs to another service or environment",
                _ => "exists already and was not made by KIOPS",
            };
            return Err(RuntimeError::NotOwned(format!(
                "the namespace {name} {whose}: give the environment another one, or remove it"
            )));
        }
        Ok(if leaves { Standing::Leaving } else { Standing::Ours(found.uid().unwrap_or_default()) })
    }

    /// Makes the namespace where it is not there. It is created and not applied, so that one which somebody else makes at
    /// this moment stays theirs.
    ///
    /// # Errors
    /// [`RuntimeError::NotOwned`] as [`Self::standing`] has it, [`RuntimeError::TimedOut`] for one that is still being deleted.
    pub(super) async fn claim_namespace(&self, target: &Target, until: Instant) -> Result<(), RuntimeError> {
        loop {
            match self.standing(target).await? {
                Standing::Ours(_) => return Ok(()),
                Standing::Left(left) => match self.relabel(&left, &adopted(target)).await {
                    Ok(()) => return Ok(()),
                    // Somebody changed it meanwhile: whose is it now?
                    Err(ClusterError::Conflict(_) | ClusterError::NotFound(_)) => {}
                    Err(why) => return Err(error(why)),
                },
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

    /// Leaves the namespace to the next environment that wants it, for the sake of what is in its volumes.
    pub(super) async fn leave_namespace(&self, target: &Target) -> Result<(), RuntimeError> {
        let found = match self.namespaces().get(&target.namespace).await.map_err(ClusterError::from) {
            Ok(found) => found,
            Err(ClusterError::NotFound(_)) => return Ok(()),
            Err(why) => return Err(error(why)),
        };
        let left = json!({ SERVICE: null, ENVIRONMENT: null, KEPT: "true" });
        self.relabel(&found, &left).await.map_err(error)
    }

    /// Changes labels of a namespace that is still as it was read.
    async fn relabel(&self, found: &Namespace, labels: &Value) -> Result<(), ClusterError> {
        let change = json!({ "metadata": {
            "uid": found.metadata.uid, "resourceVersion": found.metadata.resource_version, "labels": labels,
        } });
        let by = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
        self.namespaces().patch(&found.name_any(), &by, &Patch::Merge(&change)).await?;
        Ok(())
    }

    /// Deletes the namespace that has the uid, with all that is in it. Returns at once; see [`Self::until_gone`].
    pub(super) async fn delete_namespace(&self, target: &Target, uid: String) -> Result<(), RuntimeError> {
        let this_one = Preconditions { uid: Some(uid), resource_version: None };
        let how = DeleteParams { preconditions: Some(this_one), ..DeleteParams::background() };
        let deleted = self.namespaces().delete(&target.namespace, &how).await;
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

/// The labels of an environment's own namespace, as a change of one that was left.
fn adopted(target: &Target) -> Value {
    let mut change: serde_json::Map<String, Value> = labels::of::<BTreeMap<String, String>>(target)
        .into_iter()
        .map(|(key, value)| (key, Value::from(value)))
        .collect();
    change.insert(KEPT.to_owned(), Value::Null);
    Value::Object(change)
}
