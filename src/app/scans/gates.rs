//! Security gates: what a service may carry to deployment. A service without a gate of its own has its organization's.

pub mod judge;
pub mod save;

use std::collections::HashMap;
use std::sync::Arc;

use entity::{GateMode, finding, security_gate};
use sea_orm::{ColumnTrait as _, ConnectionTrait, QueryFilter as _};

use super::list::severity_of;
use crate::app::deployments::environments;
use crate::app::{Actor, App, Error, Result, Scope};
use crate::domain::scan::ScanKind;
pub use crate::scanner::gate::{Outcome, Rule, Verdict, Violation};

/// A gate, and for whom it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// Whether it is asked.
    pub enabled: bool,
    /// Whether it keeps back.
    pub mode: GateMode,
    /// What it lets through.
    pub rules: Vec<Rule>,
    /// Whether it is the organization's, shown of a service.
    pub inherited: bool,
}

impl Gate {
    fn read(row: &security_gate::Model, inherited: bool) -> Result<Self> {
        Ok(Self { enabled: row.enabled, mode: row.mode, rules: rules_of(row)?, inherited })
    }

    /// What holds where nobody has saved anything: everything goes through.
    fn none() -> Self {
        Self { enabled: false, mode: GateMode::Warn, rules: Vec::new(), inherited: true }
    }
}

/// The gate of a service, or with none that of the organization; none where nobody has saved one.
///
/// # Errors
/// NOT_FOUND for a service that the caller does not see.
pub async fn of(app: &App, actor: &Actor, service_id: Option<&str>) -> Result<Option<Gate>> {
    let db = app.db.read();
    if let Some(id) = service_id {
        environments::service(db, &actor.scope, id).await?;
    }
    in_force(db, &actor.scope, service_id).await
}

/// The gate that holds for a service, or with none the organization's.
///
/// # Errors
/// INTERNAL when the database does not answer, or a row holds something else.
pub async fn in_force(db: &impl ConnectionTrait, scope: &Scope, service_id: Option<&str>) -> Result<Option<Gate>> {
    chosen(&saved(db, scope, service_id).await?, scope, service_id)
}

/// The gates that hold for many services at once. A service without one is not in the answer.
///
/// # Errors
/// INTERNAL when the database does not answer, or a row holds something else.
pub async fn of_services(app: &App, scope: &Scope, ids: &[String]) -> Result<HashMap<String, Arc<Gate>>> {
    let rows = saved(app.db.read(), scope, ids.iter().map(String::as_str)).await?;
    let of = |id: &String| {
        let gate = chosen(&rows, scope, Some(id)).transpose()?;
        Some(gate.map(|gate| (id.clone(), Arc::new(gate))))
    };
    ids.iter().filter_map(of).collect()
}

/// What is saved for services, and for their organization, by whom it is for.
async fn saved<'i>(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: impl IntoIterator<Item = &'i str>,
) -> Result<HashMap<String, security_gate::Model>> {
    let subjects = ids.into_iter().map(str::to_owned).chain([scope.organization_id.clone()]);
    let rows = scope.security_gates().filter(security_gate::Column::Subject.is_in(subjects)).all(db).await?;
    Ok(rows.into_iter().map(|row| (row.subject.clone(), row)).collect())
}

/// Of what is saved, what holds: a service's own, else its organization's.
fn chosen(
    saved: &HashMap<String, security_gate::Model>,
    scope: &Scope,
    service_id: Option<&str>,
) -> Result<Option<Gate>> {
    let own = service_id.and_then(|id| saved.get(id));
    let row = own.or_else(|| saved.get(&scope.organization_id));
    row.map(|row| Gate::read(row, service_id.is_some() && own.is_none())).transpose()
}

/// The rules of many services at once that keep a deployment back. Services whose gate is off, or only warns, have none.
///
/// # Errors
/// As [`of_services`].
pub async fn blocking(app: &App, scope: &Scope, service_ids: &[String]) -> Result<HashMap<String, Arc<Vec<Rule>>>> {
    let gates = of_services(app, scope, service_ids).await?;
    let blocks = |gate: &Gate| gate.enabled && gate.mode == GateMode::Block;
    let rules = |gate: Arc<Gate>| if blocks(&gate) { gate.rules.clone() } else { Vec::new() };
    Ok(gates.into_iter().map(|(id, gate)| (id, Arc::new(rules(gate)))).collect())
}

/// Whether one of these rules counts a finding, were it open.
#[must_use]
pub fn counted_by_block_rule(rules: &[Rule], finding: &finding::Model) -> bool {
    rules.iter().any(|rule| {
        let is_new = finding.first_seen_at > rule.saved_at && finding.deployed_at.is_none();
        ScanKind::from(finding.kind) == rule.kind
            && severity_of(finding.rank) > rule.max_severity
            && (!rule.only_new || is_new)
    })
}

fn rules_of(row: &security_gate::Model) -> Result<Vec<Rule>> {
    serde_json::from_value(row.rules.clone()).map_err(|e| Error::internal(format!("rules of gate {}: {e}", row.id)))
}
