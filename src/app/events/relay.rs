//! Events cross from server to server by PostgreSQL's LISTEN and NOTIFY.
//!
//! A note holds events of one server, and its own are not told to it again. What can't be called out or heard for a
//! while is not repeated: those who listen are told that they missed something ([`Event::Missed`]), and read anew.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use entity::DbError;
use entity::notes::{Ear, LONGEST, Notes};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Event, Events};
use crate::app::App;

/// PostgreSQL's name of the channel.
const CHANNEL: &str = "kiops_events";
/// A run's log is told of at most this often: a build that prints much does not flood the others.
const LOG_PAUSE: Duration = Duration::from_millis(50);
/// Events that are gathered for one turn at most.
const BATCH: usize = 512;
/// Silence after which it is asked whether the database is still there, and how long it may take to answer.
const SILENCE: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(5);
/// Pauses between tries while the database does not answer: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// What one server calls out.
#[derive(Serialize, Deserialize)]
struct Note {
    /// The server, which does not listen to itself.
    from: String,
    events: Vec<Event>,
}

/// Shares this server's events with the others of its database, and theirs with it, until told to stop. On SQLite there
/// are no others, and nothing is done.
pub fn start(app: &App, tasks: &TaskTracker, stop: &CancellationToken) {
    let Some(notes) = Notes::of(&app.db, CHANNEL) else { return };
    let me = hex::encode(&app.ids.random()[..8]);
    let mut caller = Caller {
        notes: notes.clone(),
        me: me.clone(),
        told: app.events.outward.subscribe(),
        logs: Logs::default(),
        missed: false,
    };
    let events = app.events.clone();
    let ends = stop.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = caller.run() => {}
            () = ends.cancelled() => caller.say_the_last().await,
        }
    });
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move { listen(&notes, &me, &events).await }));
}

/// Hears what others call out, for ever.
async fn listen(notes: &Notes, me: &str, events: &Events) {
    let mut pause = FIRST_PAUSE;
    loop {
        let lost = match timeout(ANSWER, notes.listen()).await {
            Ok(Ok(mut ear)) => {
                // From here on nothing is missed; until now something may have been.
                events.pass_on(Event::Missed);
                pause = FIRST_PAUSE;
                heard(&mut ear, me, events).await
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        match lost {
            Some(error) => tracing::warn!(%error, "other servers' events are not heard at the moment"),
            None => tracing::warn!("other servers' events are not heard at the moment: the database is silent"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Passes on what is heard until the connection is gone; none when it fell silent.
async fn heard(ear: &mut Ear, me: &str, events: &Events) -> Option<DbError> {
    loop {
        match timeout(SILENCE, ear.next()).await {
            Ok(Ok(text)) => match serde_json::from_str::<Note>(&text) {
                Ok(note) if note.from == me => {}
                Ok(note) => note.events.into_iter().for_each(|event| events.pass_on(event)),
                // A server of another version has said something that this one does not know.
                Err(_) => events.pass_on(Event::Missed),
            },
            Ok(Err(error)) => return Some(error),
            // A connection whose other side is gone without a word says nothing either.
            Err(_) => match timeout(ANSWER, ear.probe()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Some(error),
                Err(_) => return None,
            },
        }
    }
}

/// Calls out what happened here.
struct Caller {
    notes: Notes,
    me: String,
    told: Receiver<Event>,
    logs: Logs,
    /// Something was not called out, and the others don't know that yet.
    missed: bool,
}

impl Caller {
    /// Calls out what happens, for ever.
    async fn run(&mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let batch = if self.missed { vec![Event::Missed] } else { self.gather().await };
            match self.call(&batch).await {
                Ok(()) => (self.missed, pause) = (false, FIRST_PAUSE),
                Err(error) => {
                    tracing::warn!(%error, "other servers are not told of events at the moment");
                    self.missed = true;
                    sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    /// What is to be called out now, each event once.
    async fn gather(&mut self) -> Vec<Event> {
        let first = tokio::select! {
            told = self.told.recv() => match told {
                Ok(event) => Some(event),
                Err(RecvError::Lagged(_)) => Some(Event::Missed),
                // This server ends.
                Err(RecvError::Closed) => std::future::pending().await,
            },
            () = self.logs.due() => None,
        };
        self.collect(first, Instant::now())
    }

    /// What is left when this server ends.
    async fn say_the_last(&mut self) {
        let batch = self.collect(None, Instant::now() + LOG_PAUSE);
        if !matches!(timeout(ANSWER, self.call(&batch)).await, Ok(Ok(()))) {
            tracing::warn!("other servers were not told of the last events");
        }
    }

    /// An event and those that wait behind it.
    fn collect(&mut self, first: Option<Event>, now: Instant) -> Vec<Event> {
        let mut batch = Batch::default();
        first.into_iter().for_each(|event| batch.add(event, &mut self.logs, now));
        while batch.events.len() < BATCH {
            match self.told.try_recv() {
                Ok(event) => batch.add(event, &mut self.logs, now),
                Err(TryRecvError::Lagged(_)) => batch.add(Event::Missed, &mut self.logs, now),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        batch.events.extend(self.logs.take(now).into_iter().map(|run_id| Event::Log { run_id }));
        batch.events
    }

    async fn call(&self, events: &[Event]) -> Result<(), DbError> {
        for note in notes_of(&self.me, events) {
            self.notes.call(&note).await?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    known: HashSet<String>,
}

impl Batch {
    fn add(&mut self, event: Event, logs: &mut Logs, now: Instant) {
        if let Event::Log { run_id } = event {
            logs.add(run_id, now);
        } else if self.known.insert(text(&event)) {
            self.events.push(event);
        }
    }
}

/// Runs whose logs have grown, and when each may be told of (again).
#[derive(Default)]
struct Logs {
    next: HashMap<String, Instant>,
    waiting: HashMap<String, Instant>,
}

impl Logs {
    fn add(&mut self, run_id: String, now: Instant) {
        let at = self.next.get(&run_id).copied().unwrap_or(now);
        self.waiting.entry(run_id).or_insert(at);
    }

    /// Returns when one may be told of; never while none waits.
    async fn due(&self) {
        match self.waiting.values().min() {
            Some(at) => sleep_until(*at).await,
            None => std::future::pending().await,
        }
    }

    fn take(&mut self, now: Instant) -> Vec<String> {
        self.next.retain(|_, at| *at > now);
        let due: Vec<String> = self.waiting.extract_if(|_, at| *at <= now).map(|(run_id, _)| run_id).collect();
        self.next.extend(due.iter().map(|run_id| (run_id.clone(), now + LOG_PAUSE)));
        due
    }
}

/// As few notes as hold the events.
fn notes_of(me: &str, events: &[Event]) -> Vec<String> {
    let empty = text(&Note { from: me.to_owned(), events: Vec::new() });
    let (head, tail) = empty.split_at(empty.len() - "]}".len());
    let mut notes = Vec::new();
    let mut note = String::new();
    for event in events.iter().map(text) {
        if !note.is_empty() && note.len() + 1 + event.len() + tail.len() > LONGEST {
            notes.push(std::mem::take(&mut note) + tail);
        }
        note.push_str(if note.is_empty() { head } else { "," });
        note.push_str(&event);
    }
    if !note.is_empty() {
        notes.push(note + tail);
    }
    notes
}

fn text(what: &impl Serialize) -> String {
    serde_json::to_string(what).expect("texts and lists of them are JSON")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::app::events::ChangeKind;

    fn event(n: usize) -> Event {
        let id = format!("01900000-0000-7000-8000-{n:012x}");
        Event::Service { organization_id: id.clone(), service_id: id, kind: ChangeKind::Changed }
    }

    #[test]
    fn notes_hold_every_event_in_order_and_none_is_too_long() {
        for count in [0, 1, 2, 40, 500] {
            let events: Vec<Event> = (0..count).map(event).chain([Event::Jobs, Event::Missed]).collect();
            let notes = notes_of("me", &events);
            assert!(notes.iter().all(|note| note.len() <= LONGEST), "{count}");
            assert!(notes.len() <= 1 + events.len() / 30, "{count}: {}", notes.len());
            let read: Vec<Note> = notes.iter().map(|note| serde_json::from_str(note).unwrap()).collect();
            assert!(read.iter().all(|note| note.from == "me"));
            assert_eq!(read.into_iter().flat_map(|note| note.events).collect::<Vec<_>>(), events);
        }
        assert!(notes_of("me", &[]).is_empty());
    }

    #[test]
    fn a_log_is_told_of_at_once_and_then_with_pauses_and_its_last_line_always() {
        let (mut logs, begun) = (Logs::default(), Instant::now());
        let mut told = Vec::new();
        for at in (0..700).step_by(7) {
            let now = begun + Duration::from_millis(at);
            logs.add("run".to_owned(), now);
            told.extend(logs.take(now).into_iter().map(|_| at));
        }
        let last = begun + Duration::from_millis(700);
        logs.add("other".to_owned(), last);
        assert_eq!(logs.take(last), ["other"], "another run does not wait for this one");
        logs.add("run".to_owned(), last);
        assert_eq!(logs.take(last + LOG_PAUSE), ["run"]);
        assert!(told.first() == Some(&0) && (12..=15).contains(&told.len()), "{told:?}");
        assert!(told.windows(2).all(|pair| pair[1] - pair[0] >= 50), "{told:?}");
    }
}
