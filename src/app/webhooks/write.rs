//! Writing deliveries down: one writer, many at once. Each is answered after the commit that it is in.

use std::collections::{BTreeSet, HashSet};

use entity::{WebhookOutcome, service, webhook_delivery};
use sea_orm::sea_query::{LockType, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter, QueryOrder as _, QuerySelect as _, QueryTrait as _,
    Set,
};
use tokio::sync::{mpsc, oneshot};

use super::intake::{Arrival, Received, What};
use super::prune;
use crate::app::{App, Event, Result};

/// Deliveries of one transaction.
const BATCH: usize = 256;
/// Bytes of one transaction after which no more are added.
const BYTES: usize = 8 * 1024 * 1024;
/// Why a delivery is a duplicate.
const REPEATED: &str = "a delivery with the same id had come before";

/// Writes until nobody can bring anything any more.
pub(super) async fn run(app: App, mut arrivals: mpsc::Receiver<Arrival>) {
    while let Some(first) = arrivals.recv().await {
        let mut bytes = size(&first);
        let mut batch = vec![first];
        while batch.len() < BATCH
            && bytes < BYTES
            && let Ok(next) = arrivals.try_recv()
        {
            bytes += size(&next);
            batch.push(next);
        }
        let (rows, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(split).unzip();
        match write(&app, rows).await {
            Ok(written) => {
                for (answer, received) in answers.into_iter().zip(written) {
                    // Whoever hung up finds out when they send it again.
                    let _hung_up = answer.map(|answer| answer.send(received));
                }
                app.events.publish(Event::Deliveries);
            }
            // It was logged where it was made.
            Err(_) => {
                for answer in answers.into_iter().flatten() {
                    let _hung_up = answer.send(Received::Away);
                }
            }
        }
    }
}

/// A delivery without who waits for it.
struct Row {
    organization_id: String,
    service_id: String,
    event: String,
    received_at: chrono::DateTime<chrono::Utc>,
    /// Its dedup key and body, or why it was refused.
    what: std::result::Result<(String, Vec<u8>), String>,
}

fn size(arrival: &Arrival) -> usize {
    match &arrival.what {
        What::Accepted { payload, .. } => payload.len(),
        What::Rejected { .. } => 0,
    }
}

fn split(arrival: Arrival) -> (Row, Option<oneshot::Sender<Received>>) {
    let (what, answer) = match arrival.what {
        What::Accepted { dedup, payload, answer } => (Ok((dedup, payload)), Some(answer)),
        What::Rejected { reason } => (Err(reason), None),
    };
    let Arrival { organization_id, service_id, event, received_at, .. } = arrival;
    (Row { organization_id, service_id, event, received_at, what }, answer)
}

/// Writes a batch in one transaction, and says what to answer to each.
async fn write(app: &App, rows: Vec<Row>) -> Result<Vec<Received>> {
    let tx = app.begin().await?;
    let named: BTreeSet<&str> = rows.iter().map(|row| row.service_id.as_str()).collect();
    // Those that are there now stay until the end of this transaction.
    let there: Vec<String> = service::Entity::find()
        .select_only()
        .column(service::Column::Id)
        .filter(service::Column::Id.is_in(named))
        .order_by_asc(service::Column::Id)
        .lock(LockType::KeyShare)
        .into_tuple()
        .all(&tx)
        .await?;
    let there: HashSet<String> = there.into_iter().collect();

    let (mut accepted, mut others, mut noisy) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut answers = Vec::with_capacity(rows.len());
    // What becomes of each row with a dedup key: its id, and what it is if that key is there already.
    let mut keyed = Vec::new();
    for row in rows {
        if !there.contains(&row.service_id) {
            answers.push(Received::Refused);
            continue;
        }
        answers.push(Received::Stored);
        let id = app.ids.id();
        let base = webhook_delivery::ActiveModel {
            id: Set(id.clone()),
            organization_id: Set(row.organization_id),
            service_id: Set(row.service_id.clone()),
            dedup: Set(None),
            event: Set(row.event),
            received_at: Set(row.received_at),
            outcome: Set(WebhookOutcome::Rejected),
            reason: Set(None),
            pipeline_id: Set(None),
            replay_of: Set(None),
            payload: Set(None),
        };
        match row.what {
            Ok((dedup, payload)) => {
                let mut again = base.clone();
                (again.outcome, again.reason) = (Set(WebhookOutcome::Duplicate), Set(Some(REPEATED.to_owned())));
                keyed.push((id, row.service_id, again));
                let mut new = base;
                (new.outcome, new.dedup, new.payload) =
                    (Set(WebhookOutcome::Pending), Set(Some(dedup)), Set(Some(payload)));
                accepted.push(new);
            }
            Err(reason) => {
                let mut refused = base;
                refused.reason = Set(Some(reason));
                others.push(refused);
                noisy.insert(row.service_id);
            }
        }
    }
    let new = insert_new(&tx, accepted).await?;
    for (id, service_id, again) in keyed {
        if !new.contains(&id) {
            others.push(again);
            noisy.insert(service_id);
        }
    }
    if !others.is_empty() {
        webhook_delivery::Entity::insert_many(others).exec_without_returning(&tx).await?;
    }
    for service_id in noisy {
        prune::noise(&tx, &service_id).await?;
    }
    tx.commit().await?;
    Ok(answers)
}

/// Inserts those whose keys are not there yet, and gives their ids.
async fn insert_new(tx: &impl ConnectionTrait, rows: Vec<webhook_delivery::ActiveModel>) -> Result<HashSet<String>> {
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let once = OnConflict::column(webhook_delivery::Column::Dedup).do_nothing().to_owned();
    let mut insert = webhook_delivery::Entity::insert_many(rows).on_conflict(once).into_query();
    insert.returning_col(webhook_delivery::Column::Id);
    let inserted = tx.query_all(&insert).await?;
    Ok(inserted.iter().map(|row| row.try_get("", "id")).collect::<std::result::Result<_, _>>()?)
}
