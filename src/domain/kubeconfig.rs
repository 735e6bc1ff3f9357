//! How a Kubernetes cluster is reached: what is taken from a kubeconfig, and what is refused.

use super::secret::SecretString;

/// How a cluster is reached.
#[derive(Clone)]
pub enum ClusterAccess {
    /// With the login of a kubeconfig.
    Login(Box<ClusterLogin>),
    /// As the pod that this server is, with the service account's token that Kubernetes keeps fresh in its files.
    InCluster,
}

/// The parts of one context of a kubeconfig that are used. Nothing of it names a file or a program.
#[derive(Clone)]
pub struct ClusterLogin {
    /// `https://host:6443`.
    pub server: String,
    /// The authority of the server's certificate, PEM; none: those that the system trusts.
    pub ca: Option<String>,
    /// The name that the certificate is checked for, where it is not the server's.
    pub tls_server_name: Option<String>,
    /// A bearer token.
    pub token: Option<SecretString>,
    /// A client certificate and its private key, PEM.
    pub certificate: Option<(String, SecretString)>,
    /// The context's namespace.
    pub namespace: Option<String>,
}
