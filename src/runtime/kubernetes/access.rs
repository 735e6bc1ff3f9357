//! What the login may do, against what a runtime has to.

use std::time::Duration;

use super::{KubernetesRuntime, error};
use crate::cluster::{Permission, grant_manifest};
use crate::runtime::{RuntimeError, RuntimeInfo};

/// How long a check may take.
const CHECK: Duration = Duration::from_secs(10);
/// The name of the role that is proposed where something is missing.
const ROLE: &str = "kiops-runtime";

/// All that the code of this module asks a cluster for. A server-side apply of an object that is not there needs `create`
/// beside `patch`.
const NEEDED: [Permission; 47] = [
    Permission::global("get", "namespaces"),
    Permission::global("list", "namespaces"),
    Permission::global("watch", "namespaces"),
    Permission::global("create", "namespaces"),
    Permission::global("patch", "namespaces"),
    Permission::global("delete", "namespaces"),
    Permission::namespaced("get", "apps", "deployments"),
    Permission::namespaced("list", "apps", "deployments"),
    Permission::namespaced("watch", "apps", "deployments"),
    Permission::namespaced("create", "apps", "deployments"),
    Permission::namespaced("patch", "apps", "deployments"),
    Permission::namespaced("delete", "apps", "deployments"),
    Permission::namespaced("list", "apps", "replicasets"),
    Permission::namespaced("list", "", "pods"),
    Permission::namespaced("watch", "", "pods"),
    Permission::namespaced("get", "", "pods/log"),
    Permission::namespaced("list", "", "events"),
    Permission::namespaced("watch", "", "events"),
    Permission::namespaced("get", "", "services"),
    Permission::namespaced("list", "", "services"),
    Permission::namespaced("create", "", "services"),
    Permission::namespaced("patch", "", "services"),
    Permission::namespaced("delete", "", "services"),
    Permission::namespaced("get", "", "secrets"),
    Permission::namespaced("list", "", "secrets"),
    Permission::namespaced("create", "", "secrets"),
    Permission::namespaced("patch", "", "secrets"),
    Permission::namespaced("delete", "", "secrets"),
    Permission::namespaced("get", "", "persistentvolumeclaims"),
    Permission::namespaced("list", "", "persistentvolumeclaims"),
    Permission::namespaced("create", "", "persistentvolumeclaims"),
    Permission::namespaced("patch", "", "persistentvolumeclaims"),
    Permission::namespaced("get", "networking.k8s.io", "ingresses"),
    Permission::namespaced("list", "networking.k8s.io", "ingresses"),
    Permission::namespaced("create", "networking.k8s.io", "ingresses"),
    Permission::namespaced("patch", "networking.k8s.io", "ingresses"),
    Permission::namespaced("delete", "networking.k8s.io", "ingresses"),
    Permission::namespaced("get", "autoscaling", "horizontalpodautoscalers"),
    Permission::namespaced("list", "autoscaling", "horizontalpodautoscalers"),
    Permission::namespaced("create", "autoscaling", "horizontalpodautoscalers"),
    Permission::namespaced("patch", "autoscaling", "horizontalpodautoscalers"),
    Permission::namespaced("delete", "autoscaling", "horizontalpodautoscalers"),
    Permission::namespaced("get", "policy", "poddisruptionbudgets"),
    Permission::namespaced("list", "policy", "poddisruptionbudgets"),
    Permission::namespaced("create", "policy", "poddisruptionbudgets"),
    Permission::namespaced("patch", "policy", "poddisruptionbudgets"),
    Permission::namespaced("delete", "policy", "poddisruptionbudgets"),
];

impl KubernetesRuntime {
    pub(super) async fn check_access(&self) -> Result<RuntimeInfo, RuntimeError> {
        match tokio::time::timeout(CHECK, self.ask_access()).await {
            Ok(answer) => answer,
            Err(_) => Err(RuntimeError::Unreachable("the cluster took too long to answer".to_owned())),
        }
    }

    async fn ask_access(&self) -> Result<RuntimeInfo, RuntimeError> {
        let version = self.cluster.version().await.map_err(error)?;
        let engine_id = self.cluster.id().await.map_err(error)?;
        let missing = self.cluster.missing(&NEEDED).await.map_err(error)?;
        let mut grant = None;
        if !missing.is_empty() {
            let subject = self.cluster.who().await.map_err(error)?;
            grant = Some(grant_manifest(ROLE, &NEEDED, &subject));
        }
        Ok(RuntimeInfo {
            version,
            engine_id,
            missing_permissions: missing.iter().map(ToString::to_string).collect(),
            grant_manifest: grant,
        })
    }
}
