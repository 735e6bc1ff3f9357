//! `/graphql` over GET and POST.

use std::{net::IpAddr, panic::AssertUnwindSafe, time::Duration};

use async_graphql::{Request as Query, Response as Outcome, parser::types::OperationType};
use axum::{
    Extension,
    extract::{ConnectInfo, FromRequestParts, Request, State, WebSocketUpgrade},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
};
use futures_util::FutureExt;
use tokio::time::{Instant, timeout};

use super::{
    App, RequestId, auth,
    auth::Denied,
    body::{self, Unread, closing},
    negotiate::{self, Media},
    observe::OperationNote,
    pages,
    rate::Who,
    reply::{self, refuse},
    request::Parameters,
    ws,
};
use crate::app::answers::{Answer, Question, Recalled, Version};
use crate::graphql::executor::{AuthFailure, Backend, ErrorCode, coded_error};
use crate::graphql::rows_only::rows_only;
use crate::measure::{self, Asker};

/// The address of the client's end of the connection.
pub(super) fn address(parts: &Parts) -> IpAddr {
    parts
        .extensions
        .get::<ConnectInfo<std::net::SocketAddr>>()
        .map_or(IpAddr::from([0, 0, 0, 0]), |connection| connection.0.ip())
}

/// A WebSocket, the page, or a query in the query string.
pub(super) async fn get<B: Backend>(
    State(app): State<App<B>>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    if negotiate::wants_websocket(&parts.headers) {
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
        return match upgrade {
            Ok(upgrade) => ws::accept(app, upgrade, &parts),
            Err(rejection) => {
                let status = rejection.status();
                refuse(status, Media::Json, ErrorCode::BadUserInput, "This is not a WebSocket handshake.")
            }
        };
    }
    if app.settings.graphiql && negotiate::wants_page(&parts.headers) {
        return pages::graphiql();
    }
    let Some(media) = Media::of(&parts.headers) else {
        return not_acceptable();
    };
    let text = parts.uri.query().unwrap_or_default();
    match Parameters::from_query_string(text) {
        Ok(parameters) => answer(&app, &parts, media, parameters, &id).await,
        Err(message) => refuse(StatusCode::BAD_REQUEST, media, ErrorCode::BadUserInput, message),
    }
}

/// One operation in a JSON body.
pub(super) async fn post<B: Backend>(
    State(app): State<App<B>>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Some(media) = Media::of(&parts.headers) else {
        return not_acceptable();
    };
    if !negotiate::is_plain_json(&parts.headers) {
        let message = "The body must be application/json in UTF-8, not compressed.";
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, media, ErrorCode::BadUserInput, message);
    }
    let limit = app.settings.body_bytes;
    let body = match timeout(app.settings.read_timeout, body::read(&parts.headers, body, limit, &app.room)).await {
        Ok(Ok(body)) => body,
        Ok(Err(Unread::TooLarge)) => {
            let message = format!("The body is over the limit of {limit} bytes.");
            return closing(refuse(StatusCode::PAYLOAD_TOO_LARGE, media, ErrorCode::BadUserInput, message));
        }
        Ok(Err(Unread::NoRoom)) => {
            return closing(reply::too_many(media, 2, "Too much is being sent at once: try again soon."));
        }
        Ok(Err(Unread::Broken)) => {
            let message = "The body broke off.";
            return closing(refuse(StatusCode::BAD_REQUEST, media, ErrorCode::BadUserInput, message));
        }
        Err(_) => {
            let message = "The body took too long to arrive.";
            return closing(refuse(StatusCode::REQUEST_TIMEOUT, media, ErrorCode::BadUserInput, message));
        }
    };
    let parameters = Parameters::from_body(&body.bytes);
    drop(body);
    match parameters {
        Ok(parameters) => answer(&app, &parts, media, parameters, &id).await,
        Err(message) => refuse(StatusCode::BAD_REQUEST, media, ErrorCode::BadUserInput, message),
    }
}

/// Authenticates, counts, and goes on.
async fn answer<B: Backend>(
    app: &App<B>,
    parts: &Parts,
    media: Media,
    parameters: Parameters,
    id: &RequestId,
) -> Response {
    let from = address(parts);
    let token = match auth::credential(&parts.headers, &app.settings.origins) {
        Ok(token) => token,
        Err(denied @ Denied::Malformed) => {
            return refuse(StatusCode::UNAUTHORIZED, media, ErrorCode::Unauthenticated, denied.to_string());
        }
        Err(denied @ Denied::ForeignOrigin) => {
            return refuse(StatusCode::FORBIDDEN, media, ErrorCode::Forbidden, denied.to_string());
        }
    };
    let who = Who::new(token.as_deref(), from);
    let question = token.as_deref().map(|token| parameters.question(token));
    let recalled = match &question {
        Some(question) => app.backend.recall(question).await,
        None => Recalled::New,
    };
    let version = match recalled {
        // Whoever got this answer, of a database that is as it was then, would be let in as they were then.
        Recalled::Still(answer) => return within_limit(app, &who, media, async { again(media, answer) }).await,
        Recalled::Again(version) => Some(version),
        Recalled::New => None,
    };
    let caller = match app.backend.authenticate(token.as_deref(), from).await {
        Ok(caller) => caller,
        Err(failure @ AuthFailure::BadToken) => {
            // Nobody's: it is counted as one without a token, so that guesses are no way round the limit.
            let who = Who::new(None, from);
            return within_limit(app, &who, media, async { reply::refuse_caller(media, &failure) }).await;
        }
        Err(failure) => return reply::refuse_caller(media, &failure),
    };
    let work = answer_to(app, (caller, &who), (&parts.method, media), (parameters, question, version), id);
    within_limit(app, &who, media, work).await
}

/// Answers, unless it is one request too many of somebody's.
async fn within_limit<B: Backend>(
    app: &App<B>,
    who: &Who,
    media: Media,
    work: impl Future<Output = Response>,
) -> Response {
    let allowance = app.requests.admit(&app.backend, who).await;
    let mut response = match &allowance {
        Some(over) if over.is_over => reply::too_many(media, over.reset, too_many_message(over.reset)),
        _ => work.await,
    };
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    response
}

/// Guards and executes, and remembers what may be asked again.
async fn answer_to<B: Backend>(
    app: &App<B>,
    (caller, who): (B::Caller, &Who),
    (method, media): (&Method, Media),
    (parameters, question, version): (Parameters, Option<Question>, Option<Version>),
    id: &RequestId,
) -> Response {
    let mut checked = match parameters.check(&app.settings.limits, (&app.persisted, who)) {
        Ok(checked) => checked,
        Err(refusal) => return reply::refuse_document(media, refusal.code, refusal.message),
    };
    if checked.kind == Some(OperationType::Subscription) {
        let message = "Subscriptions run over WebSocket (graphql-transport-ws) at this address.";
        return refuse(StatusCode::BAD_REQUEST, media, ErrorCode::BadUserInput, message);
    }
    if *method != Method::POST && checked.kind == Some(OperationType::Mutation) {
        let message = "A mutation must be sent by POST.";
        let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, media, ErrorCode::BadUserInput, message);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let question = question.filter(|_| rows_only(&mut checked.request));
    let begun = Instant::now();
    let executed = execute(app, caller.clone(), checked.request, checked.kind, &id.0).await;
    let note = checked.note.ended(executed.as_ref().map_or_else(code_of, code_of));
    measure::operation(who.asker(), note.operation(), note.code(), Some(begun.elapsed()));
    note.say_if_slow(begun.elapsed(), app.settings.slow_operation);
    let mut response = match executed {
        Ok(outcome) => match question.filter(|_| outcome.errors.is_empty() && outcome.http_headers.is_empty()) {
            Some(question) => {
                let (operation, document) = (note.name().to_owned(), note.hash().to_owned());
                let answer = Answer { json: reply::to_json(&outcome).into(), operation, document };
                let kept = version.map(|version| (version, answer.clone()));
                app.backend.remember(&caller, question, kept).await;
                reply::written(media, answer.json)
            }
            None => reply::outcome(outcome, media),
        },
        Err(failed) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            let mut response = reply::outcome(failed, media);
            *response.status_mut() = status;
            response
        }
    };
    response.extensions_mut().insert(note);
    response
}

/// What was answered before.
fn again(media: Media, answer: Answer) -> Response {
    let note = OperationNote::of_query(answer.operation, answer.document);
    measure::operation(Asker::Known, note.operation(), None, Some(Duration::ZERO));
    measure::given_again();
    let mut response = reply::written(media, answer.json);
    response.extensions_mut().insert(note);
    response
}

/// Executes a query or a mutation within its time, and turns a panic into INTERNAL with an id. An error is an
/// answer too: that the work took too long, or that it panicked.
pub(super) async fn execute<B: Backend>(
    app: &App<B>,
    caller: B::Caller,
    request: Query,
    kind: Option<OperationType>,
    id: &str,
) -> Result<Outcome, Outcome> {
    let (limit, what) = time_limit(app, kind);
    let work = AssertUnwindSafe(app.backend.execute(caller, request)).catch_unwind();
    match timeout(limit, work).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(_)) => Err(panicked(id)),
        Err(_) => {
            let message =
                format!("The {what} took longer than {} and was given up.", humantime::format_duration(limit));
            Err(Outcome::from_errors(vec![coded_error(message, ErrorCode::Internal)]))
        }
    }
}

/// The code of the first error. All that may stand there is [`ErrorCode`]'s.
pub(super) fn code_of(outcome: &Outcome) -> Option<String> {
    let code = outcome.errors.first()?.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    Some(match code {
        Some(async_graphql::Value::String(code)) => code.clone(),
        // An error of validation has none of its own.
        _ => ErrorCode::BadUserInput.as_str().to_owned(),
    })
}

/// How a type of operation is called where it is counted.
pub(super) fn type_of(kind: Option<OperationType>) -> &'static str {
    match kind {
        Some(OperationType::Mutation) => "mutation",
        Some(OperationType::Subscription) => "subscription",
        _ => "query",
    }
}

fn time_limit<B>(app: &App<B>, kind: Option<OperationType>) -> (Duration, &'static str) {
    match kind {
        Some(OperationType::Mutation) => (app.settings.mutation_timeout, "mutation"),
        _ => (app.settings.query_timeout, "query"),
    }
}

/// What is said of a panic: its id, which the log has too.
pub(super) fn panicked(id: &str) -> Outcome {
    tracing::error!(id, "a resolver panicked");
    let mut error = coded_error(format!("internal error {id}"), ErrorCode::Internal);
    if let Some(extensions) = &mut error.extensions {
        extensions.set("id", id);
    }
    Outcome::from_errors(vec![error])
}

pub(super) fn too_many_message(wait: u64) -> String {
    format!("Too many requests. Try again in {wait} seconds.")
}

fn not_acceptable() -> Response {
    let message = "Accept must allow application/graphql-response+json or application/json.";
    refuse(StatusCode::NOT_ACCEPTABLE, Media::Json, ErrorCode::BadUserInput, message)
}
