//! The real program, split over processes.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::app::is_postgres;
use crate::support::server::{Server, talk, until};
use crate::support::shop::{text, web};
use crate::support::{engine, skip};

/// Whoever follows the services of a server.
struct Follower {
    runtime: Runtime,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Follower {
    fn of(server: &Server) -> Self {
        let runtime = Runtime::new().unwrap();
        let mut request = format!("ws://{}/graphql", server.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (socket, _) = runtime.block_on(connect_async(request)).unwrap();
        let mut follower = Self { runtime, socket };
        let authorization = format!("Bearer {}", server.token);
        follower.say(json!({ "type": "connection_init", "payload": { "authorization": authorization } }));
        assert_eq!(follower.hear()["type"], "connection_ack");
        let query = "subscription { serviceChanged { kind id service { status } } }";
        follower.say(json!({ "id": "1", "type": "subscribe", "payload": { "query": query } }));
        // It has begun once something that comes after it is answered.
        follower.say(json!({ "id": "2", "type": "subscribe", "payload": { "query": "{ server { version } }" } }));
        while follower.hear()["type"] != "complete" {}
        follower
    }

    fn say(&mut self, message: Value) {
        self.runtime.block_on(self.socket.send(Message::text(message.to_string()))).unwrap();
    }

    fn hear(&mut self) -> Value {
        loop {
            let next = self.runtime.block_on(async { timeout(Duration::from_secs(60), self.socket.next()).await });
            match next.unwrap().unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits until this is said of a service.
    fn until(&mut self, kind: &str, id: &str) {
        loop {
            let said = self.hear();
            let change = &said["payload"]["data"]["serviceChanged"];
            assert_eq!(said["type"], "next", "{said:#}");
            if change["kind"] == kind && change["id"] == id {
                return;
            }
        }
    }
}

fn status(server: &Server, path: &str) -> Option<u16> {
    let answer = talk(&server.address, &format!("GET {path} HTTP/1.0\r\n\r\n")).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

#[test]
fn two_servers_and_workers_that_die_and_come_back() {
    let name = "two_servers_and_workers_that_die_and_come_back";
    let Some(host) = engine::docker(name) else { return };
    if !is_postgres() {
        return skip(name, "postgres");
    }
    let one = Server::start_as(&["serve", "--no-workers"], &[]);
    let other = one.beside(&["serve", "--no-workers"]);
    let mut worker = one.beside(&["worker"]);
    for server in [&one, &other, &worker] {
        assert_eq!((status(server, "/healthz"), status(server, "/readyz")), (Some(200), Some(200)));
    }
    assert_eq!(status(&worker, "/graphql"), Some(404), "a worker has no API");

    let mut follower = Follower::of(&other);
    let data = one.data(
        "mutation($host: String!) { registerRuntime(input: {name: \"local\", docker: {host: $host}}) { runtime { id } } }",
        json!({ "host": host }),
    );
    let runtime = &data["registerRuntime"]["runtime"]["id"];
    let register =
        "mutation($i: RegisterDockerHubServiceInput!) { registerDockerHubService(input: $i) { service { id } } }";
    let remove = "mutation($id: ID!) { removeService(input: {id: $id}) { service { id } } }";
    let service = |name: &str| {
        let input = json!({ "name": name, "runtimeId": runtime, "containers": [web()] });
        text(&one.data(register, json!({ "i": input }))["registerDockerHubService"]["service"]["id"])
    };
    let first = service("first");
    let begun = Instant::now();
    follower.until("ADDED", &first);
    println!("heard on the other server within {:?}", begun.elapsed());
    one.data(remove, json!({ "id": first }));
    follower.until("CHANGED", &first);
    // What a worker did is told by a worker.
    follower.until("REMOVED", &first);

    let second = service("second");
    worker.kill9();
    one.data(remove, json!({ "id": second }));
    follower.until("CHANGED", &second);
    std::thread::sleep(Duration::from_secs(1));
    let look = "query($id: ID!) { service(id: $id) { status } }";
    assert_eq!(other.data(look, json!({ "id": second }))["service"]["status"], "REMOVING");
    let mut next = one.beside(&["worker"]);
    follower.until("REMOVED", &second);
    assert_eq!(other.data(look, json!({ "id": second }))["service"], Value::Null);

    // A session that ends on one server ends on the other, and on the sockets of both.
    one.data("mutation { logout { ok } }", Value::Null);
    until("the end of the session", 5, || other.ask("{ viewer { role } }", Value::Null).get("errors").cloned());
    let closed = follower.runtime.block_on(async {
        let closed = async {
            while let Some(Ok(message)) = follower.socket.next().await {
                if let Message::Close(frame) = message {
                    return frame.map(|frame| u16::from(frame.code));
                }
            }
            None
        };
        timeout(Duration::from_secs(5), closed).await
    });
    assert_eq!(closed.unwrap(), Some(4403));
    next.stop();
}

#[test]
fn a_second_process_on_sqlite_is_refused_and_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let run = |command: &str, listen: &str| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_kiops"));
        program
            .arg(command)
            .current_dir(folder.path())
            .envs([("KIOPS_DATABASE__URL", "sqlite://data/kiops.db"), ("KIOPS_SERVER__LISTEN", listen)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        program
    };
    let mut first = run("serve", "127.0.0.1:0").spawn().unwrap();
    let refused: Output = until("the refusal", 60, || {
        let locked = std::fs::File::open(folder.path().join("data/kiops.db.lock")).ok()?;
        locked.try_lock().err()?;
        Some(run("worker", "127.0.0.1:0").output().unwrap())
    });
    first.kill().unwrap();
    first.wait().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("another KIOPS server or worker is using data/kiops.db"), "{said}");
    assert!(said.contains("PostgreSQL"), "{said}");
}
