//! What has to be known of a service to judge its deliveries, remembered for a moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use entity::service;
use sea_orm::EntityTrait as _;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::Instant;

use super::auto_ci::auto_ci_of;
use crate::app::{App, Event, Result, Scope, git, secrets};
use crate::domain::git::Provider;
use crate::domain::webhook::Scheme;

/// How long it is believed. Every change is heard of, of this server at once and of others as soon as they tell; what was
/// not heard of is known after this.
const BELIEVED: Duration = Duration::from_secs(2);
/// Services that are remembered, those that never were among them.
const MOST: usize = 10_000;
/// Refused deliveries of one service that are written down in a second.
const NOTED: u32 = 5;

/// Why a delivery is refused that was proven with the secret before.
pub(super) const CHANGED: &str = "the webhook's secret was just changed";

/// A service that deliveries can be for.
pub(super) struct Door {
    pub(super) organization_id: String,
    pub(super) service_id: String,
    pub(super) provider: Provider,
    /// The row of the secret that `opens` holds; none where there never was one.
    pub(super) secret_id: Option<String>,
    /// How deliveries are proven; else why none are taken.
    pub(super) opens: std::result::Result<Scheme, &'static str>,
}

/// All of them.
pub(super) struct Doors(Mutex<Known>);

struct Known {
    events: Receiver<Event>,
    slots: HashMap<String, Slot>,
    /// Counts what was heard, so that nothing older is remembered.
    generation: u64,
}

struct Slot {
    generation: u64,
    turn: Arc<tokio::sync::Mutex<()>>,
    found: Option<(Option<Arc<Door>>, Instant)>,
    noted: (Instant, u32),
}

/// What is remembered of a service.
enum Look {
    /// This.
    Known(Option<Arc<Door>>),
    /// Nothing: the database has to be asked, one after the other. What was heard until now has this number.
    Ask { generation: u64, turn: Arc<tokio::sync::Mutex<()>> },
}

impl Doors {
    pub(super) fn new(app: &App) -> Self {
        Self(Mutex::new(Known { events: app.events.listen(), slots: HashMap::new(), generation: 0 }))
    }

    /// The service of this id; none where there is none that anybody could push to.
    ///
    /// # Errors
    /// INTERNAL when the database does not answer.
    pub(super) async fn find(&self, app: &App, service_id: &str) -> Result<Option<Arc<Door>>> {
        let turn = match self.look(service_id) {
            Look::Known(found) => return Ok(found),
            Look::Ask { turn, .. } => turn,
        };
        // Whoever came first goes on first: of two pushes the later one is to be handled later.
        let _turn = turn.lock().await;
        let asked = Instant::now();
        let generation = match self.look(service_id) {
            Look::Known(found) => return Ok(found),
            Look::Ask { generation, .. } => generation,
        };
        let found = load(app, service_id).await?.map(Arc::new);
        let mut known = self.lock();
        known.hear();
        let slot = known.slot(service_id, asked);
        // What was heard in between may be news.
        if slot.generation == generation {
            slot.found = Some((found.clone(), asked));
        }
        Ok(found)
    }

    /// What is remembered.
    fn look(&self, service_id: &str) -> Look {
        let now = Instant::now();
        let mut known = self.lock();
        known.hear();
        let slot = known.slot(service_id, now);
        match &slot.found {
            Some((found, at)) if now.duration_since(*at) < BELIEVED => Look::Known(found.clone()),
            _ => Look::Ask { generation: slot.generation, turn: slot.turn.clone() },
        }
    }

    /// Whether one more refused delivery is written down: a flood of them is not.
    pub(super) fn may_note(&self, service_id: &str) -> bool {
        let now = Instant::now();
        let mut known = self.lock();
        let (since, count) = &mut known.slot(service_id, now).noted;
        if now.duration_since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= NOTED
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Forgets what has changed.
    fn hear(&mut self) {
        loop {
            match self.events.try_recv() {
                Ok(Event::Service { service_id, .. }) => {
                    self.generation += 1;
                    if let Some(slot) = self.slots.get_mut(&service_id) {
                        (slot.generation, slot.found) = (self.generation, None);
                    }
                }
                Ok(Event::Missed) | Err(TryRecvError::Lagged(_)) => {
                    self.generation += 1;
                    for slot in self.slots.values_mut() {
                        (slot.generation, slot.found) = (self.generation, None);
                    }
                }
                Ok(_) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn slot(&mut self, service_id: &str, now: Instant) -> &mut Slot {
        if self.slots.len() >= MOST && !self.slots.contains_key(service_id) {
            self.slots.clear();
            self.generation += 1;
        }
        let fresh = Slot { generation: self.generation, turn: Arc::default(), found: None, noted: (now, 0) };
        self.slots.entry(service_id.to_owned()).or_insert(fresh)
    }
}

async fn load(app: &App, service_id: &str) -> Result<Option<Door>> {
    let Some(service) = service::Entity::find_by_id(service_id).one(app.db.read()).await? else { return Ok(None) };
    let Some(source) = git::source_of(&service) else { return Ok(None) };
    let scope = Scope { organization_id: service.organization_id.clone() };
    let definition = auto_ci_of(&service)?;
    let opens = match &service.webhook_secret_id {
        Some(id) if definition.enabled => match secrets::open_all(app, &scope, vec![id.clone()]).await?.remove(id) {
            Some(secret) => Ok(definition.scheme(source.provider, secret)),
            // It was made anew since the row was read.
            None => Err(CHANGED),
        },
        Some(_) => Err("Auto CI is off"),
        None => Err("Auto CI was never on"),
    };
    Ok(Some(Door {
        organization_id: scope.organization_id,
        service_id: service.id,
        provider: source.provider,
        secret_id: service.webhook_secret_id,
        opens,
    }))
}
