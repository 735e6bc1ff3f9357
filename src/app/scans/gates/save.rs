//! Saving and removing gates: for admins.

use entity::{GateMode, security_gate};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, Set};
use sea_orm::{QuerySelect as _, sea_query::OnConflict};
use serde_json::json;

use super::{Gate, in_force, rules_of};
use crate::app::audit::{self, Entry};
use crate::app::deployments::environments;
use crate::app::services::update::for_change;
use crate::app::{Actor, App, Error, Result, Violations};
use crate::domain::policy::Action;
use crate::domain::scan::{ScanKind, Severity};
use crate::scanner::gate::Rule;

/// A rule as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRule {
    /// What is looked for.
    pub kind: ScanKind,
    /// The worst that is let through.
    pub max_severity: Severity,
    /// Whether only what is new is counted.
    pub only_new: bool,
}

/// What `saveSecurityGate` takes.
#[derive(Debug, Clone)]
pub struct SaveGate {
    /// The service; the organization's default when left out.
    pub service_id: Option<String>,
    /// Whether it is asked.
    pub enabled: bool,
    /// Whether it keeps back.
    pub mode: GateMode,
    /// What it lets through.
    pub rules: Vec<NewRule>,
}

/// Saves a gate. A rule that was there before keeps the time from which its findings are new.
///
/// # Errors
/// FORBIDDEN for members, NOT_FOUND for the service, BAD_USER_INPUT for a rule that another one of the same kind makes
/// meaningless.
pub async fn save(app: &App, actor: &Actor, input: SaveGate) -> Result<Gate> {
    actor.require(Action::ChangeGates)?;
    faults(&input.rules)?;
    let tx = app.begin().await?;
    let (subject, name) = subject(app, &tx, actor, input.service_id.as_deref()).await?;
    let before = scope_row(&tx, actor, &subject).await?;
    let kept = before.as_ref().map(rules_of).transpose()?.unwrap_or_default();
    let now = app.clock.now();
    let rule = |new: &NewRule| {
        let same =
            |old: &&Rule| (old.kind, old.max_severity, old.only_new) == (new.kind, new.max_severity, new.only_new);
        let saved_at = kept.iter().find(same).map_or(now, |old| old.saved_at);
        Rule { kind: new.kind, max_severity: new.max_severity, only_new: new.only_new, saved_at }
    };
    let rules: Vec<Rule> = input.rules.iter().map(rule).collect();
    let row = security_gate::ActiveModel {
        id: Set(before.map_or_else(|| app.ids.id(), |row| row.id)),
        organization_id: Set(actor.scope.organization_id.clone()),
        subject: Set(subject.clone()),
        enabled: Set(input.enabled),
        mode: Set(input.mode),
        rules: Set(serde_json::to_value(&rules)?),
        updated_at: Set(now),
    };
    // Two admins who save the first one at once: the later one counts.
    let mut conflict = OnConflict::columns([security_gate::Column::OrganizationId, security_gate::Column::Subject]);
    conflict.update_columns([
        security_gate::Column::Enabled,
        security_gate::Column::Mode,
        security_gate::Column::Rules,
        security_gate::Column::UpdatedAt,
    ]);
    security_gate::Entity::insert(row).on_conflict(conflict).exec_without_returning(&tx).await?;
    let entry = Entry {
        action: "gate.saved",
        subject_kind: "SecurityGate",
        subject_id: &subject,
        subject_name: &name,
        detail: json!({ "enabled": input.enabled, "mode": input.mode, "rules": rules }),
    };
    audit::record(app, &tx, actor, entry).await?;
    let gate = in_force(&tx, &actor.scope, input.service_id.as_deref()).await?;
    tx.commit().await?;
    gate.ok_or_else(|| Error::internal("a gate that was saved is not there"))
}

/// Removes the gate of a service, which has the organization's from then on. What holds for it now.
///
/// # Errors
/// FORBIDDEN for members, NOT_FOUND for the service and where it has no gate of its own.
pub async fn remove(app: &App, actor: &Actor, service_id: &str) -> Result<Gate> {
    actor.require(Action::ChangeGates)?;
    let tx = app.begin().await?;
    let (subject, name) = subject(app, &tx, actor, Some(service_id)).await?;
    let row = scope_row(&tx, actor, &subject).await?.ok_or_else(|| Error::not_found("security gate"))?;
    let change: security_gate::ActiveModel = row.into();
    change.delete(&tx).await?;
    let entry = Entry {
        action: "gate.removed",
        subject_kind: "SecurityGate",
        subject_id: &subject,
        subject_name: &name,
        detail: json!({}),
    };
    audit::record(app, &tx, actor, entry).await?;
    let gate = in_force(&tx, &actor.scope, Some(service_id)).await?;
    tx.commit().await?;
    Ok(gate.unwrap_or_else(Gate::none))
}

/// Whose gate it is: a service, held, or the organization. Its id and name.
async fn subject(
    app: &App,
    tx: &impl ConnectionTrait,
    actor: &Actor,
    service_id: Option<&str>,
) -> Result<(String, String)> {
    let Some(id) = service_id else {
        let id = actor.scope.organization_id.clone();
        return Ok((id, "organization".to_owned()));
    };
    environments::service(app.db.read(), &actor.scope, id).await?;
    let service = for_change(tx, &actor.scope, id).await?;
    Ok((service.id, service.name))
}

async fn scope_row(tx: &impl ConnectionTrait, actor: &Actor, subject: &str) -> Result<Option<security_gate::Model>> {
    let mine = actor.scope.security_gates().filter(security_gate::Column::Subject.eq(subject));
    Ok(mine.lock_exclusive().one(tx).await?)
}

/// Of one kind there is one rule for what is new and one for all at most: of two the stricter would be the only one that
/// counts.
fn faults(rules: &[NewRule]) -> Result<()> {
    let mut v = Violations::default();
    for (i, rule) in rules.iter().enumerate() {
        if rules[..i].iter().any(|other| (other.kind, other.only_new) == (rule.kind, rule.only_new)) {
            v.add(format!("input.rules.{i}"), format!("there is such a rule for {} already", rule.kind));
        }
    }
    v.finish()
}
