//! Following scans.

use async_graphql::{Context, ID};
use futures_util::{Stream, StreamExt as _};

use super::states;
use crate::app::Event;
use crate::app::scans::list;
use crate::graphql::errors::Result;
use crate::graphql::guard;
use crate::graphql::ids::NodeKind;
use crate::graphql::types::scan::Scan;

/// Scans that can be followed.
#[derive(Default)]
pub struct ScanSubscription;

/// Scans that can be followed.
#[async_graphql::Subscription]
impl ScanSubscription {
    /// The state now, then each change; completes when it has ended.
    async fn scan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The scan.")] id: ID,
    ) -> Result<impl Stream<Item = async_graphql::Result<Scan>> + use<>> {
        let (app, actor) = (guard::app(ctx)?.clone(), guard::actor(ctx)?.clone());
        let id = NodeKind::Scan.row(&id)?;
        let heard = app.events.listen();
        let row = list::one(&app, &actor, &id).await?;
        let of = id.clone();
        let is_told = move |e: &Event| matches!(e, Event::Scan { scan_id } if *scan_id == of);
        let ask = move || {
            let (app, actor, id) = (app.clone(), actor.clone(), id.clone());
            async move { list::one(&app, &actor, &id).await }
        };
        let found = states(heard, row, ask, (|row| row.finished_at.is_some(), is_told));
        Ok(found.map(|row| row.map(Scan)))
    }
}
