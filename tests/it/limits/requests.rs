//! How large requests may be, how many there may be of them, and documents that are named by their hash.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::client::{Socket, post};
use crate::support::server::{Server, talk};

/// What is tripped here.
pub const KEYS: [&str; 4] = ["request_body_bytes", "webhook_body_bytes", "requests_per_minute", "persisted_queries"];

fn body_of(bytes: usize) -> String {
    let empty = json!({ "query": "{__typename}", "variables": { "a": "" } }).to_string();
    let filling = "x".repeat(bytes - empty.len());
    json!({ "query": "{__typename}", "variables": { "a": filling } }).to_string()
}

#[test]
fn bodies() {
    let server = Server::start_with(&[("LIMITS__REQUEST_BODY_BYTES", "1000"), ("LIMITS__WEBHOOK_BODY_BYTES", "500")]);
    let answer = post(&server, &server.token, &body_of(1_000));
    assert_eq!((answer.status, answer.code()), (200, None));
    let answer = post(&server, &server.token, &body_of(1_001));
    assert_eq!((answer.status, answer.code()), (413, Some("BAD_USER_INPUT")));

    let message = |bytes: usize| {
        let empty = json!({ "type": "ping", "payload": { "a": "" } }).to_string().len();
        json!({ "type": "ping", "payload": { "a": "x".repeat(bytes - empty) } })
    };
    let mut socket = Socket::open(&server).unwrap();
    socket.say(&message(1_000));
    assert_eq!(socket.hear()["type"], "pong");
    socket.say(&message(1_001));
    assert_eq!(socket.closed(), 1009);

    for (bytes, status) in [(500, "401"), (501, "413")] {
        let request = format!(
            "POST /webhooks/gitlab/nobodys HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n{}",
            "x".repeat(bytes)
        );
        let answer = talk(&server.address, &request).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{bytes}: {answer}");
    }
}

#[test]
fn requests_in_a_minute() {
    let server = Server::start_with(&[("LIMITS__REQUESTS_PER_MINUTE", "4")]);
    let ask = || post(&server, &server.token, r#"{"query":"{__typename}"}"#);
    for left in (0..4).rev() {
        let answer = ask();
        assert_eq!((answer.status, answer.code()), (200, None));
        assert_eq!(answer.header("ratelimit-policy"), Some("\"requests\";q=4;w=60"));
        let now = answer.header("ratelimit").unwrap();
        assert!(now.starts_with(&format!("\"requests\";r={left};t=")), "{now}");
    }
    let answer = ask();
    assert_eq!((answer.status, answer.code()), (429, Some("RATE_LIMITED")));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(answer.header("ratelimit").unwrap().starts_with("\"requests\";r=0;t="));
    // It is the token that has no more, over the WebSocket too, and not the address.
    let mut socket = Socket::open(&server).unwrap();
    assert_eq!(socket.code("1", &json!({ "query": "{__typename}" })).as_deref(), Some("RATE_LIMITED"));
    assert_eq!(post(&server, "", r#"{"query":"{__typename}"}"#).status, 200);

    let unlimited = Server::start();
    let answer = post(&unlimited, &unlimited.token, r#"{"query":"{__typename}"}"#);
    assert!(answer.header("ratelimit").is_none() && answer.header("ratelimit-policy").is_none());
}

fn named(query: &str) -> Value {
    let hash = hex::encode(Sha256::digest(query));
    json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": hash } } })
}

fn sent(query: &str) -> Value {
    let mut request = named(query);
    request["query"] = query.into();
    request
}

#[test]
fn documents_named_by_their_hash() {
    let server = Server::start_with(&[("LIMITS__PERSISTED_QUERIES", "1")]);
    let code = |request: &Value| post(&server, &server.token, &request.to_string()).code().map(str::to_owned);
    let unknown = Some("PERSISTED_QUERY_NOT_FOUND".to_owned());
    assert_eq!(code(&named("{__typename}")), unknown);
    assert_eq!((code(&sent("{__typename}")), code(&named("{__typename}"))), (None, None));
    // A second one takes the place of the first.
    assert_eq!((code(&sent("{viewer{role}}")), code(&named("{viewer{role}}"))), (None, None));
    assert_eq!(code(&named("{__typename}")), unknown);
    let mut socket = Socket::open(&server).unwrap();
    assert_eq!(socket.code("1", &named("{viewer{role}}")), None);
    assert_eq!(socket.code("2", &named("{__typename}")), unknown);

    let off = Server::start_with(&[("LIMITS__PERSISTED_QUERIES", "0")]);
    let answer = post(&off, &off.token, &sent("{__typename}").to_string());
    assert_eq!(answer.code(), None, "with its document it is a request like any other");
    let answer = post(&off, &off.token, &named("{__typename}").to_string());
    assert_eq!(answer.code(), Some("PERSISTED_QUERY_NOT_SUPPORTED"));
    assert_eq!(answer.body["errors"][0]["message"], "PersistedQueryNotSupported");
}
