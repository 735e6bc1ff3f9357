//! Taking deliveries: each is proven over the bytes that came, and is on disk before it is answered.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::doors::{Door, Doors};
use super::{proof, write};
use crate::app::{App, Result};
use crate::domain::git::Provider;
use crate::domain::webhook::{Headers, Proof, Rejected, Scheme, new_secret, verify};

/// Deliveries that wait to be written.
const WAITING: usize = 2_048;
/// Bodies from so many bytes on are proven on a thread of their own: that takes a while.
const LARGE: usize = 512 * 1024;
/// Longest name of an event that is stored, in bytes.
const EVENT: usize = 64;
/// The headers that a provider's deliveries are read by.
const HEADERS: [&str; 10] = [
    "x-github-event",
    "x-github-delivery",
    "x-hub-signature-256",
    "x-gitlab-event",
    "x-gitlab-event-uuid",
    "x-gitlab-token",
    "idempotency-key",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It is stored.
    Stored,
    /// There is no such webhook, or it was not proven; which of them is not said.
    Refused,
    /// Too much is on its way: the sender may try again soon.
    Busy,
    /// The database does not answer.
    Away,
}

/// A delivery that is to be written down.
pub(super) struct Arrival {
    pub(super) organization_id: String,
    pub(super) service_id: String,
    pub(super) event: String,
    pub(super) received_at: DateTime<Utc>,
    pub(super) what: What,
}

/// What is to be written of it.
pub(super) enum What {
    /// It was proven.
    Accepted { dedup: String, payload: Vec<u8>, answer: oneshot::Sender<Received> },
    /// It was not.
    Rejected { reason: String },
}

/// Where deliveries come in.
pub struct Intake {
    app: App,
    doors: Doors,
    writer: mpsc::Sender<Arrival>,
    /// What deliveries to nobody are held against, so that they take as long as others.
    nobody: [Scheme; 2],
}

/// A delivery's headers, and what they prove.
type Proven = (Sent, std::result::Result<Proof, Rejected>);

/// A delivery's headers, on their own.
struct Sent(HashMap<&'static str, String>);

impl Sent {
    fn of<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        Self(HEADERS.into_iter().filter_map(|name| Some((name, get(name)?.to_owned()))).collect())
    }

    fn headers(&self, provider: Provider) -> Headers<'_> {
        Headers::read(provider, |name| self.0.get(name).map(String::as_str))
    }
}

impl Intake {
    /// Opens it. What it writes with ends when it is dropped, after the last delivery is answered.
    #[must_use]
    pub fn start(app: &App, tasks: &TaskTracker) -> Self {
        let (writer, arrivals) = mpsc::channel(WAITING);
        tasks.spawn(write::run(app.clone(), arrivals));
        let secret = |provider| new_secret(provider, app.ids.random());
        Self {
            doors: Doors::new(app),
            writer,
            nobody: [Scheme::Github(secret(Provider::Github)), Scheme::GitlabPasted(secret(Provider::Gitlab))],
            app: app.clone(),
        }
    }

    /// Takes a delivery. `header` gives a header's value by its name in lower case, `body` are the bytes as they came, and
    /// `service_id` is none where the address names nothing.
    pub async fn receive<'a>(
        &self,
        provider: Provider,
        service_id: Option<&str>,
        header: impl Fn(&str) -> Option<&'a str>,
        body: Bytes,
    ) -> Received {
        match self.take(provider, service_id, Sent::of(header), body).await {
            Ok(received) => received,
            // It was logged where it was made.
            Err(_) => Received::Away,
        }
    }

    async fn take(&self, provider: Provider, service_id: Option<&str>, sent: Sent, body: Bytes) -> Result<Received> {
        let _underway = self.app.traffic.enter();
        let now = self.app.clock.now();
        let door = match service_id {
            Some(id) => self.doors.find(&self.app, id).await?,
            None => None,
        };
        let opens = match &door {
            Some(door) if door.provider != provider => Err("it was sent to the address for another provider"),
            Some(door) => door.opens.as_ref().map_err(|why| *why),
            None => Err("there is no such service"),
        };
        let scheme = opens.cloned().unwrap_or_else(|_| match provider {
            Provider::Github => self.nobody[0].clone(),
            Provider::Gitlab => self.nobody[1].clone(),
        });
        let (sent, proven) = prove(&scheme, provider, sent, &body, now).await;
        let headers = sent.headers(provider);
        let event = event_name(&headers);
        let Some(door) = door.clone() else { return Ok(Received::Refused) };
        let proof = match (opens.map(|_| ()), proven) {
            (Ok(()), Ok(proof)) => proof,
            (Err(why), _) => {
                self.note(&door, event, why.to_owned(), now);
                return Ok(Received::Refused);
            }
            (Ok(()), Err(why)) => {
                self.note(&door, event, why.to_string(), now);
                return Ok(Received::Refused);
            }
        };
        if matches!(scheme, Scheme::GitlabPasted(_))
            && let Err(why) = proof::keep(&self.app, &door, proof).await?
        {
            self.note(&door, event, why.to_owned(), now);
            return Ok(Received::Refused);
        }
        let id = headers.delivery.map_or_else(|| fingerprint(&event, &body), str::to_owned);
        let (answer, answered) = oneshot::channel();
        let arrival = Arrival {
            organization_id: door.organization_id.clone(),
            service_id: door.service_id.clone(),
            event,
            received_at: now,
            what: What::Accepted { dedup: format!("{}:{id}", door.service_id), payload: body.into(), answer },
        };
        if self.writer.try_send(arrival).is_err() {
            return Ok(Received::Busy);
        }
        Ok(answered.await.unwrap_or(Received::Away))
    }

    /// Writes a refused delivery down, without what it said; nobody waits for that.
    fn note(&self, door: &Arc<Door>, event: String, reason: String, now: DateTime<Utc>) {
        if !self.doors.may_note(&door.service_id) {
            return;
        }
        let arrival = Arrival {
            organization_id: door.organization_id.clone(),
            service_id: door.service_id.clone(),
            event,
            received_at: now,
            what: What::Rejected { reason },
        };
        // Where there is no room for it there is a flood, of which there are traces enough.
        let _no_room = self.writer.try_send(arrival);
    }
}

/// Whether a delivery is real.
async fn prove(scheme: &Scheme, provider: Provider, sent: Sent, body: &Bytes, now: DateTime<Utc>) -> Proven {
    let (scheme, body) = (scheme.clone(), body.clone());
    let large = body.len() >= LARGE;
    let work = move || {
        let proven = verify(&scheme, &sent.headers(provider), &body, now);
        (sent, proven)
    };
    if !large {
        return work();
    }
    tokio::task::spawn_blocking(work).await.expect("proving does not panic, and is not aborted")
}

/// What stands for the id of a delivery that brings none.
fn fingerprint(event: &str, body: &[u8]) -> String {
    let hash = Sha256::new().chain_update(event).chain_update([0]).chain_update(body).finalize();
    format!("sha256:{}", hex::encode(hash))
}

/// The event's name, in characters that need no care.
fn event_name(headers: &Headers<'_>) -> String {
    let name = headers.event.unwrap_or_default();
    name.chars().filter(|c| c.is_ascii_alphanumeric() || " _-.".contains(*c)).take(EVENT).collect()
}
