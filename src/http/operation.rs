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

/// The operations at work, by id, each with its number. An operation takes itself out before it says that it is complete.
pub(super) type Running = Arc<Mutex<HashMap<String, (u64, AbortHandle)>>>;

/// One operation at work.
pub(super) struct Operation<B: Backend> {
    pub(super) id: String,
    /// Which of its socket it is. Another may have its id when it was completed by the other side and has not ended yet.
    pub(super) number: u64,
    pub(super) app: App<B>,
    pub(super) outgoing: mpsc::Sender<Piece>,
    pub(super) running: Running,
    pub(super) asker: Asker,
    pub(super) traced: tracing::Span,
}

impl<B: Backend> Operation<B> {
    pub(super) async fn run(self, caller: B::Caller, checked: Checked) {
        let finished = if checked.kind == Some(OperationType::Subscription) {
            self.stream(caller, checked).await
        } else {
            let trace = (self.app.settings.new_id)();
            let begun = Instant::now();
            let outcome = graphql::execute(&self.app, caller, checked.request, checked.kind, &trace).await;
            let outcome = outcome.unwrap_or_else(|failed| failed);
            self.count(&checked.note, (graphql::code_of(&outcome), Some(begun.elapsed())));
            self.first(outcome).await
        };
        if finished == Ended::Completed {
            if !self.leave() {
                return;
            }
            self.send(json!({"id": self.id, "type": "complete"}).to_string()).await;
        }
    }

    fn count(&self, note: &OperationNote, (code, took): (Option<String>, Option<Duration>)) {
        measure::operation(self.asker, note.operation(), code.as_deref(), took);
        spans::of_operation(&self.traced, note.operation(), code.as_deref());
        if let Some(took) = took {
            note.say_if_slow(took, self.app.settings.slow_operation);
        }
    }

    async fn stream(&self, caller: B::Caller, checked: Checked) -> Ended {
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
                Err(_) => return self.fail(&graphql::panicked(&(self.app.settings.new_id)())).await,
                Ok(None) => return Ended::Completed,
                Ok(Some(Emitted::One(outcome))) if is_first && is_refusal(&outcome) => {
                    return self.fail(&outcome).await;
                }
                Ok(Some(Emitted::One(outcome))) => self.next(&outcome).await,
                Ok(Some(Emitted::Written { field, texts })) => self.written(&field, &texts).await,
            }
            is_first = false;
        }
    }

    async fn first(&self, outcome: Outcome) -> Ended {
        if is_request_error(&outcome) {
            return self.fail(&outcome).await;
        }
        self.next(&outcome).await;
        Ended::Completed
    }

    async fn next(&self, outcome: &Outcome) {
        // The id is the client's text, so it is written as JSON; the payload is JSON already.
        let id = Value::from(self.id.as_str());
        self.send(format!(r#"{{"id":{id},"type":"next","payload":{}}}"#, reply::to_json(outcome))).await;
    }

    /// Events that are JSON already, as messages of their own that are sent together.
    async fn written(&self, field: &str, texts: &[u8]) {
        let id = Value::from(self.id.as_str());
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
                // A closed queue means that the socket is going and this task with it.
                let _ = self.outgoing.send(std::mem::take(&mut piece)).await;
            }
        }
        if !piece.is_empty() {
            let _ = self.outgoing.send(piece).await;
        }
    }

    /// Takes itself out; not if it was completed by the other side, who is told no more then.
    fn leave(&self) -> bool {
        let mut running = lock(&self.running);
        let is_there = running.get(&self.id).is_some_and(|(number, _)| *number == self.number);
        is_there && running.remove(&self.id).is_some()
    }

    async fn fail(&self, outcome: &Outcome) -> Ended {
        if !self.leave() {
            return Ended::Failed;
        }
        self.send(errors(&self.id, &outcome.errors)).await;
        Ended::Failed
    }

    async fn send(&self, text: String) {
        // A closed queue means that the socket is going and this task with it.
        let _ = self.outgoing.send(vec![Message::text(text)]).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Completed,
    Failed,
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
