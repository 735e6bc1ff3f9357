//! GraphQL answers over HTTP: which status, which headers, and no `data` where nothing was executed.

use async_graphql::{Response as Outcome, ServerError};
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;

use super::negotiate::Media;
use crate::graphql::executor::{AuthFailure, ErrorCode, coded_error, is_request_error};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Errors without `data`, as the specification wants them where nothing was executed.
#[derive(Serialize)]
struct Errors<'a> {
    errors: &'a [ServerError],
}

/// The JSON of an answer, with `data` only if something was executed.
pub(super) fn to_json(outcome: &Outcome) -> String {
    let json = if is_request_error(outcome) {
        serde_json::to_string(&Errors { errors: &outcome.errors })
    } else {
        serde_json::to_string(outcome)
    };
    // A response is made of maps with string keys and finite numbers, which always serialise.
    json.unwrap_or_else(|_| r#"{"errors":[{"message":"internal error","extensions":{"code":"INTERNAL"}}]}"#.to_owned())
}

/// What was executed, or refused by validation.
pub(super) fn outcome(mut outcome: Outcome, media: Media) -> Response {
    let status = match media {
        Media::GraphqlResponse if is_request_error(&outcome) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    let added = std::mem::take(&mut outcome.http_headers);
    let mut response = with_json(status, media, to_json(&outcome));
    for (name, value) in &added {
        response.headers_mut().append(name, value.clone());
    }
    response
}

/// One coded error with its status, whatever the media type.
pub(super) fn refuse(status: StatusCode, media: Media, code: ErrorCode, message: impl Into<String>) -> Response {
    let errors = [coded_error(message, code)];
    with_json(status, media, to_json(&Outcome::from_errors(errors.to_vec())))
}

/// A document that the guard refused: like a validation error, so 200 in plain JSON.
pub(super) fn refuse_document(media: Media, code: ErrorCode, message: String) -> Response {
    let status = if media == Media::Json { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    refuse(status, media, code, message)
}

/// A token that did not let anybody in.
pub(super) fn refuse_caller(media: Media, failure: &AuthFailure) -> Response {
    let message = failure.to_string();
    match failure {
        AuthFailure::BadToken => {
            let mut response = refuse(StatusCode::UNAUTHORIZED, media, ErrorCode::Unauthenticated, message);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        AuthFailure::TooMany { retry_after } => too_many(media, *retry_after, message),
        AuthFailure::Unavailable => refuse(StatusCode::SERVICE_UNAVAILABLE, media, ErrorCode::Internal, message),
    }
}

/// 429 with the time to come back at.
pub(super) fn too_many(media: Media, retry_after: u64, message: impl Into<String>) -> Response {
    let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, media, ErrorCode::RateLimited, message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    response
}

/// An answer without errors that is JSON already.
pub(super) fn written(media: Media, json: Bytes) -> Response {
    with_json(StatusCode::OK, media, json)
}

fn with_json(status: StatusCode, media: Media, json: impl IntoResponse) -> Response {
    let mut response = (status, json).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    response
}
