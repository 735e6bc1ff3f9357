//! What happens while the server works, as spans of OpenTelemetry: requests, operations, jobs, their stages, and what goes
//! out. They hold words of few and names, never a document's text, a variable, a token or what somebody wrote. Where nobody
//! has installed an exporter ([`crate::telemetry`]) they are nothing.

use std::future::Future;

use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Instrument as _, Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of every span that is exported; nothing else is, and no log line shows these.
pub const TARGET: &str = "kiops::traces";

/// The header of W3C Trace Context that says which span a request belongs to.
pub const TRACEPARENT: &str = "traceparent";

/// Methods of HTTP that have names of their own in spans; a stranger's are `_OTHER`, as the semantic conventions want it.
const METHODS: [&str; 8] = ["GET", "POST", "OPTIONS", "HEAD", "PUT", "PATCH", "DELETE", "CONNECT"];

/// A request to this server, which is a part of the trace that its `traceparent` names, where that can be read. Its
/// `tracestate` is left alone: it would be a stranger's text in each span.
pub fn request((method, route): (&str, &str), id: &str, traceparent: Option<&str>) -> Span {
    let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("_OTHER");
    let span = info_span!(
        target: TARGET,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        graphql.operation.name = Empty,
        "graphql.operation.type" = Empty,
        kiops.code = Empty,
        kiops.request_id = id,
    );
    if let Some(traceparent) = traceparent.filter(|_| !span.is_disabled()) {
        let context = TraceContextPropagator::new().extract_with_context(&Default::default(), &Header(traceparent));
        // It can't be too late: nothing was done within the span yet.
        let _ = span.set_parent(context);
    }
    span
}

/// A request was answered with this status.
pub fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// An operation that came over a WebSocket, which is a trace of its own: the socket outlives every one of them.
#[must_use]
pub fn operation((name, kind): (&str, &'static str)) -> Span {
    let span = info_span!(
        target: TARGET,
        parent: None,
        "operation",
        otel.name = format!("graphql {kind}"),
        otel.kind = "server",
        otel.status_code = Empty,
        graphql.operation.name = Empty,
        "graphql.operation.type" = Empty,
        kiops.code = Empty,
    );
    of_operation(&span, (name, kind), None);
    span
}

/// What an operation is called, of which type it is, and the code of its first error. A fault of the server marks the span.
pub fn of_operation(span: &Span, (name, kind): (&str, &'static str), code: Option<&str>) {
    if !name.is_empty() {
        span.record("graphql.operation.name", name);
    }
    span.record("graphql.operation.type", kind);
    if let Some(code) = code {
        span.record("kiops.code", code);
        if code == "INTERNAL" {
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// A request that goes out, as a part of what is at work; by itself it makes no trace, so that exporting spans makes none.
/// The other side is not told which trace it is: it is a stranger.
#[must_use]
pub fn outbound(method: &str, host: &str, port: u16) -> Span {
    if Span::current().is_none() {
        return Span::none();
    }
    let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("_OTHER");
    info_span!(
        target: TARGET,
        "outbound",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = method,
        server.address = host,
        server.port = i64::from(port),
        http.response.status_code = Empty,
        "error.type" = Empty,
    )
}

/// A request that went out ended with a status, or without an answer, for which there is a word.
pub fn came_back(span: &Span, ended: super::Ended) {
    match ended {
        super::Ended::Answered(status) => {
            span.record("http.response.status_code", i64::from(status));
            if status >= 400 {
                span.record("otel.status_code", "ERROR");
            }
        }
        super::Ended::Failed(word) => {
            span.record("error.type", word);
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// One claim of a job: a trace of its own.
#[must_use]
pub fn job(kind: &str, attempt: i32) -> Span {
    info_span!(
        target: TARGET,
        parent: None,
        "job",
        otel.name = format!("job {kind}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        kiops.job.kind = kind,
        kiops.job.attempt = i64::from(attempt),
        kiops.outcome = Empty,
    )
}

/// What a job or a stage came to, in a word of few; a bad one marks the span.
pub fn came_to(span: &Span, outcome: &'static str) {
    span.record("kiops.outcome", outcome);
    if matches!(outcome, "FAILED" | "LOST") {
        span.record("otel.status_code", "ERROR");
    }
}

/// Does a stage of a pipeline, a phase of a deployment or the work of a scan's tool within a span of its own; `outcome` says in a
/// word of few what it came to. Such work is large, and must have a place of its own: not on the stack.
pub async fn stage<T>(
    (of, name): (&'static str, &str),
    work: impl Future<Output = T> + Unpin,
    outcome: impl FnOnce(&T) -> &'static str,
) -> T {
    let span = info_span!(
        target: TARGET,
        "stage",
        otel.name = format!("{of} {name}"),
        otel.status_code = Empty,
        kiops.stage.of = of,
        kiops.stage.name = name,
        kiops.outcome = Empty,
    );
    let done = work.instrument(span.clone()).await;
    came_to(&span, outcome(&done));
    done
}

/// The one header that is looked at.
struct Header<'a>(&'a str);

impl Extractor for Header<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}
