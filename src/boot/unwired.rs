//! Until they are wired.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::builder::source::{Fetched, Origin, Resolved, SourceError, SourceLimits, Sources};
use crate::builder::{Builder, BuilderError, Builders, EngineConnection, Journal};
use crate::domain::names::CommitHash;

/// Neither fetches nor builds.
pub struct Unwired;

#[async_trait]
impl Sources for Unwired {
    async fn resolve(&self, _: &Origin, _: &str) -> Result<Resolved, SourceError> {
        Err(SourceError::Broken("unwired".to_owned()))
    }

    async fn fetch(
        &self,
        _: &Origin,
        _: &CommitHash,
        _: &Path,
        _: SourceLimits,
        _: &dyn Journal,
    ) -> Result<Fetched, SourceError> {
        Err(SourceError::Broken("unwired".to_owned()))
    }
}

impl Builders for Unwired {
    fn connect(&self, _: &EngineConnection) -> Result<Arc<dyn Builder>, BuilderError> {
        Err(BuilderError::Engine("unwired".to_owned()))
    }
}
