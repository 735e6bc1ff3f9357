//! Pipelines of the organization.

use async_graphql::{Context, Object};

use crate::app::pipelines::list::Filter;
use crate::app::pipelines::plan::{self, PlanInput};
use crate::graphql::connection::{Counted, Window};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::guard::{actor, app};
use crate::graphql::types::deployment::RunStatus;
use crate::graphql::types::enums::GitProvider;
use crate::graphql::types::pipeline::{BuildPlan, Pipeline, page_of_pipelines};

/// Pipelines of the organization.
#[derive(Default)]
pub struct PipelineQuery;

#[Object]
impl PipelineQuery {
    /// What the Build Wizard proposes for a project that may not be registered yet; null where there is none that the
    /// organization's token may see.
    async fn build_plan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which provider.")] provider: GitProvider,
        #[graphql(desc = "The project's path: group/subgroup/name or owner/name.")] project: String,
        #[graphql(desc = "Branch, tag or commit; the default branch when left out.")] r#ref: Option<String>,
        #[graphql(desc = "The folder that would be built; its root when left out.")] context_path: Option<String>,
    ) -> Result<Option<BuildPlan>> {
        let input = PlanInput { provider: provider.into(), project, ref_name: r#ref, context_path };
        Ok(plan::plan(app(ctx)?, actor(ctx)?, input).await?.map(BuildPlan::from))
    }

    /// The pipelines of all services, newest first.
    #[graphql(complexity = "crate::graphql::connection::cost(first, None, child_complexity)")]
    async fn pipelines(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "In one of these states.")] status: Option<Vec<RunStatus>>,
        #[graphql(desc = "So many from the beginning; 20 when left out, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Option<Result<Counted<Pipeline>>> {
        let status = status.map(|all| all.into_iter().map(Into::into).collect());
        let filter = Filter { status, ..Filter::default() };
        nullable(page_of_pipelines(ctx, filter, Window::forward(first, after)).await.map(Some))
    }
}
