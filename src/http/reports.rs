//! `GET /reports/{scanId}`: what a scan saw as a document, for callers who may see the scan, streamed.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};

use super::Origins;
use super::caller::{Refusal, caller, refusal};
use crate::app::scans::report::{self, Document};
use crate::app::{App, Error};
use crate::graphql::ids::{self, NodeKind};

/// What the route needs.
#[derive(Clone)]
struct Reports {
    app: App,
    origins: Origins,
}

/// The route, to be given to [`super::router_with`].
pub fn routes(app: App, origins: Origins) -> Router {
    Router::new().route("/reports/{id}", get(whole)).with_state(Reports { app, origins })
}

async fn whole(
    State(reports): State<Reports>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match find(&reports, from, &id, &headers).await {
        Ok(document) => {
            let name = format!("inline; filename=\"{}\"", document.name);
            let headers = [
                (header::CONTENT_TYPE, document.media_type.to_owned()),
                (header::CONTENT_DISPOSITION, name),
                (header::CACHE_CONTROL, "no-store".to_owned()),
            ];
            (headers, Body::from_stream(document.body)).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn find(reports: &Reports, from: SocketAddr, id: &str, headers: &HeaderMap) -> Result<Document, Refusal> {
    let actor = caller(&reports.app, &reports.origins, (from, headers)).await?;
    match ids::decode(&id.into()) {
        Some((NodeKind::Scan, row)) => report::open(&reports.app, &actor, &row).await.map_err(refusal),
        _ => Err(refusal(Error::not_found("scan"))),
    }
}
