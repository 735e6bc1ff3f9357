//! The suite on a cluster: the double, or the real one that `KIOPS_TEST_KUBECONFIG` names, where `kubectl` looks into
//! containers and `KIOPS_TEST_IMAGE` (busybox) is what runs.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod, Service};
use kiops::cluster::k8s_openapi;
use kiops::cluster::kube::api::ListParams;
use kiops::cluster::kube::{Api, Client};
use kiops::domain::image::{Repository, Tag};
use kiops::domain::kubeconfig::{ClusterAccess, ClusterLogin};
use kiops::domain::spec::Target;
use kiops::runtime::Runtime;
use kiops::runtime::kubernetes::KubernetesRuntime;

use super::{Place, holds};
use crate::support::cluster::{Behaviour, ClusterDouble};
use crate::support::place::Place as Somewhere;

/// The double's image; with `FAIL=1` it does not stay up.
pub const WEB: &str = "registry.test/web:1";

holds!(ClusterPlace::start =>
    environment_values_arrive,
    neighbours_are_reached_by_name_and_internal_ports_are_closed,
    volumes_are_kept_over_revisions,
    a_failed_revision_is_undone_and_the_old_one_serves_throughout,
    a_first_revision_that_fails_leaves_nothing,
    a_rollback_restores_all_of_a_revision,
    unchanged_containers_are_left_running,
    stopped_restarted_removed,
    logs_are_followed_over_revisions,
);

/// An environment of its own on a cluster.
pub struct ClusterPlace {
    pub somewhere: Somewhere,
    pub runtime: KubernetesRuntime,
    pub target: Target,
    /// What lies in the double's volumes, by the claim's uid.
    disks: Mutex<BTreeMap<String, String>>,
}

impl ClusterPlace {
    /// On whichever cluster there is.
    #[expect(clippy::unnecessary_wraps, reason = "the suite asks every place whether it is there")]
    pub fn start(test: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let somewhere = Somewhere::start();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", std::process::id());
        let target = Target {
            organization_id: "org-1".into(),
            service_id: format!("svc-{id}"),
            service: "shop".into(),
            environment_id: format!("env-{id}"),
            environment: "production".into(),
            namespace: format!("k8s-{id}"),
        };
        let runtime = connect(&somewhere.kubeconfig);
        if let Some(double) = &somewhere.double {
            double.speed(20.0);
            let lines = vec!["broken s3cret-one".to_owned()];
            let fails = Behaviour::CrashLoop { exit_code: 7, lines };
            double.image(WEB, Behaviour::runs().when("FAIL", "1", fails));
        }
        eprintln!("{test} in {}", target.namespace);
        Some(Self { somewhere, runtime, target, disks: Mutex::default() })
    }

    /// The double: only for tests that no real cluster can hold.
    pub fn double(&self) -> Option<&ClusterDouble> {
        self.somewhere.double.as_ref()
    }

    pub fn client(&self) -> Client {
        self.somewhere.connect().client()
    }

    async fn pods(&self, container: &str) -> Vec<Pod> {
        let api: Api<Pod> = Api::namespaced(self.client(), &self.target.namespace);
        let all = ListParams::default().labels(&format!("kiops.dev/container={container}"));
        let mut pods = api.list(&all).await.unwrap().items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
        pods
    }

    async fn pod(&self, container: &str) -> Pod {
        self.pods(container).await.pop().unwrap()
    }

    async fn services(&self) -> Vec<Service> {
        let api: Api<Service> = Api::namespaced(self.client(), &self.target.namespace);
        api.list(&ListParams::default()).await.unwrap().items
    }

    async fn claims(&self) -> Vec<PersistentVolumeClaim> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client(), &self.target.namespace);
        api.list(&ListParams::default()).await.unwrap().items
    }

    /// Runs a command line of a shell in a container of the real cluster.
    async fn exec(&self, container: &str, line: &str) -> String {
        let pod = self.pod(container).await.metadata.name.unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &self.somewhere.kubeconfig).unwrap();
        let out = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(file.path())
            .args(["--namespace", &self.target.namespace, "exec", &pod, "--container", container, "--"])
            .args(["/bin/sh", "-c", line])
            .output()
            .expect("kubectl looks into containers of a real cluster");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// The uid of the claim that a container has mounted somewhere.
    async fn disk(&self, container: &str, mount_path: &str) -> String {
        let spec = self.pod(container).await.spec.unwrap();
        let mounts = spec.containers[0].volume_mounts.clone().unwrap();
        let mount = mounts.into_iter().find(|mount| mount.mount_path == mount_path).unwrap();
        let volume = spec.volumes.unwrap().into_iter().find(|volume| volume.name == mount.name).unwrap();
        let claim = volume.persistent_volume_claim.unwrap().claim_name;
        let found = self.claims().await.into_iter().find(|c| c.metadata.name.as_deref() == Some(&claim)).unwrap();
        found.metadata.uid.unwrap()
    }

    /// A variable as a kubelet would make it: references expanded, secrets looked up.
    fn made(&self, double: &ClusterDouble, pod: &Pod, name: &str) -> Option<String> {
        let env = pod.spec.as_ref()?.containers[0].env.clone()?;
        let variable = env.into_iter().find(|variable| variable.name == name)?;
        if let Some(text) = variable.value {
            // As in https://github.com/kubernetes/kubernetes/tree/master/third_party/forked/golang/expansion: a text whose
            // dollars are all doubled refers to nothing.
            assert_eq!(text.matches('$').count() % 2, 0);
            assert!(!text.replace("$$", "").contains('$'));
            return Some(text.replace("$$", "$"));
        }
        let from = variable.value_from?.secret_key_ref?;
        let secret = double.get("Secret", &self.target.namespace, &from.name)?;
        let data = base64::engine::general_purpose::STANDARD.decode(secret["data"][&from.key].as_str()?).ok()?;
        String::from_utf8(data).ok()
    }
}

/// A runtime by a kubeconfig.
pub fn connect(kubeconfig: &str) -> KubernetesRuntime {
    let login = ClusterLogin::read(kubeconfig, None).unwrap_or_else(|why| panic!("{why}"));
    KubernetesRuntime::connect(&ClusterAccess::Login(Box::new(login)), None).unwrap()
}

#[async_trait]
impl Place for ClusterPlace {
    fn runtime(&self) -> &dyn Runtime {
        &self.runtime
    }

    fn target(&self) -> &Target {
        &self.target
    }

    /// The double's own clock is faster, and so is its patience.
    fn deadline(&self) -> Duration {
        Duration::from_secs(if self.double().is_some() { 400 } else { 120 })
    }

    #[expect(clippy::disallowed_methods, reason = "which image a real cluster can pull is said by the environment")]
    fn image(&self) -> (Repository, Tag) {
        let own = std::env::var("KIOPS_TEST_IMAGE").unwrap_or_else(|_| "busybox:1.36".to_owned());
        let text = if self.double().is_some() { WEB } else { own.as_str() };
        let (repository, tag) = text.rsplit_once(':').unwrap();
        (Repository::parse(repository).unwrap(), Tag::parse(tag).unwrap())
    }

    fn command(&self) -> Option<Vec<String>> {
        let script = "if [ \"$FAIL\" = 1 ]; then echo broken $TOKEN; exit 7; fi; \
                      mkdir -p /tmp/www; echo hello > /tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www";
        self.double().is_none().then(|| ["/bin/sh", "-c", script].map(str::to_owned).to_vec())
    }

    async fn identity(&self, container: &str) -> String {
        self.pod(container).await.metadata.uid.unwrap()
    }

    async fn variable(&self, container: &str, name: &str) -> Option<String> {
        match self.double() {
            Some(double) => self.made(double, &self.pod(container).await, name),
            None => Some(self.exec(container, &format!("printf %s \"${name}\"")).await),
        }
    }

    async fn reaches(&self, from: &str, to: &str) -> bool {
        let Some(double) = self.double() else {
            return self.exec(from, &format!("wget -qO- http://{to}/ && echo reached")).await.contains("reached");
        };
        let found = self.services().await.into_iter().find(|s| s.metadata.name.as_deref() == Some(to));
        let of_pod = self.pod(to).await.spec.unwrap().containers[0].ports.clone().unwrap()[0].container_port;
        let listens = found.is_some_and(|s| s.spec.unwrap().ports.unwrap()[0].port == of_pod);
        listens && !self.pods(from).await.is_empty() && !double.resolve(&self.target.namespace, to).is_empty()
    }

    async fn is_published(&self, container: &str) -> bool {
        let services = self.services().await;
        let spec = services.into_iter().find(|s| s.metadata.name.as_deref() == Some(container)).unwrap().spec.unwrap();
        spec.type_.as_deref() != Some("ClusterIP") || spec.ports.unwrap().iter().any(|port| port.node_port.is_some())
    }

    async fn write(&self, container: &str, mount_path: &str, text: &str) {
        if self.double().is_none() {
            self.exec(container, &format!("printf %s '{text}' > {mount_path}/text")).await;
            return;
        }
        let disk = self.disk(container, mount_path).await;
        self.disks.lock().unwrap().insert(disk, text.to_owned());
    }

    async fn read(&self, container: &str, mount_path: &str) -> Option<String> {
        if self.double().is_none() {
            return Some(self.exec(container, &format!("cat {mount_path}/text")).await);
        }
        let disk = self.disk(container, mount_path).await;
        self.disks.lock().unwrap().get(&disk).cloned()
    }

    async fn print(&self, container: &str, line: &str) {
        let pod = self.pod(container).await.metadata.name.unwrap();
        match self.double() {
            Some(double) => double.print((&self.target.namespace, &pod), container, line),
            None => {
                self.exec(container, &format!("printf '%s\\n' '{line}' > /proc/1/fd/1")).await;
            }
        }
    }

    async fn is_empty(&self) -> bool {
        let api: Api<Namespace> = Api::all(self.client());
        api.get_opt(&self.target.namespace).await.unwrap().is_none()
    }

    async fn volumes(&self) -> usize {
        self.claims().await.len()
    }
}
