//! Builds with the BuildKit of a Docker engine, and tests and pushes there.
//!
//! An engine keeps a build going for as long as somebody listens to it, and a container for as long as nobody removes
//! it. Everything that a run makes carries its id, so that nothing has to be remembered between two calls.

mod answers;
mod build;
mod clear;
mod push;
mod test;

use std::sync::Arc;

use async_trait::async_trait;
use bollard::query_parameters::RemoveImageOptions;

use self::clear::Endings;
use super::{
    BuildRequest, Builder, BuilderError, BuilderInfo, BuiltImage, EngineConnection, Journal, Lacks, TestEnd,
    TestRequest,
};
use crate::domain::image::{Digest, Repository, Tag};
use crate::domain::secret::RegistryLogin;
use crate::engine::{Address, Engine, EngineError, Tls, neutralise};

/// Makes builders on Docker engines. All of them know which builds were given up.
#[derive(Default)]
pub struct DockerBuilders {
    endings: Arc<Endings>,
}

impl DockerBuilders {
    /// Knows of no build yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl DockerBuilders {
    /// Makes a client; asks nothing yet.
    ///
    /// # Errors
    /// When the connection's parts make no client.
    pub fn connect(&self, connection: &EngineConnection) -> Result<Arc<dyn Builder>, BuilderError> {
        let tls = connection.tls.clone().map(|(ca, cert, key)| Tls { ca, cert, key });
        let engine = Engine::connect(&Address { host: connection.host.clone(), tls }).map_err(error)?;
        Ok(Arc::new(DockerBuilder { engine, endings: Arc::clone(&self.endings) }))
    }
}

/// One engine.
struct DockerBuilder {
    engine: Engine,
    endings: Arc<Endings>,
}

#[async_trait]
impl Builder for DockerBuilder {
    async fn info(&self) -> Result<BuilderInfo, BuilderError> {
        let info = self.engine.api().await.map_err(error)?.info().await.map_err(sdk)?;
        Ok(BuilderInfo {
            version: info.server_version.unwrap_or_default(),
            engine_id: info.id.filter(|id| !id.is_empty()),
        })
    }

    fn keeps_images(&self) -> bool {
        true
    }

    /// Whoever may speak to an engine may do everything there.
    async fn lacks(&self) -> Result<Option<Lacks>, BuilderError> {
        Ok(None)
    }

    async fn build(&self, request: &BuildRequest, journal: &dyn Journal) -> Result<BuiltImage, BuilderError> {
        self.build_image(request, journal).await
    }

    async fn push(
        &self,
        repository: &Repository,
        tag: &Tag,
        login: Option<&RegistryLogin>,
        journal: &dyn Journal,
    ) -> Result<Digest, BuilderError> {
        self.push_image(repository, tag, login, journal).await
    }

    async fn test(&self, request: &TestRequest, journal: &dyn Journal) -> Result<TestEnd, BuilderError> {
        self.run_test(request, journal).await
    }

    async fn holds(&self, image_id: &str) -> Result<bool, BuilderError> {
        Ok(self.image_id(image_id).await?.is_some())
    }

    async fn clear(&self, run_id: &str) -> Result<(), BuilderError> {
        self.clear_run(run_id).await
    }

    async fn forget(&self, repository: &Repository, tag: &Tag) -> Result<(), BuilderError> {
        let api = self.engine.api().await.map_err(error)?;
        let options = RemoveImageOptions::default();
        match api.remove_image(&format!("{repository}:{tag}"), Some(options), None).await.map_err(EngineError::from) {
            Ok(_) => Ok(()),
            // The last name of an image that a container uses stays until the container is gone.
            Err(failure) if failure.is_missing() || failure.is_conflict() => Ok(()),
            Err(failure) => Err(error(failure)),
        }
    }
}

impl DockerBuilder {
    /// The id of the image that a name or an id stands for.
    async fn image_id(&self, reference: &str) -> Result<Option<String>, BuilderError> {
        let api = self.engine.api().await.map_err(error)?;
        match api.inspect_image(reference).await.map_err(EngineError::from) {
            Ok(image) => Ok(image.id),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(error(failure)),
        }
    }
}

fn sdk(failure: bollard::errors::Error) -> BuilderError {
    error(failure.into())
}

fn error(failure: EngineError) -> BuilderError {
    let text = neutralise(&failure.to_string());
    match failure {
        EngineError::Unreachable(_) => BuilderError::Unreachable(text),
        _ => BuilderError::Engine(text),
    }
}
