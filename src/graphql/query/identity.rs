//! Who is asking, who else there is, and objects by id.

use async_graphql::{Context, ID, Object};

use crate::app::identity::tokens;
use crate::app::identity::users::{self, UserFilter};
use crate::graphql::connection::{Counted, Window, cost, counted};
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids;
use crate::graphql::types::enums::Role;
use crate::graphql::types::identity::{ApiToken, User, Viewer};
use crate::graphql::types::node::{self, Node};

/// Who is asking, and who else there is.
#[derive(Default)]
pub struct IdentityQuery;

#[Object]
impl IdentityQuery {
    /// Any object by its id; null for what the caller may not see and for what never was.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "The object's id.")] id: ID) -> Result<Option<Node>> {
        match ids::decode(&id) {
            Some((kind, row)) => node::load(ctx, kind, &row).await,
            None => Ok(None),
        }
    }

    /// The person or token behind this request.
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Viewer> {
        Viewer::load(app(ctx)?, actor(ctx)?).await
    }

    /// [admin] The organization's people, the newest first.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Part of a name or an e-mail address.")] search: Option<String>,
        #[graphql(desc = "Only those with this role.")] role: Option<Role>,
        #[graphql(desc = "How many at most.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Option<Counted<User>>> {
        let page = Window::forward(first, after).check(app(ctx)?)?;
        let filter = UserFilter { search, role: role.map(Into::into) };
        let people = users::list(app(ctx)?, actor(ctx)?, filter, &page).await?;
        Ok(Some(counted(people, User)))
    }

    /// The caller's API tokens; for an admin all of the organization's. The newest first.
    async fn api_tokens(&self, ctx: &Context<'_>) -> Result<Option<Vec<ApiToken>>> {
        let all = tokens::list(app(ctx)?, actor(ctx)?).await?;
        Ok(Some(all.into_iter().map(ApiToken).collect()))
    }
}
