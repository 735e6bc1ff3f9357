//! The kinds that the double serves.

/// A kind of objects.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub namespaced: bool,
    /// Whether its status is written apart.
    pub status: bool,
}

const fn kind(
    group: &'static str,
    version: &'static str,
    names: (&'static str, &'static str),
    marks: (bool, bool),
) -> Kind {
    Kind { group, version, kind: names.0, plural: names.1, namespaced: marks.0, status: marks.1 }
}

const NETWORKING: &str = "networking.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

/// All of them.
pub static KINDS: [Kind; 24] = [
    kind("", "v1", ("Namespace", "namespaces"), (false, true)),
    kind("", "v1", ("Node", "nodes"), (false, true)),
    kind("", "v1", ("Pod", "pods"), (true, true)),
    kind("", "v1", ("Service", "services"), (true, true)),
    kind("", "v1", ("Secret", "secrets"), (true, false)),
    kind("", "v1", ("ConfigMap", "configmaps"), (true, false)),
    kind("", "v1", ("ServiceAccount", "serviceaccounts"), (true, false)),
    kind("", "v1", ("PersistentVolumeClaim", "persistentvolumeclaims"), (true, true)),
    kind("", "v1", ("Event", "events"), (true, false)),
    kind("", "v1", ("ResourceQuota", "resourcequotas"), (true, true)),
    kind("apps", "v1", ("Deployment", "deployments"), (true, true)),
    kind("apps", "v1", ("ReplicaSet", "replicasets"), (true, true)),
    kind("batch", "v1", ("Job", "jobs"), (true, true)),
    kind(NETWORKING, "v1", ("Ingress", "ingresses"), (true, true)),
    kind(NETWORKING, "v1", ("IngressClass", "ingressclasses"), (false, false)),
    kind(NETWORKING, "v1", ("NetworkPolicy", "networkpolicies"), (true, false)),
    kind("policy", "v1", ("PodDisruptionBudget", "poddisruptionbudgets"), (true, true)),
    kind("autoscaling", "v2", ("HorizontalPodAutoscaler", "horizontalpodautoscalers"), (true, true)),
    kind("storage.k8s.io", "v1", ("StorageClass", "storageclasses"), (false, false)),
    kind("coordination.k8s.io", "v1", ("Lease", "leases"), (true, false)),
    kind(RBAC, "v1", ("Role", "roles"), (true, false)),
    kind(RBAC, "v1", ("RoleBinding", "rolebindings"), (true, false)),
    kind(RBAC, "v1", ("ClusterRole", "clusterroles"), (false, false)),
    kind(RBAC, "v1", ("ClusterRoleBinding", "clusterrolebindings"), (false, false)),
];

/// The kind with this name; the tests' own words are right.
pub fn of(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.kind == name).unwrap_or_else(|| panic!("the double has no kind {name}"))
}

/// The kind at this place of the API.
pub fn at(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
}

impl Kind {
    /// `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `deployments.apps`, as sentences name it.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `Deployment.apps`, as sentences about invalid objects name it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// The name of its schema.
    pub fn definition(&self) -> String {
        let group = match self.group.split('.').next() {
            Some("") | None => "core",
            Some(group) => group,
        };
        format!("io.k8s.api.{group}.{}.{}", self.version, self.kind)
    }
}
