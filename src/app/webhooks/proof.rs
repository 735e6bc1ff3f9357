//! What proves the deliveries of a GitLab webhook that somebody pasted: the first that comes through shows it, and it
//! stays so.

use entity::service;
use sea_orm::{ActiveModelTrait, EntityTrait as _, IntoActiveModel as _, QuerySelect as _, Set};

use super::auto_ci::{StoredProof, auto_ci_of};
use super::doors::{CHANGED, Door};
use crate::app::deployments::environments;
use crate::app::{App, Result};
use crate::domain::webhook::Proof;

/// Why a delivery is refused that another way of proving came before.
const ANOTHER_WAY: &str = "the webhook has been proven in another way before, and there is no way back";

/// Keeps what proved a delivery that came through this door, unless something was kept already. Where that is another
/// one, or what was remembered of the door is no longer so, the delivery is refused, for the reason given.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn keep(app: &App, door: &Door, proof: Proof) -> Result<std::result::Result<(), &'static str>> {
    let proof = StoredProof::from(proof);
    let tx = app.begin().await?;
    let Some(stored) = service::Entity::find_by_id(&door.service_id).lock_exclusive().one(&tx).await? else {
        return Ok(Err("the service is gone"));
    };
    // A secret that is one no more says nothing of how its successor is going to be sent.
    if stored.webhook_secret_id != door.secret_id {
        return Ok(Err(CHANGED));
    }
    let mut definition = auto_ci_of(&stored)?;
    if let Some(kept) = definition.proof {
        return Ok(if kept == proof { Ok(()) } else { Err(ANOTHER_WAY) });
    }
    definition.proof = Some(proof);
    let mut row = stored.into_active_model();
    row.auto_ci = Set(Some(serde_json::to_value(&definition)?));
    let row = row.update(&tx).await?;
    tx.commit().await?;
    environments::changed(app, &row);
    Ok(Ok(()))
}
