//! One client of a Kubernetes cluster, for runtime, builder and scanner; and what the Jobs of the latter two have in common:
//! where they run ([`ground`]), how one is followed ([`run`]) and removed ([`clear`]).
//!
//! kube's own loaders of kubeconfigs are never used, and neither are proxies: a connection is made from what
//! [`ClusterAccess`] holds. Nothing of a request or an answer is ever logged here, and errors hold only the API
//! server's own sentence.

pub mod clear;
mod client;
mod connector;
mod error;
pub mod ground;
pub mod job;
pub mod log;
mod permissions;
pub mod pod;
pub mod run;
mod seen;
pub mod send;
mod texts;
mod watch;

use std::path::PathBuf;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use kube::core::Request;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::ClusterError;
pub use permissions::{Permission, Subject, grant_manifest, grant_manifest_within};
pub use texts::{docker_config, literal};
pub use watch::watch;
pub use {k8s_openapi, kube};

use crate::domain::kubeconfig::ClusterAccess;

/// Whose fields ours are, where several write to one object.
pub const FIELD_MANAGER: &str = "kiops";

/// What Kubernetes tells a pod about the cluster that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InCluster {
    /// The API server's host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where `token`, `ca.crt` and `namespace` are kept fresh.
    pub folder: PathBuf,
}

/// A client of one cluster. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl Cluster {
    /// Makes a client; asks nothing yet. Has to be called inside of a tokio runtime. `surroundings` are what a pod was
    /// told, which only [`ClusterAccess::InCluster`] takes.
    ///
    /// # Errors
    /// [`ClusterError::Access`] when the certificates are no use or this server is in no pod.
    pub fn connect(access: &ClusterAccess, surroundings: Option<&InCluster>) -> Result<Self, ClusterError> {
        Ok(Self { client: client::client(access, surroundings)? })
    }

    /// For what has no method here: [`Api`], `kube::runtime::watcher`, logs.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Server-side apply: makes the object or brings it to what is given, with [`FIELD_MANAGER`] as the owner of the
    /// fields, and strict: a field that the server does not know is an error. Gives the object as it is then. `kind` is
    /// `&()` for a type of [`k8s_openapi`].
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn apply<K>(&self, object: &K, kind: &K::DynamicType) -> Result<K, ClusterError>
    where
        K: Resource + Serialize + DeserializeOwned,
    {
        let meta = object.meta();
        let name = meta.name.as_deref().ok_or_else(|| ClusterError::Invalid("the object has no name".to_owned()))?;
        // The server holds the body to the path, and wants to know what it is.
        let mut body = serde_json::to_value(object).map_err(|_| ClusterError::Garbled)?;
        body["apiVersion"] = K::api_version(kind).into();
        body["kind"] = K::kind(kind).into();
        let parameters = PatchParams::apply(FIELD_MANAGER).force().validation_strict();
        let request = Request::new(K::url_path(kind, meta.namespace.as_deref()))
            .patch(name, &parameters, &Patch::Apply(&body))
            .map_err(|_| ClusterError::Garbled)?;
        Ok(self.client.request(request).await?)
    }

    /// The API server's version: `1.33.2`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn version(&self) -> Result<String, ClusterError> {
        let info = self.client.apiserver_version().await?;
        Ok(info.git_version.trim_start_matches('v').to_owned())
    }

    /// What tells this cluster from all others: the uid of its kube-system namespace. None when the login may not see it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn id(&self) -> Result<Option<String>, ClusterError> {
        match Api::<Namespace>::all(self.client()).get("kube-system").await.map_err(ClusterError::from) {
            Ok(namespace) => Ok(namespace.metadata.uid),
            Err(ClusterError::Forbidden(_) | ClusterError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Which of the permissions the login does not have, in their order.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn missing(&self, needed: &[Permission]) -> Result<Vec<Permission>, ClusterError> {
        permissions::missing(&self.client, needed, None).await
    }

    /// As [`Self::missing`], where what is about something in namespaces is needed in this one alone.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn missing_within(
        &self,
        needed: &[Permission],
        namespace: &str,
    ) -> Result<Vec<Permission>, ClusterError> {
        permissions::missing(&self.client, needed, Some(namespace)).await
    }

    /// Who the login is to the cluster.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn who(&self) -> Result<Subject, ClusterError> {
        permissions::who(&self.client).await
    }
}
