//! Runtimes.

use async_graphql::{Context, ID, Object};

use crate::app::runtimes;
use crate::graphql::connection::{Counted, Window, cost, counted};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::enums::RuntimeKind;
use crate::graphql::types::runtime::Runtime;

/// Runtimes.
#[derive(Default)]
pub struct RuntimeQuery;

#[Object]
impl RuntimeQuery {
    /// Places to deploy to, the newest first.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn runtimes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only of this kind.")] kind: Option<RuntimeKind>,
        #[graphql(desc = "How many at most.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Option<Counted<Runtime>>> {
        let page = Window::forward(first, after).check(app(ctx)?)?;
        let found = runtimes::list(app(ctx)?, &actor(ctx)?.scope, kind.map(Into::into), &page).await?;
        Ok(Some(counted(found, Runtime::from)))
    }

    /// One runtime; null for what does not exist for the caller.
    async fn runtime(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Option<Result<Runtime>> {
        nullable(find(ctx, &id).await)
    }
}

async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Runtime>> {
    let scope = &actor(ctx)?.scope;
    match NodeKind::Runtime.row(id) {
        Ok(row) => Ok(runtimes::by_id(app(ctx)?, scope, &row).await?.map(Runtime::from)),
        Err(_) => Ok(None),
    }
}
