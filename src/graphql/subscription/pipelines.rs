//! Following pipelines and their logs.

use async_graphql::{Context, ID};
use futures_util::{Stream, StreamExt as _};

use super::{Written, line_after, lines, states};
use crate::app::Event;
use crate::app::pipelines::list;
use crate::graphql::errors::Result;
use crate::graphql::guard;
use crate::graphql::ids::NodeKind;
use crate::graphql::types::pipeline::Pipeline;

/// Pipelines that can be followed.
#[derive(Default)]
pub struct PipelineSubscription;

/// Pipelines that can be followed.
#[async_graphql::Subscription]
impl PipelineSubscription {
    /// The state now, then each change; completes when it has ended.
    async fn pipeline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] id: ID,
    ) -> Result<impl Stream<Item = async_graphql::Result<Pipeline>> + use<>> {
        let (app, actor) = (guard::app(ctx)?.clone(), guard::actor(ctx)?.clone());
        let id = NodeKind::Pipeline.row(&id)?;
        let heard = app.events.listen();
        let row = list::one(&app, &actor, &id).await?;
        let of = id.clone();
        let is_told = move |e: &Event| matches!(e, Event::Pipeline { pipeline_id } if *pipeline_id == of);
        let ask = move || {
            let (app, actor, id) = (app.clone(), actor.clone(), id.clone());
            async move { list::one(&app, &actor, &id).await }
        };
        let found = states(heard, row, ask, (|row| row.finished_at.is_some(), is_told));
        Ok(found.map(|row| row.map(Pipeline::from)))
    }

    /// Every line from the beginning (or after the cursor), then as they come; completes when the pipeline ends.
    async fn pipeline_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] id: ID,
        #[graphql(desc = "The cursor of the last line that was seen.")] after: Option<String>,
    ) -> Result<impl Stream<Item = async_graphql::Result<Written>> + use<>> {
        let (app, actor) = (guard::app(ctx)?.clone(), guard::actor(ctx)?.clone());
        let id = NodeKind::Pipeline.row(&id)?;
        let seq = line_after(after.as_deref())?;
        list::one(&app, &actor, &id).await?;
        let (run, of) = (id.clone(), id.clone());
        let has_ended = move || {
            let (app, actor, id) = (app.clone(), actor.clone(), id.clone());
            async move { Ok(list::one(&app, &actor, &id).await?.finished_at.is_some()) }
        };
        let is_told = move |e: &Event| matches!(e, Event::Pipeline { pipeline_id } if *pipeline_id == of);
        lines(ctx, (&run, seq), has_ended, is_told)
    }
}
