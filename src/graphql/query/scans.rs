//! Findings of the organization.

use async_graphql::{Context, ID, Object};

use crate::app::scans::list::Filter;
use crate::graphql::connection::{Counted, Window};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::enums::{FindingState, ScanKind, Severity};
use crate::graphql::types::finding::{Finding, Narrow, page_of_findings};

/// Findings of the organization.
#[derive(Default)]
pub struct ScanQuery;

#[Object]
impl ScanQuery {
    /// Across the organization's services, the worst first.
    #[expect(clippy::too_many_arguments, reason = "they are the contract's")]
    #[graphql(complexity = "crate::graphql::connection::cost(first, None, child_complexity)")]
    async fn findings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only of this service.")] service_id: Option<ID>,
        #[graphql(desc = "Part of the title, the rule or the place.")] search: Option<String>,
        #[graphql(desc = "Of one of these kinds.")] kind: Option<Vec<ScanKind>>,
        #[graphql(desc = "Of one of these severities.")] severity: Option<Vec<Severity>>,
        #[graphql(
            desc = "In one of these states; every one when null.",
            default_with = "Some(vec![FindingState::Open])"
        )]
        state: Option<Vec<FindingState>>,
        #[graphql(desc = "So many from the beginning; 20 when left out, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Option<Result<Counted<Finding>>> {
        let narrow = Filter::from(Narrow { kind, severity, state });
        // An id that is none matches nothing, like one of another organization.
        let service_id = service_id.map(|id| NodeKind::Service.row(&id).unwrap_or_default());
        let filter = Filter { service_id, search, ..narrow };
        nullable(page_of_findings(ctx, filter, Window::forward(first, after)).await.map(Some))
    }
}
