//! Services.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};
use entity::service;

use super::container::Container;
use super::deployment::{Deployment, RunStatus, page_of_deployments};
use super::enums::{FindingState, Precondition, ScanKind, ServiceStatus, Severity, SourceKind};
use super::environment::Environment;
use super::finding::{Finding, Narrow, page_of_findings};
use super::gate::SecurityGate;
use super::git::GitSource;
use super::identity::User;
use super::pipeline::{BuildSettings, Pipeline, page_of_pipelines};
use super::runtime::Runtime;
use super::scan::{Scan, SeverityCounts};
use super::webhook::AutoCi;
use crate::app::deployments::environments;
use crate::app::deployments::list::Filter;
use crate::app::services::{actions, containers_of};
use crate::app::{git, pipelines, scans};
use crate::graphql::connection::{Counted, Window, counted};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::loaders::loaders;
use crate::graphql::whole::whole;

/// What is built, deployed and watched as one.
pub struct Service(pub Arc<service::Model>);

impl From<service::Model> for Service {
    fn from(row: service::Model) -> Self {
        Self(Arc::new(row))
    }
}

/// A deployment that an environment keeps in mind.
#[derive(Clone, Copy)]
enum Kept {
    /// The one that serves.
    Current,
    /// The newest.
    Latest,
}

impl Service {
    /// Wraps what a loader gave.
    #[must_use]
    pub fn shared(row: Arc<service::Model>) -> Self {
        Self(row)
    }

    async fn load_runtime(&self, ctx: &Context<'_>) -> Result<Option<Runtime>> {
        let environment = loaders(ctx)?.main_environment(&self.0.id).await?;
        let id = environment.map(|e| e.runtime_id.clone()).or_else(|| self.0.runtime_id.clone());
        match id {
            Some(id) => Ok(loaders(ctx)?.runtime(&id).await?.map(Runtime::shared)),
            None => Ok(None),
        }
    }

    async fn load_environment(&self, ctx: &Context<'_>, name: &str) -> Result<Option<entity::environment::Model>> {
        let db = app(ctx)?.db.read();
        Ok(environments::meant(db, &actor(ctx)?.scope, &self.0.id, Some(name)).await?)
    }

    async fn load_deployment(
        &self,
        ctx: &Context<'_>,
        environment: Option<&str>,
        kept: Kept,
    ) -> Result<Option<Deployment>> {
        let [current, latest] = match environment {
            Some(name) => match self.load_environment(ctx, name).await? {
                Some(found) => [found.current_deployment_id, found.latest_deployment_id],
                None => [None, None],
            },
            None => match loaders(ctx)?.main_environment(&self.0.id).await? {
                Some(main) => [main.current_deployment_id.clone(), main.latest_deployment_id.clone()],
                None => [None, None],
            },
        };
        let id = match kept {
            Kept::Current => current,
            Kept::Latest => latest,
        };
        match id {
            Some(id) => Ok(loaders(ctx)?.deployment(&id).await?.map(Deployment::shared)),
            None => Ok(None),
        }
    }

    async fn load_pipeline(&self, ctx: &Context<'_>) -> Result<Option<Pipeline>> {
        match &self.0.latest_pipeline_id {
            Some(id) => Ok(loaders(ctx)?.pipeline(id).await?.map(Pipeline::shared)),
            None => Ok(None),
        }
    }

    async fn load_creator(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match &self.0.created_by {
            Some(id) => Ok(loaders(ctx)?.person(id).await?.map(User)),
            None => Ok(None),
        }
    }
}

/// What is built, deployed and watched as one. Where an environment is not named, production is meant, or the only one
/// there is. `status`, `runtime` and `namespace` are that environment's; before the first deployment, the
/// registration's.
#[Object]
impl Service {
    /// Opaque and stable.
    pub async fn id(&self) -> ID {
        NodeKind::Service.id(&self.0.id)
    }

    /// RFC 1123 label, unique in the organization.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Where it comes from.
    async fn source(&self) -> SourceKind {
        self.0.source.into()
    }

    /// Where its source is; null for a service that is made of images.
    async fn git(&self) -> Option<GitSource> {
        git::source_of(&self.0).map(GitSource::from)
    }

    /// What runs. For a Git service one container whose image is the latest build, until more are added.
    async fn containers(&self) -> Result<Vec<Container>> {
        Ok(containers_of(&self.0)?.into_iter().map(Container::from).collect())
    }

    /// The Kubernetes namespace that it is deployed to. For a GitHub service always its name.
    async fn namespace(&self, ctx: &Context<'_>) -> Result<String> {
        let environment = loaders(ctx)?.main_environment(&self.0.id).await?;
        Ok(environment.map_or_else(|| self.0.namespace.clone(), |e| e.namespace.clone()))
    }

    /// Username of the registry login used to pull private images; the token is never returned.
    async fn registry_username(&self) -> Option<&str> {
        self.0.registry_username.as_deref()
    }

    /// BUILDING, else DEPLOYING, else the worst of its environments.
    async fn status(&self) -> ServiceStatus {
        self.0.status.into()
    }

    /// Why it is BUILD_FAILED, DEPLOY_FAILED or DEGRADED.
    async fn status_message(&self) -> Option<&str> {
        self.0.status_message.as_deref()
    }

    /// Highest severity among the open findings of the latest scans.
    async fn risk(&self, ctx: &Context<'_>) -> Result<Option<Severity>> {
        Ok(loaders(ctx)?.risk(&self.0.id).await?.map(Severity::from))
    }

    /// Scans, newest first.
    #[graphql(complexity = "crate::graphql::connection::cost(first, None, child_complexity)")]
    async fn scans(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only of this kind.")] kind: Option<ScanKind>,
        #[graphql(desc = "So many from the beginning; 20 when left out, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Counted<Scan>> {
        let window = Window::forward(first, after).check(app(ctx)?)?;
        let kind = kind.map(|kind| crate::domain::scan::ScanKind::from(kind).into());
        let page = scans::list::scans(app(ctx)?, actor(ctx)?, (&self.0.id, kind), &window).await?;
        Ok(counted(page, Scan))
    }

    /// What scans saw, the worst first; in every state, unless some are named.
    #[graphql(complexity = "crate::graphql::connection::cost(first, None, child_complexity)")]
    async fn findings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of one of these kinds.")] kind: Option<Vec<ScanKind>>,
        #[graphql(desc = "Of one of these severities.")] severity: Option<Vec<Severity>>,
        #[graphql(desc = "In one of these states.")] state: Option<Vec<FindingState>>,
        #[graphql(desc = "So many from the beginning; 20 when left out, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Counted<Finding>> {
        let narrow = scans::list::Filter::from(Narrow { kind, severity, state });
        let filter = scans::list::Filter { service_id: Some(self.0.id.clone()), ..narrow };
        page_of_findings(ctx, filter, Window::forward(first, after)).await
    }

    /// Open ones.
    async fn finding_counts(&self, ctx: &Context<'_>) -> Result<SeverityCounts> {
        Ok(loaders(ctx)?.open_findings(&self.0.id).await?.unwrap_or_default().into())
    }

    /// What it may carry to deployment; null where nobody has said anything.
    async fn security_gate(&self, ctx: &Context<'_>) -> Result<Option<SecurityGate>> {
        Ok(loaders(ctx)?.gate(&self.0.id).await?.map(|gate| SecurityGate(Arc::unwrap_or_clone(gate))))
    }

    /// Where it runs, or will run.
    async fn runtime(&self, ctx: &Context<'_>) -> Option<Result<Runtime>> {
        nullable(self.load_runtime(ctx).await)
    }

    /// Where it is deployed, oldest first.
    async fn environments(&self, ctx: &Context<'_>) -> Result<Vec<Environment>> {
        let load = async {
            let rows = environments::of_service(app(ctx)?.db.read(), &actor(ctx)?.scope, &self.0.id).await?;
            Ok(Some(Arc::new(rows)))
        };
        Ok(whole(ctx, load).await?.iter().cloned().map(Environment::from).collect())
    }

    /// One of them by name.
    async fn environment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "production, staging, …")] name: String,
    ) -> Option<Result<Environment>> {
        nullable(self.load_environment(ctx, &name).await.map(|found| found.map(Environment::from)))
    }

    /// What was deployed, newest first.
    #[graphql(complexity = "crate::graphql::connection::cost(first, last, child_complexity)")]
    async fn deployments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only to environments of this name.")] environment: Option<String>,
        #[graphql(desc = "So many from the beginning; 20 when left out, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end.")] last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
    ) -> Result<Counted<Deployment>> {
        let filter = Filter { service_id: Some(self.0.id.clone()), environment, status: None };
        page_of_deployments(ctx, filter, Window { first, after, last, before }).await
    }

    /// The revision that serves.
    async fn current_deployment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "production when left out, or the only one there is.")] environment: Option<String>,
    ) -> Option<Result<Deployment>> {
        nullable(self.load_deployment(ctx, environment.as_deref(), Kept::Current).await)
    }

    /// The newest, whatever came of it.
    async fn latest_deployment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "production when left out, or the only one there is.")] environment: Option<String>,
    ) -> Option<Result<Deployment>> {
        nullable(self.load_deployment(ctx, environment.as_deref(), Kept::Latest).await)
    }

    /// How it is built; null for a service that is made of images.
    async fn build_settings(&self, ctx: &Context<'_>) -> Result<Option<BuildSettings>> {
        BuildSettings::of(ctx, &self.0)
    }

    /// What starts its pipelines by itself; null for a service that is made of images.
    async fn auto_ci(&self, ctx: &Context<'_>) -> Result<Option<AutoCi>> {
        AutoCi::of(ctx, &self.0)
    }

    /// What was built, newest first.
    #[expect(clippy::too_many_arguments, reason = "the contract's arguments")]
    #[graphql(complexity = "crate::graphql::connection::cost(first, last, child_complexity)")]
    async fn pipelines(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "In one of these states.")] status: Option<Vec<RunStatus>>,
        #[graphql(desc = "Of this branch, tag or commit.")] r#ref: Option<String>,
        #[graphql(desc = "So many from the beginning; 20 when left out, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end.")] last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
    ) -> Result<Counted<Pipeline>> {
        let filter = pipelines::list::Filter {
            service_id: Some(self.0.id.clone()),
            ref_name: r#ref,
            status: status.map(|all| all.into_iter().map(Into::into).collect()),
        };
        page_of_pipelines(ctx, filter, Window { first, after, last, before }).await
    }

    /// The newest pipeline, whatever came of it.
    async fn latest_pipeline(&self, ctx: &Context<'_>) -> Option<Result<Pipeline>> {
        nullable(self.load_pipeline(ctx).await)
    }

    /// When it was registered.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// Who registered it; null once they no longer belong to the organization.
    async fn created_by(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        nullable(self.load_creator(ctx).await)
    }

    /// What the viewer may do now, from what is stored, and why not.
    async fn actions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "production when left out, or the only one there is.")] environment: Option<String>,
    ) -> Result<Vec<ServiceActionState>> {
        let states = actions::actions(app(ctx)?, actor(ctx)?, &self.0, environment.as_deref()).await?;
        Ok(states.into_iter().map(ServiceActionState::from).collect())
    }
}

/// What can be done to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "actions::ServiceAction")]
pub enum ServiceAction {
    /// startPipeline
    StartPipeline,
    /// deployService
    Deploy,
    /// rollbackService
    RollBack,
    /// stopService
    Stop,
    /// restartService
    Restart,
    /// saveAutoCi
    EnableAutoCi,
    /// startScan
    Scan,
    /// removeService
    Remove,
}

/// Whether the viewer may do it now, from what is stored, and why not.
#[derive(SimpleObject)]
pub struct ServiceActionState {
    /// What.
    action: ServiceAction,
    /// Whether it can be done now.
    enabled: bool,
    /// Why not, as a word for programs.
    reason: Option<Precondition>,
    /// Why not, and who can mend it how.
    disabled_reason: Option<String>,
}

impl From<actions::ActionState> for ServiceActionState {
    fn from(state: actions::ActionState) -> Self {
        let enabled = state.obstacle.is_none();
        let (reason, message) = state.obstacle.map(|o| (o.reason, o.message)).unzip();
        Self {
            action: state.action.into(),
            enabled,
            reason: reason.flatten().map(Precondition::from),
            disabled_reason: message,
        }
    }
}

/// In which order services are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::app::services::ServiceOrder")]
pub enum ServiceOrder {
    /// By name.
    Name,
    /// The newest first.
    Newest,
    /// Those that changed last first.
    LastChanged,
}
