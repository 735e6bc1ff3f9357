//! Answers that were given before and still are true: to the same question of the same token, while nothing whatsoever in the
//! database has changed. What is kept is never stale; it only spares the work where many look at what stands still.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
pub use entity::version::Version;
use moka::future::Cache;
use tokio::time::timeout;

use super::identity::sessions;
use super::{Actor, App};

/// How long an answer is kept: so often at the least is it looked who asks, and noted when a token was last used.
const KEPT: Duration = Duration::from_secs(30);
/// The longest answer that is kept, in bytes.
const LONGEST: usize = 1024 * 1024;
/// How long is waited for the database's word that nothing has changed. Where it takes longer the work is done instead.
const PATIENCE: Duration = Duration::from_secs(1);
/// What an entry takes beside its answer, in bytes: itself, and the places that it has in the cache's table and queues.
const ENTRY: u32 = 512;

/// Who asks and what: a hash of the token and of everything that was asked.
pub type Question = [u8; 32];

/// An answer, ready to be sent.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its JSON.
    pub json: Bytes,
    /// The name of the operation; empty for one without.
    pub operation: String,
    /// The document's hash, as the log has it.
    pub document: String,
}

/// What is known of a question.
#[derive(Debug)]
pub enum Recalled {
    /// The answer, which is true.
    Still(Answer),
    /// It was asked before. What is answered now may be kept, if nothing has changed by then since this version.
    Again(Version),
    /// It was not asked lately.
    New,
}

#[derive(Clone)]
enum Entry {
    Asked,
    Given { version: Version, until: DateTime<Utc>, answer: Answer },
}

/// The answers that this server has given lately.
#[derive(Clone)]
pub struct Answers(Option<Cache<Question, Entry>>);

impl Answers {
    /// Keeps so many bytes at most; 0: none.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let size = |_: &Question, entry: &Entry| match entry {
            Entry::Asked => ENTRY,
            Entry::Given { answer, .. } => u32::try_from(answer.json.len()).unwrap_or(u32::MAX).saturating_add(ENTRY),
        };
        Self((bytes > 0).then(|| Cache::builder().max_capacity(bytes).weigher(size).time_to_live(KEPT).build()))
    }

    /// What is known of a question. A question that is new costs the database nothing.
    pub async fn recall(&self, app: &App, question: &Question) -> Recalled {
        let Some(cache) = &self.0 else { return Recalled::New };
        let Some(entry) = cache.get(question).await else { return Recalled::New };
        // A database that does not answer is met again by who does the work.
        let Some(now) = version(app).await else { return Recalled::New };
        match entry {
            Entry::Given { version, until, answer } if version == now && app.clock.now() < until => {
                Recalled::Still(answer)
            }
            _ => Recalled::Again(now),
        }
    }

    /// Notes that it was asked and answered: the next time the answer may be kept.
    pub async fn asked(&self, question: Question) {
        if let Some(cache) = &self.0 {
            cache.insert(question, Entry::Asked).await;
        }
    }

    /// Keeps what was answered, if the database is as it was before the work began. It must have been made of nothing but rows
    /// and the configuration.
    pub async fn keep(&self, app: &App, (question, version): (Question, Version), actor: &Actor, mut answer: Answer) {
        let Some(cache) = &self.0 else { return };
        if answer.json.len() > LONGEST {
            return;
        }
        let Ok(ends) = sessions::expires_at(app, actor).await else { return };
        let latest = app.clock.now() + KEPT;
        let until = ends.map_or(latest, |ends| ends.min(latest));
        // Without the room that was left for it to grow.
        answer.json = Bytes::copy_from_slice(&answer.json);
        // Asked last, so that all of the above was true in this version too.
        if self::version(app).await.is_some_and(|now| now == version) {
            cache.insert(question, Entry::Given { version, until, answer }).await;
        }
    }
}

async fn version(app: &App) -> Option<Version> {
    timeout(PATIENCE, app.db.versions().now()).await.ok()?.ok()
}
