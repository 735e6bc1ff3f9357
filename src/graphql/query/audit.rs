//! The audit trail.

use async_graphql::{Context, ID, Object};
use chrono::{DateTime, Utc};

use crate::app::audit::{self, Filter};
use crate::graphql::connection::{Uncounted, Window, cost, uncounted};
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::{self, NodeKind};
use crate::graphql::types::audit::AuditEvent;

/// The audit trail.
#[derive(Default)]
pub struct AuditQuery;

#[Object]
impl AuditQuery {
    /// [admin] What was changed and by whom, and logins that failed, the newest first.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "they are the contract's")]
    async fn audit_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only this action.")] action: Option<String>,
        #[graphql(desc = "Only by this user.")] actor_id: Option<ID>,
        #[graphql(desc = "Only about this object.")] subject_id: Option<ID>,
        #[graphql(desc = "From then on.")] since: Option<DateTime<Utc>>,
        #[graphql(desc = "Before then.")] until: Option<DateTime<Utc>>,
        #[graphql(desc = "How many at most.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Option<Uncounted<AuditEvent>>> {
        let page = Window::forward(first, after).check(app(ctx)?)?;
        // An id that is none matches nothing, like one of another organization.
        let actor_id = actor_id.map(|id| NodeKind::User.row(&id).unwrap_or_default());
        let subject = subject_id.map(|id| match ids::decode(&id) {
            Some((kind, row)) => (kind.name().to_owned(), row),
            None => Default::default(),
        });
        let filter = Filter { action, actor_id, subject, since, until };
        let events = audit::list(app(ctx)?, actor(ctx)?, filter, &page).await?;
        Ok(Some(uncounted(events, AuditEvent)))
    }
}
