//! Tells the subscribers of this server what changed. Losing an event is harmless: who follows reads what is stored.

use entity::service;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Something changed and is committed. It says where to look, never what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A service, or something that its fields show.
    Service {
        /// Whose.
        organization_id: String,
        /// Which.
        service_id: String,
        /// Whether it came, changed or went.
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
    /// New lines in a run's log.
    Log {
        /// The pipeline or deployment.
        run_id: String,
    },
    /// Jobs were queued.
    Jobs,
    /// Webhooks were delivered, and nobody has looked at them yet.
    Deliveries,
}

/// Whether it came, changed or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
pub struct Events(broadcast::Sender<Event>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::channel(4096).0)
    }
}

impl Events {
    /// Tells everyone who listens. Call it after the commit.
    pub fn publish(&self, event: Event) {
        // An error means that nobody listens.
        let _nobody = self.0.send(event);
    }

    /// Tells that a service came, changed or went. Call it after the commit.
    pub fn service(&self, service: &service::Model, kind: ChangeKind) {
        let organization_id = service.organization_id.clone();
        self.publish(Event::Service { organization_id, service_id: service.id.clone(), kind });
    }

    /// Hears what is published from now on. Lagging behind means: read everything anew.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}

/// Returns at the next event that matters, or when some were missed, which may have been such; never when none can come
/// any more.
pub async fn hear(events: &mut broadcast::Receiver<Event>, matters: impl Fn(&Event) -> bool) {
    loop {
        match events.recv().await {
            Ok(event) if matters(&event) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
