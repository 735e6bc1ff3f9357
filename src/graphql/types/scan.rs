//! Scans and their tools.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};
use entity::{RunStatus as StoredStatus, scan};

use super::deployment::RunStatus;
use super::enums::{ScanKind, Severity};
use super::environment::Environment;
use super::finding::Finding;
use super::git::Commit;
use super::pipeline::Pipeline;
use super::service::Service;
use crate::app::Error;
use crate::app::scans::machine::{self, ToolState};
use crate::app::scans::{list, report};
use crate::domain::scan as scan_words;
use crate::graphql::connection::{Counted, Window, counted};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::guard;
use crate::graphql::ids::NodeKind;
use crate::graphql::loaders::loaders;

/// One look of the tools of a kind at a service.
pub struct Scan(pub scan::Model);

impl Scan {
    /// Wraps what a loader gave.
    #[must_use]
    pub fn shared(row: Arc<scan::Model>) -> Self {
        Self(Arc::unwrap_or_clone(row))
    }

    async fn load_pipeline(&self, ctx: &Context<'_>) -> Result<Option<Pipeline>> {
        match &self.0.pipeline_id {
            Some(id) => Ok(loaders(ctx)?.pipeline(id).await?.map(Pipeline::shared)),
            None => Ok(None),
        }
    }

    async fn load_environment(&self, ctx: &Context<'_>) -> Result<Option<Environment>> {
        match &self.0.environment_id {
            Some(id) => Ok(loaders(ctx)?.environment(id).await?.map(Environment::shared)),
            None => Ok(None),
        }
    }
}

/// A tool of a scan.
#[derive(SimpleObject)]
pub struct ScanTool {
    /// Its name in kiops.toml.
    name: String,
    /// What its report says of it.
    version: Option<String>,
    /// Where it stands.
    status: RunStatus,
    /// Why it has no result, or a part of one; or what nobody can know of its result.
    message: Option<String>,
}

impl From<ToolState> for ScanTool {
    fn from(tool: ToolState) -> Self {
        let status = StoredStatus::from(tool.status).into();
        Self { name: tool.name, version: tool.version, status, message: tool.message }
    }
}

/// How many findings of each severity there are.
#[derive(SimpleObject)]
pub struct SeverityCounts {
    /// To be mended now.
    critical: i32,
    /// Harmful.
    high: i32,
    /// Harmful under conditions.
    medium: i32,
    /// Of little harm.
    low: i32,
    /// Worth knowing.
    info: i32,
}

impl From<scan_words::SeverityCounts> for SeverityCounts {
    fn from(counts: scan_words::SeverityCounts) -> Self {
        let number = |n: u64| i32::try_from(n).unwrap_or(i32::MAX);
        Self {
            critical: number(counts.critical),
            high: number(counts.high),
            medium: number(counts.medium),
            low: number(counts.low),
            info: number(counts.info),
        }
    }
}

/// One look of the tools of a kind at a service.
#[Object]
impl Scan {
    /// Opaque, typed and stable.
    pub async fn id(&self) -> ID {
        NodeKind::Scan.id(&self.0.id)
    }

    /// What is looked at.
    async fn service(&self, ctx: &Context<'_>) -> Result<Service> {
        let found = loaders(ctx)?.service(&self.0.service_id).await?;
        Ok(Service::shared(found.ok_or_else(|| Error::not_found("service"))?))
    }

    /// The pipeline that it is part of; null when somebody started it by itself.
    async fn pipeline(&self, ctx: &Context<'_>) -> Option<Result<Pipeline>> {
        nullable(self.load_pipeline(ctx).await)
    }

    /// What is looked for.
    async fn kind(&self) -> ScanKind {
        scan_words::ScanKind::from(self.0.kind).into()
    }

    /// The tools that ran, as declared in kiops.toml. One failing does not undo another's results.
    async fn tools(&self) -> Result<Vec<ScanTool>> {
        Ok(machine::tools_of(&self.0)?.into_iter().map(ScanTool::from).collect())
    }

    /// SUCCEEDED when every tool has a result, INCOMPLETE when some have, FAILED when none has.
    async fn status(&self) -> RunStatus {
        self.0.status.into()
    }

    /// Which tool has no result, and why.
    async fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// How many findings of each severity it saw.
    async fn counts(&self) -> Result<SeverityCounts> {
        Ok(machine::counts_of(&self.0)?.into())
    }

    /// How many of them the previous scan of this kind on the same branch, or of the same environment, did not see.
    async fn new_findings(&self) -> i32 {
        i32::try_from(self.0.new_findings).unwrap_or(i32::MAX)
    }

    /// How many that previous scan saw, and this one no longer does.
    async fn fixed_findings(&self) -> i32 {
        i32::try_from(self.0.fixed_findings).unwrap_or(i32::MAX)
    }

    /// What it saw, the worst first; nothing before it has ended, and nothing once it is too old.
    #[graphql(complexity = "crate::graphql::connection::cost(first, None, child_complexity)")]
    async fn findings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only of this severity.")] severity: Option<Severity>,
        #[graphql(desc = "So many from the beginning; 20 when left out, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Counted<Finding>> {
        let app = guard::app(ctx)?;
        let window = Window::forward(first, after).check(app)?;
        let of = (&self.0, severity.map(scan_words::Severity::from));
        Ok(counted(list::of_scan(app, guard::actor(ctx)?, of, &window).await?, Finding))
    }

    /// SARIF 2.1.0 for findings, CycloneDX JSON for an SBOM; fetched with the caller's credentials. Null before it has a
    /// result, and once it is too old.
    async fn report_url(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        let base = &guard::app(ctx)?.settings.public_url;
        let url = || format!("{base}/reports/{}", NodeKind::Scan.id(&self.0.id).as_str());
        Ok(report::is_there(&self.0).then(url))
    }

    /// When work began.
    async fn started_at(&self) -> Option<DateTime<Utc>> {
        self.0.started_at
    }

    /// When it ended.
    async fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.0.finished_at
    }

    /// The environment that is scanned while it runs; null for what looks at source and image, and once it is gone.
    async fn environment(&self, ctx: &Context<'_>) -> Option<Result<Environment>> {
        nullable(self.load_environment(ctx).await)
    }

    /// The commit that is looked at, as soon as it is known.
    async fn commit(&self) -> Result<Option<Commit>> {
        Ok(machine::commit_of(&self.0)?.map(Commit::from))
    }

    /// When it was asked for.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}
