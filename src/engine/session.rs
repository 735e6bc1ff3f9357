//! The session of a build: a connection over which the engine asks and we answer.
//!
//! The connection is opened with `POST /session` and an upgrade to HTTP/2 without TLS. From then on the roles are
//! turned round: we are the server, and BuildKit calls gRPC methods that the opening request named. See
//! `session/grpc.go` of moby/buildkit.

pub mod messages;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, FuturesUnordered};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Engine, EngineError};

/// Codes of gRPC.
pub mod status {
    /// Nothing is wrong.
    pub const OK: u8 = 0;
    /// What was asked makes no sense.
    pub const INVALID: u8 = 3;
    /// What was asked for is not there.
    pub const NOT_FOUND: u8 = 5;
    /// There is no such method.
    pub const UNIMPLEMENTED: u8 = 12;
    /// It could not be done here.
    pub const INTERNAL: u8 = 13;
}

/// Asked by the engine every few seconds.
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// Longest message that is read: what an engine asks is a name or a short list.
const MAX_MESSAGE: usize = 1024 * 1024;
/// How much an engine may ask before we read on: while the names of a context are sent it asks for each file.
const WINDOW: u32 = 1024 * 1024;

/// Why a call is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// One of [`status`].
    pub code: u8,
    /// For people; ASCII without `%`.
    pub message: &'static str,
}

/// A call of the engine.
pub struct Call {
    /// `/package.Service/Method`.
    pub method: String,
    /// The call's metadata.
    pub headers: HeaderMap,
    /// The engine's messages.
    pub messages: BoxStream<'static, Result<Bytes, Refusal>>,
}

impl Call {
    /// The first message, decoded.
    ///
    /// # Errors
    /// When there is none, or another one.
    pub async fn first<M: Message + Default>(&mut self) -> Result<M, Refusal> {
        const NOTHING: Refusal = Refusal { code: status::INVALID, message: "no message" };
        let bytes = self.messages.next().await.ok_or(NOTHING)??;
        M::decode(bytes).map_err(|_| Refusal { code: status::INVALID, message: "a message of another kind" })
    }
}

/// What a session can be asked.
pub trait Answers: Send + Sync + 'static {
    /// Which methods: `/package.Service/Method`.
    fn methods(&self) -> Vec<&'static str>;
    /// Answers a call of one of them with encoded messages; a refusal ends the answer.
    fn answer(&self, call: Call) -> BoxStream<'static, Result<Bytes, Refusal>>;
}

/// An open session.
pub struct Session {
    connection: Upgraded,
    _driver: AbortOnDropHandle<()>,
}

impl Session {
    /// Answers until the engine closes the connection. All that is done for it is done inside of this future.
    pub async fn serve(self, answers: Arc<dyn Answers>) {
        let (tasks, mut started) = mpsc::unbounded_channel();
        let service = service_fn(move |request| {
            let answers = Arc::clone(&answers);
            async move { Ok::<_, Infallible>(respond(request, answers.as_ref())) }
        });
        let connection = http2::Builder::new(Tasks(tasks))
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(2 * WINDOW)
            .serve_connection(self.connection, service);
        tokio::pin!(connection);
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                // How it ended is seen by the build that used it.
                _ = &mut connection => return,
                Some(task) = started.recv() => running.push(task),
                Some(()) = running.next(), if !running.is_empty() => {}
            }
        }
    }
}

impl Engine {
    /// Opens a session, to which a build refers by its id. The engine keeps the files that it was sent in sessions of
    /// the same key, and asks for those again whose size or time is another one.
    ///
    /// # Errors
    /// When the engine does not answer, or knows no sessions.
    pub async fn session(&self, id: &str, key: &str, answers: &dyn Answers) -> Result<Session, EngineError> {
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| EngineError::Garbled);
        let name = HeaderName::from_static;
        let mut headers = vec![
            (CONNECTION, HeaderValue::from_static("Upgrade")),
            (UPGRADE, HeaderValue::from_static("h2c")),
            (name("x-docker-expose-session-uuid"), value(id)?),
            (name("x-docker-expose-session-name"), HeaderValue::from_static("kiops")),
            (name("x-docker-expose-session-sharedkey"), value(key)?),
            (name("x-docker-expose-session-grpc-method"), HeaderValue::from_static(HEALTH)),
        ];
        for method in answers.methods() {
            headers.push((name("x-docker-expose-session-grpc-method"), value(method)?));
        }
        let (connection, driver) = self.upgrade("/session", &headers).await?;
        Ok(Session { connection, _driver: driver })
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// Hands what HTTP/2 wants to have done at the side to the session's own future.
#[derive(Clone)]
struct Tasks(mpsc::UnboundedSender<Task>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        // Nobody takes it when the session is over.
        let _ = self.0.send(Box::pin(task));
    }
}

fn respond(request: Request<Incoming>, answers: &dyn Answers) -> Response<Body> {
    let method = request.uri().path().to_owned();
    let headers = request.headers().clone();
    let known = answers.methods().contains(&method.as_str());
    let call = Call { method, headers, messages: messages_of(request.into_body()) };
    let answer = match call.method.as_str() {
        HEALTH => {
            let serving = messages::Health { status: messages::Health::SERVING }.encode_to_vec();
            stream::iter([Ok(Bytes::from(serving))]).boxed()
        }
        _ if known => answers.answer(call),
        _ => stream::iter([Err(Refusal { code: status::UNIMPLEMENTED, message: "no such method" })]).boxed(),
    };
    let mut response = Response::new(StreamBody::new(framed(answer)).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// Messages with their five bytes before them, and the status after them.
fn framed(
    answer: BoxStream<'static, Result<Bytes, Refusal>>,
) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static {
    async_stream::stream! {
        let mut answer = answer;
        let mut end = Refusal { code: status::OK, message: "" };
        while let Some(part) = answer.next().await {
            match part {
                Ok(message) => {
                    let mut frame = BytesMut::with_capacity(message.len() + 5);
                    frame.put_u8(0);
                    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
                    frame.extend_from_slice(&message);
                    yield Ok(Frame::data(frame.freeze()));
                }
                Err(refusal) => {
                    end = refusal;
                    break;
                }
            }
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(u16::from(end.code)));
        trailers.insert("grpc-message", HeaderValue::from_static(end.message));
        yield Ok(Frame::trailers(trailers));
    }
}

/// The messages in a call's body.
fn messages_of(mut body: Incoming) -> BoxStream<'static, Result<Bytes, Refusal>> {
    async_stream::stream! {
        let mut held = BytesMut::new();
        loop {
            while let Some(length) = whole(&held) {
                match length {
                    Ok(length) => {
                        let message = held.split_to(length + 5).freeze();
                        yield Ok(message.slice(5..));
                    }
                    Err(refusal) => {
                        yield Err(refusal);
                        return;
                    }
                }
            }
            match body.frame().await {
                Some(Ok(frame)) => held.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
                Some(Err(_)) | None => return,
            }
        }
    }
    .boxed()
}

/// The length of the first message when all of it is there.
fn whole(held: &BytesMut) -> Option<Result<usize, Refusal>> {
    let (head, rest) = held.split_at_checked(5)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if head[0] != 0 {
        return Some(Err(Refusal { code: status::UNIMPLEMENTED, message: "compressed messages are not understood" }));
    }
    if length > MAX_MESSAGE {
        return Some(Err(Refusal { code: status::INVALID, message: "a message that is too long" }));
    }
    (rest.len() >= length).then_some(Ok(length))
}
