//! Security gates.

use async_graphql::{Context, ID, Object};

use crate::app::scans::gates;
use crate::graphql::errors::{Result, nullable};
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::gate::SecurityGate;

/// Security gates.
#[derive(Default)]
pub struct GateQuery;

#[Object]
impl GateQuery {
    /// What a service may carry to deployment; without one, what services have that have no gate of their own. Null where
    /// none was saved.
    async fn security_gate(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; the organization's when left out.")] service_id: Option<ID>,
    ) -> Option<Result<SecurityGate>> {
        nullable(find(ctx, service_id).await)
    }
}

async fn find(ctx: &Context<'_>, service_id: Option<ID>) -> Result<Option<SecurityGate>> {
    let id = service_id.map(|id| NodeKind::Service.row(&id)).transpose()?;
    Ok(gates::of(app(ctx)?, actor(ctx)?, id.as_deref()).await?.map(SecurityGate))
}
