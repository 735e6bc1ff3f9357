//! The handle to the database: one writer and many readers on SQLite, one pool on PostgreSQL.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use tokio::task::AbortHandle;

use crate::version::Versions;

/// What the database answers when it does not do what was asked.
pub type DbError = DbErr;

/// A transaction that may write.
pub type WriteTx = DatabaseTransaction;

/// How long a writer waits for another process's write on SQLite.
const BUSY_TIMEOUT_MS: &str = "10000";
/// How many pages SQLite's write-ahead log may have, beside which writers copy it into the file themselves: 64 MiB. They
/// come there only while the copying beside them can't keep up.
const LOG_PAGES: &str = "16384";
/// What is left of the log's file when it begins anew, in bytes.
const LOG_BYTES: &str = "67108864";
/// How often what the log has is copied into the file beside the writers.
const COPY_EVERY: Duration = Duration::from_millis(250);
/// Rows that a connection's thread reads ahead of who asked: a page of a list takes one change of threads, not several.
const ROWS: usize = 256;
/// How often, and after which pause, it is tried to connect to a file that is locked.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Reads go to [`Db::read`], writes through [`Db::begin`].
///
/// SQLite has one writer at a time whatever one does; a single connection makes the others queue fairly in this
/// process instead of polling for the lock, and BEGIN IMMEDIATE keeps a reader from failing when it turns writer. Its log is
/// copied into the file on a connection of its own: else every thousandth page is a write that waits for the disk three times.
#[derive(Clone, Debug)]
pub struct Db {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    versions: Versions,
    /// The copying, which ends with the last handle.
    copying: Option<Arc<Copying>>,
}

#[derive(Debug)]
struct Copying {
    task: AbortHandle,
    connection: DatabaseConnection,
}

impl Copying {
    fn start(connection: DatabaseConnection) -> Arc<Self> {
        let to = connection.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(COPY_EVERY).await;
                // It copies what it can without waiting for anybody. Where it fails, so do the writers, who say why.
                let _copied = to.execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)").await;
            }
        });
        Arc::new(Self { task: task.abort_handle(), connection })
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Db {
    /// Connects to `sqlite://path` (the file and its folder are made) or `postgres://…`.
    ///
    /// # Errors
    /// When the address is of another kind, or the database does not answer within 10 seconds.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self, DbErr> {
        Self::connect_watched(url, max_connections, Duration::ZERO).await
    }

    /// The same, and each statement that takes as long as `slow` or longer is a warning in the log (target `sqlx::query`):
    /// its text, in which placeholders stand for values, how long it took, and its rows. Zero: none is.
    ///
    /// # Errors
    /// When the address is of another kind, or the database does not answer within 10 seconds.
    pub async fn connect_watched(url: &str, max_connections: u32, slow: Duration) -> Result<Self, DbErr> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Self::connect_sqlite(path, max_connections, slow).await;
        }
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(DbErr::Custom("database.url is neither sqlite://FILE nor postgres://…".to_owned()));
        }
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(max_connections.max(2))
            .connect_timeout(Duration::from_secs(10))
            .acquire_timeout(Duration::from_secs(30));
        say_when_slow(&mut options, slow);
        let pool = Database::connect(options.clone()).await?;
        // Connects when it is asked first: many programs never do.
        options.max_connections(1).connect_lazy(true);
        let versions = Versions::new(Database::connect(options).await?);
        Ok(Self { writer: pool.clone(), reader: pool, versions, copying: None })
    }

    async fn connect_sqlite(path: &str, max_connections: u32, slow: Duration) -> Result<Self, DbErr> {
        let file = sqlite_file(path);
        if let Some(folder) = Path::new(file).parent().filter(|p| !p.as_os_str().is_empty()) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|e| DbErr::Custom(format!("{}: {e}", folder.display())))?;
        }
        let options = |connections: u32| {
            let mut options = ConnectOptions::new(format!("sqlite://{file}"));
            options
                .max_connections(connections)
                .min_connections(1)
                .acquire_timeout(Duration::from_secs(30))
                .idle_timeout(None)
                .max_lifetime(None)
                .map_sqlx_sqlite_opts(|o| {
                    o.create_if_missing(true)
                        .foreign_keys(true)
                        .row_buffer_size(ROWS)
                        .pragma("journal_mode", "WAL")
                        .pragma("synchronous", "FULL")
                        .pragma("busy_timeout", BUSY_TIMEOUT_MS)
                        .pragma("wal_autocheckpoint", LOG_PAGES)
                        .pragma("journal_size_limit", LOG_BYTES)
                });
            say_when_slow(&mut options, slow);
            options
        };
        let writer = connect_patiently(|| options(1)).await?;
        let reader = Database::connect(options(max_connections.max(1))).await?;
        let copying = Copying::start(Database::connect(options(1)).await?);
        let versions = Versions::new(Database::connect(options(1)).await?);
        Ok(Self { writer, reader, versions, copying: Some(copying) })
    }

    /// The file of an SQLite address that is not there yet, which [`Db::connect`] would make.
    #[must_use]
    pub fn missing_file(url: &str) -> Option<PathBuf> {
        let file = sqlite_file(url.strip_prefix("sqlite:")?);
        (!Path::new(file).exists()).then(|| PathBuf::from(file))
    }

    /// The file of an SQLite address; none for another database, or for one that is in memory.
    #[must_use]
    pub fn file(url: &str) -> Option<PathBuf> {
        let file = sqlite_file(url.strip_prefix("sqlite:")?);
        (!file.is_empty() && file != ":memory:").then(|| PathBuf::from(file))
    }

    /// Where queries go that change nothing.
    #[must_use]
    pub fn read(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// Where single statements go that change something by themselves.
    #[must_use]
    pub fn read_write(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Begins a transaction that may write. Dropped without a commit it leaves nothing behind.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin(&self) -> Result<WriteTx, DbErr> {
        self.writer
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            })
            .await
    }

    /// Whether several servers may share it.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.reader.get_database_backend() == DbBackend::Postgres
    }

    /// Whether anything has changed: see [`Version`](crate::version::Version).
    #[must_use]
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Writes a consistent copy of an SQLite database to a file, which is empty or not there yet, while others write.
    ///
    /// # Errors
    /// When the path is no UTF-8, the disk refuses, or it is no SQLite database.
    pub async fn copy_to(&self, file: &Path) -> Result<(), DbErr> {
        let file = file.to_str().ok_or_else(|| DbErr::Custom(format!("{} is no UTF-8", file.display())))?;
        let copy = Statement::from_sql_and_values(DbBackend::Sqlite, "VACUUM INTO ?", [file.into()]);
        self.reader.execute_raw(copy).await.map(drop)
    }

    /// What SQLite says is damaged in the whole of its file; nothing when all is well.
    ///
    /// # Errors
    /// When it is no SQLite database, or too damaged to be looked at.
    pub async fn damage(&self) -> Result<Option<String>, DbErr> {
        let check = Statement::from_string(DbBackend::Sqlite, "PRAGMA integrity_check(1)");
        let row = self.reader.query_one_raw(check).await?;
        let said: String = row.ok_or_else(|| DbErr::Custom("SQLite says nothing".to_owned()))?.try_get_by_index(0)?;
        Ok((said != "ok").then_some(said))
    }

    /// Lets go of the database: its file is whole by itself then, with no log beside it, unless others use it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn close(self) -> Result<(), DbErr> {
        if let Some(copying) = self.copying {
            copying.task.abort();
            copying.connection.close_by_ref().await?;
        }
        self.versions.close().await?;
        self.reader.close().await?;
        self.writer.close().await
    }

    /// Its pools by name, and how many connections each has: in use, and idle.
    #[must_use]
    pub fn connections(&self) -> Vec<(&'static str, [u32; 2])> {
        if self.is_postgres() {
            let pool = self.reader.get_postgres_connection_pool();
            return vec![("all", of_pool(pool.size(), pool.num_idle()))];
        }
        let of = |connection: &DatabaseConnection| {
            let pool = connection.get_sqlite_connection_pool();
            of_pool(pool.size(), pool.num_idle())
        };
        vec![("writer", of(&self.writer)), ("readers", of(&self.reader))]
    }

    /// Asks whether it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.reader.ping().await
    }
}

/// Statements are logged when they are slow, and never otherwise.
fn say_when_slow(options: &mut ConnectOptions, slow: Duration) {
    if slow.is_zero() {
        options.sqlx_logging(false);
        return;
    }
    options
        .sqlx_logging(true)
        .sqlx_logging_level(LevelFilter::Off)
        .sqlx_slow_statements_logging_settings(LevelFilter::Warn, slow);
}

fn of_pool(size: u32, idle: usize) -> [u32; 2] {
    let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(size);
    [size - idle, idle]
}

/// Connects to SQLite, and tries again while somebody else who has just begun turns the file into one with a write-ahead log:
/// for the lock that this takes SQLite waits for nobody, whatever the busy timeout says.
async fn connect_patiently(options: impl Fn() -> ConnectOptions) -> Result<DatabaseConnection, DbErr> {
    for _ in 0..TRIES {
        match Database::connect(options()).await {
            Err(why) if why.to_string().contains("database is locked") => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
    Database::connect(options()).await
}

/// The file of what follows `sqlite:` in an address.
fn sqlite_file(path: &str) -> &str {
    let path = path.trim_start_matches("//");
    path.split('?').next().unwrap_or(path)
}
