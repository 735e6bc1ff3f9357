//! What surrounds every request: its id, its span, one log line, the guard against panics, security headers.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tracing::Instrument;

use super::{HttpSettings, reply};
use crate::measure::{self, spans};

/// The id of a request, in its extensions and in the answer's `x-request-id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

/// What the log line says of a GraphQL request: never the document's text, which may hold secrets.
#[derive(Clone, Debug)]
pub(super) struct OperationNote {
    name: String,
    kind: &'static str,
    hash: String,
    code: Option<String>,
}

impl OperationNote {
    pub(super) fn new((name, kind): (Option<&str>, &'static str), query: &str) -> Self {
        Self {
            name: name.unwrap_or_default().chars().take(100).collect(),
            kind,
            hash: hex::encode(&Sha256::digest(query)[..6]),
            code: None,
        }
    }

    /// Of a query that went well before: its name, and its hash.
    pub(super) fn of_query(name: String, hash: String) -> Self {
        Self { name, kind: "query", hash, code: None }
    }

    /// With the code of the first error, if there is one.
    pub(super) fn ended(self, code: Option<String>) -> Self {
        Self { code, ..self }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its name and its type.
    pub(super) fn operation(&self) -> (&str, &'static str) {
        (&self.name, self.kind)
    }

    /// Logs it where it took as long as that or longer; zero is never.
    pub(super) fn say_if_slow(&self, took: Duration, slow: Duration) {
        if slow.is_zero() || took < slow {
            return;
        }
        tracing::warn!(
            operation = self.name,
            r#type = self.kind,
            document = self.hash,
            code = self.code,
            milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "slow operation"
        );
    }

    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    pub(super) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

pub(super) async fn observe(State(settings): State<Arc<HttpSettings>>, mut request: Request, next: Next) -> Response {
    let id = RequestId((settings.new_id)().into());
    request.extensions_mut().insert(id.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let traceparent = request.headers().get(spans::TRACEPARENT).and_then(|value| value.to_str().ok());
    let traced = spans::request((method.as_str(), &route), &id.0, traceparent);
    let span = tracing::info_span!("request", id = %id.0);
    let seen = traced.clone();
    async move {
        let begun = Instant::now();
        let mut response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => {
                tracing::error!("a handler panicked");
                let message = format!("internal error {}\n", id.0);
                (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
            }
        };
        let note = response.extensions_mut().remove::<OperationNote>();
        let took = begun.elapsed();
        measure::answered(&route, response.status().as_u16(), took);
        spans::answered(&seen, response.status().as_u16());
        if let Some(note) = &note {
            spans::of_operation(&seen, note.operation(), note.code());
        }
        tracing::info!(
            %method,
            path,
            status = response.status().as_u16(),
            milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            operation = note.as_ref().map(OperationNote::name),
            document = note.as_ref().map(OperationNote::hash),
            code = note.as_ref().and_then(OperationNote::code),
            "answered"
        );
        secure(&mut response, &id);
        response
    }
    .instrument(span)
    .instrument(traced)
    .await
}

/// Adds what is not there yet, so that a page can have a policy and caching of its own.
fn secure(response: &mut Response, id: &RequestId) {
    let defaults = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in defaults {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(reply::REQUEST_ID, value);
    }
}
