//! One WebSocket's conversation in graphql-transport-ws.
//!
//! Each operation is a task that owns its id in [`Running`] and writes into one bounded queue. A writer task
//! drains the queue; when the other side does not read in time the whole socket is dropped, so a slow reader
//! holds no more than the queue. All tasks end with [`run`].

use std::{net::IpAddr, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use serde_json::{Map, Value, json};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::{
    App, auth, graphql,
    operation::{Operation, Outlet, Piece, Running, errors, lock},
    rate::{Seat, Who},
    request::{Parameters, is_crowded},
    ws::{close, frame},
};
use crate::graphql::executor::{AuthFailure, Backend, ErrorCode, coded_error};
use crate::measure::spans;

/// Pieces that wait for a slow reader: answers, or messages that came together.
const QUEUE: usize = 32;
/// Pieces that are sent with one flush, within the time that a reader may stall.
const FLUSH: usize = 4;
/// Pings one after another that nothing is heard after: then nobody is there.
const PINGS: u32 = 4;
/// Pings of the other side between two of ours. Their answers wait for a reader who does not read.
const THEIR_PINGS: u32 = 200;
/// How long a closing socket waits for the other side.
const FAREWELL: Duration = Duration::from_secs(1);
/// The longest id of an operation, which every answer repeats.
const ID_BYTES: usize = 256;
/// How much of an id a close reason repeats, which has room for 123 bytes with the words around it.
const SHOWN_ID_BYTES: usize = 90;

/// What the handshake found out.
pub(super) struct Handshake {
    pub(super) token: Option<String>,
    pub(super) from: IpAddr,
    /// A page may talk before it has a token (to log in); what is no page must bring one.
    pub(super) may_be_anonymous: bool,
}

/// The caller, once `connection_init` is acknowledged.
struct Session<C> {
    caller: C,
    who: Who,
    _seat: Option<Seat>,
}

struct Conversation<B: Backend> {
    app: App<B>,
    handshake: Handshake,
    session: Option<Session<B::Caller>>,
    outgoing: mpsc::Sender<Piece>,
    running: Running,
    tasks: JoinSet<()>,
    /// Operations so far.
    begun: u64,
}

/// Talks until either side closes, the server shuts down or the caller may not go on.
pub(super) async fn run<B: Backend>(app: App<B>, socket: WebSocket, handshake: Handshake) {
    let settings = app.settings.clone();
    let (sink, mut incoming) = socket.split();
    let (outgoing, queue) = mpsc::channel(QUEUE);
    let (last_words, last) = tokio::sync::oneshot::channel();
    let mut writer = AbortOnDropHandle::new(tokio::spawn(write(sink, queue, last, settings.send_timeout)));
    let init_deadline = Instant::now() + settings.init_timeout;
    let stranger_deadline = Instant::now() + settings.stranger_timeout;
    let mut recheck = interval(settings.recheck_every);
    recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut beat = interval_at(Instant::now() + settings.ping_every, settings.ping_every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut unanswered, mut their_pings) = (0, 0);
    let mut talk = Conversation {
        app,
        handshake,
        session: None,
        outgoing,
        running: Running::default(),
        tasks: JoinSet::new(),
        begun: 0,
    };

    let mut is_deaf = false;
    let closing = loop {
        tokio::select! {
            () = settings.shutdown.cancelled() => break Some(frame(close::GOING_AWAY, "Going away")),
            _ = &mut writer => return,
            () = sleep_until(stranger_deadline), if talk.is_stranger() => {
                break Some(frame(close::UNAUTHORIZED, "Unauthorized: connect again with a token"));
            }
            () = sleep_until(init_deadline), if talk.session.is_none() => {
                break Some(frame(close::INIT_TIMEOUT, "Connection initialisation timeout"));
            }
            _ = recheck.tick(), if talk.session.is_some() => {
                if !talk.may_go_on().await {
                    break Some(frame(close::FORBIDDEN, "Forbidden"));
                }
            }
            _ = beat.tick() => {
                if unanswered == PINGS {
                    let silent = humantime::format_duration(settings.ping_every * PINGS);
                    tracing::info!("a WebSocket was dropped: nothing was heard of the other side for {silent}");
                    break None;
                }
                // Behind a full queue it would come late; whether that is read is the writer's to see.
                unanswered = if talk.ping() { unanswered + 1 } else { 0 };
                their_pings = 0;
            }
            Some(_) = talk.tasks.join_next() => {}
            message = incoming.next() => match message.inspect(|_| unanswered = 0) {
                None | Some(Ok(Message::Close(_))) => break None,
                Some(Err(error)) => {
                    is_deaf = true;
                    break too_big(&error);
                }
                Some(Ok(Message::Text(text))) => {
                    if let Err(closing) = talk.hear(&text).await {
                        break Some(closing);
                    }
                }
                Some(Ok(Message::Binary(_))) => break Some(frame(close::BAD_MESSAGE, "Binary messages are not supported")),
                Some(Ok(Message::Ping(_))) if their_pings == THEIR_PINGS => {
                    break Some(frame(close::BAD_MESSAGE, "Too many pings"));
                }
                Some(Ok(Message::Ping(_))) => their_pings += 1,
                Some(Ok(Message::Pong(_))) => {}
            },
        }
    };
    talk.tasks.shutdown().await;
    drop(talk);
    let Some(closing) = closing else {
        drop(last_words);
        let _ = timeout(FAREWELL, writer).await;
        return;
    };
    // The writer is gone when the other side is. What still comes in is read until the other side has heard,
    // because a connection that is dropped with unread bytes loses the close frame.
    let _ = last_words.send(closing);
    let _ = timeout(FAREWELL, async {
        let _ = writer.await;
        while let Some(Ok(_)) = incoming.next().await {}
        // After a fault nothing more is read. Only time is left to the other side then.
        if is_deaf {
            std::future::pending::<()>().await;
        }
    })
    .await;
}

/// Closes a socket that nothing is to be said on, and waits for the other side to have heard it.
pub(super) async fn turn_away(mut socket: WebSocket, closing: CloseFrame) {
    let _ = timeout(FAREWELL, async {
        let _ = socket.send(Message::Close(Some(closing))).await;
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
}

/// A message over the size limit closes with 1009; any other fault of the connection closes without a word.
fn too_big(error: &axum::Error) -> Option<CloseFrame> {
    let text = error.to_string();
    text.contains("too long").then(|| frame(close::TOO_BIG, "Message too big"))
}

/// Writes what is queued, several messages to a flush, and at the end the close frame, which overtakes the
/// queue.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<Piece>,
    mut last: tokio::sync::oneshot::Receiver<CloseFrame>,
    limit: Duration,
) {
    let mut batch = Vec::with_capacity(FLUSH);
    loop {
        let closing = tokio::select! {
            biased;
            closing = &mut last => Some(closing.ok()),
            count = queue.recv_many(&mut batch, FLUSH) => if count == 0 { Some(None) } else { None },
        };
        let sending = async {
            if let Some(closing) = closing {
                let _ = sink.send(Message::Close(closing)).await;
                return false;
            }
            for message in batch.drain(..).flatten() {
                if sink.feed(message).await.is_err() {
                    return false;
                }
            }
            sink.flush().await.is_ok()
        };
        match timeout(limit, sending).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => {
                let limit = humantime::format_duration(limit);
                tracing::info!("a WebSocket was dropped: what it was sent was not read for {limit}");
                return;
            }
        }
    }
}

impl<B: Backend> Conversation<B> {
    /// Asks the other side, whose library answers by itself (RFC 6455, section 5.5.2), unless the queue is full.
    fn ping(&self) -> bool {
        self.outgoing.try_send(vec![Message::Ping(Bytes::new())]).is_ok()
    }

    /// Whether it is open for nobody whom we know.
    fn is_stranger(&self) -> bool {
        self.session.as_ref().is_some_and(|session| matches!(session.who, Who::Address(_)))
    }

    async fn may_go_on(&self) -> bool {
        match &self.session {
            Some(session) => self.app.backend.still_valid(&session.caller).await,
            None => true,
        }
    }

    /// Acts on one message; an error is the frame to close with.
    async fn hear(&mut self, text: &str) -> Result<(), CloseFrame> {
        let bad = |reason: &str| frame(close::BAD_MESSAGE, reason);
        if is_crowded(text.as_bytes()) {
            return Err(bad("Too many values"));
        }
        let Ok(Value::Object(mut message)) = serde_json::from_str(text) else {
            return Err(bad("Invalid message"));
        };
        match message.get("type").and_then(Value::as_str) {
            Some("connection_init") => match message.remove("payload") {
                None | Some(Value::Null) => self.init(&Map::new()).await,
                Some(Value::Object(payload)) => self.init(&payload).await,
                Some(_) => Err(bad("Invalid payload of connection_init")),
            },
            Some("ping") => self.queue(json!({"type": "pong"}).to_string()).await,
            Some("pong") => Ok(()),
            Some("complete") => {
                let id = message.get("id").and_then(Value::as_str).ok_or_else(|| bad("complete needs an id"))?;
                if let Some((_, task)) = lock(&self.running).remove(id) {
                    task.abort();
                }
                Ok(())
            }
            Some("subscribe") => {
                let Some(Value::String(id)) = message.remove("id").filter(|id| id != "") else {
                    return Err(bad("subscribe needs an id"));
                };
                let Some(Value::Object(payload)) = message.remove("payload") else {
                    return Err(bad("subscribe needs a payload"));
                };
                self.subscribe(id, payload).await
            }
            _ => Err(bad("Unknown message type")),
        }
    }

    async fn init(&mut self, payload: &Map<String, Value>) -> Result<(), CloseFrame> {
        if self.session.is_some() {
            return Err(frame(close::TOO_MANY, "Too many initialisation requests"));
        }
        let given = payload.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let token = match given {
            None | Some((_, Value::Null)) => self.handshake.token.clone(),
            Some((_, value)) => {
                let token = value.as_str().and_then(auth::bearer);
                Some(token.ok_or_else(|| frame(close::FORBIDDEN, "Forbidden: the token is not valid"))?)
            }
        };
        if token.is_none() && !self.handshake.may_be_anonymous {
            return Err(frame(close::FORBIDDEN, "Forbidden: a token is required"));
        }
        let from = self.handshake.from;
        let caller = self.app.backend.authenticate(token.as_deref(), from).await.map_err(|failure| match failure {
            AuthFailure::BadToken => frame(close::FORBIDDEN, "Forbidden: the token is not valid"),
            AuthFailure::TooMany { .. } => frame(close::FORBIDDEN, "Forbidden: too many attempts"),
            AuthFailure::Unavailable => frame(close::TRY_AGAIN, "Try again later"),
        })?;
        let who = Who::new(token.as_deref(), from);
        // The address has its seat since the handshake, so only tokens are counted here.
        let seat = match &who {
            Who::Address(_) => None,
            Who::Token(_) => {
                let seat = self.app.sockets.seat(who.clone());
                Some(seat.ok_or_else(|| frame(close::TOO_MANY, "Too many WebSockets are open"))?)
            }
        };
        self.session = Some(Session { caller, who, _seat: seat });
        self.queue(json!({"type": "connection_ack"}).to_string()).await
    }

    async fn subscribe(&mut self, id: String, payload: Map<String, Value>) -> Result<(), CloseFrame> {
        let Some(session) = &self.session else {
            return Err(frame(close::UNAUTHORIZED, "Unauthorized"));
        };
        if id.len() > ID_BYTES {
            return Err(frame(close::BAD_MESSAGE, "The id is too long"));
        }
        let at_work = {
            let running = lock(&self.running);
            if running.contains_key(&id) {
                let shown = &id[..id.floor_char_boundary(SHOWN_ID_BYTES)];
                return Err(frame(close::DUPLICATE_ID, &format!("Subscriber for {shown} already exists")));
            }
            running.len()
        };
        let limit = self.app.settings.operations_per_socket;
        if at_work >= limit {
            let message = format!("At most {limit} operations may run at once on one WebSocket.");
            return self.refuse(&id, message, ErrorCode::RateLimited).await;
        }
        let counted = self.app.requests.admit(&self.app.backend, &session.who).await;
        if let Some(allowance) = counted.filter(|allowance| allowance.is_over) {
            return self.refuse(&id, graphql::too_many_message(allowance.reset), ErrorCode::RateLimited).await;
        }
        let caller = session.caller.clone();
        let checked = match Parameters::from_fields(payload) {
            Ok(parameters) => match parameters.check(&self.app.settings.limits, (&self.app.persisted, &session.who)) {
                Ok(checked) => checked,
                Err(refusal) => return self.refuse(&id, refusal.message, refusal.code).await,
            },
            Err(message) => return self.refuse(&id, message, ErrorCode::BadUserInput).await,
        };
        tracing::info!(operation = checked.note.name(), document = checked.note.hash(), "subscribed");
        // The lock is held until the task is entered: before that nothing of it would be queued.
        let mut running = lock(&self.running);
        self.begun += 1;
        let outlet = Outlet {
            id: id.clone(),
            number: self.begun,
            outgoing: self.outgoing.clone(),
            running: self.running.clone(),
        };
        let operation = Operation {
            outlet,
            app: self.app.clone(),
            asker: session.who.asker(),
            traced: spans::operation(checked.note.operation()),
        };
        let traced = operation.traced.clone();
        let task = self.tasks.spawn(operation.run(caller, checked).instrument(traced));
        running.insert(id, (self.begun, task));
        Ok(())
    }

    async fn refuse(&self, id: &str, message: String, code: ErrorCode) -> Result<(), CloseFrame> {
        self.queue(errors(id, &[coded_error(message, code)])).await
    }

    /// Queues an answer of the loop itself. A reader that leaves no room in time is not worth waiting for.
    async fn queue(&self, text: String) -> Result<(), CloseFrame> {
        let sent = timeout(self.app.settings.send_timeout, self.outgoing.send(vec![Message::text(text)])).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            _ => Err(frame(close::BAD_MESSAGE, "Messages are not read")),
        }
    }
}
