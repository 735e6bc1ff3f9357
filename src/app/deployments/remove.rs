//! Taking down: an environment, or a whole service.

use entity::{LeftoverState, deployment, environment, leftover, log_line, service};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter, QuerySelect, QueryTrait, Set,
};

use super::perform::{Outcome, drop_job};
use super::{built, cancel, environments, leftovers, status};
use crate::app::events::ChangeKind;
use crate::app::services::definition::removal_of;
use crate::app::services::spec::target_of;
use crate::app::services::update::for_change;
use crate::app::{App, Result, Scope, pipelines, runtimes, scans, webhooks};
use crate::queue::{self, Claim};
use crate::runtime::{RuntimeError, Volumes};

/// Claims after which a runtime that does not answer has failed the removal.
const ATTEMPTS: i32 = 12;

/// Takes one environment down and forgets it; its volumes stay.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn run_environment(app: &App, claim: &Claim) -> Result<Outcome> {
    let db = app.db.read();
    let Some(row) = environment::Entity::find_by_id(&claim.job.subject).one(db).await? else {
        return drop_job(app, claim).await;
    };
    let scope = Scope { organization_id: row.organization_id.clone() };
    let service = environments::service(db, &scope, &row.service_id).await?;
    if let Err(error) = take_down(app, &scope, &service, &row, Volumes::Keep).await? {
        if claim.job.attempts < ATTEMPTS {
            return Ok(Outcome::Again(error.to_string()));
        }
        return give_up(app, claim, &service, Some(&row), &error.to_string()).await;
    }
    let tx = app.begin().await?;
    if !claim.complete(&tx).await? {
        return Ok(Outcome::Lost);
    }
    environments::held(&tx, &scope, &row.id).await?;
    forget(app, &tx, &row).await?;
    status::settle(app, &tx, &service.id).await?;
    tx.commit().await?;
    environments::changed(app, &service);
    Ok(Outcome::Done)
}

/// Takes a service down, as its removal says, and forgets it. Waits for what is at work in its environments.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn run_service(app: &App, claim: &Claim) -> Result<Outcome> {
    let db = app.db.read();
    let Some(service) = service::Entity::find_by_id(&claim.job.subject).one(db).await? else {
        return drop_job(app, claim).await;
    };
    let scope = Scope { organization_id: service.organization_id.clone() };
    let removal = removal_of(&service)?;
    if pipelines::cancel::any_left(db, &service.id).await? {
        pipelines::cancel::all_of(app, &service).await?;
        return Ok(Outcome::Again("its pipelines are still being stopped".to_owned()));
    }
    if scans::remove::any_left(db, &service.id).await? {
        scans::remove::cancel_all(app, &service).await?;
        return Ok(Outcome::Again("its scans are still being stopped".to_owned()));
    }
    let rows = environments::of_service(db, &scope, &service.id).await?;
    // None is asked for any more: whoever asks holds the service, and sees that it is being removed.
    cancel_waiting(app, &scope, &rows).await?;
    let lanes = rows.iter().map(|e| e.id.clone()).collect();
    if !queue::busy_lanes(db, lanes).await?.is_empty() {
        return Ok(Outcome::Again("its environments are still at work".to_owned()));
    }
    let volumes = if removal.delete_volumes { Volumes::Delete } else { Volumes::Keep };
    let left = leftovers::of_environments(db, &scope, &rows).await?;
    for row in rows.iter().filter(|_| !removal.keep_deployments) {
        if let Err(error) = take_down(app, &scope, &service, row, volumes).await? {
            if claim.job.attempts < ATTEMPTS {
                return Ok(Outcome::Again(error.to_string()));
            }
            return give_up(app, claim, &service, None, &error.to_string()).await;
        }
    }
    // One try while there is still somebody to see it: what does not answer now is taken down by jobs of their own.
    let left = match removal.keep_deployments {
        true => left,
        false => try_leftovers(app, left, volumes).await?,
    };
    scans::remove::findings_of(app, &service.id).await?;
    webhooks::install::bid_farewell(app, &scope, &service).await;
    let tx = app.begin().await?;
    if !claim.complete(&tx).await? {
        return Ok(Outcome::Lost);
    }
    // Held before what was left of them: a job may be taking that down at the same time.
    for row in &rows {
        environments::held(&tx, &scope, &row.id).await?;
    }
    for row in &left {
        match removal.keep_deployments {
            true => leftovers::abandon(&tx, row).await?,
            false => leftovers::again(app, &tx, row, volumes).await?,
        }
    }
    for row in &rows {
        forget(app, &tx, row).await?;
    }
    // From here on no delivery is written for it.
    for_change(&tx, &scope, &service.id).await?;
    scans::remove::forget_all(&tx, &service.id).await?;
    pipelines::cancel::forget_all(&tx, &service.id).await?;
    service::Entity::delete_by_id(&service.id).exec(&tx).await?;
    tx.commit().await?;
    app.events.service(&service, ChangeKind::Removed);
    Ok(Outcome::Done)
}

/// Ends the deployments that wait for an approval: their pipelines hear of it before all of it is gone.
async fn cancel_waiting(app: &App, scope: &Scope, rows: &[environment::Model]) -> Result<()> {
    for row in rows {
        let tx = app.begin().await?;
        environments::held(&tx, scope, &row.id).await?;
        let canceled = cancel::waiting(app, &tx, &row.id, ("the service is being removed", None)).await?;
        tx.commit().await?;
        for deployment in canceled {
            cancel::publish(app, &deployment);
        }
    }
    Ok(())
}

/// Takes down what the service left on other runtimes, and gives back what could not be.
async fn try_leftovers(app: &App, left: Vec<leftover::Model>, volumes: Volumes) -> Result<Vec<leftover::Model>> {
    let mut still = Vec::new();
    for mut row in left {
        row.delete_volumes |= volumes == Volumes::Delete;
        let needed = row.delete_volumes || row.state == LeftoverState::Waiting;
        if needed && leftovers::take_down(app, &row).await?.is_err() {
            still.push(row);
            continue;
        }
        let tx = app.begin().await?;
        leftovers::abandon(&tx, &row).await?;
        tx.commit().await?;
    }
    Ok(still)
}

async fn take_down(
    app: &App,
    scope: &Scope,
    service: &service::Model,
    row: &environment::Model,
    volumes: Volumes,
) -> Result<std::result::Result<(), RuntimeError>> {
    let db = app.db.read();
    let target = target_of(service, row);
    let runtime = environments::runtime(db, scope, &row.runtime_id).await?;
    Ok(match runtimes::connect(app, &runtime).await {
        Ok(client) => client.remove(&target, volumes).await,
        Err(error) => Err(RuntimeError::Unreachable(error.message)),
    })
}

/// Nothing stays REMOVING for ever: the person reads why and can ask again.
async fn give_up(
    app: &App,
    claim: &Claim,
    service: &service::Model,
    environment: Option<&environment::Model>,
    why: &str,
) -> Result<Outcome> {
    let tx = app.begin().await?;
    if !claim.complete(&tx).await? {
        return Ok(Outcome::Lost);
    }
    let message = format!("it could not be removed: {why}");
    if let Some(row) = environment {
        let mut change: environment::ActiveModel = row.clone().into();
        change.status = Set(entity::ServiceStatus::Degraded);
        change.status_message = Set(Some(message.clone()));
        change.update(&tx).await?;
    }
    if environment.is_none() {
        let mut change: service::ActiveModel = service.clone().into();
        change.removing = Set(false);
        change.update(&tx).await?;
    }
    status::settle(app, &tx, &service.id).await?;
    if environment.is_none() {
        let mut change: service::ActiveModel = service.clone().into();
        change.removing = Set(false);
        change.status = Set(entity::ServiceStatus::Degraded);
        change.status_message = Set(Some(message));
        change.update(&tx).await?;
    }
    tx.commit().await?;
    environments::changed(app, service);
    Ok(Outcome::Done)
}

async fn forget(app: &App, tx: &impl ConnectionTrait, row: &environment::Model) -> Result<()> {
    let open = deployment::Entity::find()
        .filter(deployment::Column::EnvironmentId.eq(&row.id))
        .filter(deployment::Column::FinishedAt.is_null())
        .all(tx)
        .await?;
    // What waits for one of them would wait for ever.
    for deployment in &open {
        built::tell_pipeline(app, tx, deployment).await?;
    }
    let runs = deployment::Entity::find()
        .select_only()
        .column(deployment::Column::Id)
        .filter(deployment::Column::EnvironmentId.eq(&row.id))
        .into_query();
    log_line::Entity::delete_many().filter(log_line::Column::RunId.in_subquery(runs)).exec(tx).await?;
    deployment::Entity::delete_many().filter(deployment::Column::EnvironmentId.eq(&row.id)).exec(tx).await?;
    leftovers::forget_volumes(tx, &row.id).await?;
    environment::Entity::delete_by_id(&row.id).exec(tx).await?;
    Ok(())
}
