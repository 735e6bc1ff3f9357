//! A build: one pod, whose containers run one after the other. `source` unpacks what it is sent, `build` builds and pushes,
//! and `result` says how the image is called.
//!
//! **Why BuildKit is let loose.** Without root it makes namespaces of its own, mounts in them and maps ids: the default
//! profiles of seccomp and AppArmor forbid the first two, and `newuidmap`, which does the third, has to be allowed to gain
//! the right. A process sandbox would need `/proc` to be unmasked, which Kubernetes gives only with user namespaces: hence
//! `--oci-worker-no-process-sandbox`
//! (<https://github.com/moby/buildkit/blob/v0.32.2/docs/rootless.md>,
//! <https://github.com/moby/buildkit/blob/v0.32.2/examples/kubernetes/job.rootless.yaml>). So a `RUN` step sees the
//! processes of its own build's pod, their command lines too, and can stop them: no secret is in a command line or in the
//! environment, and no two runs share a pod. Everything in the pod runs as user 1000, which is what the image is made for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, EnvVar, PodSecurityContext, PodSpec, Secret, SecretVolumeSource, SecurityContext,
    Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use secrecy::ExposeSecret as _;

use super::arguments::{PROGRAM, arguments, key};
use super::{BUILD, Stage, job, resources, secret};
use crate::builder::{BuildRequest, ClusterPlace};
use crate::cluster::docker_config;
use crate::cluster::job::{bounded, confined, container, millis, mount, nodes, read_only, scratch, seccomp};

/// The container that unpacks the source.
pub const SOURCE: &str = "source";
/// The container that says how the image is called: its termination message is BuildKit's account of what it made
/// (<https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>).
pub const RESULT: &str = "result";

pub(super) const SOURCE_FOLDER: &str = "/kiops/source";
pub(super) const SECRET_FOLDER: &str = "/kiops/secret";
pub(super) const RESULT_FOLDER: &str = "/kiops/result";
/// Where BuildKit keeps its layers. The image names a volume there, which some nodes mount `nosuid`.
const STATE_FOLDER: &str = "/home/user/.local/share/buildkit";
/// The user of BuildKit's rootless image.
const USER: i64 = 1000;
/// How often `buildctl-daemonless.sh` looks whether the daemon is there: for a minute at least.
const LOOKS: &str = "60";
const SMALL: u64 = 64 << 20;

/// How a cluster is told the AppArmor profile of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppArmor {
    /// By a field, since Kubernetes 1.30. Older ones know no such field, and refuse it.
    Field,
    /// By an annotation of the pod.
    Annotation,
}

impl AppArmor {
    /// As a version of Kubernetes has it: `1.33.2`.
    pub fn of(version: &str) -> Self {
        let numbers: Vec<u32> = version.split('.').take(2).map_while(|part| part.parse().ok()).collect();
        if numbers.len() == 2 && numbers.as_slice() < [1, 30].as_slice() { Self::Annotation } else { Self::Field }
    }
}

/// The Job of a build, suspended. Its pod needs [`build_secret`] and somebody who sends the source.
pub fn build_job(request: &BuildRequest, place: &ClusterPlace, app_armor: AppArmor) -> Job {
    let source = Container {
        // `tar` reads until its input is closed, which is done once all is sent, or by a connection that breaks.
        stdin: Some(true),
        stdin_once: Some(true),
        resources: Some(bounded(millis(request.limits.cpu), 2 * SMALL, place.disk)),
        security_context: Some(confined()),
        volume_mounts: Some(vec![mount("source", SOURCE_FOLDER)]),
        ..container(SOURCE, &place.image, &["tar", "-x", "-f", "-", "-C", SOURCE_FOLDER])
    };
    let build = Container {
        args: Some(arguments(request)),
        env: Some(environment(place)),
        resources: Some(resources(&request.limits, place.disk)),
        security_context: Some(SecurityContext {
            seccomp_profile: Some(seccomp("Unconfined")),
            app_armor_profile: (app_armor == AppArmor::Field)
                .then(|| AppArmorProfile { type_: "Unconfined".to_owned(), localhost_profile: None }),
            allow_privilege_escalation: Some(true),
            ..Default::default()
        }),
        volume_mounts: Some(vec![
            read_only("source", SOURCE_FOLDER),
            read_only("secret", SECRET_FOLDER),
            mount("state", STATE_FOLDER),
            mount("result", RESULT_FOLDER),
        ]),
        ..container(BUILD, &place.image, &[PROGRAM])
    };
    // The account is a file that `buildctl` puts in place of another, which a container's termination message can't be: that
    // is a mounted file of root's, which whoever is in the container may write to and not replace. So it is copied by `dd`,
    // which opens and writes; busybox's `cp` wants to make the file anew.
    let account = format!("if={RESULT_FOLDER}/metadata.json");
    let result = Container {
        resources: Some(bounded(100, SMALL, SMALL)),
        security_context: Some(confined()),
        volume_mounts: Some(vec![read_only("result", RESULT_FOLDER)]),
        ..container(RESULT, &place.image, &["dd", &account, "of=/dev/termination-log"])
    };
    let name = Stage::Build.name(&request.mark.run_id);
    let pod = PodSpec {
        init_containers: Some(vec![source, build]),
        containers: vec![result],
        node_selector: Some(nodes(request.platforms.first().or(place.platform.as_ref()).map(String::as_str))),
        security_context: Some(PodSecurityContext {
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            run_as_non_root: Some(true),
            ..Default::default()
        }),
        volumes: Some(vec![
            scratch("source", place.disk),
            scratch("state", place.disk),
            scratch("result", SMALL),
            Volume {
                name: "secret".to_owned(),
                secret: Some(SecretVolumeSource {
                    secret_name: Some(name),
                    // All in the pod is one user, and nobody else gets at its volumes. A group of the pod's would be
                    // set on every folder of the source, and so be in the image.
                    default_mode: Some(0o444),
                    ..Default::default()
                }),
                ..Default::default()
            },
        ]),
        ..Default::default()
    };
    let mut job = job(Stage::Build, &request.mark, request.limits.time, pod);
    let meta = job.spec.as_mut().and_then(|spec| spec.template.metadata.as_mut());
    if let Some(meta) = meta.filter(|_| app_armor == AppArmor::Annotation) {
        let key = format!("container.apparmor.security.beta.kubernetes.io/{BUILD}");
        meta.annotations.get_or_insert_default().insert(key, "unconfined".to_owned());
    }
    job
}

/// All that a build is given in secret, and the daemon's configuration.
pub fn build_secret(request: &BuildRequest, place: &ClusterPlace, owner: OwnerReference) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let login = docker_config(request.logins.iter().map(|(host, login)| (host, login)));
    let mut data = BTreeMap::from([
        ("config.json".to_owned(), bytes(login.expose_secret())),
        ("buildkitd.toml".to_owned(), bytes(&configuration(place))),
    ]);
    for (index, (_, value)) in request.secrets.iter().enumerate() {
        data.insert(key(index), bytes(value.expose_secret()));
    }
    secret(Stage::Build, &request.mark, owner, data)
}

fn environment(place: &ClusterPlace) -> Vec<EnvVar> {
    let mut flags = "--oci-worker-no-process-sandbox".to_owned();
    if !place.plain_http.is_empty() {
        let _ = write!(flags, " --config {SECRET_FOLDER}/buildkitd.toml");
    }
    [("BUILDKITD_FLAGS", flags.as_str()), ("BUILDCTL_CONNECT_RETRIES_MAX", LOOKS), ("DOCKER_CONFIG", SECRET_FOLDER)]
        .map(|(name, value)| EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None })
        .to_vec()
}

/// <https://github.com/moby/buildkit/blob/v0.32.2/docs/buildkitd.toml.md>
fn configuration(place: &ClusterPlace) -> String {
    let mut registries = toml::Table::new();
    for host in &place.plain_http {
        registries.insert(host.clone(), toml::Table::from_iter([("http".to_owned(), true.into())]).into());
    }
    let table = toml::Table::from_iter([("registry".to_owned(), registries.into())]);
    table.to_string()
}
