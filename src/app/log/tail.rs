//! Following a log on behalf of many: what comes is read once for all of this server who follow the same run.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use entity::log_line;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{Line, after};
use crate::app::{App, Code, Error, Event, Result, events};

/// How often is looked without an event: what another server of the same database did.
const LOOK: Duration = Duration::from_secs(2);
/// Lines that are read at once.
const PAGE: u64 = 500;
/// Bytes that the texts of a slice have, but for one line that is longer by itself.
const SLICE: usize = 128 * 1024;
/// How many different texts are kept of a slice.
const FORMS: usize = 8;
/// How long such a text may be: so many times the lines' own texts, and so many bytes a line for what is around them.
/// Readers choose the names in it, and longer ones are not worth keeping.
const TIMES: usize = 4;
const AROUND: usize = 256;
/// Slices of the newest lines that are kept, and how many bytes their texts have at most. Who is further behind reads by
/// themselves.
const SLICES: usize = 64;
const BYTES: usize = 2 * 1024 * 1024;

/// Lines that follow each other, and the texts that readers have made of them.
#[derive(Debug)]
pub struct Slice {
    /// In order, without a gap, never none.
    pub lines: Vec<Line>,
    made: Mutex<Vec<(String, Bytes)>>,
}

impl Slice {
    /// Cuts a page into slices.
    fn cut(lines: Vec<Line>) -> Vec<Arc<Self>> {
        let (mut slices, mut bytes): (Vec<Vec<Line>>, usize) = (Vec::new(), SLICE);
        for line in lines {
            bytes += line.text.len();
            match slices.last_mut() {
                Some(slice) if bytes < SLICE => slice.push(line),
                _ => {
                    bytes = line.text.len();
                    slices.push(vec![line]);
                }
            }
        }
        slices.into_iter().map(|lines| Arc::new(Self { lines, made: Mutex::default() })).collect()
    }

    /// What `make` makes of the lines, once for all who want the `same`; for each of them where it is too long to keep.
    pub fn made(&self, same: &str, make: impl FnOnce(&[Line]) -> Vec<u8>) -> Bytes {
        let mut made = lock(&self.made);
        if let Some((_, text)) = made.iter().find(|(own, _)| own == same) {
            return text.clone();
        }
        let mut text = make(&self.lines);
        if made.len() >= FORMS || text.len() > self.bytes() * TIMES + self.lines.len() * AROUND {
            return text.into();
        }
        // What it was written into may be twice as long.
        text.shrink_to_fit();
        let text = Bytes::from(text);
        made.push((same.to_owned(), text.clone()));
        text
    }

    /// How long the lines' own texts are.
    fn bytes(&self) -> usize {
        self.lines.iter().map(|line| line.text.len()).sum()
    }

    fn first(&self) -> i32 {
        self.lines.first().map_or(0, |line| line.seq)
    }

    /// The number of its last line.
    #[must_use]
    pub fn last(&self) -> i32 {
        self.lines.last().map_or(0, |line| line.seq)
    }
}

/// How far a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Up to this line, and more may come.
    Open(i32),
    /// Up to this line, and no more will come.
    Ended(i32),
    /// It is there no more.
    Gone,
}

/// The logs that are followed on this server.
#[derive(Debug, Clone, Default)]
pub struct Tails(Arc<Mutex<HashMap<String, Weak<Tail>>>>);

#[derive(Debug)]
struct Tail {
    kept: Arc<Mutex<VecDeque<Arc<Slice>>>>,
    mark: watch::Receiver<Option<Mark>>,
    _reading: AbortOnDropHandle<()>,
}

/// One who follows.
pub struct Follower {
    app: App,
    run_id: String,
    tail: Arc<Tail>,
    mark: watch::Receiver<Option<Mark>>,
    seq: i32,
    /// What was read and not given yet.
    read: VecDeque<Arc<Slice>>,
}

impl Tails {
    /// How many logs are followed now.
    #[must_use]
    pub fn followed(&self) -> usize {
        lock(&self.0).values().filter(|tail| tail.strong_count() > 0).count()
    }

    /// Follows a run's log after a line. `has_ended` says whether the run has; `is_told` that an event is about that.
    /// The caller has seen to it that the run is theirs.
    pub fn follow<F: Future<Output = Result<bool>> + Send>(
        &self,
        app: &App,
        (run_id, seq): (&str, i32),
        has_ended: impl Fn() -> F + Send + Sync + 'static,
        is_told: impl Fn(&Event) -> bool + Send + Sync + 'static,
    ) -> Follower {
        let mut all = lock(&self.0);
        let tail = all.get(run_id).and_then(Weak::upgrade).filter(|tail| tail.is_whole());
        let tail = tail.unwrap_or_else(|| {
            all.retain(|_, tail| tail.strong_count() > 0);
            let tail = Arc::new(Tail::start(app.clone(), run_id.to_owned(), has_ended, is_told));
            all.insert(run_id.to_owned(), Arc::downgrade(&tail));
            tail
        });
        let mark = tail.mark.clone();
        Follower { app: app.clone(), run_id: run_id.to_owned(), tail, mark, seq, read: VecDeque::new() }
    }
}

impl Tail {
    fn start<F: Future<Output = Result<bool>> + Send>(
        app: App,
        run_id: String,
        has_ended: impl Fn() -> F + Send + Sync + 'static,
        is_told: impl Fn(&Event) -> bool + Send + Sync + 'static,
    ) -> Self {
        let kept: Arc<Mutex<VecDeque<Arc<Slice>>>> = Arc::default();
        let (say, mark) = watch::channel(None);
        let mut heard = app.events.listen();
        let to = kept.clone();
        let reading = tokio::spawn(async move {
            let matters = |event: &Event| matches!(event, Event::Log { run_id: of } if *of == run_id) || is_told(event);
            let mut last = None;
            loop {
                match more(&app, &run_id, (&has_ended, &to), &mut last).await {
                    Ok(mark) => {
                        // An error means that nobody follows any more: then this is dropped.
                        let _nobody = say.send(Some(mark));
                        if matches!(mark, Mark::Ended(_)) {
                            return;
                        }
                    }
                    Err(error) if error.code == Code::NotFound => {
                        let _nobody = say.send(Some(Mark::Gone));
                        return;
                    }
                    // A database that is away for a moment ends nothing; it was logged where it was met.
                    Err(_) => {}
                }
                tokio::select! {
                    () = events::hear(&mut heard, matters) => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        });
        Self { kept, mark, _reading: AbortOnDropHandle::new(reading) }
    }

    /// Whether it goes on, or has come to the end of the log.
    fn is_whole(&self) -> bool {
        matches!(*self.mark.borrow(), Some(Mark::Ended(_))) || self.mark.has_changed().is_ok()
    }

    /// The kept slice that has the line after this one.
    fn kept_after(&self, seq: i32) -> Option<Arc<Slice>> {
        let kept = lock(&self.kept);
        let place = kept.partition_point(|slice| slice.last() <= seq);
        kept.get(place).filter(|slice| slice.first() <= seq + 1).cloned()
    }
}

/// Reads what has come since `last`, and says how far the log is. The first time only where it ends is looked up: what is
/// there already is read by who wants it.
async fn more<F: Future<Output = Result<bool>> + Send>(
    app: &App,
    run_id: &str,
    (has_ended, kept): (&impl Fn() -> F, &Mutex<VecDeque<Arc<Slice>>>),
    last: &mut Option<i32>,
) -> Result<Mark> {
    // Asked before the lines are read: what was written until it ended is then among them.
    let ended = has_ended().await?;
    let mut seq = match *last {
        Some(seq) => seq,
        None => newest(app, run_id).await?,
    };
    *last = Some(seq);
    loop {
        let slices = Slice::cut(after(app, run_id, None, seq, PAGE).await?);
        let Some(newest) = slices.last() else { break };
        seq = newest.last();
        *last = Some(seq);
        let mut kept = lock(kept);
        slices.into_iter().for_each(|slice| keep(&mut kept, slice));
    }
    Ok(if ended { Mark::Ended(seq) } else { Mark::Open(seq) })
}

async fn newest(app: &App, run_id: &str) -> Result<i32> {
    let newest: Option<Option<i32>> = log_line::Entity::find()
        .select_only()
        .expr(log_line::Column::Seq.max())
        .filter(log_line::Column::RunId.eq(run_id))
        .into_tuple()
        .one(app.db.read())
        .await?;
    Ok(newest.flatten().unwrap_or(0))
}

fn keep(kept: &mut VecDeque<Arc<Slice>>, slice: Arc<Slice>) {
    kept.push_back(slice);
    let mut bytes: usize = kept.iter().map(|slice| slice.bytes()).sum();
    while kept.len() > SLICES || (bytes > BYTES && kept.len() > 1) {
        bytes -= kept.pop_front().map_or(0, |slice| slice.bytes());
    }
}

impl Follower {
    /// What comes next, and where in it the first line is that was not seen; none when the run has ended and all was seen.
    ///
    /// # Errors
    /// NOT_FOUND when the run is there no more; INTERNAL when the database does not answer.
    pub async fn next(&mut self) -> Result<Option<(Arc<Slice>, usize)>> {
        loop {
            let mark = *self.mark.borrow_and_update();
            let last = match mark {
                Some(Mark::Open(last) | Mark::Ended(last)) => last,
                Some(Mark::Gone) => return Err(Error::not_found("log")),
                None => 0,
            };
            if self.seq < last {
                match self.slice().await? {
                    Some(slice) => {
                        let from = slice.lines.partition_point(|line| line.seq <= self.seq);
                        self.seq = slice.last();
                        return Ok(Some((slice, from)));
                    }
                    // They are gone: the log was kept for long enough.
                    None => self.seq = last,
                }
                continue;
            }
            // Whoever asked for lines after the last has nothing to wait for either.
            if matches!(mark, Some(Mark::Ended(_))) {
                return Ok(None);
            }
            if self.mark.changed().await.is_err() {
                return Err(Error::internal("a log is read no more, though its run goes on"));
            }
        }
    }

    async fn slice(&mut self) -> Result<Option<Arc<Slice>>> {
        if let Some(slice) = self.read.pop_front() {
            return Ok(Some(slice));
        }
        if let Some(slice) = self.tail.kept_after(self.seq) {
            return Ok(Some(slice));
        }
        self.read = Slice::cut(after(&self.app, &self.run_id, None, self.seq, PAGE).await?).into();
        Ok(self.read.pop_front())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use entity::LogStream;

    use super::*;
    use crate::domain::stage::StageKind;

    #[test]
    fn what_is_far_longer_than_its_lines_is_given_and_not_kept() {
        let line = |seq| Line {
            seq,
            at: DateTime::UNIX_EPOCH,
            stage: StageKind::Build,
            stream: LogStream::Stdout,
            text: "x".repeat(100),
        };
        let slice = Slice::cut((1..=10).map(line).collect()).remove(0);
        let most = 10 * (100 * TIMES + AROUND);
        for n in 0..FORMS {
            assert_eq!(slice.made(&format!("odd {n}"), |_| vec![b'x'; most + 1]).len(), most + 1);
        }
        assert!(lock(&slice.made).is_empty());
        // The odd ones have taken no place.
        assert_eq!(slice.made("honest", |_| vec![b'x'; most]).len(), most);
        assert_eq!(slice.made("honest", |_| b"made again".to_vec()).len(), most);
    }
}
