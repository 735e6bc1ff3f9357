//! Git providers: what is stored, and what is listed with it.

use async_graphql::{Context, Object};

use crate::app::git::{lists, settings};
use crate::graphql::connection::{Uncounted, Window, cost, listed};
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::types::enums::GitProvider;
use crate::graphql::types::git::{GitBranch, GitNamespace, GitProject, GitSettings};

/// Git providers.
#[derive(Default)]
pub struct GitQuery;

#[Object]
impl GitQuery {
    /// [admin] One entry for each provider that is set up.
    async fn git_settings(&self, ctx: &Context<'_>) -> Result<Option<Vec<GitSettings>>> {
        let found = settings::list(app(ctx)?, actor(ctx)?).await?;
        Ok(Some(found.into_iter().map(GitSettings).collect()))
    }

    /// Where a project can be made: the token's own account first, then groups or organizations.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn git_namespaces(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which provider.")] provider: GitProvider,
        #[graphql(desc = "Part of the name or path.")] search: Option<String>,
        #[graphql(desc = "How many at most; 20 when left out, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Option<Uncounted<GitNamespace>>> {
        let (app, actor) = (app(ctx)?, actor(ctx)?);
        let page = Window::forward(first, after).check(app)?;
        let found = lists::namespaces(app, actor, provider.into(), search.as_deref(), &page).await?;
        Ok(Some(listed(found, GitNamespace::from)))
    }

    /// Projects that the organization's token takes part in, newest first. Fetched with that token: nobody types one
    /// here.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn git_projects(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which provider.")] provider: GitProvider,
        #[graphql(
            desc = "Part of the name, or a path. GitLab looks into descriptions too; it takes a text of one or two \
                          characters for a whole name, path or description, and leaves such words out beside longer \
                          ones."
        )]
        search: Option<String>,
        #[graphql(desc = "How many at most; 20 when left out, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Option<Uncounted<GitProject>>> {
        let (app, actor) = (app(ctx)?, actor(ctx)?);
        let page = Window::forward(first, after).check(app)?;
        let found = lists::projects(app, actor, provider.into(), search.as_deref(), &page).await?;
        Ok(Some(listed(found, GitProject)))
    }

    /// One project by its path; null where there is none that the organization's token may see.
    async fn git_project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which provider.")] provider: GitProvider,
        #[graphql(desc = "group/subgroup/name or owner/name.")] path: String,
    ) -> Result<Option<GitProject>> {
        let found = lists::project(app(ctx)?, actor(ctx)?, provider.into(), &path).await?;
        Ok(found.map(GitProject))
    }

    /// Branches of a project, the default one first.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn git_branches(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which provider.")] provider: GitProvider,
        #[graphql(desc = "The project's path: group/subgroup/name or owner/name.")] project: String,
        #[graphql(desc = "Part of the name.")] search: Option<String>,
        #[graphql(desc = "How many at most; 20 when left out, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Option<Uncounted<GitBranch>>> {
        let (app, actor) = (app(ctx)?, actor(ctx)?);
        let page = Window::forward(first, after).check(app)?;
        let project = lists::project_named(provider.into(), "project", &project)?;
        let found = lists::branches(app, actor, provider.into(), project, search.as_deref(), &page).await?;
        Ok(Some(listed(found, GitBranch::from)))
    }
}
