//! Who asks for a file: the same credentials as for GraphQL, answered in plain text.

use std::net::SocketAddr;

use axum::http::{HeaderMap, StatusCode};

use super::{Denied, Origins, credential};
use crate::app::identity::sessions;
use crate::app::{Actor, App, Code, Error};

/// A status and why, for people.
pub(super) type Refusal = (StatusCode, String);

/// Whoever asks, logged in.
///
/// # Errors
/// 401 without credentials that work, 403 for a cookie from another site.
pub(super) async fn caller(
    app: &App,
    origins: &Origins,
    (from, headers): (SocketAddr, &HeaderMap),
) -> Result<Actor, Refusal> {
    let token = match credential(headers, origins) {
        Ok(token) => token.ok_or_else(|| refusal(Error::unauthenticated()))?,
        Err(Denied::ForeignOrigin) => {
            return Err((StatusCode::FORBIDDEN, "another site may not ask this\n".to_owned()));
        }
        Err(Denied::Malformed) => return Err(refusal(Error::unauthenticated())),
    };
    let address = Some(from.ip().to_canonical().to_string());
    let actor = sessions::authenticate(app, &token, address).await.map_err(refusal)?;
    actor.ok_or_else(|| refusal(Error::unauthenticated()))
}

/// An error of a use case, as a status and its message.
pub(super) fn refusal(error: Error) -> Refusal {
    let status = match error.code {
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::NotFound => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, format!("{}\n", error.message))
}
