//! A GitLab server of a test's own: the calls that are asked of one, with state, a log of what was asked, and faults
//! that it can be told to have. It answers as <https://docs.gitlab.com/api/rest/> says, below a path prefix if wanted.

mod accounts;
mod answers;
mod branches;
pub mod faults;
mod graphql;
mod honest;
mod hooks;
mod projects;
pub mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::Value;

use answers::{Answer, html, message, refused};
use faults::{Fault, How};
use state::{State, Token};

/// One request that arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// GET, POST, …
    pub method: String,
    /// Path and query as they were sent, below the prefix.
    pub address: String,
    /// The body, where it was JSON.
    pub body: Value,
    /// What was known already: `If-None-Match`.
    pub known: Option<String>,
}

/// A running server. It ends with the runtime of the test.
#[derive(Clone)]
pub struct GitlabDouble {
    /// Where its pages would be: `http://127.0.0.1:PORT/prefix`.
    pub url: String,
    prefix: String,
    state: Arc<Mutex<State>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    faults: Arc<Mutex<Vec<Fault>>>,
}

impl GitlabDouble {
    /// An empty server on loopback, below a path like `/tools/gitlab`, or below none.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(prefix: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::serve(listener, prefix)
    }

    /// The same on a port of one's own choice.
    ///
    /// # Panics
    /// When the listener has no address.
    pub fn serve(listener: tokio::net::TcpListener, prefix: &str) -> Self {
        let (double, app) = Self::made(&listener, prefix);
        tokio::spawn(async move { axum::serve(listener, app).await });
        double
    }

    /// The double and its routes, for whoever serves them beside others.
    ///
    /// # Panics
    /// When the listener has no address.
    pub fn made(listener: &tokio::net::TcpListener, prefix: &str) -> (Self, axum::Router) {
        let url = format!("http://{}{prefix}", listener.local_addr().expect("an address"));
        let double = Self {
            state: Arc::new(Mutex::new(State::new(&url))),
            url,
            prefix: prefix.to_owned(),
            seen: Arc::default(),
            faults: Arc::default(),
        };
        let app = axum::Router::new().fallback(answer).with_state(double.clone());
        (double, app)
    }

    /// What it holds, to look at and to change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was asked since the last call of this.
    pub fn asked(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has it fail the next requests that a fault is meant for.
    pub fn fail(&self, fault: Fault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// Ends all faults.
    pub fn mend(&self) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn fault(&self, method: &Method, address: &str) -> Option<How> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let at = faults.iter().position(|fault| fault.is_for(method.as_str(), address))?;
        faults[at].times -= 1;
        let how = faults[at].how.clone();
        faults.retain(|fault| fault.times > 0);
        Some(how)
    }
}

/// A request, taken apart.
struct Asked {
    method: Method,
    /// Below `/api/v4`, each part decoded.
    path: Vec<String>,
    query: Vec<(String, String)>,
    body: Value,
    /// Whose token it came with.
    caller: Token,
}

impl Asked {
    /// A parameter, which GitLab takes from the query and from the body.
    fn text(&self, name: &str) -> Option<String> {
        let given = self.query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        given.or_else(|| match &self.body[name] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(yes) => Some(yes.to_string()),
            _ => None,
        })
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    fn yes(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text == "true" || text == "1")
    }
}

async fn answer(
    Shared(double): Shared<GitlabDouble>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(address) = uri.to_string().strip_prefix(&double.prefix).map(str::to_owned) else {
        return html(StatusCode::NOT_FOUND);
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let known = headers.get("if-none-match").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let seen = Seen { method: method.to_string(), address: address.clone(), body: body.clone(), known };
    double.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    if let Some(how) = double.fault(&method, &address) {
        return how.response(&headers).await;
    }
    let caller = match double.state().caller(&headers) {
        Ok(caller) => caller,
        Err(answer) => return answer.response(&headers),
    };
    if address == "/api/graphql" {
        return graphql::answer(&double, &caller, &body).await;
    }
    let (path, query) = address.split_once('?').unwrap_or((&address, ""));
    let Some(path) = path.strip_prefix("/api/v4/") else { return html(StatusCode::NOT_FOUND) };
    let asked = Asked {
        method,
        // As old servers do, a plus is read as a space.
        path: path.split('/').map(|part| decoded(&part.replace('+', " "))).collect(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        body,
        caller,
    };
    route(&mut double.state(), &asked).response(&headers)
}

fn route(state: &mut State, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let writes = asked.method != Method::GET;
    let scopes: &[&str] = match path.as_slice() {
        // https://docs.gitlab.com/api/personal_access_tokens/#self-inform: whatever its scopes.
        ["personal_access_tokens", "self"] => &[],
        ["user"] => &["api", "read_api", "read_user"],
        ["users", ..] if !writes => &["api", "read_api", "read_user"],
        _ if writes => &["api"],
        _ => &["api", "read_api"],
    };
    if !scopes.is_empty() && !asked.caller.scopes.iter().any(|scope| scopes.contains(&scope.as_str())) {
        return answers::insufficient_scope(scopes);
    }
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["version"]) => Answer::ok(serde_json::json!({ "version": "18.6.0", "revision": "0000000" })),
        ("GET", ["personal_access_tokens", "self"]) => accounts::token(state, asked),
        ("GET", ["user"]) => accounts::me(state, asked),
        ("GET", ["users"]) => accounts::list(state, asked),
        ("POST", ["users"]) => accounts::create(state, asked),
        ("GET", ["users", id]) => accounts::one(state, asked, id),
        ("GET", ["users", id, "emails"]) => accounts::emails(state, asked, id),
        ("GET", ["namespaces"]) => accounts::namespaces(state, asked),
        ("GET", ["namespaces", path]) => accounts::namespace(state, asked, path),
        ("GET", ["namespaces", path, "exists"]) => accounts::exists(state, asked, path),
        ("GET", ["projects"]) => projects::list(state, asked),
        ("POST", ["projects"]) => projects::create(state, asked),
        (_, ["projects", id, rest @ ..]) => projects::one(state, asked, id, rest),
        ("GET" | "POST", _) => message(StatusCode::NOT_FOUND, "404 Not Found"),
        _ => refused(StatusCode::METHOD_NOT_ALLOWED, "405 Not Allowed"),
    }
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A body of JSON.
fn json_body(value: &Value) -> Body {
    Body::from(value.to_string())
}
