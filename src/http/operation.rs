//! One operation of a WebSocket at work: what it answers or tells, until it is complete.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_graphql::{Response as Outcome, parser::types::OperationType};
use axum::extract::ws::Message;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::AbortHandle, time::Instant};

use super::{App, graphql, observe::OperationNote, reply, request::Checked};
use crate::graphql::executor::{Backend, Emitted, is_request_error};
use crate::measure::{self, Asker, Open, spans};

/// Messages that came together are sent in pieces of about so many bytes.
const PIECE: usize = 16 * 1024;

/// Messages that stay together.
pub(super) type Piece = Vec<Message>;

/// The operations at work, by id, each with its number. An operation takes itself out with its last message.
pub(super) type Running = Arc<Mutex<HashMap<String, (u64, AbortHandle)>>>;

/// Where one operation's messages go.
pub(super) struct Outlet {
    pub(super) id: String,
    /// Which of its socket it is. Another may have its id when it was completed by the other side and has not ended yet.
    pub(super) number: u64,
    pub(super) outgoing: mpsc::Sender<Piece>,
    pub(super) running: Running,
}

impl Outlet {
    /// Queues messages, and takes the operation out with its last. Of one that the other side has completed nothing more is
    /// queued: another may have its id by now.
    async fn send(&self, piece: Piece, is_last: bool) {
        // A closed queue means that the socket is going and this task with it.
        let Ok(place) = self.outgoing.reserve().await else { return };
        let mut running = lock(&self.running);
        if running.get(&self.id).is_some_and(|(number, _)| *number == self.number) {
            if is_last {
                running.remove(&self.id);
            }
            place.send(piece);
        }
    }
}

/// One operation at work.
pub(super) struct Operation<B: Backend> {
    pub(super) outlet: Outlet,
    pub(super) app: App<B>,
    pub(super) asker: Asker,
    pub(super) traced: tracing::Span,
}

impl<B: Backend> Operation<B> {
    pub(super) async fn run(self, caller: B::Caller, checked: Checked) {
        let ended = if checked.kind == Some(OperationType::Subscription) {
            self.stream(caller, checked).await
        } else {
            let trace = (self.app.settings.new_id)();
            let begun = Instant::now();
            let outcome = graphql::execute(&self.app, caller, checked.request, checked.kind, &trace).await;
            let outcome = outcome.unwrap_or_else(|failed| failed);
            self.count(&checked.note, (graphql::code_of(&outcome), Some(begun.elapsed())));
            self.first(outcome).await
        };
        let last = match ended {
            Ok(()) => json!({"id": self.outlet.id, "type": "complete"}).to_string(),
            Err(failed) => errors(&self.outlet.id, &failed.errors),
        };
        self.outlet.send(vec![Message::text(last)], true).await;
    }

    fn count(&self, note: &OperationNote, (code, took): (Option<String>, Option<Duration>)) {
        measure::operation(self.asker, note.operation(), code.as_deref(), took);
        spans::of_operation(&self.traced, note.operation(), code.as_deref());
        if let Some(took) = took {
            note.say_if_slow(took, self.app.settings.slow_operation);
        }
    }

    /// Tells what comes; fails with why it could not begin, or that it panicked.
    async fn stream(&self, caller: B::Caller, checked: Checked) -> Result<(), Outcome> {
        let _open = Open::subscription();
        let mut stream = self.app.backend.execute_stream(caller, checked.request);
        let mut is_first = true;
        loop {
            let event = AssertUnwindSafe(stream.next()).catch_unwind().await;
            if is_first {
                let code = match &event {
                    Ok(Some(Emitted::One(outcome))) => graphql::code_of(outcome),
                    _ => None,
                };
                self.count(&checked.note, (code, None));
            }
            match event {
                Err(_) => return Err(graphql::panicked(&(self.app.settings.new_id)())),
                Ok(None) => return Ok(()),
                Ok(Some(Emitted::One(outcome))) if is_first && is_refusal(&outcome) => return Err(outcome),
                Ok(Some(Emitted::One(outcome))) => self.next(&outcome).await,
                Ok(Some(Emitted::Written { field, texts })) => self.written(&field, &texts).await,
            }
            is_first = false;
        }
    }

    async fn first(&self, outcome: Outcome) -> Result<(), Outcome> {
        if is_request_error(&outcome) {
            return Err(outcome);
        }
        self.next(&outcome).await;
        Ok(())
    }

    async fn next(&self, outcome: &Outcome) {
        // The id is the client's text, so it is written as JSON; the payload is JSON already.
        let id = Value::from(self.outlet.id.as_str());
        let text = format!(r#"{{"id":{id},"type":"next","payload":{}}}"#, reply::to_json(outcome));
        self.outlet.send(vec![Message::text(text)], false).await;
    }

    /// Events that are JSON already, as messages of their own that are sent together.
    async fn written(&self, field: &str, texts: &[u8]) {
        let id = Value::from(self.outlet.id.as_str());
        let before = format!(r#"{{"id":{id},"type":"next","payload":{{"data":{{"{field}":"#);
        let (mut piece, mut bytes) = (Vec::new(), 0);
        // Whoever wrote it wrote text.
        for text in String::from_utf8_lossy(texts).split('\n') {
            let mut message = String::with_capacity(before.len() + text.len() + 3);
            message.push_str(&before);
            message.push_str(text);
            message.push_str("}}}");
            bytes += message.len();
            piece.push(Message::text(message));
            if bytes >= PIECE {
                bytes = 0;
                self.outlet.send(std::mem::take(&mut piece), false).await;
            }
        }
        if !piece.is_empty() {
            self.outlet.send(piece, false).await;
        }
    }
}

pub(super) fn errors(id: &str, errors: &[async_graphql::ServerError]) -> String {
    json!({"id": id, "type": "error", "payload": errors}).to_string()
}

/// Whether it is a stream's first event which says that it could not begin: an error of the request or of the root field, without
/// data. What failed below may have left no data either, and is an event like others.
fn is_refusal(outcome: &Outcome) -> bool {
    let has_begun = outcome.errors.iter().any(|error| error.path.len() > 1);
    outcome.is_err() && outcome.data == async_graphql::Value::Null && !has_begun
}

pub(super) fn lock(running: &Running) -> MutexGuard<'_, HashMap<String, (u64, AbortHandle)>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use async_graphql::{PathSegment, ServerError};

    use super::*;

    #[tokio::test]
    async fn of_an_operation_whose_id_another_has_nothing_more_comes() {
        let (outgoing, mut told) = mpsc::channel(4);
        let running = Running::default();
        let outlet =
            |number| Outlet { id: "1".to_owned(), number, outgoing: outgoing.clone(), running: running.clone() };
        let (completed, another) = (outlet(1), outlet(2));
        let task = tokio::spawn(async {}).abort_handle();
        lock(&running).insert("1".to_owned(), (2, task));
        for is_last in [false, true] {
            completed.send(vec![Message::text("stale")], is_last).await;
            another.send(vec![Message::text("fresh")], is_last).await;
            another.send(vec![Message::text("after its last")], true).await;
        }
        drop((completed, another, outgoing));
        let mut all = Vec::new();
        while let Some(piece) = told.recv().await {
            all.extend(piece);
        }
        assert_eq!(all, [Message::text("fresh"), Message::text("after its last")]);
        assert!(lock(&running).is_empty());
    }

    #[test]
    fn what_failed_below_an_event_is_no_refusal() {
        let outcome = |path: &[&str]| {
            let mut error = ServerError::new("it failed", None);
            error.path = path.iter().map(|key| PathSegment::Field((*key).to_owned())).collect();
            Outcome::from_errors(vec![error])
        };
        assert!(is_refusal(&outcome(&[])) && is_refusal(&outcome(&["pipeline"])));
        assert!(!is_refusal(&outcome(&["pipeline", "log"])));
    }
}
