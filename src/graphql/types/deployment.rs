//! Deployment, its log, and what one would change.

use std::sync::Arc;

use async_graphql::connection::{Connection, Edge, EmptyFields};
use async_graphql::{Context, Enum, ID, Object};
use chrono::{DateTime, Utc};
use entity::{RunStatus as StoredStatus, deployment};

use crate::app::deployments::approvals::{self, approval_of};
use crate::app::deployments::list::{self, Filter};
use crate::app::deployments::plan;
use crate::app::deployments::request::Preview;
use crate::app::log::{self, Line};
use crate::app::{App, Error};
use crate::domain::paging::{Cursor, Direction, PageLimits};
use crate::domain::stage;
use crate::graphql::connection::{Counted, Window, counted};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::guard;
use crate::graphql::ids::NodeKind;
use crate::graphql::loaders::loaders;
use crate::graphql::types::environment::Environment;
use crate::graphql::types::gate::GateVerdict;
use crate::graphql::types::identity::User;
use crate::graphql::types::pipeline::Pipeline;
use crate::graphql::types::runtime::Runtime;
use crate::graphql::types::service::Service;

/// One revision of an environment.
pub struct Deployment(pub Arc<deployment::Model>);

impl From<deployment::Model> for Deployment {
    fn from(row: deployment::Model) -> Self {
        Self(Arc::new(row))
    }
}

impl Deployment {
    /// Wraps what a loader gave.
    #[must_use]
    pub fn shared(row: Arc<deployment::Model>) -> Self {
        Self(row)
    }

    async fn load_person(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match &self.0.triggered_by {
            Some(id) => Ok(loaders(ctx)?.person(id).await?.map(User)),
            None => Ok(None),
        }
    }

    async fn load_pipeline(&self, ctx: &Context<'_>) -> Result<Option<Pipeline>> {
        match &self.0.pipeline_id {
            Some(id) => Ok(loaders(ctx)?.pipeline(id).await?.map(Pipeline::shared)),
            None => Ok(None),
        }
    }

    async fn load_origin(&self, ctx: &Context<'_>) -> Result<Option<Deployment>> {
        match &self.0.rollback_of {
            Some(id) => Ok(loaders(ctx)?.deployment(id).await?.map(Deployment::shared)),
            None => Ok(None),
        }
    }
}

/// Whether a deployment may go on: who was asked when, and what they said.
pub struct Approval {
    stored: approvals::Approval,
    can_resolve: bool,
}

impl Approval {
    async fn load_person(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match &self.stored.resolved_by {
            Some(id) => Ok(loaders(ctx)?.person(id).await?.map(User)),
            None => Ok(None),
        }
    }
}

/// What started a deployment.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "entity::DeploymentTrigger")]
pub enum DeploymentTrigger {
    /// A person or script.
    Manual,
    /// A successful pipeline.
    Pipeline,
    /// A rollback.
    Rollback,
}

/// Where a run stands. INCOMPLETE is a scan's: a tool failed, was missing or looked at nothing; what the others found
/// stands.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "entity::RunStatus")]
pub enum RunStatus {
    /// Waits for its turn.
    Queued,
    /// Is at work.
    Running,
    /// Waits for an admin.
    WaitingApproval,
    /// Ended well.
    Succeeded,
    /// A tool failed, what the others found stands.
    Incomplete,
    /// Ended badly; the message says why.
    Failed,
    /// Was stopped.
    Canceled,
    /// Had nothing to do.
    Skipped,
}

/// Where a line came from.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "entity::LogStream")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// KIOPS itself.
    System,
}

/// The part of a run that a line belongs to.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "stage::StageKind")]
pub enum StageKind {
    /// Fetching the source.
    Source,
    /// Building the image.
    Build,
    /// Looking for vulnerabilities.
    Scan,
    /// Testing the image.
    Test,
    /// Deploying it.
    Deploy,
}

/// A line of a run's log. `cursor` resumes a log or a subscription after this line: no gap, no line twice.
pub struct LogLine(pub Line);

/// What a deployment would change, before it is made.
pub struct DeploymentPreview(pub Preview);

/// A page of a log, oldest first.
pub type LogConnection = Connection<String, LogLine, EmptyFields, EmptyFields, LogName, LogEdgeName>;

/// LogConnection
pub struct LogName;

/// LogEdge
pub struct LogEdgeName;

impl async_graphql::connection::ConnectionNameType for LogName {
    fn type_name<T: async_graphql::OutputType>() -> String {
        "LogConnection".to_owned()
    }
}

impl async_graphql::connection::EdgeNameType for LogEdgeName {
    fn type_name<T: async_graphql::OutputType>() -> String {
        "LogEdge".to_owned()
    }
}

/// One revision of an environment.
#[Object]
impl Deployment {
    /// Opaque, typed and stable.
    pub async fn id(&self) -> ID {
        NodeKind::Deployment.id(&self.0.id)
    }

    /// 1, 2, 3 … within the environment.
    async fn revision(&self) -> i32 {
        self.0.revision
    }

    /// What was deployed.
    async fn service(&self, ctx: &Context<'_>) -> Result<Service> {
        let found = loaders(ctx)?.service(&self.0.service_id).await?;
        Ok(Service::shared(found.ok_or_else(|| Error::not_found("service"))?))
    }

    /// Where.
    async fn environment(&self, ctx: &Context<'_>) -> Result<Environment> {
        let found = loaders(ctx)?.environment(&self.0.environment_id).await?;
        Ok(Environment::shared(found.ok_or_else(|| Error::not_found("environment"))?))
    }

    /// The runtime that it went to; once that one was removed, the one where its environment is now.
    async fn runtime(&self, ctx: &Context<'_>) -> Result<Runtime> {
        if let Some(found) = loaders(ctx)?.runtime(&self.0.runtime_id).await? {
            return Ok(Runtime::shared(found));
        }
        let environment = loaders(ctx)?.environment(&self.0.environment_id).await?;
        let id = environment.map(|e| e.runtime_id.clone()).unwrap_or_default();
        let found = loaders(ctx)?.runtime(&id).await?;
        Ok(Runtime::shared(found.ok_or_else(|| Error::not_found("runtime"))?))
    }

    /// What started it.
    async fn trigger(&self) -> DeploymentTrigger {
        self.0.trigger.into()
    }

    /// Who started it; null when they left.
    async fn triggered_by(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        nullable(self.load_person(ctx).await)
    }

    /// The pipeline whose image it deploys; null where there is none, or it is not kept any more.
    async fn pipeline(&self, ctx: &Context<'_>) -> Option<Result<Pipeline>> {
        nullable(self.load_pipeline(ctx).await)
    }

    /// The revision that a rollback went back to; null when it is not kept any more.
    async fn rollback_of(&self, ctx: &Context<'_>) -> Option<Result<Deployment>> {
        nullable(self.load_origin(ctx).await)
    }

    /// Where it stands.
    async fn status(&self) -> RunStatus {
        self.0.status.into()
    }

    /// True for the revision that is serving.
    async fn current(&self, ctx: &Context<'_>) -> Result<bool> {
        serves(ctx, &self.0).await
    }

    /// What came of it.
    async fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// The images as resolved: repository:tag@digest.
    async fn images(&self) -> Result<Vec<String>> {
        Ok(plan::images(&plan::spec_of_revision(&self.0)?))
    }

    /// What the person who deployed should know although it worked.
    async fn warnings(&self) -> Result<Vec<String>> {
        Ok(serde_json::from_value(self.0.warnings.clone()).map_err(Error::from)?)
    }

    /// Kubernetes manifests (YAML) or a Compose file: exactly what was applied, secrets masked.
    async fn manifest(&self) -> Option<&str> {
        Some(&self.0.manifest)
    }

    /// Log lines so far, oldest first.
    #[graphql(complexity = "crate::graphql::connection::cost_of_lines(first, last, child_complexity)")]
    async fn log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the beginning, at most 1000.")] first: Option<i32>,
        #[graphql(desc = "Those after this line.")] after: Option<String>,
        #[graphql(desc = "So many from the end.")] last: Option<i32>,
        #[graphql(desc = "Those before this line.")] before: Option<String>,
    ) -> Result<LogConnection> {
        let window = Window { first, after, last, before };
        log_page(guard::app(ctx)?, &self.0.id, None, &window).await
    }

    /// The whole log as text/plain, with the caller's credentials.
    async fn log_url(&self, ctx: &Context<'_>) -> Result<String> {
        let base = &guard::app(ctx)?.settings.public_url;
        Ok(format!("{base}/logs/{}", NodeKind::Deployment.id(&self.0.id).as_str()))
    }

    /// When it was asked for.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When work began.
    async fn started_at(&self) -> Option<DateTime<Utc>> {
        self.0.started_at
    }

    /// When it ended.
    async fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.0.finished_at
    }

    /// What the security gate said of it; null where there was none.
    async fn gate(&self) -> Result<Option<GateVerdict>> {
        GateVerdict::of_deployment(&self.0)
    }

    /// Kept, succeeded and not current.
    async fn can_roll_back_to(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(self.0.status == StoredStatus::Succeeded && !serves(ctx, &self.0).await?)
    }

    /// Where its environment asks for one; null where none is needed.
    async fn approval(&self, ctx: &Context<'_>) -> Result<Option<Approval>> {
        let can_resolve = approvals::can_resolve(guard::actor(ctx)?, &self.0);
        Ok(approval_of(&self.0)?.map(|stored| Approval { stored, can_resolve }))
    }
}

/// Whether a deployment may go on: who was asked when, and what they said.
#[Object]
impl Approval {
    /// When it was asked for.
    async fn requested_at(&self) -> DateTime<Utc> {
        self.stored.requested_at
    }

    /// When it was given or refused.
    async fn resolved_at(&self) -> Option<DateTime<Utc>> {
        self.stored.resolved_at
    }

    /// Who gave or refused it; null when they left.
    async fn resolved_by(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        nullable(self.load_person(ctx).await)
    }

    /// Whether it was given; null while nobody has said anything.
    async fn approved(&self) -> Option<bool> {
        self.stored.approved
    }

    /// What they said.
    async fn comment(&self) -> Option<&str> {
        self.stored.comment.as_deref()
    }

    /// Whether the caller may give or refuse it now.
    async fn can_resolve(&self) -> bool {
        self.can_resolve
    }
}

/// A page of deployments, newest first.
///
/// # Errors
/// BAD_USER_INPUT for bounds that are none.
pub async fn page_of_deployments(ctx: &Context<'_>, filter: Filter, window: Window) -> Result<Counted<Deployment>> {
    let app = guard::app(ctx)?;
    let page = list::page(app, guard::actor(ctx)?, &filter, &window.check(app)?).await?;
    Ok(counted(page, Deployment::from))
}

async fn serves(ctx: &Context<'_>, row: &deployment::Model) -> Result<bool> {
    let environment = loaders(ctx)?.environment(&row.environment_id).await?;
    Ok(environment.is_some_and(|e| e.current_deployment_id.as_ref() == Some(&row.id)))
}

/// A page of a run's log: of one stage, or of all.
///
/// # Errors
/// BAD_USER_INPUT for bounds that are none.
pub async fn log_page(
    app: &App,
    run_id: &str,
    stage: Option<stage::StageKind>,
    window: &Window,
) -> Result<LogConnection> {
    let limits = PageLimits { default: app.settings.pages.default, max: app.settings.log_page_max };
    let request = window.check_against(limits)?;
    let seq = |field: &str, cursor: &Option<Cursor>| -> Result<Option<i32>> {
        let Some(cursor) = cursor else { return Ok(None) };
        Ok(Some(seq_of(cursor).ok_or_else(|| Error::bad_input(field, "this is no cursor of this log"))?))
    };
    let (after, before) = (seq("after", &request.after)?, seq("before", &request.before)?);
    let limit = u64::from(request.size) + 1;
    let mut lines = match request.direction {
        Direction::Forward => log::after(app, run_id, stage, after.unwrap_or(0), limit).await?,
        Direction::Backward => log::before(app, run_id, stage, before.unwrap_or(i32::MAX), limit).await?,
    };
    lines.retain(|line| before.is_none_or(|b| line.seq < b) && after.is_none_or(|a| line.seq > a));
    let more = lines.len() > request.size as usize;
    let (previous, next) = match request.direction {
        Direction::Forward => {
            lines.truncate(request.size as usize);
            (after.is_some_and(|a| a > 0), more)
        }
        Direction::Backward => {
            let surplus = usize::from(more);
            lines.drain(..surplus);
            (more, before.is_some())
        }
    };
    let mut page = LogConnection::new(previous, next);
    page.edges.extend(lines.into_iter().map(|line| Edge::new(cursor_of(&line), LogLine(line))));
    Ok(page)
}

/// What resumes a log after this line.
#[must_use]
pub fn cursor_of(line: &Line) -> String {
    Cursor(vec![line.seq.to_string()]).encode()
}

/// The number of the line that a cursor names.
#[must_use]
pub fn seq_of(cursor: &Cursor) -> Option<i32> {
    let [seq] = cursor.0.as_slice() else { return None };
    seq.parse().ok().filter(|n| *n >= 0)
}

/// A line of a run's log. `cursor` resumes a log or a subscription after this line: no gap, no line twice.
#[Object]
impl LogLine {
    /// Resumes a log or a subscription after this line.
    async fn cursor(&self) -> String {
        cursor_of(&self.0)
    }

    /// When.
    async fn at(&self) -> DateTime<Utc> {
        self.0.at
    }

    /// The part of the run that it belongs to.
    async fn stage(&self) -> StageKind {
        self.0.stage.into()
    }

    /// Where it came from.
    async fn stream(&self) -> LogStream {
        self.0.stream.into()
    }

    /// The line, secrets masked.
    async fn text(&self) -> &str {
        &self.0.text
    }
}

/// What a deployment would change, before it is made.
#[Object]
impl DeploymentPreview {
    /// Pass it to deployService: a deployment that would no longer do what was shown is refused (CONFLICT).
    async fn plan_hash(&self) -> String {
        self.0.plan.hash()
    }

    /// A Compose file or manifests: exactly what would be applied, secrets masked.
    async fn manifest(&self) -> &str {
        &self.0.plan.manifest
    }

    /// Unified diff against the current revision's manifest; empty when nothing changes.
    async fn diff(&self) -> &str {
        &self.0.plan.diff
    }

    /// Whether the service stops answering for a while.
    async fn downtime(&self) -> bool {
        !self.0.plan.downtime.is_empty()
    }

    /// Why ('web keeps host port 80, which must change hands').
    async fn downtime_reasons(&self) -> &[String] {
        &self.0.plan.downtime
    }

    /// What the person should know before.
    async fn warnings(&self) -> Vec<&String> {
        self.0.plan.notes.iter().chain(&self.0.plan.warnings).collect()
    }

    /// What the security gate says of it; null where there is none.
    async fn gate(&self) -> Option<GateVerdict> {
        self.0.gate.clone().map(GateVerdict::from)
    }
}
