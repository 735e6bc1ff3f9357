//! A pipeline whose deployments came to something goes on.

use entity::{RunStatus, pipeline};
use sea_orm::{ConnectionTrait, EntityTrait as _};

use super::RESUME;
use crate::app::{App, Result};
use crate::queue::{self, NewJob};

/// Lets a pipeline look at its deployments anew, with the transaction in which one of them was settled. After the
/// commit its caller publishes `Event::Jobs`.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn wake(app: &App, tx: &impl ConnectionTrait, pipeline_id: &str) -> Result<()> {
    if queue::wake(tx, pipeline_id, RESUME, app.clock.now()).await? || queue::is_busy(tx, pipeline_id).await? {
        return Ok(());
    }
    let Some(row) = pipeline::Entity::find_by_id(pipeline_id).one(tx).await? else { return Ok(()) };
    if row.status != RunStatus::WaitingApproval {
        return Ok(());
    }
    // It gave up its branch's lane while it waited for somebody; what others build there meanwhile is no concern of it.
    let job = NewJob { organization_id: &row.organization_id, kind: RESUME, lane: &row.id, subject: &row.id };
    queue::enqueue(tx, job, app.clock.now()).await?;
    Ok(())
}
