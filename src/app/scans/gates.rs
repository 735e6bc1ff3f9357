//! Which findings the gate of a service counts, as far as it says who may ignore them.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use entity::{GateMode, finding, security_gate};
use sea_orm::{ColumnTrait as _, QueryFilter as _};
use serde::Deserialize;

use super::list::severity_of;
use crate::app::{App, Error, Result, Scope};
use crate::domain::scan::{ScanKind, Severity};

/// A rule of a gate that blocks, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockRule {
    kind: ScanKind,
    max_severity: Severity,
    only_new: bool,
    saved_at: DateTime<Utc>,
}

/// The rules of many services at once that keep a deployment back: a service's own, else the organization's. Services
/// whose gate is off, or only warns, have none.
///
/// # Errors
/// INTERNAL when the database does not answer, or a row holds something else.
pub async fn blocking(
    app: &App,
    scope: &Scope,
    service_ids: &[String],
) -> Result<HashMap<String, Arc<Vec<BlockRule>>>> {
    let subjects = service_ids.iter().chain([&scope.organization_id]);
    let rows = scope.security_gates().filter(security_gate::Column::Subject.is_in(subjects)).all(app.db.read()).await?;
    let mut rules: HashMap<String, Arc<Vec<BlockRule>>> = HashMap::new();
    for row in rows {
        let asked = row.enabled && row.mode == GateMode::Block;
        let of = match asked {
            true => serde_json::from_value(row.rules)
                .map_err(|e| Error::internal(format!("rules of gate {}: {e}", row.id)))?,
            false => Vec::new(),
        };
        rules.insert(row.subject, Arc::new(of));
    }
    let inherited = rules.get(&scope.organization_id).cloned().unwrap_or_default();
    let of = |id: &String| (id.clone(), rules.get(id).cloned().unwrap_or_else(|| inherited.clone()));
    Ok(service_ids.iter().map(of).collect())
}

/// Whether one of these rules counts a finding, were it open.
#[must_use]
pub fn counted_by_block_rule(rules: &[BlockRule], finding: &finding::Model) -> bool {
    rules.iter().any(|rule| {
        let is_new = finding.first_seen_at > rule.saved_at && finding.deployed_at.is_none();
        ScanKind::from(finding.kind) == rule.kind
            && severity_of(finding.rank) > rule.max_severity
            && (!rule.only_new || is_new)
    })
}
