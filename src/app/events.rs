//! Tells subscribers what changed: those of this server at once, those of other servers over the database
//! ([`relay`]). Losing an event is harmless: who follows reads what is stored.

pub mod relay;

use entity::service;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Something changed and is committed. It says where to look, never what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A service, or something that its fields show.
    Service {
        /// Whose.
        organization_id: String,
        /// Which.
        service_id: String,
        /// Whether it came, changed or went.
        #[serde(rename = "change")]
        kind: ChangeKind,
    },
    /// A deployment's state.
    Deployment {
        /// Which.
        deployment_id: String,
    },
    /// A pipeline's state.
    Pipeline {
        /// Which.
        pipeline_id: String,
    },
    /// A scan's state.
    Scan {
        /// Which.
        scan_id: String,
    },
    /// New lines in a run's log.
    Log {
        /// The pipeline or deployment.
        run_id: String,
    },
    /// Jobs were queued.
    Jobs,
    /// Webhooks were delivered, and nobody has looked at them yet.
    Deliveries,
    /// Others may have told something that was not heard: it may have been any of these.
    Missed,
}

/// Whether it came, changed or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It was there.
    Changed,
    /// It is gone.
    Removed,
}

/// A channel that every subscriber of this server listens on.
#[derive(Debug, Clone)]
pub struct Events {
    /// What happened anywhere.
    here: broadcast::Sender<Event>,
    /// What happened on this server, for others to hear.
    outward: broadcast::Sender<Event>,
}

/// Events that are kept for who is slow to hear them.
const KEPT: usize = 4096;

impl Default for Events {
    fn default() -> Self {
        Self { here: broadcast::channel(KEPT).0, outward: broadcast::channel(KEPT).0 }
    }
}

impl Events {
    /// Tells everyone who listens. Call it after the commit.
    pub fn publish(&self, event: Event) {
        // An error means that nobody listens.
        let _no_other_server = self.outward.send(event.clone());
        let _nobody = self.here.send(event);
    }

    /// Tells that a service came, changed or went. Call it after the commit.
    pub fn service(&self, service: &service::Model, kind: ChangeKind) {
        let organization_id = service.organization_id.clone();
        self.publish(Event::Service { organization_id, service_id: service.id.clone(), kind });
    }

    /// Hears what is published from now on. Lagging behind means: read everything anew; so does [`Event::Missed`].
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.here.subscribe()
    }

    /// Tells those who listen here what happened on another server.
    fn pass_on(&self, event: Event) {
        let _nobody = self.here.send(event);
    }
}

/// Returns at the next event that matters, or when some were missed, which may have been such; never when none can come
/// any more.
pub async fn hear(events: &mut broadcast::Receiver<Event>, matters: impl Fn(&Event) -> bool) {
    loop {
        match events.recv().await {
            Ok(event) if event == Event::Missed || matters(&event) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
