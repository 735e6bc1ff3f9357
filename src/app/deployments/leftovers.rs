//! What environments leave behind on runtimes that they move away from, and how it is taken down.
//!
//! A row is written in the transaction that makes a move true, and a waiting one stays until the runtime has answered:
//! one that does not answer at that moment is not forgotten. The last step of a deployment tries it at once; what is
//! still waiting then is a job of its own, outside the environment's lane, so that a dead engine holds up nothing.
//!
//! Volumes are deleted by nobody but a removed service that was told to: an engine may be known under several
//! runtimes, or again under a new one, so that no row here can tell that a volume holds nothing of worth.

use std::time::Duration;

use entity::{LeftoverState, environment, leftover, runtime};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter, QueryOrder as _, Set};

use super::environments;
use super::jobs;
use super::perform::Outcome;
use crate::app::runtimes::same::{self, Sameness};
use crate::app::{App, Error, Result, Scope, runtimes};
use crate::domain::spec::Target;
use crate::queue::{self, Claim, NewJob};
use crate::runtime::{RuntimeError, Volumes};

/// How long one try may take: an engine that is there answers much sooner.
const TRY: Duration = Duration::from_secs(45);

/// Writes that something of the environment is on a runtime where it does not serve. Said again it changes nothing
/// but that it has to be taken down (again).
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn record(
    app: &App,
    tx: &impl ConnectionTrait,
    (target, runtime_id): (&Target, &str),
    state: LeftoverState,
) -> Result<()> {
    let scope = Scope { organization_id: target.organization_id.clone() };
    match on(tx, &scope, &target.environment_id, runtime_id).await? {
        // Whatever it waits for, its volumes are there too.
        Some(_) if state == LeftoverState::Volumes => {}
        Some(row) => {
            let mut change: leftover::ActiveModel = row.into();
            change.state = Set(LeftoverState::Waiting);
            change.target = Set(serde_json::to_value(target)?);
            change.update(tx).await?;
        }
        None => {
            let row = leftover::ActiveModel {
                id: Set(app.ids.id()),
                organization_id: Set(target.organization_id.clone()),
                environment_id: Set(target.environment_id.clone()),
                runtime_id: Set(runtime_id.to_owned()),
                target: Set(serde_json::to_value(target)?),
                state: Set(state),
                delete_volumes: Set(false),
                created_at: Set(app.clock.now()),
            };
            row.insert(tx).await?;
        }
    }
    Ok(())
}

/// Forgets what was left on a runtime: the environment serves there again.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn forget(tx: &impl ConnectionTrait, environment_id: &str, runtime_id: &str) -> Result<()> {
    leftover::Entity::delete_many()
        .filter(leftover::Column::EnvironmentId.eq(environment_id))
        .filter(leftover::Column::RuntimeId.eq(runtime_id))
        .exec(tx)
        .await?;
    Ok(())
}

/// Forgets where only volumes of an environment are left: it is removed, and they stay.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn forget_volumes(tx: &impl ConnectionTrait, environment_id: &str) -> Result<()> {
    leftover::Entity::delete_many()
        .filter(leftover::Column::EnvironmentId.eq(environment_id))
        .filter(leftover::Column::State.eq(LeftoverState::Volumes))
        .exec(tx)
        .await?;
    Ok(())
}

/// Forgets one, whatever is there, and the job that would take it down.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn abandon(tx: &impl ConnectionTrait, row: &leftover::Model) -> Result<()> {
    queue::drop_jobs(tx, &row.id).await?;
    leftover::Entity::delete_by_id(&row.id).exec(tx).await?;
    Ok(())
}

/// Leaves one to a job of its own, with its volumes if they are to go.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn again(app: &App, tx: &impl ConnectionTrait, row: &leftover::Model, volumes: Volumes) -> Result<()> {
    let mut change = leftover::ActiveModel { state: Set(LeftoverState::Waiting), ..Default::default() };
    if volumes == Volumes::Delete {
        change.delete_volumes = Set(true);
    }
    leftover::Entity::update_many().set(change).filter(leftover::Column::Id.eq(&row.id)).exec(tx).await?;
    enqueue(app, tx, &row.environment_id).await
}

/// What an environment left on one runtime.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn on(
    db: &impl ConnectionTrait,
    scope: &Scope,
    environment_id: &str,
    runtime_id: &str,
) -> Result<Option<leftover::Model>> {
    let found = scope
        .leftovers()
        .filter(leftover::Column::EnvironmentId.eq(environment_id))
        .filter(leftover::Column::RuntimeId.eq(runtime_id));
    Ok(found.one(db).await?)
}

/// All that environments left behind somewhere, the oldest first.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn of_environments(
    db: &impl ConnectionTrait,
    scope: &Scope,
    environments: &[environment::Model],
) -> Result<Vec<leftover::Model>> {
    let ids = environments.iter().map(|e| e.id.as_str());
    let found = scope.leftovers().filter(leftover::Column::EnvironmentId.is_in(ids));
    Ok(found.order_by_asc(leftover::Column::Id).all(db).await?)
}

/// What has to be taken down still.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn waiting(db: &impl ConnectionTrait, environment_id: &str) -> Result<Vec<leftover::Model>> {
    let found = leftover::Entity::find()
        .filter(leftover::Column::EnvironmentId.eq(environment_id))
        .filter(leftover::Column::State.eq(LeftoverState::Waiting));
    Ok(found.order_by_asc(leftover::Column::Id).all(db).await?)
}

/// Gives what is waiting still a job of its own, where it has none.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn enqueue(app: &App, tx: &impl ConnectionTrait, environment_id: &str) -> Result<()> {
    for row in waiting(tx, environment_id).await? {
        if !queue::is_busy(tx, &row.id).await? {
            let job = NewJob {
                organization_id: &row.organization_id,
                kind: jobs::TAKE_DOWN,
                lane: &row.id,
                subject: &row.id,
            };
            queue::enqueue(tx, job, app.clock.now()).await?;
        }
    }
    Ok(())
}

/// Why a deployment to a runtime has to wait: something of the environment is being taken down there, or somewhere
/// that may be the same engine. Lets that be tried at once.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn in_the_way(app: &App, environment_id: &str, destination: &runtime::Model) -> Result<Option<String>> {
    let scope = Scope { organization_id: destination.organization_id.clone() };
    for row in waiting(app.db.read(), environment_id).await? {
        let place = environments::runtime(app.db.read(), &scope, &row.runtime_id).await?;
        if same::ask(app, &place, destination).await != Sameness::Different {
            queue::hurry(app.db.read_write(), &row.id, app.clock.now()).await?;
            app.events.publish(crate::app::Event::Jobs);
            return Ok(Some(format!(
                "what ran on runtime {} before has to be taken down first, and is not yet",
                place.name
            )));
        }
    }
    Ok(None)
}

/// Takes down what was left, if it is not what serves: a runtime's address may have been changed meanwhile, or lead
/// to the engine where the environment is now. The inner error says why it can't be done at the moment.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn take_down(app: &App, row: &leftover::Model) -> Result<std::result::Result<(), RuntimeError>> {
    match tokio::time::timeout(TRY, remove(app, row)).await {
        Ok(done) => done,
        Err(_) => Ok(Err(RuntimeError::Unreachable(format!("it took longer than {} seconds", TRY.as_secs())))),
    }
}

async fn remove(app: &App, row: &leftover::Model) -> Result<std::result::Result<(), RuntimeError>> {
    let db = app.db.read();
    let scope = Scope { organization_id: row.organization_id.clone() };
    let place = environments::runtime(db, &scope, &row.runtime_id).await?;
    if let Some(serving) = environment::Entity::find_by_id(&row.environment_id).one(db).await? {
        let now = environments::runtime(db, &scope, &serving.runtime_id).await?;
        match same::ask(app, &place, &now).await {
            Sameness::Same => return Ok(Ok(())),
            Sameness::Different => {}
            Sameness::Unknown => {
                return Ok(Err(RuntimeError::Engine(format!(
                    "runtimes {} and {} do not say whether they are one engine",
                    place.name, now.name
                ))));
            }
        }
    }
    let target: Target = serde_json::from_value(row.target.clone())?;
    let volumes = if row.delete_volumes { Volumes::Delete } else { Volumes::Keep };
    Ok(match runtimes::connect(app, &place).await {
        Ok(client) => client.remove(&target, volumes).await,
        Err(error) => Err(RuntimeError::Unreachable(error.message)),
    })
}

/// Writes that a waiting one was taken down: its volumes are what is left to know of, while its environment lives.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn taken_down(tx: &impl ConnectionTrait, row: &leftover::Model) -> Result<()> {
    let lives = environment::Entity::find_by_id(&row.environment_id).one(tx).await?.is_some();
    if row.delete_volumes || !lives {
        leftover::Entity::delete_by_id(&row.id).exec(tx).await?;
        return Ok(());
    }
    leftover::Entity::update_many()
        .set(leftover::ActiveModel { state: Set(LeftoverState::Volumes), ..Default::default() })
        .filter(leftover::Column::Id.eq(&row.id))
        .exec(tx)
        .await?;
    Ok(())
}

/// Does a take-down job: again and again, with pauses, until the runtime answers.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn run(app: &App, claim: &Claim) -> Result<Outcome> {
    let found = leftover::Entity::find_by_id(&claim.job.subject).one(app.db.read()).await?;
    let found = found.filter(|row| row.state == LeftoverState::Waiting);
    if let Some(row) = &found
        && let Err(error) = take_down(app, row).await?
    {
        return Ok(Outcome::Again(error.to_string()));
    }
    let tx = app.begin().await?;
    if !claim.complete(&tx).await? {
        return Ok(Outcome::Lost);
    }
    if let Some(row) = &found {
        taken_down(&tx, row).await?;
    }
    tx.commit().await?;
    Ok(Outcome::Done)
}

/// Why a runtime can't be forgotten: what was left there, and why it is not taken down yet. For people.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn why_kept(db: &impl ConnectionTrait, scope: &Scope, runtime_id: &str) -> Result<Vec<String>> {
    let rows = scope
        .leftovers()
        .filter(leftover::Column::RuntimeId.eq(runtime_id))
        .filter(leftover::Column::State.eq(LeftoverState::Waiting))
        .order_by_asc(leftover::Column::Id);
    let mut reasons = Vec::new();
    for row in rows.all(db).await? {
        let target: Target = serde_json::from_value(row.target.clone())
            .map_err(|e| Error::internal(format!("target of leftover {}: {e}", row.id)))?;
        let why = match queue::last_error(db, &row.id).await? {
            Some(why) => format!(": {why}"),
            None => String::new(),
        };
        reasons.push(format!(
            "what environment {} of {} left there waits for the engine to answer{why}",
            target.environment, target.service
        ));
    }
    Ok(reasons)
}
