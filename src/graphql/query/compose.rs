//! Services as files.

use async_graphql::{Context, Enum, ID, Object};

use crate::app::Error;
use crate::app::services::{self, export};
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;

/// What a service can be exported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum ExportFormat {
    /// A Compose file.
    Compose,
    /// Kubernetes manifests.
    Kubernetes,
}

/// Services as files.
#[derive(Default)]
pub struct ComposeQuery;

#[Object]
impl ComposeQuery {
    /// The service as a Compose file or as Kubernetes manifests, secrets masked: nothing locks its owner in.
    async fn export_service(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The service's id.")] id: ID,
        #[graphql(desc = "As what.")] format: ExportFormat,
    ) -> Result<Option<String>> {
        let row = NodeKind::Service.row(&id)?;
        let scope = &actor(ctx)?.scope;
        let service = services::by_id(app(ctx)?, scope, &row).await?;
        let service = service.ok_or_else(|| Error::not_found("service"))?;
        match format {
            ExportFormat::Compose => Ok(Some(export::compose(&service)?)),
            ExportFormat::Kubernetes => Err(export::no_kubernetes().into()),
        }
    }
}
