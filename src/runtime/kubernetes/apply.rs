//! Brings a revision's objects to the cluster, one call at a time. Every call can be made again.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use tokio::time::Instant;

use super::control::{STOPPED, replicas_before};
use super::follow::Following;
use super::manifest::{self, Object};
use super::prune::{self, of_any, ours};
use super::{KubernetesRuntime, error};
use crate::cluster::{ClusterError, FIELD_MANAGER};
use crate::domain::spec::Target;
use crate::engine::neutralise;
use crate::runtime::words::mask;
use crate::runtime::{Applied, Progress, Rollout, RuntimeError};

/// Holds the number of pods while it goes over from us to an autoscaler.
const HANDOVER_MANAGER: &str = "kiops-handover";

impl KubernetesRuntime {
    pub(super) async fn apply_rollout(
        &self,
        rollout: &Rollout,
        progress: &dyn Progress,
    ) -> Result<Applied, RuntimeError> {
        let deadline = Instant::now() + rollout.deadline;
        let target = &rollout.spec.target;
        let objects = manifest::objects(rollout)?;
        let mut warnings = manifest::warnings(&rollout.spec);
        warnings.extend(self.routes_are_free(target, &objects).await?);
        self.claim_namespace(target, deadline).await?;
        wanted_still(progress)?;
        progress.line(&format!("Applying {} objects in the namespace {}.", objects.len() - 1, target.namespace)).await;
        let mut applying = Applying { runtime: self, rollout, there: self.there(target).await?, told: &mut warnings };
        self.remove_autoscalers(target, &prune::kept(&objects)).await?;
        let mut applied = BTreeMap::new();
        for object in objects {
            wanted_still(progress)?;
            applied.extend(applying.one(object).await?);
        }
        let following = Following::new(self, rollout, applied, progress);
        let pods = tokio::select! {
            pods = following.until_it_serves(deadline) => pods?,
            () = progress.unwanted() => return Err(RuntimeError::Unwanted),
        };
        let addresses = self.addresses(target, &pods).await?;
        Ok(Applied { host_ports: BTreeMap::new(), addresses, warnings })
    }

    /// Applies all objects of a revision, and gives the generation of each Deployment as it is then.
    pub(super) async fn apply_objects(
        &self,
        rollout: &Rollout,
        objects: Vec<Object>,
        told: &mut Vec<String>,
    ) -> Result<BTreeMap<String, i64>, RuntimeError> {
        let target = &rollout.spec.target;
        let mut applying = Applying { runtime: self, rollout, there: self.there(target).await?, told };
        self.remove_autoscalers(target, &prune::kept(&objects)).await?;
        let mut applied = BTreeMap::new();
        for object in objects {
            applied.extend(applying.one(object).await?);
        }
        Ok(applied)
    }

    async fn there(&self, target: &Target) -> Result<There, RuntimeError> {
        let deployments = self.api_in::<Deployment>(&target.namespace).list(&ours(target)).await;
        // Also those of an environment that had the namespace before.
        let claims = self.api_in::<PersistentVolumeClaim>(&target.namespace).list(&of_any()).await;
        let deployments = deployments.map_err(|why| error(why.into()))?.items;
        let claims = claims.map_err(|why| error(why.into()))?.items;
        Ok(There {
            deployments: deployments.into_iter().map(|d| (d.name_any(), d)).collect(),
            claims: claims.into_iter().map(|c| (c.name_any(), c)).collect(),
        })
    }
}

/// An early end, between two calls.
fn wanted_still(progress: &dyn Progress) -> Result<(), RuntimeError> {
    match progress.unwanted().now_or_never() {
        Some(()) => Err(RuntimeError::Unwanted),
        None => Ok(()),
    }
}

/// What of the environment was there before, as far as applying depends on it.
struct There {
    deployments: BTreeMap<String, Deployment>,
    claims: BTreeMap<String, PersistentVolumeClaim>,
}

struct Applying<'a> {
    runtime: &'a KubernetesRuntime,
    rollout: &'a Rollout,
    there: There,
    told: &'a mut Vec<String>,
}

impl Applying<'_> {
    /// Applies one object; of a Deployment gives the name and the generation that it has then.
    async fn one(&mut self, object: Object) -> Result<Option<(String, i64)>, RuntimeError> {
        let (kind, name) = (object.kind(), object.name().to_owned());
        let cluster = &self.runtime.cluster;
        let applied = match object {
            // It was claimed before.
            Object::Namespace(_) => Ok(()),
            Object::Secret(o) => cluster.apply(&o, &()).await.map(|_| ()),
            Object::Claim(mut o) => {
                if let Some(there) = self.there.claims.get(&name) {
                    self.told.extend(manifest::settle(&mut o, there));
                }
                cluster.apply(&o, &()).await.map(|_| ())
            }
            Object::Service(o) => cluster.apply(&o, &()).await.map(|_| ()),
            Object::Autoscaler(o) => cluster.apply(&o, &()).await.map(|_| ()),
            Object::Budget(o) => cluster.apply(&o, &()).await.map(|_| ()),
            Object::Ingress(o) => cluster.apply(&*o, &()).await.map(|_| ()),
            Object::Deployment(o) => match self.deployment(&o).await {
                Ok(generation) => return Ok(Some((name, generation))),
                Err(why) => Err(why),
            },
        };
        applied.map(|()| None).map_err(|why| self.refused(kind, &name, why))
    }

    async fn deployment(&self, wanted: &Deployment) -> Result<i64, ClusterError> {
        let name = wanted.name_any();
        let api = self.runtime.api_in::<Deployment>(&self.rollout.spec.target.namespace);
        let there = self.there.deployments.get(&name);
        let is_scaled = wanted.spec.as_ref().is_some_and(|spec| spec.replicas.is_none());
        if let Some(there) = there.filter(|there| is_scaled && owns_replicas(there)) {
            // A field that its only owner does not name any more falls back to its default, one pod: somebody else has
            // to own it meanwhile. <https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership>
            let kept = serde_json::json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
                "spec": { "replicas": there.spec.as_ref().and_then(|spec| spec.replicas) },
            });
            let by = PatchParams::apply(HANDOVER_MANAGER).force().validation_strict();
            api.patch(&name, &by, &Patch::Apply(&kept)).await?;
        }
        let mut applied = self.runtime.cluster.apply(wanted, &()).await?;
        if let Some(there) = there {
            let is_stopped = there.annotations().contains_key(STOPPED);
            let at_zero = is_scaled && applied.spec.as_ref().and_then(|spec| spec.replicas) == Some(0);
            if is_stopped || at_zero {
                // It is to run again; where an autoscaler says how often, it begins with as many as before.
                let mut change = serde_json::json!({ "metadata": { "annotations": { STOPPED: null } } });
                if at_zero {
                    change["spec"] = serde_json::json!({ "replicas": replicas_before(there) });
                }
                let by = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
                applied = api.patch(&name, &by, &Patch::Merge(&change)).await?;
            }
        }
        Ok(applied.metadata.generation.unwrap_or_default())
    }

    /// What the API server has against an object.
    fn refused(&self, kind: &str, name: &str, why: ClusterError) -> RuntimeError {
        let text = mask(self.rollout, &format!("{kind} {name}: {}", neutralise(&why.to_string())));
        match why {
            // RBAC's sentence; a quota or an admission rule has another one.
            ClusterError::Forbidden(sentence) if sentence.contains("\" cannot ") => RuntimeError::Unauthorized(text),
            ClusterError::Forbidden(_) | ClusterError::Invalid(_) | ClusterError::Conflict(_) => {
                RuntimeError::Failed(text)
            }
            other => error(other),
        }
    }
}

/// Whether the number of pods is in the fields that we applied.
fn owns_replicas(deployment: &Deployment) -> bool {
    deployment.managed_fields().iter().any(|entry| {
        let is_ours = entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply");
        is_ours && entry.fields_v1.as_ref().is_some_and(|fields| !fields.0["f:spec"]["f:replicas"].is_null())
    })
}
