//! Builds and tests on a Kubernetes cluster: each is a Job in a namespace that is for nothing else. A build is rootless
//! BuildKit, which pushes the image as it builds it; nothing stays on the cluster.
//!
//! What a run makes has a name made of its id, so that nothing has to be remembered between two calls.

mod access;
mod account;
mod archive;
mod build;
mod clear;
mod failure;
mod manifest;
mod run;
mod source;
mod test;

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Resource};

use self::failure::error;
use self::manifest::Stage;
use super::{
    BuildRequest, Builder, BuilderError, BuilderInfo, BuiltImage, ClusterConnection, ClusterPlace, Journal, Lacks,
    TestEnd, TestRequest,
};
use crate::cluster::{Cluster, InCluster};
use crate::domain::image::{Digest, Repository, Tag};
use crate::domain::secret::RegistryLogin;

/// Makes builders on clusters.
#[derive(Default)]
pub struct ClusterBuilders {
    surroundings: Option<InCluster>,
}

impl ClusterBuilders {
    /// `surroundings`: the cluster that this server runs in, where it does.
    #[must_use]
    pub fn new(surroundings: Option<InCluster>) -> Self {
        Self { surroundings }
    }

    /// Makes a client; asks nothing yet.
    ///
    /// # Errors
    /// When the connection's parts make no client.
    pub fn connect(&self, connection: &ClusterConnection) -> Result<Arc<dyn Builder>, BuilderError> {
        let cluster = Cluster::connect(&connection.access, self.surroundings.as_ref()).map_err(error)?;
        Ok(Arc::new(ClusterBuilder { cluster, place: connection.place.clone() }))
    }
}

/// One cluster.
struct ClusterBuilder {
    cluster: Cluster,
    place: ClusterPlace,
}

#[async_trait]
impl Builder for ClusterBuilder {
    async fn info(&self) -> Result<BuilderInfo, BuilderError> {
        let version = self.cluster.version().await.map_err(error)?;
        // No runtime has the images of this one.
        Ok(BuilderInfo { version, engine_id: None })
    }

    fn keeps_images(&self) -> bool {
        false
    }

    async fn lacks(&self) -> Result<Option<Lacks>, BuilderError> {
        self.ask_what_is_missing().await
    }

    async fn build(&self, request: &BuildRequest, journal: &dyn Journal) -> Result<BuiltImage, BuilderError> {
        self.build_image(request, journal).await
    }

    async fn push(
        &self,
        repository: &Repository,
        tag: &Tag,
        _: Option<&RegistryLogin>,
        _: &dyn Journal,
    ) -> Result<Digest, BuilderError> {
        Err(BuilderError::Engine(format!(
            "{repository}:{tag} is not on the cluster, which pushes images as it builds them and keeps none"
        )))
    }

    async fn test(&self, request: &TestRequest, journal: &dyn Journal) -> Result<TestEnd, BuilderError> {
        self.run_test(request, journal).await
    }

    /// Whether an image is still in its registry, that one is asked.
    async fn holds(&self, image_id: &str) -> Result<bool, BuilderError> {
        let parts = image_id.split_once('@');
        Ok(parts.is_some_and(|(name, digest)| Repository::parse(name).is_ok() && Digest::parse(digest).is_ok()))
    }

    async fn clear(&self, run_id: &str) -> Result<(), BuilderError> {
        let (build, test) = tokio::join!(self.remove(Stage::Build, run_id), self.remove(Stage::Test, run_id));
        build.and(test)
    }

    /// It holds nothing that could be forgotten.
    async fn forget(&self, _: &Repository, _: &Tag) -> Result<(), BuilderError> {
        Ok(())
    }
}

impl ClusterBuilder {
    /// Objects in the namespace of runs.
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.cluster.client(), &self.place.namespace)
    }
}
