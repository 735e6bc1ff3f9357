//! What all runs stand on: a namespace of their own, and what its pods may speak to.

use std::collections::BTreeMap;
use std::iter;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::builder::{ClusterPlace, KIOPS, MANAGED_BY};
use crate::domain::addresses::{METADATA_V4, METADATA_V6};

/// Says what a namespace of ours is for, that is no environment's.
pub const PURPOSE: &str = "kiops.dev/purpose";
/// The value of [`PURPOSE`] for builds.
pub const PURPOSE_BUILDS: &str = "builds";
/// What is local to a node, and where most clouds answer whoever asks with the node's own credentials.
const LINK_LOCAL: [&str; 2] = ["169.254.0.0/16", "fe80::/10"];

/// The namespace of runs. Rootless BuildKit asks for more than the Pod Security Standard `baseline` gives: where a cluster
/// holds namespaces to one, this one says `privileged`.
pub fn namespace(place: &ClusterPlace) -> Namespace {
    let labels = [
        (MANAGED_BY, KIOPS),
        (PURPOSE, PURPOSE_BUILDS),
        ("pod-security.kubernetes.io/enforce", "privileged"),
        ("pod-security.kubernetes.io/warn", "privileged"),
        ("pod-security.kubernetes.io/audit", "privileged"),
    ];
    Namespace {
        metadata: ObjectMeta {
            name: Some(place.namespace.clone()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..Default::default()
        },
        ..Default::default()
    }
}

/// Nobody gets at a run, and a run gets everywhere but to the node and the cloud's metadata. Names are asked for on any
/// address: clusters have resolvers at link-local ones, and nothing else answers on their port.
///
/// Blocks of addresses mean different things on different networks: Calico takes them for pods and nodes as well, Cilium
/// for what is outside of the cluster alone (<https://docs.cilium.io/en/stable/network/kubernetes/policy/>). There a registry
/// inside of the cluster is reached once a policy of its operator's lets these pods out to it. To open the whole cluster to
/// what runs here, on networks that keep it closed, would be the greater harm.
///
/// The API server is not kept from them: its address is often a node's, and so a registry's. Their pods hold no token.
pub fn network_policy(place: &ClusterPlace) -> NetworkPolicy {
    let block = |cidr: &str, except: Vec<String>| NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.to_owned(), except: Some(except) }),
        ..Default::default()
    };
    let [local_v4, local_v6] = LINK_LOCAL.map(str::to_owned);
    let never_v4 = iter::once(local_v4).chain(METADATA_V4.map(|ip| format!("{ip}/32"))).collect();
    let never_v6 = iter::once(local_v6).chain(METADATA_V6.map(|ip| format!("{ip}/128"))).collect();
    let name_service = |protocol: &str| NetworkPolicyPort {
        port: Some(IntOrString::Int(53)),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    };
    NetworkPolicy {
        metadata: ObjectMeta {
            name: Some("kiops-runs".to_owned()),
            namespace: Some(place.namespace.clone()),
            labels: Some(BTreeMap::from([(MANAGED_BY.to_owned(), KIOPS.to_owned())])),
            ..Default::default()
        },
        spec: Some(NetworkPolicySpec {
            // Every pod of the namespace.
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(Vec::new()),
            egress: Some(vec![
                NetworkPolicyEgressRule {
                    to: Some(vec![block("0.0.0.0/0", never_v4), block("::/0", never_v6)]),
                    ports: None,
                },
                NetworkPolicyEgressRule { to: None, ports: Some(vec![name_service("UDP"), name_service("TCP")]) },
            ]),
        }),
    }
}
