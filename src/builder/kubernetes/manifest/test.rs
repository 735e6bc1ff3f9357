//! A test: one pod of the built image with the command, and nothing else in it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, LocalObjectReference, PodSpec, Secret, SecurityContext};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use secrecy::ExposeSecret as _;

use super::{Stage, TEST, job, resources, secret};
use crate::builder::{ClusterPlace, TestRequest};
use crate::cluster::job::{container, nodes, seccomp};
use crate::cluster::{docker_config, literal};

/// The Job of a test, suspended. Its pod needs [`test_secret`].
pub fn test_job(request: &TestRequest, place: &ClusterPlace) -> Job {
    let words: Vec<String> = request.command.iter().map(|word| literal(word)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let test = Container {
        resources: Some(resources(&request.limits, place.disk)),
        // Which user it is, and what that one may do, the image says: a test that needs root works as it does elsewhere.
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            seccomp_profile: Some(seccomp("RuntimeDefault")),
            ..Default::default()
        }),
        ..container(TEST, &request.image_id, &words)
    };
    let pod = PodSpec {
        containers: vec![test],
        node_selector: Some(nodes(request.platform.as_deref().or(place.platform.as_deref()))),
        image_pull_secrets: Some(vec![LocalObjectReference { name: Stage::Test.name(&request.mark.run_id) }]),
        ..Default::default()
    };
    job(Stage::Test, &request.mark, request.limits.time, pod)
}

/// The login with which the image is pulled. It is there without one too: kubelets check again who may use an image that
/// another pod has pulled.
pub fn test_secret(request: &TestRequest, owner: OwnerReference) -> Secret {
    let login = docker_config(request.login.iter().map(|(host, login)| (host, login)));
    let data =
        BTreeMap::from([(".dockerconfigjson".to_owned(), ByteString(login.expose_secret().as_bytes().to_vec()))]);
    Secret {
        type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
        ..secret(Stage::Test, &request.mark, owner, data)
    }
}
