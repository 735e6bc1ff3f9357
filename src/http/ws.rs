//! The WebSocket handshake: origin, subprotocol, limits.
//!
//! Whoever asks for no subprotocol that is spoken here is let in without one and closed with 4406: the code reaches a client
//! that asked for none, and one that asked for another has to give up by itself (RFC 6455, section 4.1).

use axum::{
    extract::{WebSocketUpgrade, ws::CloseFrame},
    http::{StatusCode, header::COOKIE, request::Parts},
    response::Response,
};

use super::{
    App, auth, body, graphql,
    negotiate::Media,
    origin::Site,
    rate::Who,
    reply::{self, refuse},
    serve::Place,
    socket::{self, Handshake},
};
use crate::graphql::executor::{Backend, ErrorCode};
use crate::measure::Open;

const PROTOCOL: &str = "graphql-transport-ws";

/// The close codes of graphql-transport-ws and of RFC 6455 (and its registry at IANA) that the server sends.
pub(super) mod close {
    pub(in crate::http) const GOING_AWAY: u16 = 1001;
    pub(in crate::http) const TOO_BIG: u16 = 1009;
    pub(in crate::http) const TRY_AGAIN: u16 = 1013;
    pub(in crate::http) const BAD_MESSAGE: u16 = 4400;
    pub(in crate::http) const UNAUTHORIZED: u16 = 4401;
    pub(in crate::http) const FORBIDDEN: u16 = 4403;
    pub(in crate::http) const NOT_ACCEPTABLE: u16 = 4406;
    pub(in crate::http) const INIT_TIMEOUT: u16 = 4408;
    pub(in crate::http) const DUPLICATE_ID: u16 = 4409;
    pub(in crate::http) const TOO_MANY: u16 = 4429;
}

/// The longest reason of a close frame (RFC 6455, section 5.5): a longer one breaks the protocol, and its code is lost.
const REASON_BYTES: usize = 123;

pub(super) fn frame(code: u16, reason: &str) -> CloseFrame {
    CloseFrame { code, reason: reason[..reason.floor_char_boundary(REASON_BYTES)].into() }
}

/// Upgrades a connection from our own or an allowed origin, or from no browser at all.
pub(super) fn accept<B: Backend>(app: App<B>, upgrade: WebSocketUpgrade, parts: &Parts) -> Response {
    let site = app.settings.origins.site(&parts.headers);
    if site == Site::Foreign {
        let message = "WebSockets from this origin are not allowed.";
        return refuse(StatusCode::FORBIDDEN, Media::Json, ErrorCode::Forbidden, message);
    }
    let upgrade = upgrade.protocols([PROTOCOL]);
    let speaks = upgrade.selected_protocol().is_some();
    // A cookie counts for our own pages alone. Elsewhere it is as if there were none.
    let mut headers = parts.headers.clone();
    if site != Site::Same {
        headers.remove(COOKIE);
    }
    let token = match auth::credential(&headers, &app.settings.origins) {
        Ok(token) => token,
        Err(denied) => {
            return refuse(StatusCode::UNAUTHORIZED, Media::Json, ErrorCode::Unauthenticated, denied.to_string());
        }
    };
    let from = graphql::address(parts);
    let Some(seat) = app.sockets.seat(Who::address(from)) else {
        let message = "Too many WebSockets are open, from this address or in all.";
        // Its place is for others now, not for what else it may ask for.
        return body::closing(reply::too_many(Media::Json, 60, message));
    };
    let handshake = Handshake { token, from, may_be_anonymous: site != Site::Unsaid };
    let size = app.settings.body_bytes;
    let tracked = app.settings.tasks.token();
    let place = parts.extensions.get::<Place>().cloned();
    upgrade
        .max_message_size(size)
        .max_frame_size(size)
        .read_buffer_size(8 * 1024)
        .write_buffer_size(16 * 1024)
        .on_upgrade(move |socket| async move {
            let open = Open::socket();
            if speaks {
                socket::run(app, socket, handshake).await;
            } else {
                let reason = format!("The subprotocol must be {PROTOCOL}");
                socket::turn_away(socket, frame(close::NOT_ACCEPTABLE, &reason)).await;
            }
            drop((seat, tracked, open, place));
        })
}
