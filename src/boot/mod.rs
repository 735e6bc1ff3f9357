//! Wires everything together: the only place that knows concrete adapters and the use cases at once.

mod alone;
mod backend;
mod backup;
mod database;
mod declared;
mod doctor;
mod keys;
mod look;
mod parts;
mod restore;
mod serve;

use std::sync::Arc;

use anyhow::Context as _;
use entity::Db;

use crate::app::webhooks::Traffic;
use crate::app::{App, Events};
use crate::builder::source::GitSources;
use crate::config::Config;
use crate::net::Outbound;
use crate::vault::Vault;

pub use backup::{Backup, backup};
pub use doctor::examine;
pub use look::configuration;
pub use parts::{RandomIds, SystemClock};
pub use restore::{Restored, restore};
pub use serve::{Part, serve};

/// Connects to the database and brings it up to date.
///
/// # Errors
/// When it does not answer or a migration fails.
pub async fn database(config: &Config) -> anyhow::Result<Db> {
    database::open(config).await
}

/// The client that everything goes out with.
///
/// # Errors
/// When it can't be made of `[net]`.
pub fn outbound(config: &Config) -> anyhow::Result<Outbound> {
    parts::outbound(config).context("[net]")
}

/// Everything that a use case needs, from the configuration: database, key, clients.
///
/// # Errors
/// The first thing that is wrong, in words for whoever runs the server.
pub async fn app(config: &Config) -> anyhow::Result<App> {
    let db = database::open(config).await?;
    let vault = keys::vault(config, &db).await?;
    assemble(config, db, vault)
}

/// The same for whoever turns the key: where there is no current one, it is made.
///
/// # Errors
/// The first thing that is wrong, in words for whoever runs the server.
pub async fn app_that_turns_the_key(config: &Config) -> anyhow::Result<App> {
    let db = database::open(config).await?;
    let vault = keys::turning(config, &db).await?;
    assemble(config, db, vault)
}

fn assemble(config: &Config, db: Db, vault: Vault) -> anyhow::Result<App> {
    let outbound = outbound(config)?;
    Ok(App {
        db,
        vault: Arc::new(vault),
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        events: Events::default(),
        tails: Default::default(),
        gits: Arc::new(parts::gits(config, outbound.clone())?),
        registries: Arc::new(parts::registries(config, outbound.clone())?),
        runtimes: Arc::new(parts::Engines::new(config)),
        sources: Arc::new(GitSources::new(outbound)),
        builders: Arc::new(parts::AllBuilders::new(config)),
        scanners: Arc::new(parts::scanners(config)?),
        settings: Arc::new(parts::settings(config)?),
        traffic: Traffic::default(),
    })
}
