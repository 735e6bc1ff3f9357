//! `/healthz` and `/readyz`.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::App;
use crate::graphql::executor::Backend;

/// 200 as long as the process lives.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// 200 when the server can do its work, else 503 with the reason.
pub(super) async fn ready<B: Backend>(State(app): State<App<B>>) -> Response {
    if app.settings.leaving.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response();
    }
    match app.backend.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}
