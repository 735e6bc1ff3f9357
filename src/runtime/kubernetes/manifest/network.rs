//! How containers are reached: by their neighbours, and from outside.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec,
    IngressTLS, ServiceBackendPort,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Frame, Object, selector};
use crate::domain::spec::{ContainerSpec, Exposure};

/// An issuer that cert-manager knows in every namespace. KIOPS makes a namespace for each environment and nothing of
/// cert-manager's in it, so that an issuer of a namespace (`cert-manager.io/issuer`) could not be there beforehand:
/// <https://cert-manager.io/docs/usage/ingress/#supported-annotations>.
const ISSUER: &str = "cert-manager.io/cluster-issuer";

/// What a container's port is called, in its pods, its Service and the ingress. Each of the three is found by this name and
/// not by its number: while a number changes, pods of the old revision and of the new one are reached alike.
pub(super) const PORT: &str = "main";

/// The Service of a container that listens, under the container's name. A container's name starts with a letter, as
/// Services ask for (RFC 1035), since [`crate::domain::names::ContainerName`] takes no other.
pub(super) fn service(frame: &Frame<'_>, container: &ContainerSpec) -> Option<Object> {
    let port = container.port?;
    let kind = match (is_published(container), frame.cluster.exposure) {
        (false, _) => "ClusterIP",
        (true, Exposure::NodePort) => "NodePort",
        (true, Exposure::LoadBalancer) => "LoadBalancer",
    };
    Some(Object::Service(Service {
        metadata: frame.meta_of(container, &container.name),
        spec: Some(ServiceSpec {
            type_: Some(kind.to_owned()),
            selector: Some(selector(frame.target(), container)),
            ports: Some(vec![ServicePort {
                name: Some(PORT.to_owned()),
                port: i32::from(port),
                target_port: Some(IntOrString::String(PORT.to_owned())),
                protocol: Some("TCP".to_owned()),
                ..Default::default()
            }]),
            ..Default::default()
        }),
        status: None,
    }))
}

/// Neither internal nor behind an ingress.
fn is_published(container: &ContainerSpec) -> bool {
    !container.is_internal && container.ingress_path.is_none()
}

/// One Ingress with all paths of the environment, named as the service. More than one would ask for the same certificate
/// each on its own.
pub(super) fn ingress(frame: &Frame<'_>) -> Option<Object> {
    let paths: Vec<HTTPIngressPath> = routed(frame).map(|(path, container)| rule(path, container)).collect();
    if paths.is_empty() {
        return None;
    }
    let cluster = &frame.cluster;
    let issuer = cluster.tls.as_ref().and_then(|tls| tls.issuer.as_ref());
    let secret = cluster.tls.as_ref().and_then(|tls| tls.secret_name.clone());
    let secret = secret.or_else(|| issuer.map(|_| format!("{}-tls", frame.target().service)));
    let tls = secret.map(|secret| {
        vec![IngressTLS { hosts: cluster.domain.clone().map(|host| vec![host]), secret_name: Some(secret) }]
    });
    let mut metadata = frame.meta(&frame.target().service);
    metadata.annotations = issuer.map(|issuer| BTreeMap::from([(ISSUER.to_owned(), issuer.clone())]));
    Some(Object::Ingress(Box::new(Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: cluster.ingress_class.clone(),
            rules: Some(vec![IngressRule { host: cluster.domain.clone(), http: Some(HTTPIngressRuleValue { paths }) }]),
            tls,
            ..Default::default()
        }),
        status: None,
    })))
}

fn rule(path: &str, container: &str) -> HTTPIngressPath {
    HTTPIngressPath {
        path: Some(path.to_owned()),
        path_type: "Prefix".to_owned(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: container.to_owned(),
                port: Some(ServiceBackendPort { number: None, name: Some(PORT.to_owned()) }),
            }),
            resource: None,
        },
    }
}

/// Path and container of all that is behind the ingress.
fn routed<'a>(frame: &Frame<'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let open = frame.spec.containers.iter().filter(|c| !c.is_internal);
    let open = open.filter(|c| c.port.is_some());
    open.filter_map(|c| Some((c.ingress_path.as_deref()?, c.name.as_str())))
}

/// What of the ingress will not be as it looks.
pub(super) fn warnings(frame: &Frame<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    for container in frame.spec.containers.iter().filter(|c| c.is_internal) {
        if let Some(path) = &container.ingress_path {
            let name = &container.name;
            warnings.push(format!("container {name}: it is internal, so that its ingress path {path} leads nowhere"));
        }
    }
    let mut first = BTreeMap::new();
    for (path, container) in routed(frame) {
        if let Some(earlier) = first.insert(path, container) {
            warnings.push(format!("containers {earlier} and {container} have one ingress path, {path}"));
        }
    }
    let issuer = frame.cluster.tls.as_ref().and_then(|tls| tls.issuer.as_ref());
    if let (Some(issuer), None, false) = (issuer, &frame.cluster.domain, first.is_empty()) {
        warnings.push(format!(
            "the issuer {issuer} makes a certificate for a host name, and the environment has no domain"
        ));
    }
    warnings
}
