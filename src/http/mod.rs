//! The HTTP side of the server: GraphQL over HTTP and WebSocket, the GraphiQL page, logs, webhooks, and health.
//!
//! Nothing here knows what is executed: all that is behind [`Backend`].

mod auth;
mod body;
mod caller;
mod graphql;
mod health;
pub mod logs;
pub mod metrics;
mod negotiate;
mod observe;
mod operation;
mod origin;
mod pages;
mod persisted;
mod rate;
mod reply;
pub mod reports;
mod request;
mod serve;
mod socket;
pub mod webhooks;
mod ws;

use std::{sync::Arc, time::Duration};

use axum::{
    Router, middleware,
    routing::{MethodRouter, get},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use auth::{Denied, credential};
pub use observe::RequestId;
pub use origin::Origins;
pub use serve::serve;

use crate::graphql::{executor::Backend, limits::Limits};
use persisted::Persisted;

/// Makes the id of a request: time-ordered and unique.
pub type NewId = Arc<dyn Fn() -> String + Send + Sync>;

/// What the transports need to know; plain values from the sections `[server]` and `[limits]`.
#[derive(Clone)]
pub struct HttpSettings {
    /// Which browsers' origins are let in.
    pub origins: Origins,
    /// Whether `GET /graphql` shows GraphiQL.
    pub graphiql: bool,
    /// What a document may cost.
    pub limits: Limits,
    /// Bytes of a request's body and of a WebSocket message.
    pub body_bytes: usize,
    /// How long a query may take.
    pub query_timeout: Duration,
    /// How long a mutation may take.
    pub mutation_timeout: Duration,
    /// Requests a minute for each token; 0 is no limit.
    pub requests_per_minute: u32,
    /// Documents that are kept for each token, to be named by their hash; 0 is none.
    pub persisted_queries: usize,
    /// An operation that takes so long is logged; zero is none.
    pub slow_operation: Duration,
    /// How long a request's header, and then its body, may take to arrive.
    pub read_timeout: Duration,
    /// How long the other side may read so little of what it is sent that no more can be written, before the connection is
    /// dropped. The kernel keeps some megabytes where the network is fast.
    pub write_timeout: Duration,
    /// How long a WebSocket may wait with `connection_init`.
    pub init_timeout: Duration,
    /// How long a WebSocket's reader may stall before it is dropped.
    pub send_timeout: Duration,
    /// How long a WebSocket may be open without a token: enough to log in.
    pub stranger_timeout: Duration,
    /// How often the other side of a WebSocket is asked whether it is there.
    pub ping_every: Duration,
    /// How often it is asked whether the caller of an open WebSocket may go on.
    pub recheck_every: Duration,
    /// Operations at once on one WebSocket.
    pub operations_per_socket: usize,
    /// WebSockets at once for one token, and for one address.
    pub sockets_per_caller: usize,
    /// TCP connections at once; three quarters of them may be WebSockets.
    pub connections: usize,
    /// How long requests in work may take after shutdown has begun.
    pub grace: Duration,
    /// Makes the ids of requests.
    pub new_id: NewId,
    /// Cancelled when others are to be asked instead: `/readyz` says so from then on.
    pub leaving: CancellationToken,
    /// Cancelled when the server is to stop; WebSockets then close with 1001.
    pub shutdown: CancellationToken,
    /// Holds the tasks of WebSockets, which outlive their HTTP connection.
    pub tasks: TaskTracker,
}

impl HttpSettings {
    /// The contract's defaults.
    #[must_use]
    pub fn new(origins: Origins, new_id: NewId, shutdown: CancellationToken) -> Self {
        Self {
            origins,
            graphiql: true,
            limits: Limits::default(),
            body_bytes: 2 * 1024 * 1024,
            query_timeout: Duration::from_secs(10),
            mutation_timeout: Duration::from_secs(60),
            requests_per_minute: 0,
            persisted_queries: 500,
            slow_operation: Duration::from_secs(5),
            read_timeout: Duration::from_secs(8),
            write_timeout: Duration::from_secs(60),
            init_timeout: Duration::from_secs(10),
            send_timeout: Duration::from_secs(10),
            stranger_timeout: Duration::from_secs(60),
            ping_every: Duration::from_secs(20),
            recheck_every: Duration::from_secs(2),
            operations_per_socket: 100,
            sockets_per_caller: 1_000,
            connections: 4_096,
            grace: Duration::from_secs(10),
            new_id,
            leaving: shutdown.clone(),
            shutdown,
            tasks: TaskTracker::new(),
        }
    }
}

/// What the bodies of requests may take together, in bytes; one that may be larger has room alone.
const BODIES: usize = 256 * 1024 * 1024;

/// What every handler of this room shares.
#[derive(Clone)]
struct App<B> {
    backend: B,
    settings: Arc<HttpSettings>,
    requests: Arc<rate::Requests>,
    sockets: Arc<rate::Sockets>,
    persisted: Arc<Persisted>,
    /// What the bodies of requests take, from their first byte until they are read.
    room: body::Room,
}

/// The routes of GraphQL, GraphiQL and health.
pub fn router<B: Backend>(backend: B, settings: HttpSettings) -> Router {
    router_with(backend, settings, Router::new())
}

/// The same with more routes, which get the same request ids, log lines, security headers and guard against
/// panics.
pub fn router_with<B: Backend>(backend: B, settings: HttpSettings, more: Router) -> Router {
    let app = app(backend, settings);
    let settings = app.settings.clone();
    let endpoint: MethodRouter<App<B>> = get(graphql::get::<B>).post(graphql::post::<B>).options(origin::preflight);
    let mut routes = health_of::<B>().route("/graphql", endpoint);
    if settings.graphiql {
        routes = routes.route("/graphiql/{file}", get(pages::asset));
    }
    routes
        .with_state(app)
        .merge(more)
        .layer(middleware::from_fn_with_state(settings.clone(), origin::cors))
        .layer(middleware::from_fn_with_state(settings, observe::observe))
}

/// The routes of health and some more: what a server without the API answers to whoever looks after it.
pub fn health<B: Backend>(backend: B, settings: HttpSettings, more: Router) -> Router {
    let app = app(backend, settings);
    let observed = middleware::from_fn_with_state(app.settings.clone(), observe::observe);
    health_of::<B>().with_state(app).merge(more).layer(observed)
}

fn health_of<B: Backend>() -> Router<App<B>> {
    Router::new().route("/healthz", get(health::alive)).route("/readyz", get(health::ready::<B>))
}

fn app<B: Backend>(backend: B, settings: HttpSettings) -> App<B> {
    App {
        backend,
        requests: Arc::new(rate::Requests::new(settings.requests_per_minute)),
        sockets: Arc::new(rate::Sockets::new(settings.sockets_per_caller, settings.connections)),
        persisted: Arc::new(Persisted::new(settings.persisted_queries)),
        room: body::Room::of(BODIES.max(settings.body_bytes)),
        settings: Arc::new(settings),
    }
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
