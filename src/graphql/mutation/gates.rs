//! Saving security gates.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::app::scans::gates::save::{self, NewRule, SaveGate};
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::enums::{ScanKind, Severity};
use crate::graphql::types::gate::{GateMode, SecurityGate};

/// Without serviceId: the organization's default.
#[derive(InputObject)]
struct SaveSecurityGateInput {
    /// The service; the organization's default when left out.
    service_id: Option<ID>,
    /// Whether it is asked.
    enabled: bool,
    /// Whether it keeps back, or only says.
    mode: GateMode,
    /// What it lets through; of each kind one rule for what is new and one for all at most.
    rules: Vec<GateRuleInput>,
}

/// The worst of a kind that is let through.
#[derive(InputObject)]
struct GateRuleInput {
    /// What is looked for.
    kind: ScanKind,
    /// The highest severity that is let through.
    max_severity: Severity,
    /// Whether only what is new is counted.
    #[graphql(default_with = "Some(false)")]
    only_new: Option<bool>,
}

/// Whose gate.
#[derive(InputObject)]
struct RemoveSecurityGateInput {
    /// The service.
    service_id: ID,
}

/// The gate that holds now.
#[derive(SimpleObject)]
pub struct SaveSecurityGatePayload {
    /// What was saved, or what is inherited now.
    security_gate: SecurityGate,
}

/// Security gates.
#[derive(Default)]
pub struct GateMutation;

#[Object]
impl GateMutation {
    /// [admin] What a service, or every service of the organization, may carry to deployment.
    async fn save_security_gate(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is let through.")] input: SaveSecurityGateInput,
    ) -> Result<Option<SaveSecurityGatePayload>> {
        let rule = |rule: &GateRuleInput| NewRule {
            kind: rule.kind.into(),
            max_severity: rule.max_severity.into(),
            only_new: rule.only_new.unwrap_or_default(),
        };
        let input = SaveGate {
            service_id: input.service_id.map(|id| NodeKind::Service.row(&id)).transpose()?,
            enabled: input.enabled,
            mode: input.mode.into(),
            rules: input.rules.iter().map(rule).collect(),
        };
        let gate = save::save(app(ctx)?, actor(ctx)?, input).await?;
        Ok(Some(SaveSecurityGatePayload { security_gate: SecurityGate(gate) }))
    }

    /// [admin] Back to the organization's.
    async fn remove_security_gate(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose gate.")] input: RemoveSecurityGateInput,
    ) -> Result<Option<SaveSecurityGatePayload>> {
        let id = NodeKind::Service.row(&input.service_id)?;
        let gate = save::remove(app(ctx)?, actor(ctx)?, &id).await?;
        Ok(Some(SaveSecurityGatePayload { security_gate: SecurityGate(gate) }))
    }
}
