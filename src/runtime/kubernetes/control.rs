//! Stops and starts an environment's pods, and leaves everything else as it is.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::prune::ours;
use super::{KubernetesRuntime, error};
use crate::cluster::{ClusterError, FIELD_MANAGER};
use crate::domain::spec::Target;
use crate::runtime::RuntimeError;

/// How many pods a stopped Deployment had. An autoscaler does nothing while there are none:
/// <https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#implicit-maintenance-mode-deactivation>.
pub(super) const STOPPED: &str = "kiops.dev/stopped-replicas";
/// How often the pods were started anew: in the pod template, where any change makes new pods. A counter, since what time
/// it is matters to nobody.
const RESTARTS: &str = "kiops.dev/restarts";

/// How many pods a Deployment has, or had before it was stopped; at least one.
pub(super) fn replicas_before(deployment: &Deployment) -> i32 {
    let kept = deployment.annotations().get(STOPPED).and_then(|kept| kept.parse().ok());
    let now = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    kept.or(now).unwrap_or(1).max(1)
}

impl KubernetesRuntime {
    pub(super) async fn stop_all(&self, target: &Target) -> Result<(), RuntimeError> {
        let stop = |deployment: &Deployment| {
            let replicas = replicas_before(deployment).to_string();
            json!({ "metadata": { "annotations": { STOPPED: replicas } }, "spec": { "replicas": 0 } })
        };
        self.change_all(target, stop).await
    }

    pub(super) async fn restart_all(&self, target: &Target) -> Result<(), RuntimeError> {
        let restart = |deployment: &Deployment| {
            if deployment.annotations().contains_key(STOPPED) {
                let replicas = replicas_before(deployment);
                return json!({ "metadata": { "annotations": { STOPPED: null } }, "spec": { "replicas": replicas } });
            }
            let template = deployment.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
            let before = template.and_then(|meta| meta.annotations.as_ref()?.get(RESTARTS)?.parse::<u64>().ok());
            let number = before.unwrap_or_default().saturating_add(1).to_string();
            json!({ "spec": { "template": { "metadata": { "annotations": { RESTARTS: number } } } } })
        };
        self.change_all(target, restart).await
    }

    async fn change_all(&self, target: &Target, change: impl Fn(&Deployment) -> Value) -> Result<(), RuntimeError> {
        let api = self.api_in::<Deployment>(&target.namespace);
        let listed = api.list(&ours(target)).await.map_err(|why| error(why.into()))?;
        let by = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
        for deployment in &listed.items {
            let patched = api.patch(&deployment.name_any(), &by, &Patch::Merge(change(deployment))).await;
            match patched.map_err(ClusterError::from) {
                Ok(_) | Err(ClusterError::NotFound(_)) => {}
                Err(why) => return Err(error(why)),
            }
        }
        Ok(())
    }
}
