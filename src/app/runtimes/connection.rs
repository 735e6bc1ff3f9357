//! How a runtime is reached: read from an input, let through or not, and stored.

use entity::{RuntimeKind, runtime};

use super::local::{self, DEFAULT_HOST, Endpoint};
use crate::app::change::Change;
use crate::app::{App, Error, Result, Scope, Violations, secrets};
use crate::domain::kubeconfig::{ClusterAccess, ClusterLogin};
use crate::domain::secret::{ExposeSecret as _, SecretString};
use crate::runtime::{DockerConnection, DockerTls, RuntimeConnection};

const MAX_PEM_BYTES: usize = 64 * 1024;

/// The address that is shown for the cluster that the server runs in.
const OWN_CLUSTER: &str = "https://kubernetes.default.svc";

/// How an engine is reached; what is left out stays, or has its default in a new one.
#[derive(Clone, Default)]
pub struct DockerInput {
    /// `unix:///var/run/docker.sock` or `tcp://host:2376`.
    pub host: Change<String>,
    /// PEM.
    pub tls_ca: Change<String>,
    /// PEM.
    pub tls_cert: Change<String>,
    /// PEM.
    pub tls_key: Change<SecretString>,
}

/// How a cluster is reached: with a kubeconfig, or as the pod that the server is.
#[derive(Clone, Default)]
pub struct KubernetesInput {
    /// YAML.
    pub kubeconfig: Option<SecretString>,
    /// Which of its contexts; its current one when left out.
    pub context: Option<String>,
    /// The cluster that the server runs in.
    pub in_cluster: bool,
}

/// A connection that was read, and not tried yet.
pub(in crate::app) enum Connection {
    /// An engine.
    Docker(Endpoint, Option<DockerTls>),
    /// A cluster with a kubeconfig, and where that leads.
    Cluster(Endpoint, Box<ClusterLogin>),
    /// The cluster that the server runs in.
    OwnCluster,
}

impl Connection {
    /// Where an input says it.
    pub(super) fn field(&self) -> &'static str {
        match self {
            Self::Docker(..) => "input.docker.host",
            Self::Cluster(..) => "input.kubernetes.kubeconfig",
            Self::OwnCluster => "input.kubernetes.inCluster",
        }
    }

    /// What it leads to.
    pub(super) fn kind(&self) -> RuntimeKind {
        match self {
            Self::Docker(..) => RuntimeKind::Docker,
            Self::Cluster(..) | Self::OwnCluster => RuntimeKind::Kubernetes,
        }
    }

    /// The address that is stored and shown.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Docker(endpoint, _) => endpoint.to_string(),
            Self::Cluster(_, login) => login.server.clone(),
            Self::OwnCluster => OWN_CLUSTER.to_owned(),
        }
    }

    /// The authority and the certificate that are stored readable.
    pub(super) fn certificates(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::Docker(_, Some(tls)) => (Some(tls.ca.clone()), Some(tls.cert.clone())),
            _ => (None, None),
        }
    }

    /// What is stored sealed.
    pub(super) fn secret(&self) -> Option<SecretString> {
        match self {
            Self::Docker(_, tls) => tls.as_ref().map(|tls| tls.key.clone()),
            Self::Cluster(_, login) => Some(login.to_secret()),
            Self::OwnCluster => None,
        }
    }

    /// For the adapter.
    pub(super) fn to_runtime(&self) -> RuntimeConnection {
        match self {
            Self::Docker(endpoint, tls) => {
                RuntimeConnection::Docker(DockerConnection { host: endpoint.to_string(), tls: tls.clone() })
            }
            Self::Cluster(_, login) => RuntimeConnection::Kubernetes(ClusterAccess::Login(login.clone())),
            Self::OwnCluster => RuntimeConnection::Kubernetes(ClusterAccess::InCluster),
        }
    }

    /// Lets it through or not: metadata and link-local addresses never, this machine's own engine and the cluster that it
    /// runs in only for the organizations that `runtimes.local_engine` names.
    ///
    /// # Errors
    /// BAD_USER_INPUT at `field`, UPSTREAM_ERROR for an unknown name, FAILED_PRECONDITION for this machine's own.
    pub(super) async fn admit(&self, app: &App, scope: &Scope, field: &str) -> Result<()> {
        match self {
            Self::Docker(endpoint, _) | Self::Cluster(endpoint, _) => local::admit(app, scope, endpoint, field).await,
            Self::OwnCluster if local::may_use_local(app, scope).await? => Ok(()),
            Self::OwnCluster => Err(local::not_allowed()),
        }
    }

    /// The connection of a stored runtime, its secret opened.
    ///
    /// # Errors
    /// INTERNAL when it can't be read.
    pub(super) async fn stored(app: &App, scope: &Scope, row: &runtime::Model) -> Result<Self> {
        let secret = match &row.secret_id {
            Some(id) => Some(secrets::open(app, scope, id).await?),
            None => None,
        };
        if row.kind == RuntimeKind::Kubernetes {
            let Some(secret) = secret else { return Ok(Self::OwnCluster) };
            let login = ClusterLogin::from_secret(&secret)
                .ok_or_else(|| Error::internal(format!("runtime {} holds no login of a cluster", row.id)))?;
            let endpoint = endpoint_of(&login).map_err(Error::internal)?;
            return Ok(Self::Cluster(endpoint, Box::new(login)));
        }
        let endpoint = Endpoint::parse(&row.endpoint, row.tls_ca.is_some()).map_err(Error::internal)?;
        let tls = match (&row.tls_ca, &row.tls_cert, secret) {
            (Some(ca), Some(cert), Some(key)) => Some(DockerTls { ca: ca.clone(), cert: cert.clone(), key }),
            _ => None,
        };
        Ok(Self::Docker(endpoint, tls))
    }
}

/// The connection of an input, or none after a fault. Exactly one of the two says it.
pub(super) fn read(
    v: &mut Violations,
    docker: Option<DockerInput>,
    kubernetes: Option<KubernetesInput>,
    stored: Option<(&runtime::Model, Option<SecretString>)>,
) -> Option<Connection> {
    match (docker, kubernetes) {
        (Some(docker), None) => read_docker(v, docker, stored),
        (None, Some(kubernetes)) => read_kubernetes(v, kubernetes),
        (None, None) => {
            v.add("input.docker", "say how the engine is reached, or name a cluster in input.kubernetes");
            None
        }
        (Some(_), Some(_)) => {
            v.add("input.kubernetes", "a runtime is a Docker engine or a Kubernetes cluster: give one of the two");
            None
        }
    }
}

fn read_kubernetes(v: &mut Violations, input: KubernetesInput) -> Option<Connection> {
    let at = "input.kubernetes";
    let Some(kubeconfig) = input.kubeconfig else {
        if !input.in_cluster {
            v.add(at, "give a kubeconfig, or say that it is the cluster that the server runs in");
        } else if input.context.is_some() {
            v.add(format!("{at}.context"), "a context is one of a kubeconfig's");
        } else {
            return Some(Connection::OwnCluster);
        }
        return None;
    };
    if input.in_cluster {
        v.add(
            format!("{at}.inCluster"),
            "the cluster that the server runs in needs no kubeconfig: give one of the two",
        );
        return None;
    }
    let read = ClusterLogin::read(kubeconfig.expose_secret(), input.context.as_deref());
    let login = v.check(format!("{at}.kubeconfig"), read)?;
    let endpoint = v.check(format!("{at}.kubeconfig"), endpoint_of(&login))?;
    Some(Connection::Cluster(endpoint, Box::new(login)))
}

/// Where a login leads.
fn endpoint_of(login: &ClusterLogin) -> std::result::Result<Endpoint, String> {
    let url = url::Url::parse(&login.server).map_err(|_| "the server is no address".to_owned())?;
    let host = url.host().ok_or_else(|| "the server has no host".to_owned())?;
    Ok(Endpoint::Tcp(host.to_owned(), url.port_or_known_default().unwrap_or(443)))
}

/// What is left out stays as it is stored.
fn read_docker(
    v: &mut Violations,
    input: DockerInput,
    stored: Option<(&runtime::Model, Option<SecretString>)>,
) -> Option<Connection> {
    let (row, key) = stored.unzip();
    let key = input.tls_key.over(key.flatten());
    let ca = input.tls_ca.over(row.and_then(|r| r.tls_ca.clone()));
    let cert = input.tls_cert.over(row.and_then(|r| r.tls_cert.clone()));
    let host = match input.host {
        Change::Keep => row.map(|r| r.endpoint.clone()),
        Change::Clear => None,
        Change::Set(host) => Some(host),
    };
    let host = host.unwrap_or_else(|| DEFAULT_HOST.to_owned());

    let parts = [
        ("input.docker.tlsCa", ca.as_deref()),
        ("input.docker.tlsCert", cert.as_deref()),
        ("input.docker.tlsKey", key.as_ref().map(|k| k.expose_secret())),
    ];
    let given = parts.iter().filter(|(_, text)| text.is_some()).count();
    for (field, text) in parts {
        match text {
            None if given > 0 => v.add(field, "TLS needs all of tlsCa, tlsCert and tlsKey"),
            Some(pem) if pem.len() > MAX_PEM_BYTES || !pem.contains("-----BEGIN ") => {
                v.add(field, "this is no PEM text");
            }
            _ => {}
        }
    }
    let endpoint = v.check("input.docker.host", Endpoint::parse(&host, given > 0))?;
    let tls = match (ca, cert, key) {
        (Some(ca), Some(cert), Some(key)) => Some(DockerTls { ca, cert, key }),
        _ => None,
    };
    Some(Connection::Docker(endpoint, tls))
}
