//! What a plan asks a cluster: whether the namespace is ours, and what somebody changed there by hand.

use std::time::Duration;

use entity::{deployment, environment, runtime, service};
use sea_orm::{ColumnTrait, Condition, QueryFilter};

use super::environments;
use super::perform::rollout_of;
use crate::app::{App, Error, Precondition, Result, Scope, runtimes};
use crate::domain::spec::Spec;
use crate::runtime::RuntimeError;

/// How long a plan waits for a cluster. The deployment itself asks again, and has more time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Refuses a namespace that is the one of builds, or another environment's, or somebody else's where the cluster says so now.
///
/// # Errors
/// FAILED_PRECONDITION, NAMESPACE_NOT_OWNED.
pub(super) async fn require_namespace(app: &App, scope: &Scope, spec: &Spec, to: &runtime::Model) -> Result<()> {
    if spec.cluster.is_none() {
        return Ok(());
    }
    let target = &spec.target;
    // Whoever has it first would have everybody's builds refused there.
    if target.namespace == app.settings.builds.cluster.namespace {
        let text = format!("namespace {} is kept for builds: the environment needs another one", target.namespace);
        return Err(Error::precondition(Precondition::NamespaceNotOwned, text));
    }
    let other = scope
        .environments()
        .filter(environment::Column::RuntimeId.eq(&to.id))
        .filter(environment::Column::Namespace.eq(&target.namespace))
        .filter(
            Condition::any()
                .add(environment::Column::ServiceId.ne(&target.service_id))
                .add(environment::Column::Name.ne(&target.environment)),
        )
        .one(app.db.read())
        .await?;
    if let Some(other) = other {
        let service = environments::service(app.db.read(), scope, &other.service_id).await?;
        let text = format!(
            "namespace {} of runtime {} belongs to environment {} of service {}: each needs one of its own",
            target.namespace, to.name, other.name, service.name
        );
        return Err(Error::precondition(Precondition::NamespaceNotOwned, text));
    }
    let Ok(client) = runtimes::connect(app, to).await else { return Ok(()) };
    match tokio::time::timeout(PATIENCE, client.admit(&spec.target)).await {
        Ok(Err(refused @ RuntimeError::NotOwned(_))) => Err(refused.into()),
        // A cluster that does not answer is the deployment's trouble, which tries again.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// What was changed by hand of the revision that serves, one sentence for each object; empty where nobody can tell now.
///
/// # Errors
/// INTERNAL when what is stored can't be read.
pub(super) async fn drift(
    app: &App,
    scope: &Scope,
    (service, environment): (&service::Model, &environment::Model),
    runtime: &runtime::Model,
) -> Result<Vec<String>> {
    let Some(id) = environment.current_deployment_id.as_deref().filter(|_| !environment.stopped) else {
        return Ok(Vec::new());
    };
    let serving = scope.deployments().filter(deployment::Column::Id.eq(id)).one(app.db.read()).await?;
    let (Some(serving), Ok(client)) = (serving, runtimes::connect(app, runtime).await) else { return Ok(Vec::new()) };
    let rollout = rollout_of(app, scope, service, &serving).await?;
    match tokio::time::timeout(PATIENCE, client.drift(&rollout)).await {
        Ok(Ok(changed)) => Ok(changed),
        Ok(Err(_)) | Err(_) => Ok(Vec::new()),
    }
}
