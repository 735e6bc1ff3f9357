//! How a cluster is reached, and how it is not.

use std::io::Write;
use std::process::Command;
use std::sync::{Arc, Mutex};

use kiops::cluster::InCluster;
use kiops::cluster::k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kiops::cluster::kube::api::{Api, PostParams};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::support::cluster::ADMIN;
use crate::support::tls::Authority;

#[tokio::test]
async fn a_login_reaches_its_cluster() {
    let double = ClusterDouble::start();
    let cluster = connect(login(&double.kubeconfig()));
    assert_eq!(cluster.version().await.unwrap(), "1.37.0");
    let uid = double.get("Namespace", "", "kube-system").unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    assert_eq!(cluster.id().await.unwrap(), Some(uid));
    double.login("weak", "weak", &[]);
    assert_eq!(with_token(&double, "weak").id().await.unwrap(), None);

    // A name, whose certificate is another's.
    let mut named = login(&double.kubeconfig());
    named.server = named.server.replace("127.0.0.1", "localhost");
    assert!(matches!(refusal(&connect(named.clone())).await, ClusterError::Unreachable(_)));
    named.tls_server_name = Some("127.0.0.1".to_owned());
    assert_eq!(connect(named).version().await.unwrap(), "1.37.0");
}

#[tokio::test]
async fn no_proxy_of_the_environment_is_used() {
    // What listens nowhere would be in the way of the test above, were it read.
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "cluster::access::a_login_reaches_its_cluster"]);
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, "http://127.0.0.1:9");
    }
    let nowhere = "/nowhere/kubeconfig";
    let done = command.env("KUBECONFIG", nowhere).env("KUBE_RS_DEBUG_OVERRIDE_URL", "https://127.0.0.1:9").output();
    let done = tokio::task::spawn_blocking(|| done).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn a_pod_reaches_the_cluster_around_it() {
    let double = ClusterDouble::start();
    let folder = tempfile::tempdir().unwrap();
    let port = double.url().rsplit(':').next().unwrap().parse().unwrap();
    let around = InCluster { host: "127.0.0.1".to_owned(), port, folder: folder.path().to_owned() };
    let connect = || Cluster::connect(&ClusterAccess::InCluster, Some(&around));
    assert!(matches!(connect().err(), Some(ClusterError::Access(why)) if why.contains("ca.crt")));
    std::fs::write(folder.path().join("ca.crt"), double.ca()).unwrap();
    assert!(matches!(connect().err(), Some(ClusterError::Access(why)) if why.contains("token")));
    std::fs::write(folder.path().join("token"), ADMIN).unwrap();
    std::fs::write(folder.path().join("namespace"), "kiops\n").unwrap();
    // Other files may be beside them.
    std::fs::write(folder.path().join("extra"), "x").unwrap();
    let cluster = connect().unwrap();
    assert_eq!(cluster.version().await.unwrap(), "1.37.0");
    assert_eq!(cluster.client().default_namespace(), "kiops");
    let outside = Cluster::connect(&ClusterAccess::InCluster, None).err();
    assert!(matches!(outside, Some(ClusterError::Access(why)) if why.contains("pod")));
}

#[tokio::test]
async fn no_cluster_is_at_a_metadata_address() {
    let double = ClusterDouble::start();
    for server in
        ["https://169.254.169.254", "https://[fe80::1]:6443", "https://[::ffff:169.254.169.254]", "https://224.0.0.1"]
    {
        // A login from before the rule, or from elsewhere: it is held to it when it connects.
        let login = ClusterLogin { server: server.to_owned(), ..login(&double.kubeconfig()) };
        let why = refusal(&connect(login)).await;
        assert!(
            matches!(&why, ClusterError::Unreachable(why) if why.contains("no cluster is there")),
            "{server}: {why}"
        );
    }
    // The system's resolver reads these as addresses.
    for server in ["https://metadata.google.internal", "https://0xa9fea9fe", "https://2852039166:6443"] {
        // TLS would refuse such a name before that, were it not told another one.
        let tls_server_name = Some("api.example".to_owned());
        let login = ClusterLogin { server: server.to_owned(), tls_server_name, ..login(&double.kubeconfig()) };
        let why = refusal(&connect(login)).await;
        assert!(
            matches!(&why, ClusterError::Unreachable(why) if why.contains("no cluster is there")),
            "{server}: {why}"
        );
    }
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_not_believed() {
    let double = ClusterDouble::start();
    let ca = Some(Authority::new().pem);
    let why = refusal(&connect(ClusterLogin { ca, ..login(&double.kubeconfig()) })).await;
    assert!(matches!(&why, ClusterError::Unreachable(why) if why.contains("certificate")), "{why}");
    // Without an authority the system's are believed, and none of them signed this.
    let why = refusal(&connect(ClusterLogin { ca: None, ..login(&double.kubeconfig()) })).await;
    assert!(matches!(&why, ClusterError::Unreachable(why) if why.contains("certificate")), "{why}");
    let me = Authority::new().sign("kiops");
    let certificate = Some((me.cert, me.key.into()));
    let both = ClusterLogin { certificate, ..login(&double.kubeconfig()) };
    assert_eq!(connect(both).version().await.unwrap(), "1.37.0");
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn neither_the_token_nor_a_secret_is_in_a_log_or_an_error() {
    let written = Written::default();
    let filter = kiops::telemetry::filter("trace,kube_client=trace,hyper_util=trace").unwrap();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(written.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::trace!("the log is written");
    let double = ClusterDouble::start();
    let cluster = connect(login(&double.kubeconfig()));
    let secret = Secret {
        string_data: Some([("password".to_owned(), "hunter2hunter2".to_owned())].into()),
        ..named("default", "db")
    };
    let secrets: Api<Secret> = Api::namespaced(cluster.client(), "default");
    let made = secrets.create(&PostParams::default(), &secret).await.unwrap();
    assert!(made.data.is_some());
    // An answer that can't be read is what kube warns of, with all that is in it.
    let request = kiops::cluster::kube::core::Request::new("/api/v1/namespaces/default/secrets");
    let request = request.get("db", &Default::default()).unwrap();
    let garbled = cluster.client().request::<Vec<String>>(request).await.map_err(ClusterError::from).unwrap_err();
    double.revoke(ADMIN);
    let refused = refusal(&cluster).await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let again = ClusterError::from(maps.get("x").await.unwrap_err());
    let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the log is written"));
    let base64 = "aHVudGVyMmh1bnRlcjI";
    for text in [log, format!("{garbled} {garbled:?} {refused} {refused:?} {again:?}")] {
        for hidden in [ADMIN, "hunter2", base64] {
            assert!(!text.contains(hidden), "{hidden} is in: {text}");
        }
    }
}

fn named<T: Default + kiops::cluster::k8s_openapi::Metadata<Ty = Meta>>(namespace: &str, name: &str) -> T {
    let mut object = T::default();
    object.metadata_mut().namespace = Some(namespace.to_owned());
    object.metadata_mut().name = Some(name.to_owned());
    object
}

type Meta = kiops::cluster::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
