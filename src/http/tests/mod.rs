//! The transport against a small schema, on a loopback listener.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod over_http;
mod over_ws;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_graphql::{Context, Object, Request, Response, Schema, Subscription};
use futures_util::{Stream, StreamExt, stream::BoxStream};
use tokio_util::sync::CancellationToken;

use super::{HttpSettings, Origins, router, serve};
use crate::app::answers::{Answer, Question, Recalled, Version};
use crate::graphql::executor::{AuthFailure, Backend, Emitted, Transport, Window, session_cookie};

pub(super) struct Query;

#[Object]
impl Query {
    async fn hello(&self, name: Option<String>) -> String {
        format!("hello {}", name.unwrap_or_else(|| "you".to_owned()))
    }

    async fn caller(&self, context: &Context<'_>) -> String {
        context.data_unchecked::<Option<String>>().clone().unwrap_or_default()
    }

    async fn slow(&self) -> bool {
        tokio::time::sleep(Duration::from_secs(30)).await;
        true
    }

    async fn broken(&self) -> bool {
        std::hint::black_box(None).expect("a secret of the resolver")
    }

    async fn failing(&self) -> async_graphql::Result<bool> {
        Err("no".into())
    }
}

pub(super) struct Mutation;

#[Object]
impl Mutation {
    async fn login(&self, context: &Context<'_>) -> bool {
        context.append_http_header("set-cookie", session_cookie("good", 60, Transport::Http));
        true
    }
}

pub(super) struct Events;

#[Subscription]
impl Events {
    async fn count(&self, to: i32) -> impl Stream<Item = i32> {
        futures_util::stream::iter(0..to)
    }

    async fn forever(&self, size: Option<i32>) -> impl Stream<Item = String> {
        let text = "x".repeat(usize::try_from(size.unwrap_or(1)).unwrap());
        futures_util::stream::unfold(text, |text| async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((text.clone(), text))
        })
    }

    async fn silence(&self) -> impl Stream<Item = i32> {
        futures_util::stream::pending()
    }

    async fn refused(&self) -> async_graphql::Result<BoxStream<'static, i32>> {
        Err("not for you".into())
    }
}

/// Knows the tokens that begin with `good`; `revoked` takes them back.
#[derive(Clone)]
pub(super) struct Small {
    schema: Schema<Query, Mutation, Events>,
    revoked: Arc<AtomicBool>,
    ready: Arc<AtomicBool>,
}

impl Backend for Small {
    type Caller = Option<String>;

    async fn authenticate(&self, token: Option<&str>, _: IpAddr) -> Result<Self::Caller, AuthFailure> {
        match token {
            None => Ok(None),
            Some(token) if token.starts_with("good") => Ok(Some(token.to_owned())),
            Some("often") => Err(AuthFailure::TooMany { retry_after: 7 }),
            Some(_) => Err(AuthFailure::BadToken),
        }
    }

    async fn still_valid(&self, _: &Self::Caller) -> bool {
        !self.revoked.load(Ordering::SeqCst)
    }

    async fn count(&self, _: &str) -> Option<Window> {
        None
    }

    async fn execute(&self, caller: Self::Caller, request: Request) -> Response {
        self.schema.execute(request.data(caller)).await
    }

    async fn recall(&self, _: &Question) -> Recalled {
        Recalled::New
    }

    async fn remember(&self, _: &Self::Caller, _: Question, _: Option<(Version, Answer)>) {}

    fn execute_stream(&self, caller: Self::Caller, request: Request) -> BoxStream<'static, Emitted> {
        self.schema.execute_stream(request.data(caller)).map(Emitted::One).boxed()
    }

    async fn ready(&self) -> Result<(), String> {
        if self.ready.load(Ordering::SeqCst) { Ok(()) } else { Err("the database does not answer".to_owned()) }
    }
}

/// A server that ends with the test.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) backend: Small,
    pub(super) shutdown: CancellationToken,
    pub(super) served: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.served.abort();
    }
}

impl Server {
    pub(super) async fn start(change: impl FnOnce(&mut HttpSettings)) -> Self {
        let shutdown = CancellationToken::new();
        let ids = AtomicU64::new(0);
        let new_id = Arc::new(move || format!("id-{}", ids.fetch_add(1, Ordering::SeqCst)));
        let origins = Origins::new("https://kiops.example", &["https://app.example".to_owned()]);
        let mut settings = HttpSettings::new(origins, new_id, shutdown.clone());
        settings.read_timeout = Duration::from_millis(400);
        settings.query_timeout = Duration::from_millis(400);
        settings.init_timeout = Duration::from_millis(400);
        settings.send_timeout = Duration::from_millis(600);
        settings.recheck_every = Duration::from_millis(50);
        settings.grace = Duration::from_secs(2);
        change(&mut settings);
        let schema = Schema::build(Query, Mutation, Events).disable_suggestions().finish();
        let backend = Small { schema, revoked: Arc::default(), ready: Arc::new(AtomicBool::new(true)) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = router(backend.clone(), settings.clone());
        let served = tokio::spawn(serve(listener, app, settings));
        Self { address, backend, shutdown, served }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn own_origin(&self) -> String {
        format!("http://{}", self.address)
    }
}
