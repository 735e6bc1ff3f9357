//! What the login may do, against what a runtime has to.

use std::time::Duration;

use super::{KubernetesRuntime, error};
use crate::cluster::{Permission, grant_manifest};
use crate::runtime::{RuntimeError, RuntimeInfo};

/// How long a check may take.
const CHECK: Duration = Duration::from_secs(10);
/// The name of the role that is proposed where something is missing.
const ROLE: &str = "kiops-runtime";

const fn namespaced(verb: &'static str, group: &'static str, resource: &'static str) -> Permission {
    Permission { verb, group, resource, namespaced: true }
}

const fn global(verb: &'static str, resource: &'static str) -> Permission {
    Permission { verb, group: "", resource, namespaced: false }
}

/// All that the code of this module asks a cluster for. A server-side apply of an object that is not there needs `create`
/// beside `patch`.
const NEEDED: [Permission; 47] = [
    global("get", "namespaces"),
    global("list", "namespaces"),
    global("watch", "namespaces"),
    global("create", "namespaces"),
    global("patch", "namespaces"),
    global("delete", "namespaces"),
    namespaced("get", "apps", "deployments"),
    namespaced("list", "apps", "deployments"),
    namespaced("watch", "apps", "deployments"),
    namespaced("create", "apps", "deployments"),
    namespaced("patch", "apps", "deployments"),
    namespaced("delete", "apps", "deployments"),
    namespaced("list", "apps", "replicasets"),
    namespaced("list", "", "pods"),
    namespaced("watch", "", "pods"),
    namespaced("get", "", "pods/log"),
    namespaced("list", "", "events"),
    namespaced("watch", "", "events"),
    namespaced("get", "", "services"),
    namespaced("list", "", "services"),
    namespaced("create", "", "services"),
    namespaced("patch", "", "services"),
    namespaced("delete", "", "services"),
    namespaced("get", "", "secrets"),
    namespaced("list", "", "secrets"),
    namespaced("create", "", "secrets"),
    namespaced("patch", "", "secrets"),
    namespaced("delete", "", "secrets"),
    namespaced("get", "", "persistentvolumeclaims"),
    namespaced("list", "", "persistentvolumeclaims"),
    namespaced("create", "", "persistentvolumeclaims"),
    namespaced("patch", "", "persistentvolumeclaims"),
    namespaced("get", "networking.k8s.io", "ingresses"),
    namespaced("list", "networking.k8s.io", "ingresses"),
    namespaced("create", "networking.k8s.io", "ingresses"),
    namespaced("patch", "networking.k8s.io", "ingresses"),
    namespaced("delete", "networking.k8s.io", "ingresses"),
    namespaced("get", "autoscaling", "horizontalpodautoscalers"),
    namespaced("list", "autoscaling", "horizontalpodautoscalers"),
    namespaced("create", "autoscaling", "horizontalpodautoscalers"),
    namespaced("patch", "autoscaling", "horizontalpodautoscalers"),
    namespaced("delete", "autoscaling", "horizontalpodautoscalers"),
    namespaced("get", "policy", "poddisruptionbudgets"),
    namespaced("list", "policy", "poddisruptionbudgets"),
    namespaced("create", "policy", "poddisruptionbudgets"),
    namespaced("patch", "policy", "poddisruptionbudgets"),
    namespaced("delete", "policy", "poddisruptionbudgets"),
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
