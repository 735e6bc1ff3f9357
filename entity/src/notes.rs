//! What servers of one database call to each other: PostgreSQL's LISTEN and NOTIFY.
//!
//! A note reaches whoever listens at that moment and is kept for nobody.

use std::time::Duration;

use sea_orm::sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use sea_orm::sqlx::{self, Error};
use sea_orm::{DbErr, RuntimeErr};

use crate::Db;

/// Bytes of a note at most: PostgreSQL takes 8000 without its end
/// (<https://www.postgresql.org/docs/current/sql-notify.html>).
pub const LONGEST: usize = 7_999;

/// Connections at most: one that listens, one that calls, and the same again while broken ones are being given up.
const CONNECTIONS: u32 = 4;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// A channel of the database, with connections of its own beside those of [`Db`]: work that takes all of these holds up
/// no note.
#[derive(Clone, Debug)]
pub struct Notes {
    pool: PgPool,
    channel: &'static str,
}

impl Notes {
    /// The channel of this name; none where the database has no such thing. Nothing is connected yet.
    #[must_use]
    pub fn of(db: &Db, channel: &'static str) -> Option<Self> {
        if !db.is_postgres() {
            return None;
        }
        let same = db.read().get_postgres_connection_pool().connect_options();
        let options = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(CONNECT).max_lifetime(None);
        Some(Self { pool: options.connect_lazy_with((*same).clone()), channel })
    }

    /// Calls a note out, of [`LONGEST`] bytes at most, to all who listen, the caller among them.
    ///
    /// # Errors
    /// When the database does not answer or the note is too long.
    pub async fn call(&self, note: &str) -> Result<(), DbErr> {
        let call = sqlx::query("SELECT pg_notify($1, $2)").bind(self.channel).bind(note);
        call.execute(&self.pool).await.map_err(lost)?;
        Ok(())
    }

    /// Listens from now on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn listen(&self) -> Result<Ear, DbErr> {
        let mut listener = PgListener::connect_with(&self.pool).await.map_err(lost)?;
        // Whoever listens is to know of a gap, and to listen anew themselves.
        listener.eager_reconnect(false);
        listener.listen(self.channel).await.map_err(lost)?;
        Ok(Ear(listener))
    }
}

/// One connection that listens.
pub struct Ear(PgListener);

impl Ear {
    /// The next note. May be given up at any time without losing one.
    ///
    /// # Errors
    /// When the connection is gone: what was called out since is lost.
    pub async fn next(&mut self) -> Result<String, DbErr> {
        match self.0.try_recv().await.map_err(lost)? {
            Some(note) => Ok(note.payload().to_owned()),
            None => Err(DbErr::Conn(RuntimeErr::Internal("the connection that listened is gone".to_owned()))),
        }
    }

    /// Asks whether the other side is still there; notes that come meanwhile are kept for [`Ear::next`].
    ///
    /// # Errors
    /// When it is not.
    pub async fn probe(&mut self) -> Result<(), DbErr> {
        sqlx::query("SELECT 1").execute(&mut self.0).await.map_err(lost)?;
        Ok(())
    }
}

fn lost(error: Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}
