//! graphql-transport-ws, its close codes and limits.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use super::Server;

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn open(server: &Server, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://{}/graphql", server.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn ready(server: &Server) -> Self {
        let mut client = Self::open(server, &[("origin", &server.own_origin())]).await.unwrap();
        client.say(json!({"type": "connection_init", "payload": {"authorization": "Bearer good"}})).await;
        assert_eq!(client.hear().await["type"], "connection_ack");
        client
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(json!({"id": id, "type": "subscribe", "payload": {"query": query}})).await;
    }

    async fn hear(&mut self) -> Value {
        match self.message().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn message(&mut self) -> Message {
        timeout(Duration::from_secs(5), self.0.next()).await.unwrap().unwrap().unwrap()
    }

    async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.message().await {
                return frame.map_or(1005, |frame| frame.code.into());
            }
        }
    }
}

#[tokio::test]
async fn origins() {
    let server = Server::start(|_| ()).await;
    for origin in ["https://evil.example", "null"] {
        assert_eq!(Client::open(&server, &[("origin", origin)]).await.err(), Some(403), "{origin}");
    }
    assert!(Client::open(&server, &[("origin", "https://app.example")]).await.is_ok());
    let mut nobody = Client::open(&server, &[]).await.unwrap();
    nobody.say(json!({"type": "connection_init"})).await;
    assert_eq!(nobody.closed().await, 4403);
    for headers in [
        vec![("authorization", "Bearer good")],
        vec![("cookie", "kiops_session=good"), ("origin", "https://kiops.example")],
    ] {
        let mut client = Client::open(&server, &headers).await.unwrap();
        client.say(json!({"type": "connection_init"})).await;
        assert_eq!(client.hear().await["type"], "connection_ack");
        client.subscribe("1", "{caller}").await;
        assert_eq!(client.hear().await["payload"]["data"]["caller"], "good");
    }
    let mut client = Client::open(&server, &[("cookie", "kiops_session=good")]).await.unwrap();
    client.say(json!({"type": "connection_init"})).await;
    assert_eq!(client.closed().await, 4403);
}

#[tokio::test]
async fn close_codes() {
    let server = Server::start(|_| ()).await;
    let own = server.own_origin();
    let open = || async { Client::open(&server, &[("origin", &own)]).await.unwrap() };
    assert_eq!(open().await.closed().await, 4408);
    for (message, code) in [
        (json!({"id": "1", "type": "subscribe", "payload": {"query": "{hello}"}}), 4401),
        (json!({"type": "connection_init", "payload": {"authorization": "Bearer bad"}}), 4403),
        (json!({"type": "connection_init", "payload": {"authorization": 1}}), 4403),
        (json!({"type": "connection_init", "payload": 1}), 4400),
        (json!({"type": "unknown"}), 4400),
        (json!([]), 4400),
    ] {
        let mut client = open().await;
        client.say(message.clone()).await;
        assert_eq!(client.closed().await, code, "{message}");
    }
    for (message, code) in
        [(Message::text("{"), 4400), (Message::binary(vec![1, 2]), 4400), (Message::text(" ".repeat(3_000_000)), 1009)]
    {
        let mut client = Client::ready(&server).await;
        let _ = client.0.send(message).await;
        assert_eq!(client.closed().await, code);
    }
    // The code is still there for whoever reads it a moment later, with the rest of the message unread.
    let mut late = Client::ready(&server).await;
    let _ = late.0.send(Message::text(" ".repeat(3_000_000))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(late.closed().await, 1009);
    let plain = format!("ws://{}/graphql", server.address);
    let (socket, _) = connect_async(plain).await.unwrap();
    assert_eq!(Client(socket).closed().await, 4406);
    let mut other = format!("ws://{}/graphql", server.address).into_client_request().unwrap();
    other.headers_mut().insert("sec-websocket-protocol", "graphql-ws".parse().unwrap());
    assert!(connect_async(other).await.is_err(), "a client must not go on without the protocol that it asked for");
    let mut client = Client::ready(&server).await;
    client.say(json!({"type": "connection_init"})).await;
    assert_eq!(client.closed().await, 4429);
    // A close frame has no room for all of a long id.
    for id in ["1".to_owned(), "x".repeat(256), "\u{1f980}".repeat(64)] {
        let mut client = Client::ready(&server).await;
        client.subscribe(&id, "subscription{forever}").await;
        client.subscribe(&id, "subscription{forever}").await;
        assert_eq!(client.closed().await, 4409, "{id}");
    }
}

#[tokio::test]
async fn operations() {
    let server = Server::start(|_| ()).await;
    let mut client = Client::ready(&server).await;
    client.say(json!({"type": "ping"})).await;
    assert_eq!(client.hear().await["type"], "pong");
    client.subscribe("a\"b", "subscription{count(to:2)}").await;
    for n in 0..2 {
        assert_eq!(client.hear().await, json!({"id": "a\"b", "type": "next", "payload": {"data": {"count": n}}}));
    }
    assert_eq!(client.hear().await, json!({"id": "a\"b", "type": "complete"}));
    for query in ["{hello}", "mutation{login}", "{failing}"] {
        client.subscribe("1", query).await;
        assert_eq!(client.hear().await["type"], "next", "{query}");
        assert_eq!(client.hear().await["type"], "complete", "{query}");
    }
    for (query, word) in [
        ("{", "Syntax"),
        ("{unknown}", "Unknown field"),
        ("subscription{unknown}", "Unknown field"),
        ("subscription{refused}", "not for you"),
        ("{...F} fragment F on Query{...F}", "circle"),
        ("{slow}", "longer than"),
        ("{broken}", "internal error"),
    ] {
        client.subscribe("1", query).await;
        let answer = client.hear().await;
        assert_eq!(answer["type"], "error", "{query}");
        assert!(answer["payload"][0]["message"].as_str().unwrap().contains(word), "{answer}");
    }
    client.subscribe("2", "subscription{forever}").await;
    assert_eq!(client.hear().await["type"], "next");
    client.say(json!({"id": "2", "type": "complete"})).await;
    client.subscribe("3", "{hello}").await;
    while client.hear().await["id"] != "3" {}
    assert_eq!(client.hear().await, json!({"id": "3", "type": "complete"}));
}

#[tokio::test]
async fn operations_and_sockets_are_capped() {
    let server = Server::start(|settings| {
        settings.operations_per_socket = 3;
        settings.sockets_per_caller = 2;
    })
    .await;
    let mut client = Client::ready(&server).await;
    for id in ["1", "2", "3", "4"] {
        client.subscribe(id, "subscription{forever}").await;
    }
    loop {
        let answer = client.hear().await;
        if answer["id"] == "4" {
            assert_eq!(
                (&answer["type"], &answer["payload"][0]["extensions"]["code"]),
                (&json!("error"), &json!("RATE_LIMITED"))
            );
            break;
        }
    }
    let _second = Client::ready(&server).await;
    assert_eq!(Client::open(&server, &[]).await.err(), Some(429));
    let refused = bare_handshake(&server).await;
    assert!(refused.contains("\r\nconnection: close\r\n"), "its place is free at once: {refused}");
}

#[tokio::test]
async fn sockets_end_with_their_caller_and_with_the_server() {
    let mut server = Server::start(|_| ()).await;
    let mut client = Client::ready(&server).await;
    client.subscribe("1", "subscription{forever}").await;
    server.backend.revoked.store(true, Ordering::SeqCst);
    assert_eq!(client.closed().await, 4403);
    server.backend.revoked.store(false, Ordering::SeqCst);
    let mut client = Client::ready(&server).await;
    client.subscribe("1", "subscription{forever}").await;
    assert_eq!(client.hear().await["type"], "next");
    server.shutdown.cancel();
    assert_eq!(client.closed().await, 1001);
    timeout(Duration::from_secs(3), &mut server.served).await.unwrap().unwrap();
}

/// What a handshake gets that leaves its connection open, until the server ends it.
async fn bare_handshake(server: &Server) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "GET /graphql HTTP/1.1\r\nhost: kiops\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn a_reader_that_stalls_is_dropped() {
    let server = Server::start(|settings| settings.sockets_per_caller = 1).await;
    let mut stalled = Client::ready(&server).await;
    stalled.subscribe("1", "subscription{forever(size:1000000)}").await;
    let mut free = false;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        free = free || Client::open(&server, &[]).await.is_ok();
    }
    assert!(free, "the stalled socket still has its seat");
}

#[tokio::test]
async fn a_reader_that_vanished_is_dropped() {
    let server = Server::start(|settings| {
        settings.ping_every = Duration::from_millis(100);
        settings.sockets_per_caller = 1;
    })
    .await;
    // Its library answers pings whenever it reads.
    let mut client = Client::ready(&server).await;
    client.subscribe("1", "subscription{silence}").await;
    let read = timeout(Duration::from_secs(1), async { while matches!(client.message().await, Message::Ping(_)) {} });
    assert!(read.await.is_err(), "only pings come, and no end");
    assert_eq!(Client::open(&server, &[]).await.err(), Some(429), "it has its seat");
    // From now on it is as if its machine were gone: nothing is read or answered, and no end is told.
    let mut has_seat = true;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        has_seat = has_seat && Client::open(&server, &[]).await.is_err();
    }
    assert!(!has_seat, "what has vanished still has its seat");
}

#[tokio::test]
async fn who_says_nothing_of_use_is_closed() {
    let server = Server::start(|settings| settings.stranger_timeout = Duration::from_millis(300)).await;
    let mut stranger = Client::open(&server, &[("origin", &server.own_origin())]).await.unwrap();
    stranger.say(json!({"type": "connection_init"})).await;
    assert_eq!(stranger.hear().await["type"], "connection_ack");
    assert_eq!(stranger.closed().await, 4401);
    let mut known = Client::ready(&server).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    known.subscribe("1", "{caller}").await;
    assert_eq!(known.hear().await["payload"]["data"]["caller"], "good");
    // Their answers would be kept for as long as they are not read.
    let mut flooding = Client::ready(&server).await;
    for _ in 0..300 {
        let _ = flooding.0.send(Message::Ping(vec![0; 125].into())).await;
    }
    assert_eq!(flooding.closed().await, 4400);
}

#[tokio::test]
async fn a_download_that_is_not_read_ends() {
    let server = Server::start(|settings| {
        settings.connections = 1;
        settings.write_timeout = Duration::from_millis(300);
    })
    .await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stalled = socket.connect(server.address).await.unwrap();
    for _ in 0..20 {
        stalled.write_all(b"GET /graphiql/graphiql.js HTTP/1.1\r\nhost: kiops\r\n\r\n").await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut next = TcpStream::connect(server.address).await.unwrap();
    next.write_all(b"GET /healthz HTTP/1.1\r\nhost: kiops\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(10), next.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "there is one place: {answer}");
    drop(stalled);
}

#[tokio::test]
async fn a_socket_keeps_its_connections_place() {
    let server = Server::start(|settings| settings.connections = 1).await;
    let client = Client::ready(&server).await;
    let answered = async || {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: kiops\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let early = timeout(Duration::from_millis(300), answered()).await;
    assert!(early.is_err(), "there is one place, and the socket has it: {early:?}");
    drop(client);
    let answer = timeout(Duration::from_secs(5), answered()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
