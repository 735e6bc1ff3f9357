//! Where the contract tests deploy: to a double, or to the real cluster that `KIOPS_TEST_KUBECONFIG` names.

use std::sync::atomic::{AtomicU32, Ordering};

use kiops::cluster::kube::Client;
use kiops::cluster::kube::api::{Api, DeleteParams};
use kiops::cluster::{Cluster, k8s_openapi::api::core::v1::Namespace};
use kiops::domain::kubeconfig::{ClusterAccess, ClusterLogin};

use super::cluster::ClusterDouble;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A cluster to test on.
pub struct Place {
    /// None on a real cluster: what only a double can do is behind this.
    pub double: Option<ClusterDouble>,
    /// How it is reached.
    pub kubeconfig: String,
}

impl Place {
    /// The cluster that the environment names, else a double.
    #[expect(clippy::disallowed_methods, reason = "which cluster is said by the environment")]
    pub fn start() -> Self {
        if let Ok(path) = std::env::var("KIOPS_TEST_KUBECONFIG") {
            let kubeconfig = std::fs::read_to_string(path).expect("KIOPS_TEST_KUBECONFIG names a file");
            return Self { double: None, kubeconfig };
        }
        let double = ClusterDouble::start();
        Self { kubeconfig: double.kubeconfig(), double: Some(double) }
    }

    /// A client of it.
    pub fn connect(&self) -> Cluster {
        let login = ClusterLogin::read(&self.kubeconfig, None).map_err(|why| panic!("{why}")).unwrap();
        Cluster::connect(&ClusterAccess::Login(Box::new(login)), None).unwrap()
    }

    /// A namespace's name that no other test has.
    pub fn namespace(&self, word: &str) -> String {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("{word}-{}-{number}", std::process::id())
    }

    /// Removes a namespace and waits until it is gone.
    pub async fn remove(&self, namespace: &str) {
        let namespaces: Api<Namespace> = Api::all(self.client());
        // It may never have been made.
        let _ = namespaces.delete(namespace, &DeleteParams::background()).await;
        for _ in 0..600 {
            if namespaces.get_opt(namespace).await.unwrap().is_none() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        panic!("the namespace {namespace} is still there after two minutes");
    }

    fn client(&self) -> Client {
        self.connect().client()
    }
}
