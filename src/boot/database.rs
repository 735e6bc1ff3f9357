//! The database, brought up to date once however many servers start at once.

use anyhow::Context as _;
use entity::Db;
use migration::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use secrecy::ExposeSecret as _;

use crate::config::Config;

/// What PostgreSQL's advisory lock of migrations is called: "kiops" in ASCII.
const MIGRATION_LOCK: i64 = 0x6b_69_6f_70_73;

pub(super) async fn open(config: &Config) -> anyhow::Result<Db> {
    let slow = config.telemetry.slow_query;
    let db = Db::connect_watched(config.database.address().expose_secret(), config.database.max_connections, slow)
        .await
        .context("the database (database.url) does not answer")?;
    migrate(&db).await.context("the database could not be brought up to date")?;
    Ok(db)
}

/// All migrations are one transaction: on SQLite it excludes other writers, on PostgreSQL the lock does.
async fn migrate(db: &Db) -> anyhow::Result<()> {
    let tx = db.begin().await?;
    if db.is_postgres() {
        let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
        tx.execute_raw(Statement::from_string(DbBackend::Postgres, lock)).await?;
    }
    Migrator::up(&tx, None).await?;
    tx.commit().await?;
    Ok(())
}
