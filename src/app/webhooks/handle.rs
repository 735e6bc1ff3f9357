//! What comes of deliveries: the oldest first, one at a time over all servers, so that of several pushes to a branch the
//! newest is the one that is built.

use entity::{PipelineTrigger, WebhookOutcome, pipeline, service, webhook_delivery};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait as _, QueryFilter, QueryOrder as _, QuerySelect as _,
    Statement,
};

use super::auto_ci::auto_ci_of;
use super::replay::{self, Again};
use crate::app::pipelines::start::{self, CommitInfo, NewPipeline};
use crate::app::{App, Error, Result, Scope, git};
use crate::domain::git::Provider;
use crate::domain::webhook::{self, Decision, Headers, InvalidPayload, Start, Trigger};

/// PostgreSQL's number of the lock under which deliveries are handled.
const ONE_AT_A_TIME: i64 = 0x6b69_6f70_7302;
/// How often it is tried to be the one who handles the oldest.
const TRIES: usize = 1_000;
/// Bodies from so many bytes on are read on a thread of their own: that takes a while.
const LARGE: usize = 512 * 1024;

/// What a delivery says, as far as it can be read.
type Event = std::result::Result<webhook::Event, InvalidPayload>;

/// A delivery that was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled {
    /// Its id.
    pub id: String,
    /// Its service.
    pub service_id: String,
}

/// A delivery that could not be handled.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct Failed {
    /// Its id; none where it was not even found out which is the oldest.
    pub id: Option<String>,
    /// Why.
    pub error: Error,
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// Handles the oldest delivery that nobody has looked at yet; none when there is none.
///
/// # Errors
/// INTERNAL when the database refuses: the delivery waits as before.
pub async fn next(app: &App) -> std::result::Result<Option<Handled>, Failed> {
    for _ in 0..TRIES {
        let oldest = pending().one(app.db.read()).await.map_err(|error| Failed { id: None, error: error.into() })?;
        let Some(row) = oldest else { return Ok(None) };
        let handled = Handled { id: row.id.clone(), service_id: row.service_id.clone() };
        match try_it(app, row).await {
            Ok(true) => return Ok(Some(handled)),
            // Another server was first.
            Ok(false) => {}
            Err(error) => return Err(Failed { id: Some(handled.id), error }),
        }
    }
    Ok(None)
}

/// Gives a delivery up that could not be handled, if it still waits: others wait behind it.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn give_up(app: &App, failed: &Failed) -> Result<()> {
    let Some(id) = &failed.id else { return Ok(()) };
    let tx = app.begin().await?;
    one_at_a_time(app, &tx).await?;
    let reason = format!("it could not be handled: {}; replay it once that is mended", failed.error.message);
    ignore(&tx, id, &reason).await?;
    tx.commit().await?;
    Ok(())
}

/// Handles one, if it is the oldest that waits. Whether it was.
async fn try_it(app: &App, row: webhook_delivery::Model) -> Result<bool> {
    // Read before anything is held: some are large.
    let (row, event) = understand(app, row).await?;
    let tx = app.begin().await?;
    one_at_a_time(app, &tx).await?;
    let oldest: Option<String> =
        pending().select_only().column(webhook_delivery::Column::Id).into_tuple().one(&tx).await?;
    if oldest.as_ref() != Some(&row.id) {
        return Ok(false);
    }
    let started = handle(app, &tx, &row, event).await?;
    tx.commit().await?;
    if let Some((service, pipeline)) = started {
        start::queued(app, &service, &pipeline);
    }
    Ok(true)
}

/// Waits until no other server decides what comes of a delivery, until the end of the transaction. SQLite has one writer
/// anyway.
async fn one_at_a_time(app: &App, tx: &impl ConnectionTrait) -> Result<()> {
    if app.db.is_postgres() {
        let lock = "SELECT pg_advisory_xact_lock($1)";
        let lock = Statement::from_sql_and_values(DbBackend::Postgres, lock, [ONE_AT_A_TIME.into()]);
        tx.execute_raw(lock).await?;
    }
    Ok(())
}

fn pending() -> sea_orm::Select<webhook_delivery::Entity> {
    webhook_delivery::Entity::find()
        .filter(webhook_delivery::Column::Outcome.eq(WebhookOutcome::Pending))
        .order_by_asc(webhook_delivery::Column::Id)
        .limit(1)
}

/// What it says, as its service's provider means it; none where the service comes from no provider.
async fn understand(app: &App, row: webhook_delivery::Model) -> Result<(webhook_delivery::Model, Option<Event>)> {
    let scope = Scope { organization_id: row.organization_id.clone() };
    let service = scope.services().filter(service::Column::Id.eq(&row.service_id)).one(app.db.read()).await?;
    let Some(source) = service.as_ref().and_then(git::source_of) else { return Ok((row, None)) };
    let large = row.payload.as_ref().is_some_and(|payload| payload.len() >= LARGE);
    let work = move || {
        let event = read(source.provider, &row);
        (row, Some(event))
    };
    if !large {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

fn read(provider: Provider, row: &webhook_delivery::Model) -> Event {
    let event = Some(row.event.as_str()).filter(|name| !name.is_empty());
    webhook::read(provider, &Headers { event, ..Headers::default() }, row.payload.as_deref().unwrap_or_default())
}

/// Writes what comes of it, with its caller's transaction. The pipeline that it started, if any, and its service.
async fn handle(
    app: &App,
    tx: &impl ConnectionTrait,
    row: &webhook_delivery::Model,
    event: Option<Event>,
) -> Result<Option<(service::Model, pipeline::Model)>> {
    let scope = Scope { organization_id: row.organization_id.clone() };
    let service = scope.services().filter(service::Column::Id.eq(&row.service_id)).lock_exclusive().one(tx).await?;
    let Some(service) = service else {
        ignore(tx, &row.id, "the service is gone").await?;
        return Ok(None);
    };
    let start = match decide(&service, event)? {
        Decision::Ignore(reason) => {
            ignore(tx, &row.id, &reason).await?;
            return Ok(None);
        }
        Decision::Start(start) => *start,
    };
    let mut wanted = wanted(start);
    match replay::again(tx, row, &wanted).await? {
        Again::New => {}
        Again::Retry(before) => wanted.retry_of = Some(before),
        Again::Late(number) => {
            ignore(tx, &row.id, &replay::too_late(&wanted, number)).await?;
            return Ok(None);
        }
    }
    let pipeline = start::enqueue(app, tx, &service, wanted).await?;
    webhook_delivery::Entity::update_many()
        .col_expr(webhook_delivery::Column::Outcome, Expr::value(WebhookOutcome::Started))
        .col_expr(webhook_delivery::Column::PipelineId, Expr::value(&pipeline.id))
        .filter(webhook_delivery::Column::Id.eq(&row.id))
        .exec(tx)
        .await?;
    Ok(Some((service, pipeline)))
}

fn decide(service: &service::Model, event: Option<Event>) -> Result<Decision> {
    let ignore = |why: &str| Ok(Decision::Ignore(why.to_owned()));
    let definition = auto_ci_of(service)?;
    let (Some(source), Some(event)) = (git::source_of(service), event) else {
        return ignore("the service is made of images: there is nothing to build");
    };
    if service.removing {
        return ignore("the service is being removed");
    }
    if !definition.enabled {
        return ignore("Auto CI is off");
    }
    match event {
        Err(why) => ignore(&format!("the payload can't be read: {why}")),
        Ok(event) => Ok(webhook::decide(&event, &definition.filter(&source)?)),
    }
}

/// The very commit that was pushed. The address to fetch it from is the registered one, whatever the payload says.
fn wanted(start: Start) -> NewPipeline {
    let head = start.head;
    NewPipeline {
        trigger: match start.trigger {
            Trigger::Push => PipelineTrigger::Push,
            Trigger::MergeRequest => PipelineTrigger::MergeRequest,
            Trigger::Tag => PipelineTrigger::Tag,
        },
        triggered_by: None,
        ref_name: start.name.to_string(),
        commit: Some(CommitInfo {
            sha: start.commit.to_string(),
            message: head.as_ref().map(|head| head.message.clone()),
            author_name: head.as_ref().and_then(|head| head.author_name.clone()),
            committed_at: head.as_ref().and_then(|head| head.committed_at),
            web_url: head.and_then(|head| head.url),
        }),
        deploy_to: None,
        idempotency_key: None,
        retry_of: None,
    }
}

/// Writes that nothing comes of it, unless something has come of it already.
async fn ignore(tx: &impl ConnectionTrait, id: &str, reason: &str) -> Result<()> {
    webhook_delivery::Entity::update_many()
        .col_expr(webhook_delivery::Column::Outcome, Expr::value(WebhookOutcome::Ignored))
        .col_expr(webhook_delivery::Column::Reason, Expr::value(reason))
        .filter(webhook_delivery::Column::Id.eq(id))
        .filter(webhook_delivery::Column::Outcome.eq(WebhookOutcome::Pending))
        .exec(tx)
        .await?;
    Ok(())
}
