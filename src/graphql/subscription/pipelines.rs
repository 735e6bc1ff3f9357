//! Following pipelines and their logs.

use async_graphql::{Context, ID};
use futures_util::Stream;

use super::{BATCH, look, next};
use crate::app::pipelines::list;
use crate::app::{Error, Event, log};
use crate::domain::paging::Cursor;
use crate::graphql::errors::Result;
use crate::graphql::guard;
use crate::graphql::ids::NodeKind;
use crate::graphql::types::deployment::{self, LogLine};
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
        let mut heard = app.events.listen();
        let mut row = list::one(&app, &actor, &id).await?;
        Ok(async_stream::try_stream! {
            loop {
                let seen = row.clone();
                let ended = row.finished_at.is_some();
                yield Pipeline(row);
                if ended {
                    return;
                }
                loop {
                    next(&mut heard, |e| matches!(e, Event::Pipeline { pipeline_id } if *pipeline_id == id)).await;
                    row = look(list::one(&app, &actor, &id).await)?;
                    if row != seen {
                        break;
                    }
                }
            }
        })
    }

    /// Every line from the beginning (or after the cursor), then as they come; completes when the pipeline ends.
    async fn pipeline_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] id: ID,
        #[graphql(desc = "The cursor of the last line that was seen.")] after: Option<String>,
    ) -> Result<impl Stream<Item = async_graphql::Result<LogLine>> + use<>> {
        let (app, actor) = (guard::app(ctx)?.clone(), guard::actor(ctx)?.clone());
        let id = NodeKind::Pipeline.row(&id)?;
        let mut seq = match after {
            Some(text) => Cursor::decode(&text)
                .and_then(|c| deployment::seq_of(&c))
                .ok_or_else(|| Error::bad_input("after", "this is no cursor of this log"))?,
            None => 0,
        };
        let mut heard = app.events.listen();
        list::one(&app, &actor, &id).await?;
        Ok(async_stream::try_stream! {
            loop {
                // Asked before the lines are read: what was written until it ended is then among them.
                let ended = look(list::one(&app, &actor, &id).await)?.finished_at.is_some();
                let lines = look(log::after(&app, &id, None, seq, BATCH).await)?;
                let none = lines.is_empty();
                for line in lines {
                    seq = line.seq;
                    yield LogLine(line);
                }
                if none && ended {
                    return;
                }
                if none {
                    next(&mut heard, |e| match e {
                        Event::Log { run_id } => *run_id == id,
                        Event::Pipeline { pipeline_id } => *pipeline_id == id,
                        _ => false,
                    })
                    .await;
                }
            }
        })
    }
}
