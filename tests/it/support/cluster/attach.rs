//! Standard inputs of containers: `pods/NAME/attach`, over a WebSocket of the protocol `v5.channel.k8s.io`.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{HeaderMap, Response, header};
use futures_util::StreamExt as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use super::answer::Refusal;
use super::pods::specs;
use super::request::Call;
use super::store::{Store, text};
use super::write::there;

pub const PROTOCOL: &str = "v5.channel.k8s.io";
const STDIN: u8 = 0;
/// Followed by the number of the channel that has ended.
const CLOSE: u8 = 255;

/// Takes what is sent to a container that is at work and has a standard input.
pub fn attach(
    store: &Arc<Mutex<Store>>,
    call: &Call,
    (upgrade, headers): (Option<OnUpgrade>, &HeaderMap),
) -> Result<Response<Body>, Refusal> {
    let pod = there(&store.lock().unwrap(), call)?;
    let name = call.query.get("container").cloned().unwrap_or_default();
    let spec = specs(&pod).into_iter().find(|spec| spec["name"] == name.as_str());
    let Some(spec) = spec else {
        return Err(Refusal::bad_request(format!("container {name} is not valid for pod {}", call.name)));
    };
    let word = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let offered = word(header::SEC_WEBSOCKET_PROTOCOL).split(',').any(|one| one.trim() == PROTOCOL);
    let upgrade = upgrade.filter(|_| offered && spec["stdin"] == true && call.is("stdin", "true"));
    let Some(upgrade) = upgrade else {
        return Err(Refusal::bad_request("unable to upgrade: a WebSocket and a container with stdin are needed"));
    };
    let uid = text(&pod["metadata"]["uid"]);
    let held = store.lock().unwrap();
    let run = held.runs.get(&uid).and_then(|run| run.containers.iter().find(|run| run.name == name));
    if !run.is_some_and(super::pods::Run::is_running) {
        return Err(Refusal::bad_request(format!("container {name} not found in pod {}", call.name)));
    }
    drop(held);
    let key = (uid, name);
    let connection = tokio::spawn(take(Arc::clone(store), upgrade, key));
    store.lock().unwrap().attached.push(connection.abort_handle());
    Ok(switched(word(header::SEC_WEBSOCKET_KEY)))
}

/// The answer that makes a WebSocket of a connection whose request had this key.
pub fn switched(key: &str) -> Response<Body> {
    let answer = Response::builder()
        .status(101)
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "Upgrade")
        .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
    answer.body(Body::empty()).unwrap()
}

/// Whether it is a whole archive to busybox's `tar`: one that breaks off between two entries is.
pub fn is_whole(bytes: &[u8]) -> bool {
    let mut archive = tar::Archive::new(bytes);
    let Ok(entries) = archive.entries() else { return false };
    let mut last = None;
    for entry in entries {
        let Ok(mut entry) = entry else { return false };
        if std::io::copy(&mut entry, &mut std::io::sink()).is_err() {
            return false;
        }
        last = entry.path().ok().map(|path| path.into_owned());
    }
    last.is_some() && bytes.len().is_multiple_of(512)
}

/// What has come when the connection ends is what the container got, whether that was all or not.
struct Input {
    store: Arc<Mutex<Store>>,
    key: (String, String),
    bytes: Vec<u8>,
}

impl Drop for Input {
    fn drop(&mut self) {
        // The connection may be broken by whoever holds the store already, from another thread: then it is waited for.
        let Ok(mut store) = self.store.lock() else { return };
        store.inputs.insert(self.key.clone(), std::mem::take(&mut self.bytes));
        let run = store.runs.get_mut(&self.key.0);
        if let Some(run) = run.and_then(|run| run.containers.iter_mut().find(|run| run.name == self.key.1)) {
            run.input_ended(Instant::now());
        }
        store.nudge();
    }
}

async fn take(store: Arc<Mutex<Store>>, upgrade: OnUpgrade, key: (String, String)) {
    let mut input = Input { store, key, bytes: Vec::new() };
    let Ok(upgraded) = upgrade.await else { return };
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(bytes) = message else { continue };
        match bytes.split_first() {
            Some((&STDIN, rest)) => {
                input.bytes.extend_from_slice(rest);
                let most = input.store.lock().unwrap().knobs.input_breaks_after;
                if let Some(most) = most.filter(|most| *most <= input.bytes.len()) {
                    input.bytes.truncate(most);
                    return;
                }
            }
            // `tar` ends at the end of the archive, and the connection with it.
            Some((&CLOSE, [STDIN])) => break,
            _ => {}
        }
    }
    drop(input);
    let _ = socket.close(None).await;
}
