//! The log of a deployment: masked before it is stored, numbered without a gap.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use entity::{LogStream, log_line};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, NotSet, QueryFilter, QueryOrder, QuerySelect, Set};
use tokio::sync::Mutex;

use crate::app::{App, Event, Result};
use crate::runtime::Progress;
use crate::vault::Masker;

/// Writes the log of one run. Only the holder of the run's job has one.
pub struct RunLog {
    app: App,
    run_id: String,
    masker: Masker,
    state: Mutex<State>,
}

struct State {
    seq: i32,
    bytes: u64,
}

impl RunLog {
    /// Goes on after the lines that are stored.
    ///
    /// # Errors
    /// INTERNAL when the database does not answer.
    pub async fn resume(app: &App, run_id: &str, masker: Masker) -> Result<Self> {
        let (seq, bytes): (Option<i32>, Option<i64>) = log_line::Entity::find()
            .select_only()
            .expr(log_line::Column::Seq.max())
            .expr(Expr::cust("CAST(COALESCE(SUM(LENGTH(text)), 0) AS BIGINT)"))
            .filter(log_line::Column::RunId.eq(run_id))
            .into_tuple()
            .one(app.db.read())
            .await?
            .unwrap_or_default();
        let state = State { seq: seq.unwrap_or(0), bytes: u64::try_from(bytes.unwrap_or(0)).unwrap_or(0) };
        Ok(Self { app: app.clone(), run_id: run_id.to_owned(), masker, state: Mutex::new(state) })
    }

    /// The text without the secrets of the run: for what is stored elsewhere than in the log.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        self.masker.mask(text)
    }

    async fn write(&self, text: &str) -> Result<()> {
        let mut state = self.state.lock().await;
        let max = self.app.settings.log_max_bytes;
        if state.bytes > max {
            return Ok(());
        }
        let mut text = self.masker.mask(text);
        state.bytes += text.len() as u64;
        if state.bytes > max {
            text = format!("the log is cut here: it has reached {max} bytes");
        }
        let tx = self.app.begin().await?;
        log_line::ActiveModel {
            id: NotSet,
            run_id: Set(self.run_id.clone()),
            seq: Set(state.seq + 1),
            at: Set(self.app.clock.now()),
            stage: Set("DEPLOY".to_owned()),
            stream: Set(LogStream::System),
            text: Set(text),
        }
        .insert(&tx)
        .await?;
        tx.commit().await?;
        state.seq += 1;
        self.app.events.publish(Event::Log { run_id: self.run_id.clone() });
        Ok(())
    }
}

#[async_trait]
impl Progress for RunLog {
    async fn line(&self, text: &str) {
        for line in text.lines() {
            if let Err(error) = self.write(line).await {
                // The rollout matters more than its log; the error itself is logged where it was made.
                tracing::warn!(run = %self.run_id, %error, "a log line was not stored");
            }
        }
    }
}

/// One stored line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// 1, 2, 3 … within the run.
    pub seq: i32,
    /// When.
    pub at: DateTime<Utc>,
    /// Where it came from.
    pub stream: LogStream,
    /// The line.
    pub text: String,
}

/// At most `limit` lines after `seq`, oldest first. The caller has seen to it that the run is theirs.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn after(app: &App, run_id: &str, seq: i32, limit: u64) -> Result<Vec<Line>> {
    let rows = lines_of(run_id)
        .filter(log_line::Column::Seq.gt(seq))
        .order_by_asc(log_line::Column::Seq)
        .limit(limit)
        .all(app.db.read())
        .await?;
    Ok(rows.into_iter().map(Line::from).collect())
}

/// At most `limit` lines before `seq`, oldest first.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn before(app: &App, run_id: &str, seq: i32, limit: u64) -> Result<Vec<Line>> {
    let mut rows = lines_of(run_id)
        .filter(log_line::Column::Seq.lt(seq))
        .order_by_desc(log_line::Column::Seq)
        .limit(limit)
        .all(app.db.read())
        .await?;
    rows.reverse();
    Ok(rows.into_iter().map(Line::from).collect())
}

fn lines_of(run_id: &str) -> sea_orm::Select<log_line::Entity> {
    log_line::Entity::find().filter(log_line::Column::RunId.eq(run_id))
}

impl From<log_line::Model> for Line {
    fn from(row: log_line::Model) -> Self {
        Self { seq: row.seq, at: row.at, stream: row.stream, text: row.text }
    }
}
