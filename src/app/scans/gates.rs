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
    let subjects: Vec<&str> = service_id.into_iter().chain([scope.organization_id.as_str()]).collect();
    let rows = scope.security_gates().filter(security_gate::Column::Subject.is_in(subjects)).all(db).await?;
    let own = rows.iter().find(|row| Some(row.subject.as_str()) == service_id);
    let Some(row) = own.or_else(|| rows.iter().find(|row| row.subject == scope.organization_id)) else {
        return Ok(None);
    };
    let inherited = service_id.is_some_and(|id| id != row.subject);
    Gate::read(row, inherited).map(Some)
}

/// The gates that hold for many services at once. A service without one is not in the answer.
///
/// # Errors
/// INTERNAL when the database does not answer, or a row holds something else.
pub async fn of_services(app: &App, scope: &Scope, ids: &[String]) -> Result<HashMap<String, Arc<Gate>>> {
    let subjects = ids.iter().chain([&scope.organization_id]);
    let rows = scope.security_gates().filter(security_gate::Column::Subject.is_in(subjects)).all(app.db.read()).await?;
    let mut gates: HashMap<String, Arc<Gate>> = HashMap::new();
    for row in rows {
        let gate = Gate::read(&row, row.subject == scope.organization_id)?;
        gates.insert(row.subject, Arc::new(gate));
    }
    let default = gates.get(&scope.organization_id).cloned();
    let of = |id: &String| Some((id.clone(), gates.get(id).cloned().or_else(|| default.clone())?));
    Ok(ids.iter().filter_map(of).collect())
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
