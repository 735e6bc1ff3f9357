//! The audit trail: written in the transaction of what it tells of.

pub mod retention;

use chrono::{DateTime, Utc};
use entity::audit_event;
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, QueryFilter, Set};
use serde_json::Value;

use super::page::{self, Page};
use super::{Actor, App, Result, Scope};
use crate::domain::paging::PageRequest;
use crate::domain::policy::Action;

/// What is written down. `detail` never holds a secret.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// For example `service.registered`.
    pub action: &'a str,
    /// The type of the subject, as node ids name it: `Service`.
    pub subject_kind: &'a str,
    /// The subject's id.
    pub subject_id: &'a str,
    /// The subject's name now.
    pub subject_name: &'a str,
    /// What changed.
    pub detail: Value,
}

/// Who did it, where there is no [`Actor`]: a pipeline, the server itself, or a login that failed.
#[derive(Debug, Clone)]
pub struct By {
    /// Whose trail it belongs to.
    pub organization_id: String,
    /// The user, if one is known.
    pub user_id: Option<String>,
    /// Where the request came from.
    pub address: Option<String>,
}

impl By {
    /// The rows that whoever did it may see.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope { organization_id: self.organization_id.clone() }
    }
}

impl From<&Actor> for By {
    fn from(actor: &Actor) -> Self {
        Self {
            organization_id: actor.scope.organization_id.clone(),
            user_id: Some(actor.user_id.clone()),
            address: actor.address.clone(),
        }
    }
}

/// Writes an entry with what it tells of.
///
/// # Errors
/// INTERNAL when it can't be written; the caller's transaction is then dropped.
pub async fn record(app: &App, tx: &impl ConnectionTrait, by: impl Into<By>, entry: Entry<'_>) -> Result<()> {
    let by = by.into();
    audit_event::ActiveModel {
        id: Set(app.ids.id()),
        organization_id: Set(by.organization_id),
        at: Set(app.clock.now()),
        actor_id: Set(by.user_id),
        action: Set(entry.action.to_owned()),
        subject_kind: Set(Some(entry.subject_kind.to_owned())),
        subject_id: Set(Some(entry.subject_id.to_owned())),
        subject_name: Set(Some(entry.subject_name.to_owned())),
        detail: Set(entry.detail),
        address: Set(by.address),
    }
    .insert(tx)
    .await?;
    Ok(())
}

/// Which entries.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Exactly this action.
    pub action: Option<String>,
    /// By this user.
    pub actor_id: Option<String>,
    /// About this: type and id.
    pub subject: Option<(String, String)>,
    /// From then on.
    pub since: Option<DateTime<Utc>>,
    /// Before then.
    pub until: Option<DateTime<Utc>>,
}

/// The organization's trail, the newest first.
///
/// # Errors
/// FORBIDDEN for members, BAD_USER_INPUT for a cursor of another list.
pub async fn list(app: &App, actor: &Actor, filter: Filter, page: &PageRequest) -> Result<Page<audit_event::Model>> {
    actor.require(Action::ReadAuditTrail)?;
    let mut all = actor.scope.audit_events();
    if let Some(action) = filter.action {
        all = all.filter(audit_event::Column::Action.eq(action.replace('\0', "\u{fffd}")));
    }
    if let Some(id) = filter.actor_id {
        all = all.filter(audit_event::Column::ActorId.eq(id));
    }
    if let Some((kind, id)) = filter.subject {
        all = all.filter(audit_event::Column::SubjectKind.eq(kind)).filter(audit_event::Column::SubjectId.eq(id));
    }
    if let Some(since) = filter.since {
        all = all.filter(audit_event::Column::At.gte(since));
    }
    if let Some(until) = filter.until {
        all = all.filter(audit_event::Column::At.lt(until));
    }
    page::by_id(app, all, audit_event::Column::Id, page, |row| row.id.clone()).await
}

/// One entry.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn find(app: &App, actor: &Actor, id: &str) -> Result<Option<audit_event::Model>> {
    if !actor.may(Action::ReadAuditTrail) {
        return Ok(None);
    }
    Ok(actor.scope.audit_events().filter(audit_event::Column::Id.eq(id)).one(app.db.read()).await?)
}
