//! Requests that the SDK has no call for, or whose answers it does not hand on. Each has a connection of its own that
//! ends with what was asked, because an engine gives up what nobody listens to any more.

use std::io;
use std::time::Duration;

use bollard::errors::Error as Sdk;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::task::AbortOnDropHandle;

use super::{CONNECT, Engine, EngineError};

/// Longest line of an answer that is kept. BuildKit cuts the log in its messages at one MiB, which base64 makes
/// longer; beside that a message holds names out of the Dockerfile.
const MAX_ANSWER_LINE: usize = 4 * 1024 * 1024;
/// Longest text of a refusal that is read.
const MAX_REFUSAL: usize = 64 * 1024;

/// How long an engine may take to begin an answer that does not wait for anything.
const BEGIN: Duration = Duration::from_secs(20);

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Without its end.
    Text(Bytes),
    /// Was longer than four MiB and is left out.
    TooLong,
}

/// A request that was accepted, and the connection that its answer comes from. Dropping it closes the connection.
pub struct Exchange {
    body: Incoming,
    held: BytesMut,
    skips: bool,
    _driver: AbortOnDropHandle<()>,
}

impl Exchange {
    /// The next line; none at the end of the answer. May be given up and asked again: nothing is lost.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] when the connection breaks.
    pub async fn line(&mut self) -> Result<Option<Line>, EngineError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.held[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.held.split_to(searched + end + 1).freeze();
                if std::mem::take(&mut self.skips) {
                    return Ok(Some(Line::TooLong));
                }
                return Ok(Some(Line::Text(line.slice(..line.len() - 1))));
            }
            if self.skips || self.held.len() > MAX_ANSWER_LINE {
                self.skips = true;
                self.held.clear();
            }
            searched = self.held.len();
            match self.body.frame().await {
                Some(Ok(frame)) => self.held.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
                Some(Err(error)) => return Err(broken(error)),
                None if std::mem::take(&mut self.skips) => return Ok(Some(Line::TooLong)),
                None if self.held.is_empty() => return Ok(None),
                None => return Ok(Some(Line::Text(self.held.split().freeze()))),
            }
        }
    }

    /// Reads the rest and throws it away.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] when the connection breaks.
    pub async fn drain(&mut self) -> Result<(), EngineError> {
        self.held.clear();
        while let Some(frame) = self.body.frame().await {
            frame.map_err(broken)?;
        }
        Ok(())
    }
}

impl Engine {
    /// Posts without a body. The path begins after the version: `/build?version=2`.
    ///
    /// # Errors
    /// When the engine can't be reached, or answers with a status that is no success.
    pub async fn post(&self, path: &str, headers: &[(HeaderName, HeaderValue)]) -> Result<Exchange, EngineError> {
        self.ask(Method::POST, path, headers).await
    }

    /// Posts something that an engine answers without waiting for anything, within twenty seconds.
    ///
    /// # Errors
    /// As those of [`Self::post`]; [`EngineError::Unreachable`] when the answer does not begin in time.
    pub async fn tell(&self, path: &str) -> Result<Exchange, EngineError> {
        in_time(self.ask(Method::POST, path, &[])).await
    }

    /// Gets what the SDK reads in the form of newer engines only. The path begins after the version. The answer begins
    /// within twenty seconds.
    ///
    /// # Errors
    /// As those of [`Self::tell`].
    pub async fn get(&self, path: &str) -> Result<Exchange, EngineError> {
        in_time(self.ask(Method::GET, path, &[])).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Exchange, EngineError> {
        let (response, driver) = self.send(method, path, headers).await?;
        match response.status().is_success() {
            true => Ok(Exchange { body: response.into_body(), held: BytesMut::new(), skips: false, _driver: driver }),
            false => Err(refusal(response).await),
        }
    }

    /// Posts and takes the connection over.
    pub(super) async fn upgrade(
        &self,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<(Upgraded, AbortOnDropHandle<()>), EngineError> {
        let (response, driver) = self.send(Method::POST, path, headers).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(response).await);
        }
        Ok((hyper::upgrade::on(response).await.map_err(broken)?, driver))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), EngineError> {
        let version = self.api().await?.client_version();
        let uri = format!("/v{}.{}{path}", version.major_version, version.minor_version);
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(HOST, self.place.host.as_deref().unwrap_or("docker"))
            .header(CONTENT_LENGTH, 0)
            .body(Empty::<Bytes>::new())
            .map_err(|_| EngineError::Garbled)?;
        for (name, value) in headers {
            request.headers_mut().append(name, value.clone());
        }
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.dial().await?)).await.map_err(broken)?;
        let driver = AbortOnDropHandle::new(tokio::spawn(async move {
            // How it ends is seen by whoever reads the answer.
            let _ = connection.with_upgrades().await;
        }));
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok((response, driver))
    }

    async fn dial(&self) -> Result<Box<dyn Stream>, EngineError> {
        let open = async {
            let stream: Box<dyn Stream> = match (&self.dialer, self.socket.strip_prefix("unix://")) {
                (Some(dialer), _) => Box::new(dialer.open().await?),
                (None, Some(path)) => Box::new(UnixStream::connect(path).await?),
                (None, None) => {
                    let address = self.socket.trim_start_matches("tcp://").trim_end_matches('/');
                    let tcp = match url::Url::parse(&format!("tcp://{address}")).ok().and_then(|url| url.port()) {
                        Some(_) => TcpStream::connect(address).await?,
                        None => TcpStream::connect(format!("{address}:2375")).await?,
                    };
                    tcp.set_nodelay(true)?;
                    Box::new(tcp)
                }
            };
            io::Result::Ok(stream)
        };
        match tokio::time::timeout(CONNECT, open).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(err)) => Err(Sdk::IOError { err }.into()),
            Err(_) => Err(EngineError::Unreachable("no connection in time".to_owned())),
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
    let late = |_| EngineError::Unreachable("it took too long to answer".to_owned());
    tokio::time::timeout(BEGIN, answer).await.map_err(late)?
}

/// What HTTP can be spoken over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The engine's words out of an answer that is no success.
async fn refusal(response: Response<Incoming>) -> EngineError {
    #[derive(Deserialize)]
    struct Words {
        message: String,
    }
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut held = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let data = frame.into_data().unwrap_or_default();
        held.extend_from_slice(&data[..data.len().min(MAX_REFUSAL - held.len())]);
        if held.len() == MAX_REFUSAL {
            break;
        }
    }
    let message = match serde_json::from_slice::<Words>(&held) {
        Ok(words) => words.message,
        Err(_) => format!("the engine answers with status {status}"),
    };
    Sdk::DockerResponseServerError { status_code: status, message }.into()
}

fn broken(err: hyper::Error) -> EngineError {
    Sdk::HyperResponseError { err }.into()
}
