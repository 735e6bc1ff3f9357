//! How a Kubernetes cluster is reached: what is taken from a kubeconfig, and what is refused.

mod read;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

use serde::{Deserialize, Serialize};

use super::secret::{ExposeSecret as _, SecretString};

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
    /// `https://host:6443`, with a path where the cluster is behind a proxy like Rancher's; without a slash at the end.
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

impl ClusterLogin {
    /// Reads one context of a kubeconfig: the named one, else its `current-context`. Of the context, its cluster and its
    /// user only listed keys are taken; any other is refused, since kubeconfigs can name programs to run, files to read
    /// and proxies to go through. Other contexts' parts are not looked at.
    ///
    /// # Errors
    /// In words, with the path of the key at fault (`users.0.user.exec`) and never a value.
    pub fn read(yaml: &str, context: Option<&str>) -> Result<Self, String> {
        read::read(yaml, context)
    }

    /// As the database keeps it, sealed.
    #[must_use]
    pub fn to_secret(&self) -> SecretString {
        let kept = Kept {
            server: self.server.clone(),
            ca: self.ca.clone(),
            tls_server_name: self.tls_server_name.clone(),
            token: self.token.as_ref().map(|t| t.expose_secret().to_owned()),
            certificate: self.certificate.as_ref().map(|(cert, _)| cert.clone()),
            key: self.certificate.as_ref().map(|(_, key)| key.expose_secret().to_owned()),
            namespace: self.namespace.clone(),
        };
        serde_json::to_string(&kept).expect("texts are always JSON").into()
    }

    /// Reads what [`Self::to_secret`] wrote; none where it is something else.
    #[must_use]
    pub fn from_secret(kept: &SecretString) -> Option<Self> {
        let kept: Kept = serde_json::from_str(kept.expose_secret()).ok()?;
        let certificate = match (kept.certificate, kept.key) {
            (Some(certificate), Some(key)) => Some((certificate, key.into())),
            (None, None) => None,
            _ => return None,
        };
        Some(Self {
            server: kept.server,
            ca: kept.ca,
            tls_server_name: kept.tls_server_name,
            token: kept.token.map(Into::into),
            certificate,
            namespace: kept.namespace,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_server_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
}
