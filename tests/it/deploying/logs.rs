//! A deployment's log as it is written, over a WebSocket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Shop, text};
use crate::support::server::Server;

/// A line as a subscriber sees it: its cursor and its text.
type Line = (String, String);

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_followed_from_the_start_and_from_any_line() {
    let Some(mut shop) = Shop::open("logs_are_followed") else { return };
    shop.register(&[shop.web("1")], json!({}));
    shop.deploy_well(None);
    let id = shop.queue(Some("2"));

    // One listens all the time; one goes away after each second line and comes back with its cursor.
    let mut whole = Follower::open(&shop.server, &id, None).await;
    let mut pieces: Vec<Line> = Vec::new();
    loop {
        let after = pieces.last().map(|(cursor, _)| cursor.clone());
        let mut follower = Follower::open(&shop.server, &id, after).await;
        let mut over = false;
        for _ in 0..2 {
            let Some(line) = follower.line().await else {
                over = true;
                break;
            };
            pieces.push(line);
        }
        if over {
            break;
        }
    }
    let mut lines = Vec::new();
    while let Some(line) = whole.line().await {
        lines.push(line);
    }
    assert_eq!(pieces, lines);
    let texts: Vec<String> = lines.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, shop.lines(&id));
    assert!(texts.len() >= 4 && texts.last().unwrap() == "it serves", "{texts:?}");
    assert_eq!(shop.deployment(&id)["status"], "SUCCEEDED");
    // What has ended is told once more from the beginning, and completes.
    let mut late = Follower::open(&shop.server, &id, None).await;
    for text in &texts {
        assert_eq!(late.line().await.unwrap().1, *text);
    }
    assert!(late.line().await.is_none());
    tokio::task::spawn_blocking(move || shop.close()).await.unwrap();
}

/// A subscription of one deployment's log.
struct Follower(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Follower {
    async fn open(server: &Server, id: &str, after: Option<String>) -> Self {
        let mut request = format!("ws://{}/graphql", server.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (socket, _) = connect_async(request).await.unwrap();
        let mut follower = Self(socket);
        let authorization = format!("Bearer {}", server.token);
        follower.say(json!({ "type": "connection_init", "payload": { "authorization": authorization } })).await;
        assert_eq!(follower.hear().await["type"], "connection_ack");
        let query = "subscription($id: ID!, $after: String) { deploymentLog(id: $id, after: $after) { cursor text } }";
        let payload = json!({ "query": query, "variables": { "id": id, "after": after } });
        follower.say(json!({ "id": "1", "type": "subscribe", "payload": payload })).await;
        follower
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        loop {
            let message = timeout(Duration::from_secs(60), self.0.next()).await.unwrap().unwrap().unwrap();
            match message {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next line; none when the log is complete.
    async fn line(&mut self) -> Option<Line> {
        let said = self.hear().await;
        match said["type"].as_str() {
            Some("next") => {
                let line = &said["payload"]["data"]["deploymentLog"];
                Some((text(&line["cursor"]), text(&line["text"])))
            }
            Some("complete") => None,
            _ => panic!("{said:#}"),
        }
    }
}
