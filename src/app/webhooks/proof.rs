//! What proves the deliveries of a GitLab webhook that somebody pasted: the first that comes through shows it, and it
//! stays so.

use entity::service;
use sea_orm::{ActiveModelTrait, EntityTrait as _, IntoActiveModel as _, QuerySelect as _, Set};

use super::auto_ci::{StoredProof, auto_ci_of};
use crate::app::deployments::environments;
use crate::app::{App, Result};
use crate::domain::webhook::Proof;

/// Keeps what proved a delivery, unless something was kept already. Whether that is the same.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn keep(app: &App, service_id: &str, proof: Proof) -> Result<bool> {
    let proof = StoredProof::from(proof);
    let tx = app.begin().await?;
    let Some(stored) = service::Entity::find_by_id(service_id).lock_exclusive().one(&tx).await? else {
        return Ok(false);
    };
    let mut definition = auto_ci_of(&stored)?;
    if let Some(kept) = definition.proof {
        return Ok(kept == proof);
    }
    definition.proof = Some(proof);
    let mut row = stored.into_active_model();
    row.auto_ci = Set(Some(serde_json::to_value(&definition)?));
    let row = row.update(&tx).await?;
    tx.commit().await?;
    environments::changed(app, &row);
    Ok(true)
}
