//! How much may be open.

use serde_json::{Value, json};

use super::client::Socket;
use crate::support::server::{Server, until};

/// What is tripped here.
pub const KEYS: [&str; 2] = ["operations_per_socket", "sockets_per_caller"];

fn services() -> Value {
    json!({ "query": "subscription{serviceChanged{kind}}" })
}

#[test]
fn subscriptions_of_a_socket() {
    let server = Server::start_with(&[("LIMITS__OPERATIONS_PER_SOCKET", "2")]);
    let mut socket = Socket::open(&server).unwrap();
    socket.subscribe("1", &services());
    // What is second ends, so that there is room again.
    assert_eq!(socket.code("2", &json!({ "query": "{__typename}" })), None);
    socket.subscribe("3", &services());
    assert_eq!(socket.code("4", &json!({ "query": "{__typename}" })).as_deref(), Some("RATE_LIMITED"));
    socket.say(&json!({ "id": "1", "type": "complete" }));
    assert_eq!(socket.code("5", &json!({ "query": "{__typename}" })), None);
}

#[test]
fn sockets_of_an_address() {
    let server = Server::start_with(&[("LIMITS__SOCKETS_PER_CALLER", "2")]);
    let (one, _other) = (Socket::open(&server).unwrap(), Socket::open(&server).unwrap());
    assert_eq!(Socket::open(&server).err(), Some(429));
    drop(one);
    until("a seat", 10, || Socket::open(&server).ok());
}
