//! Whether anything in the database has changed, asked with one small statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, Statement};
use tokio::sync::Mutex;

/// A state of the database: two that are equal show the same rows to whoever reads.
///
/// On SQLite it is `PRAGMA data_version` of one connection that never writes, which differs as soon as another one of any
/// process has committed. On PostgreSQL it is the snapshot: which transactions are over, and their outcome never changes. It is
/// told apart from one of another history, after a crash or in front of another server, by the connection that it is of. Reads
/// that somebody in between spreads over several servers would make it mean nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(String);

/// Asks for the version on behalf of many: who asks while a statement is on its way shares the next one.
#[derive(Debug, Clone)]
pub struct Versions(Arc<Asked>);

#[derive(Debug)]
struct Asked {
    connection: DatabaseConnection,
    /// How many have asked.
    arrived: AtomicU64,
    /// The newest version, and how many had asked before the statement that gave it was sent.
    newest: Mutex<Option<(u64, Version)>>,
}

impl Versions {
    /// The connection must be one, not a pool of several, and nobody may write with it.
    pub(crate) fn new(connection: DatabaseConnection) -> Self {
        Self(Arc::new(Asked { connection, arrived: AtomicU64::new(0), newest: Mutex::new(None) }))
    }

    /// The version now: of a moment after it was asked for.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn now(&self) -> Result<Version, DbErr> {
        let asked = &*self.0;
        let mine = asked.arrived.fetch_add(1, Ordering::SeqCst) + 1;
        let mut newest = asked.newest.lock().await;
        if let Some((before, version)) = &*newest
            && *before >= mine
        {
            return Ok(version.clone());
        }
        let before = asked.arrived.load(Ordering::SeqCst);
        let version = ask(&asked.connection).await?;
        *newest = Some((before, version.clone()));
        Ok(version)
    }

    pub(crate) async fn close(&self) -> Result<(), DbErr> {
        self.0.connection.close_by_ref().await
    }
}

async fn ask(connection: &DatabaseConnection) -> Result<Version, DbErr> {
    let backend = connection.get_database_backend();
    let text = match backend {
        DbBackend::Sqlite => "PRAGMA data_version",
        _ => "SELECT concat_ws(' ', pg_current_snapshot(), pg_backend_pid(), pg_postmaster_start_time())",
    };
    let row = connection.query_one_raw(Statement::from_string(backend, text)).await?;
    let row = row.ok_or_else(|| DbErr::Custom("the database says nothing of its version".to_owned()))?;
    Ok(Version(match backend {
        DbBackend::Sqlite => row.try_get_by_index::<i64>(0)?.to_string(),
        _ => row.try_get_by_index(0)?,
    }))
}
