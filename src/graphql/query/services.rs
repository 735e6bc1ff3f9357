//! Services.

use async_graphql::{Context, ID, Object};

use crate::app::Violations;
use crate::app::services::{self, ServiceFilter};
use crate::graphql::brief::{ListedService, page_of_services};
use crate::graphql::connection::{Counted, Window, cost};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::enums::{ServiceStatus, Severity, SourceKind};
use crate::graphql::types::service::{Service, ServiceOrder};

/// Services.
#[derive(Default)]
pub struct ServiceQuery;

#[Object]
impl ServiceQuery {
    /// The organization's services.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "they are the contract's")]
    async fn services(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Part of the name.")] search: Option<String>,
        #[graphql(desc = "Only of these sources.")] source: Option<Vec<SourceKind>>,
        #[graphql(desc = "Only with these statuses.")] status: Option<Vec<ServiceStatus>>,
        #[graphql(desc = "Only with one of these risks.")] risk: Option<Vec<Severity>>,
        #[graphql(desc = "Only on this runtime.")] runtime_id: Option<ID>,
        #[graphql(desc = "In which order.", default_with = "Some(ServiceOrder::Name)")] order_by: Option<ServiceOrder>,
        #[graphql(desc = "How many at most, from the beginning.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many at most, from the end.")] last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
    ) -> Result<Option<Counted<ListedService>>> {
        let filter = ServiceFilter {
            search,
            source: source.map(|all| all.into_iter().map(Into::into).collect()),
            status: status.map(|all| all.into_iter().map(Into::into).collect()),
            risk: risk.map(|all| all.into_iter().map(Into::into).collect()),
            // An id that is none matches nothing, like one of another organization.
            runtime_id: runtime_id.map(|id| NodeKind::Runtime.row(&id).unwrap_or_default()),
        };
        let order = order_by.unwrap_or(ServiceOrder::Name).into();
        Ok(Some(page_of_services(ctx, &filter, order, &Window { first, after, last, before }).await?))
    }

    /// One service, by id or by name; null for what does not exist for the caller.
    async fn service(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id; exactly one of id and name.")] id: Option<ID>,
        #[graphql(desc = "Its name.")] name: Option<String>,
    ) -> Option<Result<Service>> {
        nullable(find(ctx, id, name).await)
    }
}

async fn find(ctx: &Context<'_>, id: Option<ID>, name: Option<String>) -> Result<Option<Service>> {
    let scope = &actor(ctx)?.scope;
    let found = match (id, name) {
        (Some(id), None) => match NodeKind::Service.row(&id) {
            Ok(row) => services::by_id(app(ctx)?, scope, &row).await?,
            Err(_) => None,
        },
        (None, Some(name)) => services::by_name(app(ctx)?, scope, &name).await?,
        _ => {
            let mut v = Violations::default();
            v.add("id", "give exactly one of id and name");
            v.finish()?;
            None
        }
    };
    Ok(found.map(Service::from))
}
