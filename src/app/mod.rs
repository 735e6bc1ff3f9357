//! Use cases, one file a noun. Three doors lead here (GraphQL, webhooks, jobs); nothing else decides anything.

pub mod actor;
pub mod answers;
pub mod audit;
pub mod change;
pub mod declared;
pub mod deployments;
pub mod doctor;
pub mod error;
pub mod events;
pub mod git;
pub mod identity;
pub mod images;
pub mod log;
pub mod lookup;
pub mod page;
pub mod pipelines;
pub mod registries;
pub mod runtimes;
pub mod scans;
pub mod secrets;
pub mod services;
pub mod settings;
#[cfg(test)]
pub(crate) mod testing;
pub mod webhooks;

use std::sync::Arc;

use entity::{Db, WriteTx};

use crate::builder::Builders;
use crate::builder::source::Sources;
use crate::domain::clock::{Clock, Ids};
use crate::git::GitProviders;
use crate::registry::Registries;
use crate::runtime::Runtimes;
use crate::scanner::run::Scanners;
use crate::vault::Vault;

pub use actor::{Actor, Scope};
pub use error::{Code, Error, Precondition, Result, Violations};
pub use events::{Event, Events};
pub use settings::Settings;

/// Everything that a use case needs. Cloning is cheap.
#[derive(Clone)]
pub struct App {
    /// The database.
    pub db: Db,
    /// Seals and opens secrets.
    pub vault: Arc<Vault>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// Tells subscribers what changed.
    pub events: Events,
    /// The logs that are followed here.
    pub tails: log::tail::Tails,
    /// Git providers.
    pub gits: Arc<dyn GitProviders>,
    /// Image registries.
    pub registries: Arc<dyn Registries>,
    /// Places to deploy to.
    pub runtimes: Arc<dyn Runtimes>,
    /// Source code.
    pub sources: Arc<dyn Sources>,
    /// What builds images.
    pub builders: Arc<dyn Builders>,
    /// What runs the tools of scans.
    pub scanners: Arc<dyn Scanners>,
    /// What the configuration says.
    pub settings: Arc<Settings>,
    /// Deliveries of webhooks that are coming in.
    pub traffic: webhooks::Traffic,
}

impl App {
    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// INTERNAL when the database does not answer.
    pub async fn begin(&self) -> Result<WriteTx> {
        Ok(self.db.begin().await?)
    }
}
