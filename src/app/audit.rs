//! The audit trail: written in the transaction of what it tells of.

use entity::audit_event;
use sea_orm::{ActiveModelTrait, ConnectionTrait, Set};
use serde_json::Value;

use super::{Actor, App, Result};

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

/// Who did it, where there is no [`Actor`]: the server itself, or a login that failed.
#[derive(Debug, Clone)]
pub struct By {
    /// Whose trail it belongs to.
    pub organization_id: String,
    /// The user, if one is known.
    pub user_id: Option<String>,
    /// Where the request came from.
    pub address: Option<String>,
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
