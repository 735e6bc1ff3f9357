//! Compose files in and out.

use async_graphql::{Context, ID, Object};

use crate::app::Error;
use crate::app::services::{self, export};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::compose::{ComposeImport, ExportFormat};

/// Compose files in and out.
#[derive(Default)]
pub struct ComposeQuery;

#[Object]
impl ComposeQuery {
    /// Reads a Compose file into containers to register. What has no counterpart is said, and never dropped silently.
    async fn compose_import(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The file's text, YAML of at most 256 KiB.")] compose: String,
    ) -> Result<Option<ComposeImport>> {
        actor(ctx)?;
        Ok(Some(export::import(&compose)?.into()))
    }

    /// The service as a Compose file or as Kubernetes manifests, secrets masked: nothing locks its owner in.
    async fn export_service(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The service.")] id: ID,
        #[graphql(desc = "As what.")] format: ExportFormat,
    ) -> Option<Result<String>> {
        nullable(exported(ctx, &id, format).await)
    }
}

async fn exported(ctx: &Context<'_>, id: &ID, format: ExportFormat) -> Result<Option<String>> {
    let scope = &actor(ctx)?.scope;
    let row = NodeKind::Service.row(id)?;
    let service = services::by_id(app(ctx)?, scope, &row).await?.ok_or_else(|| Error::not_found("service"))?;
    Ok(Some(export::export(app(ctx)?, scope, &service, format.into()).await?))
}
