//! What the login has to be allowed to do.

use super::ClusterBuilder;
use super::failure::error;
use crate::builder::{BuilderError, Lacks};
use crate::cluster::ground::namespace;
use crate::cluster::{Permission, grant_manifest_within};

/// The name of the role that is proposed where something is missing.
const ROLE: &str = "kiops-builder";

/// All that builds and tests ask a cluster for: in the namespace of builds alone, but for that one itself. A
/// server-side apply of an object that is not there needs `create` beside `patch`. Attaching is a `get` to older API servers and a `create` to newer ones
/// (<https://kubernetes.io/docs/reference/access-authn-authz/authorization/>).
const NEEDED: [Permission; 19] = [
    Permission::global("get", "namespaces"),
    Permission::global("create", "namespaces"),
    Permission::global("patch", "namespaces"),
    Permission::namespaced("create", "networking.k8s.io", "networkpolicies"),
    Permission::namespaced("patch", "networking.k8s.io", "networkpolicies"),
    Permission::namespaced("list", "batch", "jobs"),
    Permission::namespaced("create", "batch", "jobs"),
    Permission::namespaced("patch", "batch", "jobs"),
    Permission::namespaced("delete", "batch", "jobs"),
    Permission::namespaced("create", "", "secrets"),
    Permission::namespaced("patch", "", "secrets"),
    Permission::namespaced("delete", "", "secrets"),
    Permission::namespaced("list", "", "pods"),
    Permission::namespaced("watch", "", "pods"),
    Permission::namespaced("get", "", "pods/log"),
    Permission::namespaced("get", "", "pods/attach"),
    Permission::namespaced("create", "", "pods/attach"),
    Permission::namespaced("list", "", "events"),
    Permission::namespaced("watch", "", "events"),
];

/// What tools of scans ask for beside that, which run in the same namespace with the same login. A report is read by a program
/// that is started in the pod: what a container prints itself would be kept on its node.
const NEEDED_BY_SCANS: [Permission; 3] = [
    Permission::namespaced("delete", "networking.k8s.io", "networkpolicies"),
    Permission::namespaced("get", "", "pods/exec"),
    Permission::namespaced("create", "", "pods/exec"),
];

impl ClusterBuilder {
    pub(super) async fn ask_what_is_missing(&self) -> Result<Option<Lacks>, BuilderError> {
        let within = self.place.namespace.as_str();
        let by_scans = if self.place.scans { NEEDED_BY_SCANS.as_slice() } else { &[] };
        let needed: Vec<Permission> = NEEDED.iter().chain(by_scans).copied().collect();
        let missing = self.cluster.missing_within(&needed, within).await.map_err(error)?;
        if missing.is_empty() {
            return Ok(None);
        }
        let subject = self.cluster.who().await.map_err(error)?;
        // A Role can be made in a namespace that is there, and only one of ours is built in.
        let place = serde_norway::to_string(&namespace(within)).expect("texts are always YAML");
        let grant = grant_manifest_within(ROLE, &needed, &subject, within);
        Ok(Some(Lacks {
            permissions: missing.iter().map(|one| one.within(within)).collect(),
            grant: format!("{place}---\n{grant}"),
        }))
    }
}
