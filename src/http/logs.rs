//! `GET /logs/{id}`: a run's whole log as text, for callers who may see it, streamed.

use std::net::SocketAddr;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};

use super::Origins;
use super::caller::{Refusal, caller, refusal};
use crate::app::deployments::list;
use crate::app::{App, Error, log, pipelines};
use crate::graphql::ids::{self, NodeKind};

/// Lines that are read at once, each of 16 KiB at most: a reader that does not read keeps them.
const BATCH: u64 = 64;

/// What the route needs.
#[derive(Clone)]
struct Logs {
    app: App,
    origins: Origins,
}

/// The route, to be given to [`super::router_with`].
pub fn routes(app: App, origins: Origins) -> Router {
    Router::new().route("/logs/{id}", get(whole)).with_state(Logs { app, origins })
}

async fn whole(
    State(logs): State<Logs>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match find(&logs, from, &id, &headers).await {
        Ok(run_id) => {
            let body = Body::from_stream(lines(logs.app, run_id));
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], body)
                .into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn find(logs: &Logs, from: SocketAddr, id: &str, headers: &HeaderMap) -> Result<String, Refusal> {
    let actor = caller(&logs.app, &logs.origins, (from, headers)).await?;
    let run = match ids::decode(&id.into()) {
        Some((NodeKind::Deployment, row)) => list::one(&logs.app, &actor, &row).await.map(|found| found.id),
        Some((NodeKind::Pipeline, row)) => pipelines::list::one(&logs.app, &actor, &row).await.map(|found| found.id),
        _ => Err(Error::not_found("run")),
    };
    run.map_err(refusal)
}

fn lines(app: App, run_id: String) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    async_stream::try_stream! {
        let mut seq = 0;
        loop {
            let batch = log::after(&app, &run_id, None, seq, BATCH).await.map_err(|e| std::io::Error::other(e.message))?;
            let Some(last) = batch.last() else { return };
            seq = last.seq;
            let text: String = batch.iter().map(|line| format!("{} {}\n", line.at.to_rfc3339(), line.text)).collect();
            drop(batch);
            yield Bytes::from(text);
        }
    }
}
