//! Scanning, and what becomes of findings.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use crate::app::scans::start::{self, StartInput};
use crate::app::scans::state::{self, SetState};
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::enums::{FindingState, ScanKind};
use crate::graphql::types::finding::Finding;
use crate::graphql::types::scan::Scan;

/// What to look at, and for what.
#[derive(InputObject)]
pub struct StartScanInput {
    /// The service.
    service_id: ID,
    /// What is looked for.
    kind: ScanKind,
    /// Branch, tag or commit; the service's branch when left out. Not for DAST.
    r#ref: Option<String>,
    /// DAST: the environment that is scanned while it runs; production when left out, or the only one there is.
    environment: Option<String>,
}

/// The scan is queued.
#[derive(SimpleObject)]
pub struct StartScanPayload {
    /// The scan.
    scan: Scan,
}

/// OPEN or IGNORED; IGNORED needs a reason.
#[derive(InputObject)]
pub struct SetFindingStateInput {
    /// The finding.
    id: ID,
    /// OPEN or IGNORED.
    state: FindingState,
    /// Why it is nothing.
    reason: Option<String>,
    /// It opens again after this.
    until: Option<DateTime<Utc>>,
}

/// The finding stands there from now on.
#[derive(SimpleObject)]
pub struct SetFindingStatePayload {
    /// The finding.
    finding: Finding,
}

/// Scanning.
#[derive(Default)]
pub struct ScanMutation;

#[Object]
impl ScanMutation {
    /// Has the tools of a kind look at a service now.
    async fn start_scan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to look at, and for what.")] input: StartScanInput,
    ) -> Result<Option<StartScanPayload>> {
        let input = StartInput {
            service_id: NodeKind::Service.row(&input.service_id)?,
            kind: input.kind.into(),
            ref_name: input.r#ref,
            environment: input.environment,
        };
        let row = start::start(app(ctx)?, actor(ctx)?, input).await?;
        Ok(Some(StartScanPayload { scan: Scan(row) }))
    }

    /// Ignores a finding with a reason, or opens it again.
    async fn set_finding_state(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and what of it.")] input: SetFindingStateInput,
    ) -> Result<Option<SetFindingStatePayload>> {
        let input = SetState {
            id: NodeKind::Finding.row(&input.id)?,
            state: input.state.into(),
            reason: input.reason,
            until: input.until,
        };
        let row = state::set(app(ctx)?, actor(ctx)?, input).await?;
        Ok(Some(SetFindingStatePayload { finding: Finding(row) }))
    }
}
