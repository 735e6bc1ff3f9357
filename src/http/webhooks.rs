//! `POST /webhooks/{provider}/{serviceId}`: what Git providers send. No token is looked at, and nothing is said but whether
//! it was taken.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::post};
use tokio::time::timeout;

use super::body::{self, Room, Unread, closing};
use super::negotiate::is_plain_json;
use crate::app::webhooks::intake::{Intake, Received};
use crate::domain::git::Provider;
use crate::graphql::ids::{self, NodeKind};

/// Bytes of deliveries that are on their way at once, over all connections.
const ON_THEIR_WAY: usize = 256 * 1024 * 1024;

/// How deliveries are taken.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Bytes of a delivery.
    pub body_bytes: usize,
    /// How long a delivery's body may take to arrive.
    pub read_timeout: Duration,
}

/// What the route needs.
#[derive(Clone)]
struct Webhooks {
    intake: Arc<Intake>,
    settings: WebhookSettings,
    room: Room,
}

/// The routes, to be given to [`super::router_with`].
pub fn routes(intake: Intake, settings: WebhookSettings) -> Router {
    let webhooks = Webhooks { intake: Arc::new(intake), settings, room: Room::of(ON_THEIR_WAY) };
    Router::new()
        .route("/webhooks/gitlab/{id}", post(gitlab))
        .route("/webhooks/github/{id}", post(github))
        .with_state(webhooks)
}

async fn gitlab(State(webhooks): State<Webhooks>, Path(id): Path<String>, request: Request) -> Response {
    receive(webhooks, Provider::Gitlab, id, request).await
}

async fn github(State(webhooks): State<Webhooks>, Path(id): Path<String>, request: Request) -> Response {
    receive(webhooks, Provider::Github, id, request).await
}

async fn receive(webhooks: Webhooks, provider: Provider, id: String, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if !is_plain_json(&parts.headers) {
        let text =
            "a delivery is application/json in UTF-8, not compressed: set the content type of the webhook to that";
        return closing(say(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let limit = webhooks.settings.body_bytes;
    let read = body::read(&parts.headers, body, limit, &webhooks.room);
    let body = match timeout(webhooks.settings.read_timeout, read).await {
        Ok(Ok(body)) => body,
        Ok(Err(Unread::TooLarge)) => {
            let text = format!("a delivery has at most {limit} bytes");
            return closing(say(StatusCode::PAYLOAD_TOO_LARGE, &text));
        }
        Ok(Err(Unread::NoRoom)) => return closing(later(StatusCode::TOO_MANY_REQUESTS)),
        Ok(Err(Unread::Broken)) => return closing(say(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => return closing(say(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive")),
    };
    let service_id = match ids::decode(&id.into()) {
        Some((NodeKind::Service, row)) => Some(row),
        _ => None,
    };
    let header = |name: &str| text(&parts.headers, name);
    match webhooks.intake.receive(provider, service_id.as_deref(), header, body.bytes.clone()).await {
        Received::Stored => say(StatusCode::ACCEPTED, "stored"),
        Received::Refused => say(StatusCode::UNAUTHORIZED, "there is no such webhook, or its secret is another one"),
        Received::Busy => later(StatusCode::TOO_MANY_REQUESTS),
        Received::Away => later(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// A header's value; none where it was sent twice: nobody knows which of them is meant.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() {
        return None;
    }
    first.to_str().ok()
}

fn say(status: StatusCode, text: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

fn later(status: StatusCode) -> Response {
    let mut response = say(status, "too much at once: try again soon");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    response
}
