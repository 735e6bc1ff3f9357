//! A GitHub of one's own: accounts, organizations, repositories and branches that are kept, behind GitHub's REST API
//! on loopback. It answers as <https://docs.github.com/rest> says, whole objects and headers, keeps a log of what it
//! was asked, and fails when told to.

mod answers;
mod hooks;
mod routes;
pub mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Given};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::Value;

pub use state::{Branch, State};

/// A request that was received.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// As it was sent, encoded, below the API's base.
    pub path: String,
    /// Decoded, in the order sent.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    /// Null when there was none or it was no JSON.
    pub body: Value,
    /// The answer's status; 0 where the connection was broken off.
    pub status: u16,
    /// The answer's JSON.
    pub answer: Value,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// This answer instead.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// Half of the answer that was announced.
    Half,
    /// No answer for so long.
    Silence(Duration),
    /// The answer, after so long.
    Slow(Duration),
}

/// When what goes wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    /// `GET /user/repos`: the beginning of method and path.
    pub on: String,
    /// How often still.
    pub times: u32,
    pub trouble: Trouble,
}

/// A running double; it ends when it is dropped.
pub struct GithubDouble {
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    prefix: String,
    base: String,
    state: Mutex<State>,
    asked: Mutex<Vec<Asked>>,
    failures: Mutex<Vec<Failure>>,
}

impl Drop for GithubDouble {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl GithubDouble {
    /// As api.github.com is: at the root.
    pub async fn start() -> Self {
        Self::below("").await
    }

    /// As an Enterprise server is: below a prefix, like `/api/v3`.
    pub async fn below(prefix: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            prefix: prefix.to_owned(),
            base: format!("http://{address}{prefix}"),
            state: Mutex::new(State::default()),
            asked: Mutex::default(),
            failures: Mutex::default(),
        });
        let app = axum::Router::new().fallback(receive).with_state(shared.clone());
        let server =
            tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves until it is dropped") });
        Self { shared, server }
    }

    /// The API's base address.
    pub fn url(&self) -> String {
        self.shared.base.clone()
    }

    /// Reads or changes what is there.
    pub fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.shared.state.lock().expect("nobody panicked"))
    }

    /// From now on this goes wrong. What was told first is looked at first.
    pub fn fail(&self, on: &str, times: u32, trouble: Trouble) {
        self.shared.failures.lock().expect("nobody panicked").push(Failure { on: on.to_owned(), times, trouble });
    }

    /// An answer with a status and a JSON body instead, so often.
    pub fn fail_with(&self, on: &str, times: u32, status: u16, message: &str) {
        let body = serde_json::json!({ "message": message, "documentation_url": "https://docs.github.com/rest" });
        self.fail(on, times, Trouble::Answer { status, headers: Vec::new(), body: body.to_string() });
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("nobody panicked").clone()
    }

    /// What was asked since the last time, as `GET /user/repos`.
    pub fn take_asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.shared.asked.lock().expect("nobody panicked"));
        asked.into_iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect()
    }
}

/// A request, read.
struct Call {
    method: String,
    segments: Vec<String>,
    query: HashMap<String, String>,
    headers: HeaderMap,
    body: Value,
    base: String,
}

impl Call {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn number(&self, name: &str, default: usize) -> usize {
        self.query.get(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }
}

/// An answer, before GitHub's headers are put on it.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Self { status: 200, headers: Vec::new(), body }
    }

    fn refusal(status: u16, message: &str) -> Self {
        let body = serde_json::json!({
            "message": message, "documentation_url": "https://docs.github.com/rest", "status": status.to_string(),
        });
        Self { status, headers: Vec::new(), body }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

async fn receive(Given(shared): Given<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1024 * 1024).await.unwrap_or_default();
    let whole = parts.uri.path().to_owned();
    let Some(path) = whole.strip_prefix(&shared.prefix).filter(|path| path.starts_with('/')) else {
        return plain(404, Bytes::from_static(b"<html>there is no API here</html>"), "text/html");
    };
    let address = url::Url::parse(&format!("http://double{}", parts.uri)).expect("it was a request's");
    let query: Vec<(String, String)> = address.query_pairs().into_owned().collect();
    let call = Call {
        method: parts.method.to_string(),
        segments: path.split('/').filter(|part| !part.is_empty()).map(decoded).collect(),
        query: query.iter().cloned().collect(),
        headers: parts.headers.clone(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        base: shared.base.clone(),
    };
    let mut asked = Asked {
        method: call.method.clone(),
        path: path.to_owned(),
        query,
        headers: parts.headers,
        body: call.body.clone(),
        status: 0,
        answer: Value::Null,
    };
    let trouble = trouble(&shared, &format!("{} {path}", call.method));
    if let Some(Trouble::Answer { status, headers, body }) = trouble {
        asked.status = status;
        shared.asked.lock().expect("nobody panicked").push(asked);
        let mut answer = plain(status, Bytes::from(body), "application/json; charset=utf-8");
        for (name, value) in headers {
            answer.headers_mut().insert(name, HeaderValue::try_from(value).expect("a header's value"));
        }
        return answer;
    }
    if let Some(Trouble::Silence(time)) = trouble {
        shared.asked.lock().expect("nobody panicked").push(asked);
        tokio::time::sleep(time).await;
        return plain(504, Bytes::new(), "text/plain");
    }
    if let Some(Trouble::Slow(time)) = trouble {
        tokio::time::sleep(time).await;
    }
    let reply = {
        let mut state = shared.state.lock().expect("nobody panicked");
        routes::answer(&mut state, &call)
    };
    let half = matches!(trouble, Some(Trouble::Half));
    asked.status = if half { 0 } else { reply.status };
    asked.answer = reply.body.clone();
    shared.asked.lock().expect("nobody panicked").push(asked);
    sent(reply, &call, half)
}

fn trouble(shared: &Shared, asked: &str) -> Option<Trouble> {
    let mut failures = shared.failures.lock().expect("nobody panicked");
    let failure = failures.iter_mut().find(|failure| failure.times > 0 && asked.starts_with(&failure.on))?;
    failure.times -= 1;
    Some(failure.trouble.clone())
}

/// With an ETag; 304 where the caller has it already.
fn sent(reply: Reply, call: &Call, half: bool) -> Response<Body> {
    let bytes = if reply.status == 204 { Vec::new() } else { reply.body.to_string().into_bytes() };
    let etag = format!("W/\"{}\"", hash(&bytes));
    let known = call.method == "GET" && reply.status == 200 && call.header("if-none-match") == etag;
    let mut answer = if known {
        plain(304, Bytes::new(), "application/json; charset=utf-8")
    } else if half {
        let first = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
        let broken = std::io::Error::other("the line is cut");
        // The connection breaks after what is there has been sent.
        let pieces = futures_util::stream::iter([Ok(first), Err(broken)]);
        Response::new(Body::from_stream(pieces))
    } else {
        plain(reply.status, Bytes::from(bytes), "application/json; charset=utf-8")
    };
    for (name, value) in reply.headers {
        answer.headers_mut().insert(name, HeaderValue::try_from(value).expect("a header's value"));
    }
    answer.headers_mut().insert(header::ETAG, HeaderValue::try_from(etag).expect("a header's value"));
    answer
}

fn plain(status: u16, body: Bytes, kind: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn hash(bytes: &[u8]) -> String {
    use std::hash::Hasher as _;
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(bytes);
    format!("{:016x}", hasher.finish())
}

fn decoded(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        let pair = if byte == b'%' { rest.clone().take(2).collect() } else { Vec::new() };
        match std::str::from_utf8(&pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(value) if pair.len() == 2 => {
                bytes.push(value);
                rest.nth(1);
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
