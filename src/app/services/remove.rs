//! Removing a service: its row says how, and a job takes down what was deployed.

use entity::{ServiceStatus, service};
use sea_orm::{ActiveModelTrait, IntoActiveModel, Set};
use serde_json::json;

use super::definition::Removal;
use super::update::for_change;
use crate::app::events::ChangeKind;
use crate::app::pipelines::cancel;
use crate::app::{Actor, App, Error, Event, Result, audit, scans};
use crate::domain::policy::Action;
use crate::queue::{self, NewJob};

/// The kind of the job that takes a service down. Its lane and its subject are the service's id.
pub const REMOVE_JOB: &str = "service.remove";

/// Begins to remove a service. Asking again while it is under way changes how, and tries again if it got stuck.
///
/// # Errors
/// NOT_FOUND, FORBIDDEN when a member wants the volumes deleted, BAD_USER_INPUT when both wishes exclude each other.
pub async fn remove(app: &App, actor: &Actor, id: &str, how: Removal) -> Result<service::Model> {
    let tx = app.begin().await?;
    let stored = for_change(&tx, &actor.scope, id).await?;
    if how.delete_volumes {
        actor.require(Action::DeleteVolumes)?;
    }
    if how.keep_deployments && how.delete_volumes {
        return Err(Error::bad_input("input.deleteVolumes", "volumes of deployments that are kept can't be deleted"));
    }
    let mut row = stored.into_active_model();
    row.removing = Set(true);
    row.removal = Set(Some(serde_json::to_value(how)?));
    row.status = Set(ServiceStatus::Removing);
    row.status_message = Set(None);
    row.changed_at = Set(app.clock.now());
    let row = row.update(&tx).await?;
    if !queue::is_busy(&tx, &row.id).await? {
        let job = NewJob { organization_id: &row.organization_id, kind: REMOVE_JOB, lane: &row.id, subject: &row.id };
        queue::enqueue(&tx, job, app.clock.now()).await?;
    }
    let entry = audit::Entry {
        action: "service.removed",
        subject_kind: "Service",
        subject_id: &row.id,
        subject_name: &row.name,
        detail: json!({ "keepDeployments": how.keep_deployments, "deleteVolumes": how.delete_volumes }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    cancel::all_of(app, &row).await?;
    scans::remove::cancel_all(app, &row).await?;
    app.events.service(&row, ChangeKind::Changed);
    app.events.publish(Event::Jobs);
    Ok(row)
}
