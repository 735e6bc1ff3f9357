//! Ignoring a finding, and taking that back.

use chrono::{DateTime, Utc};
use entity::{FindingState, finding, service};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _, Set};
use serde_json::json;

use super::effect;
use super::gates::{blocking, counted_by_block_rule};
use crate::app::audit::{self, Entry};
use crate::app::deployments::environments;
use crate::app::{Actor, App, Error, Result, Violations};
use crate::domain::policy::Action;
use crate::domain::scan::FindingState as Wanted;

/// Longest reason, in bytes.
const REASON: usize = 2048;

/// What `setFindingState` takes.
#[derive(Debug, Clone)]
pub struct SetState {
    /// The finding's id.
    pub id: String,
    /// OPEN or IGNORED.
    pub state: Wanted,
    /// Why it is ignored.
    pub reason: Option<String>,
    /// It opens again then.
    pub until: Option<DateTime<Utc>>,
}

/// Ignores a finding, or opens it again.
///
/// # Errors
/// NOT_FOUND; BAD_USER_INPUT for FIXED, which scans alone say, for a reason that is missing or too long, and a time that
/// has passed; FORBIDDEN for a member when the gate of the service counts the finding; CONFLICT for one that is fixed.
pub async fn set(app: &App, actor: &Actor, input: SetState) -> Result<finding::Model> {
    let reason = input.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    let now = app.clock.now();
    faults(&input, reason, now)?;
    effect::up_to_date(app, &actor.scope).await?;
    let tx = app.begin().await?;
    let found = actor
        .scope
        .findings()
        .filter(finding::Column::Id.eq(&input.id))
        .filter(finding::Column::State.ne(FindingState::Pending))
        .lock_exclusive()
        .one(&tx)
        .await?;
    let row = found.ok_or_else(|| Error::not_found("finding"))?;
    if row.state == FindingState::Fixed {
        return Err(Error::conflict("input.id", "it is fixed: no scan sees it any more"));
    }
    if input.state == Wanted::Ignored && !can_ignore(app, actor, &row).await? {
        actor.require(Action::IgnoreBlocked)?;
    }
    let service = environments::service(&tx, &actor.scope, &row.service_id).await?;
    let (id, title, rank) = (row.id.clone(), row.title.clone(), row.rank);
    let mut change: finding::ActiveModel = row.into();
    let ignored = input.state == Wanted::Ignored;
    change.state = Set(if ignored { FindingState::Ignored } else { FindingState::Open });
    change.ignored_reason = Set(reason.filter(|_| ignored).map(str::to_owned));
    change.ignored_until = Set(input.until.filter(|_| ignored));
    change.ignored_by = Set(ignored.then(|| actor.user_id.clone()));
    change.waived_rank = Set(ignored.then_some(rank));
    let row = change.update(&tx).await?;
    let mut touched: service::ActiveModel = service.into();
    touched.changed_at = Set(now);
    let service = service::Entity::update(touched).exec(&tx).await?;
    let entry = Entry {
        action: if ignored { "finding.ignored" } else { "finding.opened" },
        subject_kind: "Finding",
        subject_id: &id,
        subject_name: &title,
        detail: json!({
            "service": service.name, "kind": row.kind, "rule": row.rule, "severity": row.severity,
            "reason": row.ignored_reason, "until": row.ignored_until,
        }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    environments::changed(app, &service);
    Ok(row)
}

fn faults(input: &SetState, reason: Option<&str>, now: DateTime<Utc>) -> Result<()> {
    let mut v = Violations::default();
    match input.state {
        Wanted::Fixed => v.add("input.state", "a scan that no longer sees it says that it is fixed: OPEN or IGNORED"),
        Wanted::Open => {
            if input.until.is_some() {
                v.add("input.until", "only what is ignored opens again: leave this out");
            }
        }
        Wanted::Ignored => {
            match reason {
                None => v.add("input.reason", "say why it is nothing"),
                Some(reason) if reason.len() > REASON || reason.contains('\0') => {
                    v.add("input.reason", format!("a text of at most {REASON} bytes"));
                }
                Some(_) => {}
            }
            if input.until.is_some_and(|until| until <= now) {
                v.add("input.until", "this time has passed");
            }
        }
    }
    v.finish()
}

/// Whether the caller may ignore a finding: an admin any, a member those that no rule counts which blocks.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn can_ignore(app: &App, actor: &Actor, row: &finding::Model) -> Result<bool> {
    if actor.may(Action::IgnoreBlocked) {
        return Ok(true);
    }
    let rules = blocking(app, &actor.scope, std::slice::from_ref(&row.service_id)).await?;
    Ok(!rules.get(&row.service_id).is_some_and(|rules| counted_by_block_rule(rules, row)))
}
