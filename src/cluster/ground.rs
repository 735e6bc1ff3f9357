//! What builds, tests and scans stand on: a namespace of their own, and what its pods may speak to.

use std::collections::BTreeMap;
use std::iter;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};

use super::run::{Run, RunError};
use super::{ClusterError, FIELD_MANAGER};
use crate::domain::addresses::{METADATA_V4, METADATA_V6};

/// Says that something is ours.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`].
pub const KIOPS: &str = "kiops";
/// Says what a namespace of ours is for, that is no environment's.
pub const PURPOSE: &str = "kiops.dev/purpose";
/// The value of [`PURPOSE`] for builds, their tests and scans.
pub const PURPOSE_BUILDS: &str = "builds";
/// The id of the scan that something belongs to.
pub const SCAN: &str = "kiops.dev/scan";
/// What is local to a node, and where most clouds answer whoever asks with the node's own credentials.
const LINK_LOCAL: [&str; 2] = ["169.254.0.0/16", "fe80::/10"];

/// Why nothing can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroundError {
    /// There is a namespace of the name, and it is somebody else's.
    NotOurs,
    /// The cluster is away, or refuses.
    Run(RunError),
}

impl From<RunError> for GroundError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl Run<'_> {
    /// Sees that the namespace of runs is there and ours, and that its network policies hold.
    ///
    /// # Errors
    /// See [`GroundError`].
    pub async fn have_ground(&self) -> Result<(), GroundError> {
        let name = self.namespace;
        let namespaces: Api<Namespace> = Api::all(self.cluster.client());
        let ground = namespace(name);
        let look = || async { namespaces.get_opt(name).await.map_err(ClusterError::from) };
        let mut found = self.in_time(look).await?;
        if found.is_none() {
            // It is created and not applied, so that one which somebody else makes at this moment stays theirs.
            let by = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
            let make = || async {
                match namespaces.create(&by, &ground).await.map_err(ClusterError::from) {
                    Ok(_) => Ok(None),
                    // Somebody was faster: whose is it now?
                    Err(ClusterError::Conflict(_)) => look().await,
                    Err(failure) => Err(failure),
                }
            };
            found = self.in_time(make).await?;
        }
        if let Some(found) = found {
            if !is_ours(&found) {
                return Err(GroundError::NotOurs);
            }
            self.in_time(|| self.cluster.apply(&ground, &())).await?;
        }
        for policy in network_policies() {
            self.apply(policy).await?;
        }
        Ok(())
    }
}

/// The namespace of runs. Rootless BuildKit asks for more than the Pod Security Standard `baseline` gives: where a cluster
/// holds namespaces to one, this one says `privileged`.
#[must_use]
pub fn namespace(name: &str) -> Namespace {
    let labels = [
        (MANAGED_BY, KIOPS),
        (PURPOSE, PURPOSE_BUILDS),
        ("pod-security.kubernetes.io/enforce", "privileged"),
        ("pod-security.kubernetes.io/warn", "privileged"),
        ("pod-security.kubernetes.io/audit", "privileged"),
    ];
    Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..Default::default()
        },
        ..Default::default()
    }
}

/// Nobody gets at a run. A build and a test get everywhere but to the node and the cloud's metadata; a scan gets nowhere, but
/// where a policy of its own lets it. Policies add up, so that none chooses both.
#[must_use]
pub fn network_policies() -> [NetworkPolicy; 2] {
    let scans = |operator: &str| LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: SCAN.to_owned(),
            operator: operator.to_owned(),
            values: None,
        }]),
        match_labels: None,
    };
    let labels = BTreeMap::from([(MANAGED_BY.to_owned(), KIOPS.to_owned())]);
    [("kiops-runs", "DoesNotExist", anywhere()), ("kiops-scans", "Exists", Vec::new())].map(
        |(name, operator, egress)| {
            let meta = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels.clone()), ..Default::default() };
            policy(meta, scans(operator), egress)
        },
    )
}

/// Who is chosen is reached by nobody, and reaches what `egress` says.
#[must_use]
pub fn policy(metadata: ObjectMeta, chosen: LabelSelector, egress: Vec<NetworkPolicyEgressRule>) -> NetworkPolicy {
    NetworkPolicy {
        metadata,
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(chosen),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(Vec::new()),
            egress: Some(egress),
        }),
    }
}

/// Out to everything but the node and the cloud's metadata.
///
/// Blocks of addresses mean different things on different networks: Calico takes them for pods and nodes as well, Cilium
/// for what is outside of the cluster alone (<https://docs.cilium.io/en/stable/network/kubernetes/policy/>). There a registry
/// inside of the cluster is reached once a policy of its operator's lets these pods out to it. To open the whole cluster to
/// what runs here, on networks that keep it closed, would be the greater harm.
///
/// The API server is not kept from them: its address is often a node's, and so a registry's. Their pods hold no token.
#[must_use]
pub fn anywhere() -> Vec<NetworkPolicyEgressRule> {
    let block = |cidr: &str, except: Vec<String>| NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.to_owned(), except: Some(except) }),
        ..Default::default()
    };
    let [local_v4, local_v6] = LINK_LOCAL.map(str::to_owned);
    let never_v4 = iter::once(local_v4).chain(METADATA_V4.map(|ip| format!("{ip}/32"))).collect();
    let never_v6 = iter::once(local_v6).chain(METADATA_V6.map(|ip| format!("{ip}/128"))).collect();
    let everything = vec![block("0.0.0.0/0", never_v4), block("::/0", never_v6)];
    vec![NetworkPolicyEgressRule { to: Some(everything), ports: None }, name_service()]
}

/// Out to the pods of one namespace.
#[must_use]
pub fn within(namespace: &str) -> Vec<NetworkPolicyEgressRule> {
    // Kubernetes itself gives every namespace this label.
    let name = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())]);
    let peer = NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector { match_labels: Some(name), ..Default::default() }),
        ..Default::default()
    };
    vec![NetworkPolicyEgressRule { to: Some(vec![peer]), ports: None }, name_service()]
}

/// Names are asked for on any address: clusters have resolvers at link-local ones, and nothing else answers on their port.
fn name_service() -> NetworkPolicyEgressRule {
    let port = |protocol: &str| NetworkPolicyPort {
        port: Some(IntOrString::Int(53)),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    };
    NetworkPolicyEgressRule { to: None, ports: Some(vec![port("UDP"), port("TCP")]) }
}

fn is_ours(namespace: &Namespace) -> bool {
    let label = |key: &str| namespace.labels().get(key).map(String::as_str);
    label(MANAGED_BY) == Some(KIOPS) && label(PURPOSE) == Some(PURPOSE_BUILDS)
}
