//! What the caller may do to a service now, from what is stored.

use entity::{RunStatus, RuntimeStatus, deployment, environment, runtime, service};
use sea_orm::{ColumnTrait, PaginatorTrait, QueryFilter};

use super::definition::containers_of;
use super::menus::no_runtime;
use super::spec::nothing_built;
use crate::app::deployments::{PRODUCTION, built, environments};
use crate::app::git::{self, register::RIGHTS};
use crate::app::webhooks::auto_ci::auto_ci_of;
use crate::app::{Actor, App, Error, Precondition, Result, runtimes};
use crate::domain::scan::ScanKind;

/// What can be done to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceAction {
    /// Build it.
    StartPipeline,
    /// Deploy it.
    Deploy,
    /// Go back to an earlier revision.
    RollBack,
    /// Stop what runs.
    Stop,
    /// Stop and start what runs, or start what is stopped.
    Restart,
    /// Let pushes start its pipelines.
    EnableAutoCi,
    /// Have tools look at it.
    Scan,
    /// Remove it.
    Remove,
}

/// Whether it can be done, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionState {
    /// What.
    pub action: ServiceAction,
    /// Why it can't be done; none when it can.
    pub obstacle: Option<Obstacle>,
}

/// Why something can't be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// The word for programs, where there is one.
    pub reason: Option<Precondition>,
    /// For people.
    pub message: String,
}

/// What is stored about a service and the environment that is meant.
struct Facts {
    removing: bool,
    /// Why nothing can be built.
    no_source: Option<Obstacle>,
    unbuilt: bool,
    /// Pushes start its pipelines already.
    auto_ci: bool,
    /// No tool is configured that could look at it.
    unscannable: bool,
    /// It is built from source.
    is_built: bool,
    /// Where a deployment would go.
    runtime: Option<runtime::Model>,
    /// Where the environment is.
    serves_on: Option<runtime::Model>,
    environment: Option<environment::Model>,
    earlier: bool,
    no_runtime: String,
}

/// Every action with its state, for the named environment, else production or the only one there is.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn actions(
    app: &App,
    actor: &Actor,
    service: &service::Model,
    name: Option<&str>,
) -> Result<Vec<ActionState>> {
    let scope = &actor.scope;
    let environment = environments::meant(app.db.read(), scope, &service.id, name).await?;
    // Where none is named a deployment goes to production, also when that is not there yet.
    let deploys_to = match &environment {
        Some(found) if name.is_some() || found.name == PRODUCTION => Some(environments::destination(found)),
        _ => service.runtime_id.as_deref(),
    };
    let runtime = match deploys_to {
        Some(id) => runtimes::by_id(app, scope, id).await?,
        None => None,
    };
    let serves_on = match &environment {
        Some(environment) => runtimes::by_id(app, scope, &environment.runtime_id).await?,
        None => None,
    };
    let earlier = match environment.as_ref().and_then(|e| e.current_deployment_id.as_ref().zip(Some(&e.id))) {
        Some((current, environment)) => {
            let others = scope
                .deployments()
                .filter(deployment::Column::EnvironmentId.eq(environment))
                .filter(deployment::Column::Status.eq(RunStatus::Succeeded))
                .filter(deployment::Column::Id.ne(current));
            others.count(app.db.read()).await? > 0
        }
        None => false,
    };
    let has_runtimes = runtime.is_none() && scope.runtimes().count(app.db.read()).await? > 0;
    let no_runtime = if has_runtimes { environments::no_runtime().message } else { no_runtime(actor).to_owned() };
    let unbuilt = containers_of(service)?.iter().any(|c| c.image.is_none())
        && built::choose(app.db.read(), scope, service, None).await?.is_none();
    let no_source = no_source(app, actor, service).await?;
    Ok(states(&Facts {
        removing: service.removing,
        no_source,
        unbuilt,
        auto_ci: auto_ci_of(service)?.enabled,
        unscannable: !app.settings.scanners.iter().any(|tool| can_look(tool.kind, service)),
        is_built: git::source_of(service).is_some(),
        runtime,
        serves_on,
        environment,
        earlier,
        no_runtime,
    }))
}

/// Whether tools of a kind can look at a service: one that is made of images has no source.
fn can_look(kind: ScanKind, service: &service::Model) -> bool {
    git::source_of(service).is_some() || matches!(kind, ScanKind::Sca | ScanKind::Sbom | ScanKind::Dast)
}

/// Why a pipeline can't be started: the service is made of images, or its provider can't be used.
async fn no_source(app: &App, actor: &Actor, service: &service::Model) -> Result<Option<Obstacle>> {
    let Some(source) = git::source_of(service) else {
        let message = "the service is made of images: there is nothing to build".to_owned();
        return Ok(Some(Obstacle { reason: None, message }));
    };
    let settings = git::settings::of(app, &actor.scope, source.provider).await?;
    let obstacle = git::obstacle(actor, source.provider, settings.as_ref(), RIGHTS, app.clock.now())?;
    Ok(obstacle.map(|(reason, message)| Obstacle { reason: Some(reason), message }))
}

fn states(facts: &Facts) -> Vec<ActionState> {
    use ServiceAction::{Deploy, EnableAutoCi, Remove, Restart, RollBack, Scan, StartPipeline, Stop};
    [StartPipeline, Deploy, RollBack, Stop, Restart, EnableAutoCi, Scan, Remove]
        .into_iter()
        .map(|action| ActionState { action, obstacle: obstacle(facts, action) })
        .collect()
}

fn obstacle(facts: &Facts, action: ServiceAction) -> Option<Obstacle> {
    let because = |reason: Option<Precondition>, message: String| Some(Obstacle { reason, message });
    if facts.removing {
        return match action {
            // Asking again tries again, or says to keep what can't be taken down.
            ServiceAction::Remove => None,
            _ => because(Some(Precondition::InProgress), "the service is being removed".to_owned()),
        };
    }
    let deployed = facts.environment.as_ref().filter(|e| e.current_deployment_id.is_some());
    match action {
        ServiceAction::Remove => None,
        ServiceAction::EnableAutoCi if facts.auto_ci => because(None, "Auto CI is on".to_owned()),
        ServiceAction::Scan if facts.unscannable => because(
            Some(Precondition::ScannerNotConfigured),
            "no tool that could look at it is configured: whoever runs the server enables one in scan.tools of kiops.toml"
                .to_owned(),
        ),
        ServiceAction::Scan => facts.no_source.clone().filter(|_| facts.is_built),
        ServiceAction::StartPipeline | ServiceAction::EnableAutoCi => facts.no_source.clone(),
        ServiceAction::Deploy => match &facts.runtime {
            None => because(Some(Precondition::NoRuntime), facts.no_runtime.clone()),
            Some(_) if facts.unbuilt => {
                let Error { reason, message, .. } = nothing_built();
                because(reason, message)
            }
            Some(runtime) => unready(runtime),
        },
        _ if deployed.is_none() => {
            because(Some(Precondition::NothingDeployed), "nothing is deployed: deploy the service first".to_owned())
        }
        ServiceAction::RollBack if !facts.earlier => because(
            Some(Precondition::NoEarlierRevision),
            "there is no earlier successful revision to go back to".to_owned(),
        ),
        ServiceAction::Stop if deployed.is_some_and(|e| e.stopped) => because(None, "it is stopped".to_owned()),
        _ => facts.serves_on.as_ref().and_then(unready),
    }
}

fn unready(runtime: &runtime::Model) -> Option<Obstacle> {
    match runtime.status {
        RuntimeStatus::Ready | RuntimeStatus::Unknown => None,
        RuntimeStatus::Unreachable | RuntimeStatus::Unauthorized => Some(Obstacle {
            reason: Some(Precondition::RuntimeNotReady),
            message: format!(
                "runtime {} is not ready: {}",
                runtime.name,
                runtime.status_message.as_deref().unwrap_or("it does not answer")
            ),
        }),
    }
}
