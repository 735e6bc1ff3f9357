//! What is asked of a provider when many ask at once, and when something is changed meanwhile.
#![expect(clippy::unwrap_used, reason = "tests")]

use axum::body::Body;
use axum::extract::Request as Received;
use axum::http::Response as Reply;
use chrono::TimeZone as _;
use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::domain::git::Provider;
use crate::net::{Policy, Timeouts};

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> DateTime<Utc> {
        Utc.timestamp_opt(1_750_000_000, 0).unwrap()
    }
}

/// A provider that answers as a function says, which is given the request's number from 0.
struct Server {
    api: Api,
    asked: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    async fn new<F>(answer: impl Fn(usize) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Reply<Body>> + Send + 'static,
    {
        let asked: Arc<Mutex<Vec<Received>>> = Arc::default();
        let log = asked.clone();
        let app = axum::Router::new().fallback(move |request: Received| {
            let mut log = log.lock().unwrap();
            log.push(request);
            answer(log.len() - 1)
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let access = GitAccess {
            provider: Provider::Github,
            base_url: format!("http://{}", listener.local_addr().unwrap()),
            token: SecretString::from("hunter2-hunter2"),
            organization_id: "o1".to_owned(),
            trusted: false,
        };
        tokio::spawn(async move { axum::serve(listener, app).await });
        let policy = Policy::new(&["127.0.0.1".to_owned()], &[], None, Timeouts::default()).unwrap();
        let shared = Shared::new(Outbound::new(policy).unwrap(), Arc::new(Stopped));
        let dialect = Dialect {
            token_header: reqwest::header::AUTHORIZATION,
            token_prefix: "Bearer ",
            headers: HeaderMap::new(),
            unspent: Reach::Everything,
        };
        Self { api: Api::new(&shared, &access, Trust::User, dialect).unwrap(), asked }
    }

    async fn get(&self, name: &str, memory: Memory) -> Result<Answer, GitError> {
        self.api.get(self.api.url(&[name]), memory).await
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn reply(headers: &[(&str, &str)], body: &str) -> Reply<Body> {
    let reply = headers.iter().fold(Reply::builder(), |reply, (name, value)| reply.header(*name, *value));
    reply.body(Body::from(body.to_owned())).unwrap()
}

async fn wait(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test]
async fn who_waits_for_a_turn_is_not_sent_once_a_limit_is_spent() {
    let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1750000600")];
    let server = Server::new(move |_| async move {
        wait(200).await;
        reply(&spent, "[]")
    })
    .await;
    let names: Vec<String> = (0..3 * AT_ONCE).map(|n| n.to_string()).collect();
    let answers = join_all(names.iter().map(|name| server.get(name, Memory::Never))).await;
    assert_eq!(server.count(), AT_ONCE);
    let limited = answers.iter().filter(|answer| matches!(answer, Err(GitError::Limited { .. }))).count();
    assert_eq!(limited, 2 * AT_ONCE);
}

#[tokio::test]
async fn who_waits_for_a_turn_for_too_long_is_not_sent() {
    let server = Server::new(|_| std::future::pending()).await;
    let names: Vec<String> = (0..AT_ONCE + 2).map(|n| n.to_string()).collect();
    let began = Instant::now();
    let answers = join_all(names.iter().map(|name| server.get(name, Memory::Never))).await;
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(server.count(), AT_ONCE);
    for (n, answer) in answers.iter().enumerate() {
        let said = answer.as_ref().unwrap_err().to_string();
        assert_eq!(said.contains("was not asked: earlier requests took all of 8 s"), n >= AT_ONCE, "{said}");
    }
}

#[tokio::test]
async fn those_who_ask_whether_something_has_changed_wait_for_one_answer() {
    let server = Server::new(|_| async {
        wait(100).await;
        reply(&[("etag", "\"1\"")], "[]")
    })
    .await;
    let asks = (0..20).map(|_| server.get("x", Memory::Revalidated));
    assert!(join_all(asks).await.iter().all(Result::is_ok));
    // The first was on its way when the others came; one asks for all of those.
    assert_eq!(server.count(), 2);
    server.get("x", Memory::Revalidated).await.unwrap();
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn what_is_fresh_is_given_while_another_asks_whether_it_has_changed() {
    let server = Server::new(|n| async move {
        wait(if n == 0 { 0 } else { 2000 }).await;
        reply(&[], "[]")
    })
    .await;
    server.get("x", Memory::Recent).await.unwrap();
    let quick = async {
        wait(100).await;
        let began = Instant::now();
        server.get("x", Memory::Recent).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1));
    };
    tokio::join!(server.get("x", Memory::Revalidated), quick).0.unwrap();
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn what_was_asked_before_a_change_is_not_given_after_it() {
    // The first read takes longer than the change that is made meanwhile.
    let server = Server::new(|n| async move {
        wait(if n == 0 { 500 } else { 0 }).await;
        reply(&[], if n == 0 { "[\"old\"]" } else { "[\"new\"]" })
    })
    .await;
    let change = async {
        wait(100).await;
        server.api.send(Method::POST, server.api.url(&["x"]), &json!({})).await.unwrap();
    };
    let (old, ()) = tokio::join!(server.get("x", Memory::Recent), change);
    assert_eq!(old.unwrap().body, "[\"old\"]");
    assert_eq!(server.get("x", Memory::Recent).await.unwrap().body, "[\"new\"]");
    assert_eq!(server.get("x", Memory::Recent).await.unwrap().body, "[\"new\"]");
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn a_change_that_its_caller_gave_up_on_is_one_all_the_same() {
    let server = Server::new(|n| async move {
        if n == 1 {
            std::future::pending::<()>().await;
        }
        reply(&[], "[]")
    })
    .await;
    server.get("x", Memory::Recent).await.unwrap();
    let url = server.api.url(&["x"]);
    tokio::time::timeout(Duration::from_millis(300), server.api.send(Method::POST, url, &json!({}))).await.unwrap_err();
    assert_eq!(server.count(), 2);
    server.get("x", Memory::Recent).await.unwrap();
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn only_a_get_asks_whether_something_has_changed() {
    let server = Server::new(|_| async { reply(&[("etag", "\"1\"")], "{}") }).await;
    let url = server.api.url(&["graphql"]);
    for _ in 0..2 {
        server.api.query(url.clone(), &json!({ "query": "{x}" }), Memory::Revalidated).await.unwrap();
        server.get("x", Memory::Revalidated).await.unwrap();
    }
    let asked = server.asked.lock().unwrap();
    let asks: Vec<_> =
        asked.iter().map(|asked| (asked.method().as_str(), asked.headers().contains_key("if-none-match"))).collect();
    assert_eq!(asks, [("POST", false), ("GET", false), ("POST", false), ("GET", true)]);
}
