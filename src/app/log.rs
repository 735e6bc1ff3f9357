//! The log of a pipeline or a deployment: masked before it is stored, numbered without a gap.

pub mod retention;
pub mod tail;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use entity::{LogStream, log_line};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, EntityTrait, NotSet, QueryFilter, QueryOrder, QuerySelect, Set};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{App, Event, Result};
use crate::builder::{Journal, Output};
use crate::domain::stage::StageKind;
use crate::runtime::Progress;
use crate::vault::Masker;

/// Lines that are written together at most.
const BATCH: usize = 256;
/// Lines of a private key at most.
const KEY_LINES: usize = 200;
/// How long a line waits for others at most.
const WAIT: Duration = Duration::from_millis(100);

/// Writes the log of one run. Only the holder of the run's job has one.
pub struct RunLog {
    app: App,
    run_id: String,
    masker: Masker,
    state: Mutex<State>,
}

struct State {
    stage: StageKind,
    seq: i32,
    bytes: u64,
    /// By stream, how many lines may still be of a private key that was begun.
    keys: HashMap<LogStream, usize>,
    /// Masked and numbered, and not written yet.
    waiting: Vec<log_line::ActiveModel>,
}

impl RunLog {
    /// Goes on after the lines that are stored; what comes is of this stage.
    ///
    /// # Errors
    /// INTERNAL when the database does not answer.
    pub async fn resume(app: &App, run_id: &str, stage: StageKind, masker: Masker) -> Result<Self> {
        let (seq, bytes): (Option<i32>, Option<i64>) = log_line::Entity::find()
            .select_only()
            .expr(log_line::Column::Seq.max())
            .expr(Expr::cust("CAST(COALESCE(SUM(LENGTH(text)), 0) AS BIGINT)"))
            .filter(log_line::Column::RunId.eq(run_id))
            .into_tuple()
            .one(app.db.read_write())
            .await?
            .unwrap_or_default();
        let bytes = u64::try_from(bytes.unwrap_or(0)).unwrap_or(0);
        let state = State { stage, seq: seq.unwrap_or(0), bytes, keys: HashMap::new(), waiting: Vec::new() };
        Ok(Self { app: app.clone(), run_id: run_id.to_owned(), masker, state: Mutex::new(state) })
    }

    /// What comes from now on is of this stage.
    pub async fn enter(&self, stage: StageKind) {
        self.state.lock().await.stage = stage;
    }

    /// The text without the secrets of the run: for what is stored elsewhere than in the log.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        self.masker.mask(text)
    }

    /// Writes what waits, again and again until told to stop, and then what is left. Whoever gives lines to
    /// [`Journal::line`] has this going on beside it.
    pub async fn pump(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(WAIT) => {}
                () = stop.cancelled() => {}
            }
            self.flush().await;
        }
    }

    /// Writes what waits. The run matters more than its log: a line that can't be stored is lost, and that is logged.
    pub async fn flush(&self) {
        let mut state = self.state.lock().await;
        if let Err(error) = self.write(&mut state).await {
            tracing::warn!(run = %self.run_id, %error, "log lines were not stored");
        }
    }

    fn take(&self, state: &mut State, stream: LogStream, text: &str) {
        let max = self.app.settings.log_max_bytes;
        if state.bytes > max {
            return;
        }
        let mut text = self.masked(state, stream, text);
        state.bytes += text.len() as u64;
        let mut stream = stream;
        if state.bytes > max {
            text = format!("the log is cut here: it has reached {max} bytes");
            stream = LogStream::System;
        }
        state.seq += 1;
        state.waiting.push(log_line::ActiveModel {
            id: NotSet,
            run_id: Set(self.run_id.clone()),
            seq: Set(state.seq),
            at: Set(self.app.clock.now()),
            stage: Set(state.stage.as_str().to_owned()),
            stream: Set(stream),
            text: Set(text),
        });
    }

    /// The line without secrets. A private key is one over many lines, and they come one by one.
    fn masked(&self, state: &mut State, stream: LogStream, text: &str) -> String {
        let key = state.keys.entry(stream).or_default();
        if *key > 0 {
            *key = if text.contains("-----END ") { 0 } else { *key - 1 };
            return "***".to_owned();
        }
        let begins = text.rfind("-----BEGIN ").filter(|at| text[*at..].contains("PRIVATE KEY-----"));
        if begins.is_some_and(|at| !text[at..].contains("-----END ")) {
            *key = KEY_LINES;
        }
        self.masker.mask(text)
    }

    async fn write(&self, state: &mut State) -> Result<()> {
        if state.waiting.is_empty() {
            return Ok(());
        }
        // Forgotten when they are stored, and not before: whoever waits for it may be given up in between, and what was
        // stored all the same is then met again.
        let again = OnConflict::columns([log_line::Column::RunId, log_line::Column::Seq]).do_nothing().to_owned();
        // Where nothing could be stored for a while more may wait than one statement has parameters for.
        while !state.waiting.is_empty() {
            let lines = state.waiting.iter().take(BATCH).cloned().collect::<Vec<_>>();
            let stored = lines.len();
            log_line::Entity::insert_many(lines)
                .on_conflict(again.clone())
                .exec_without_returning(self.app.db.read_write())
                .await?;
            state.waiting.drain(..stored);
        }
        self.app.events.publish(Event::Log { run_id: self.run_id.clone() });
        Ok(())
    }
}

/// Lines of a rollout are few: each is stored before the rollout goes on.
#[async_trait]
impl Progress for RunLog {
    async fn line(&self, text: &str) {
        let mut state = self.state.lock().await;
        for line in text.lines() {
            self.take(&mut state, LogStream::System, line);
        }
        if let Err(error) = self.write(&mut state).await {
            tracing::warn!(run = %self.run_id, %error, "log lines were not stored");
        }
    }
}

/// Lines of a build may be many: they are stored together, and who gives more than can be stored waits.
#[async_trait]
impl Journal for RunLog {
    async fn line(&self, output: Output, text: &str) {
        let stream = match output {
            Output::Stdout => LogStream::Stdout,
            Output::Stderr => LogStream::Stderr,
            Output::System => LogStream::System,
        };
        let mut state = self.state.lock().await;
        self.take(&mut state, stream, text);
        if state.waiting.len() >= BATCH
            && let Err(error) = self.write(&mut state).await
        {
            tracing::warn!(run = %self.run_id, %error, "log lines were not stored");
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
    /// The stage that it is of.
    pub stage: StageKind,
    /// Where it came from.
    pub stream: LogStream,
    /// The line.
    pub text: String,
}

/// At most `limit` lines after `seq`, oldest first; of one stage, or of all. The caller has seen to it that the run is
/// theirs.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn after(app: &App, run_id: &str, stage: Option<StageKind>, seq: i32, limit: u64) -> Result<Vec<Line>> {
    let rows = lines_of(run_id, stage)
        .filter(log_line::Column::Seq.gt(seq))
        .order_by_asc(log_line::Column::Seq)
        .limit(limit)
        .all(app.db.read())
        .await?;
    Ok(rows.into_iter().map(Line::from).collect())
}

/// At most `limit` lines before `seq`, oldest first; of one stage, or of all.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn before(app: &App, run_id: &str, stage: Option<StageKind>, seq: i32, limit: u64) -> Result<Vec<Line>> {
    let mut rows = lines_of(run_id, stage)
        .filter(log_line::Column::Seq.lt(seq))
        .order_by_desc(log_line::Column::Seq)
        .limit(limit)
        .all(app.db.read())
        .await?;
    rows.reverse();
    Ok(rows.into_iter().map(Line::from).collect())
}

fn lines_of(run_id: &str, stage: Option<StageKind>) -> sea_orm::Select<log_line::Entity> {
    let lines = log_line::Entity::find().filter(log_line::Column::RunId.eq(run_id));
    match stage {
        Some(stage) => lines.filter(log_line::Column::Stage.eq(stage.as_str())),
        None => lines,
    }
}

impl From<log_line::Model> for Line {
    fn from(row: log_line::Model) -> Self {
        let stage = StageKind::parse(&row.stage).unwrap_or(StageKind::Deploy);
        Self { seq: row.seq, at: row.at, stage, stream: row.stream, text: row.text }
    }
}
