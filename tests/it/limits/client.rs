//! Asking the real program over HTTP and over a WebSocket, and looking at all that it says.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::server::{Server, talk};

/// Status, head in lower case, and body.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Answer {
    /// `extensions.code` of the first error; none where all is well.
    pub fn code(&self) -> Option<&str> {
        self.body["errors"][0]["extensions"]["code"].as_str()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Posts a body as whoever that token is of.
pub fn post(server: &Server, token: &str, body: &str) -> Answer {
    let authorization = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let request = format!(
        "POST /graphql HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: application/json\r\n\
         {authorization}Content-Length: {}\r\n\r\n{body}",
        server.address,
        body.len()
    );
    let answer = talk(&server.address, &request).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {head}\n{body}")),
    }
}

/// A WebSocket.
pub struct Socket {
    runtime: Runtime,
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// One that may ask. The error is the status that refuses the handshake.
    pub fn open(server: &Server) -> Result<Self, u16> {
        let runtime = Runtime::new().unwrap();
        let mut request = format!("ws://{}/graphql", server.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let stream = match runtime.block_on(connect_async(request)) {
            Ok((stream, _)) => stream,
            Err(Error::Http(response)) => return Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        };
        let mut socket = Self { runtime, stream };
        let authorization = format!("Bearer {}", server.token);
        socket.say(&json!({ "type": "connection_init", "payload": { "authorization": authorization } }));
        assert_eq!(socket.hear()["type"], "connection_ack");
        Ok(socket)
    }

    pub fn say(&mut self, message: &Value) {
        self.runtime.block_on(self.stream.send(Message::text(message.to_string()))).unwrap();
    }

    pub fn subscribe(&mut self, id: &str, payload: &Value) {
        self.say(&json!({ "id": id, "type": "subscribe", "payload": payload }));
    }

    pub fn hear(&mut self) -> Value {
        match self.message() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The code that it is closed with.
    pub fn closed(&mut self) -> u16 {
        match self.message() {
            Message::Close(frame) => frame.map_or(1005, |frame| frame.code.into()),
            other => panic!("{other:?}"),
        }
    }

    /// Asks for something and gives the code of its first error; none where all is well.
    pub fn code(&mut self, id: &str, payload: &Value) -> Option<String> {
        self.subscribe(id, payload);
        let said = self.hear();
        assert_eq!(said["id"], id, "{said}");
        let errors = match said["type"].as_str().unwrap() {
            "error" => &said["payload"],
            "next" => {
                assert_eq!(self.hear()["type"], "complete");
                &said["payload"]["errors"]
            }
            other => panic!("{other}"),
        };
        errors[0]["extensions"]["code"].as_str().map(str::to_owned)
    }

    fn message(&mut self) -> Message {
        loop {
            let next = self.runtime.block_on(async { timeout(Duration::from_secs(30), self.stream.next()).await });
            match next.unwrap().unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }
}
