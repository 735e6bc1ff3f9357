//! What environments leave behind on runtimes that they move away from, and how it is taken down.
//!
//! A row is written in the transaction that makes a move true, and a waiting one stays until the runtime has answered:
//! one that does not answer at that moment is not forgotten. The last step of a deployment tries it at once; what is
//! still waiting then is a job of its own, outside the environment's lane, so that a dead engine holds up nothing.
//!
//! Volumes are deleted by nobody but a removed service that was told to: an engine may be known under several
//! runtimes, or again under a new one, so that no row here can tell that a volume holds nothing of worth.

use std::time::Duration;

use entity::{DeploymentPhase, LeftoverState, deployment, environment, leftover, runtime};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter, QueryOrder as _, QuerySelect as _,
    Set,
};

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
    enqueue(app, tx, &scope_of(row), &row.environment_id).await
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
pub async fn waiting(db: &impl ConnectionTrait, scope: &Scope, environment_id: &str) -> Result<Vec<leftover::Model>> {
    let found = scope
        .leftovers()
        .filter(leftover::Column::EnvironmentId.eq(environment_id))
        .filter(leftover::Column::State.eq(LeftoverState::Waiting));
    Ok(found.order_by_asc(leftover::Column::Id).all(db).await?)
}

/// What has to be taken down still on a runtime, of whatever environments.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn waiting_on(db: &impl ConnectionTrait, scope: &Scope, runtime_id: &str) -> Result<Vec<leftover::Model>> {
    let found = scope
        .leftovers()
        .filter(leftover::Column::RuntimeId.eq(runtime_id))
        .filter(leftover::Column::State.eq(LeftoverState::Waiting));
    Ok(found.order_by_asc(leftover::Column::Id).all(db).await?)
}

/// Lets what waits for a runtime be tried at once: it answers again, or somewhere else.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn hurry(app: &App, tx: &impl ConnectionTrait, runtime: &runtime::Model) -> Result<()> {
    let scope = Scope { organization_id: runtime.organization_id.clone() };
    for row in waiting_on(tx, &scope, &runtime.id).await? {
        queue::hurry(tx, &row.id, app.clock.now()).await?;
    }
    Ok(())
}

/// Gives what is waiting still a job of its own, where it has none.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn enqueue(app: &App, tx: &impl ConnectionTrait, scope: &Scope, environment_id: &str) -> Result<()> {
    for row in waiting(tx, scope, environment_id).await? {
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
    for row in waiting(app.db.read(), &scope, environment_id).await? {
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

/// What came of taking something down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// Nothing runs there any more.
    Removed,
    /// Nothing was touched: the runtime leads to the engine where the environment serves. An address may have been
    /// changed meanwhile; what is at the old one is out of reach.
    Serves,
    /// Nothing was touched: nobody wants it to be taken down any more.
    Dropped,
}

/// Takes down what was left, if it is not what serves: a runtime's address may have been changed meanwhile, or lead
/// to the engine where the environment is now. The inner error says why it can't be done at the moment.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn take_down(app: &App, row: &leftover::Model) -> Result<std::result::Result<Down, RuntimeError>> {
    match tokio::time::timeout(TRY, remove(app, row)).await {
        Ok(done) => done,
        Err(_) => Ok(Err(RuntimeError::Unreachable(format!("it took longer than {} seconds", TRY.as_secs())))),
    }
}

async fn remove(app: &App, row: &leftover::Model) -> Result<std::result::Result<Down, RuntimeError>> {
    let db = app.db.read();
    let scope = scope_of(row);
    let place = environments::runtime(db, &scope, &row.runtime_id).await?;
    let client = match runtimes::connect(app, &place).await {
        Ok(client) => client,
        Err(error) => return Ok(Err(RuntimeError::Unreachable(error.message))),
    };
    // Calls that change something wait for long: who does not answer this one is asked nothing else.
    if let Err(error) = client.check().await {
        return Ok(Err(error));
    }
    for (used, use_) in in_use(app, &scope, &row.environment_id).await? {
        match (same::ask(app, &place, &used).await, use_) {
            (Sameness::Different, _) => {}
            (Sameness::Same, Use::Serves) => return Ok(Ok(Down::Serves)),
            (Sameness::Same, Use::IsComing) => {
                return Ok(Err(RuntimeError::Engine("a deployment is at work there".to_owned())));
            }
            (Sameness::Unknown, _) => {
                return Ok(Err(RuntimeError::Engine(format!(
                    "runtimes {} and {} do not say whether they are one engine",
                    place.name, used.name
                ))));
            }
        }
    }
    // Asking may have taken a while, and a removed service may have left its deployments to themselves since.
    if scope.leftovers().filter(leftover::Column::Id.eq(&row.id)).one(db).await?.is_none() {
        return Ok(Ok(Down::Dropped));
    }
    let target: Target = serde_json::from_value(row.target.clone())?;
    let volumes = if row.delete_volumes { Volumes::Delete } else { Volumes::Keep };
    Ok(client.remove(&target, volumes).await.map(|()| Down::Removed))
}

/// What a runtime is to an environment.
#[derive(Debug, Clone, Copy)]
enum Use {
    /// It serves there.
    Serves,
    /// A deployment is bringing it up there, or undoing that.
    IsComing,
}

/// The runtimes where an environment must not be taken down. A deployment that touched nothing yet is not among them:
/// it waits for what is in its way.
async fn in_use(app: &App, scope: &Scope, environment_id: &str) -> Result<Vec<(runtime::Model, Use)>> {
    let db = app.db.read();
    let found = scope.environments().filter(environment::Column::Id.eq(environment_id)).one(db).await?;
    let serving = found.filter(|e| e.current_deployment_id.is_some()).map(|e| e.runtime_id);
    let mut used = Vec::new();
    if let Some(id) = &serving {
        used.push((environments::runtime(db, scope, id).await?, Use::Serves));
    }
    let at_work = scope
        .deployments()
        .filter(deployment::Column::EnvironmentId.eq(environment_id))
        .filter(deployment::Column::Phase.is_not_in([DeploymentPhase::Prepare, DeploymentPhase::Done]))
        .all(db)
        .await?;
    for deployment in at_work.iter().filter(|d| Some(&d.runtime_id) != serving.as_ref()) {
        used.push((environments::runtime(db, scope, &deployment.runtime_id).await?, Use::IsComing));
    }
    Ok(used)
}

/// Writes that a waiting one was taken down: its volumes are what is left to know of, while its environment lives.
/// One whose volumes are to go since, which this did not do, goes on waiting and has a job again.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn taken_down(app: &App, tx: &impl ConnectionTrait, row: &leftover::Model) -> Result<()> {
    let scope = scope_of(row);
    // Held in the order in which a removal does: it may be at work at the same time.
    let lives = environments::held(tx, &scope, &row.environment_id).await?.is_some();
    let found = scope.leftovers().filter(leftover::Column::Id.eq(&row.id)).lock_exclusive().one(tx).await?;
    let Some(now) = found else { return Ok(()) };
    if now.delete_volumes && !row.delete_volumes {
        return enqueue(app, tx, &scope, &row.environment_id).await;
    }
    if now.delete_volumes || !lives {
        leftover::Entity::delete_by_id(&row.id).exec(tx).await?;
        return Ok(());
    }
    let mut change: leftover::ActiveModel = now.into();
    change.state = Set(LeftoverState::Volumes);
    change.update(tx).await?;
    Ok(())
}

/// Does a take-down job: again and again, with pauses, until the runtime answers.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn run(app: &App, claim: &Claim) -> Result<Outcome> {
    let scope = Scope { organization_id: claim.job.organization_id.clone() };
    let found = scope.leftovers().filter(leftover::Column::Id.eq(&claim.job.subject)).one(app.db.read()).await?;
    let found = found.filter(|row| row.state == LeftoverState::Waiting);
    if let Some(row) = &found {
        match take_down(app, row).await? {
            Ok(Down::Serves) => tracing::info!(
                environment = %row.environment_id,
                runtime = %row.runtime_id,
                "nothing is taken down: the runtime leads to the engine where the environment serves"
            ),
            Ok(Down::Removed | Down::Dropped) => {}
            Err(error) => return Ok(Outcome::Again(error.to_string())),
        }
    }
    let tx = app.begin().await?;
    if !claim.complete(&tx).await? {
        return Ok(Outcome::Lost);
    }
    if let Some(row) = &found {
        taken_down(app, &tx, row).await?;
    }
    tx.commit().await?;
    Ok(Outcome::Done)
}

/// What something that was left belongs to: `environment production of shop`.
///
/// # Errors
/// INTERNAL when what is stored can't be read.
pub fn name_of(row: &leftover::Model) -> Result<String> {
    let target: Target = serde_json::from_value(row.target.clone())
        .map_err(|e| Error::internal(format!("target of leftover {}: {e}", row.id)))?;
    Ok(format!("environment {} of {}", target.environment, target.service))
}

/// What has to be taken down on a runtime, and why that was not done yet. For people.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn why_kept(db: &impl ConnectionTrait, rows: &[leftover::Model]) -> Result<Vec<String>> {
    let mut reasons = Vec::new();
    for row in rows {
        let why = match queue::last_error(db, &row.id).await? {
            Some(why) => format!(": {why}"),
            None => String::new(),
        };
        reasons.push(format!("what {} left there is not taken down yet{why}", name_of(row)?));
    }
    Ok(reasons)
}

fn scope_of(row: &leftover::Model) -> Scope {
    Scope { organization_id: row.organization_id.clone() }
}
