//! Removes what no revision has any more, never volumes.

use std::collections::BTreeSet;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::manifest::{self, Object};
use super::{KubernetesRuntime, error, selector_of};
use crate::cluster::ClusterError;
use crate::domain::spec::Target;
use crate::runtime::labels::{KIOPS, MANAGED_BY};
use crate::runtime::{Rollout, RuntimeError};

/// What is to stay: kinds and names.
pub(super) type Kept = BTreeSet<(&'static str, String)>;

/// Kinds and names of a revision's objects.
pub(super) fn kept(objects: &[Object]) -> Kept {
    objects.iter().map(|object| (object.kind(), object.name().to_owned())).collect()
}

impl KubernetesRuntime {
    /// Removes all of the environment that is not in the revision.
    pub(super) async fn prune(&self, rollout: &Rollout) -> Result<(), RuntimeError> {
        let kept = kept(&manifest::objects(rollout)?);
        self.remove_others(&rollout.spec.target, &kept).await
    }

    /// Removes all of the environment but what is to stay. What sends requests goes first, and what pods need last.
    pub(super) async fn remove_others(&self, target: &Target, kept: &Kept) -> Result<(), RuntimeError> {
        self.remove_kind::<Ingress>(target, "Ingress", kept).await?;
        self.remove_autoscalers(target, kept).await?;
        self.remove_kind::<PodDisruptionBudget>(target, "PodDisruptionBudget", kept).await?;
        self.remove_kind::<Service>(target, "Service", kept).await?;
        self.remove_kind::<Deployment>(target, "Deployment", kept).await?;
        self.remove_kind::<Secret>(target, "Secret", kept).await
    }

    /// Removes autoscalers that are not to stay: one that goes on would change what a revision says.
    pub(super) async fn remove_autoscalers(&self, target: &Target, kept: &Kept) -> Result<(), RuntimeError> {
        self.remove_kind::<HorizontalPodAutoscaler>(target, "HorizontalPodAutoscaler", kept).await
    }

    /// Whether there is a volume in the environment's own namespace, be it of an environment that had it before.
    pub(super) async fn has_volumes(&self, target: &Target) -> Result<bool, RuntimeError> {
        let listed = self.api_in::<PersistentVolumeClaim>(&target.namespace).list_metadata(&of_any()).await;
        Ok(!listed.map_err(|why| error(why.into()))?.items.is_empty())
    }

    async fn remove_kind<K>(&self, target: &Target, kind: &'static str, kept: &Kept) -> Result<(), RuntimeError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let api = self.api_in::<K>(&target.namespace);
        // Names are all that is needed: what is in a Secret need not travel.
        let listed = api.list_metadata(&ours(target)).await.map_err(|why| error(why.into()))?;
        for found in listed.items.iter().filter(|found| !kept.contains(&(kind, found.name_any()))) {
            match api.delete(&found.name_any(), &DeleteParams::background()).await.map_err(ClusterError::from) {
                Ok(_) | Err(ClusterError::NotFound(_)) => {}
                Err(why) => return Err(error(why)),
            }
        }
        Ok(())
    }
}

/// All of a kind that KIOPS has made, whichever environment it is of.
pub(super) fn of_any() -> ListParams {
    ListParams::default().labels(&format!("{MANAGED_BY}={KIOPS}"))
}

/// All of an environment's objects of a kind.
pub(super) fn ours(target: &Target) -> ListParams {
    ListParams::default().labels(&selector_of(target))
}
