//! Programs that are started in containers: `pods/NAME/exec`, over a WebSocket of the protocol `v5.channel.k8s.io`. What is
//! started is busybox, for real, in a folder that is as the pod's volume is at `/kiops`.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{HeaderMap, Response, header};
use futures_util::SinkExt as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use super::answer::Refusal;
use super::attach::{PROTOCOL, switched};
use super::knobs::Leaves;
use super::pods::specs;
use super::request::Call;
use super::store::{Store, text};
use super::write::there;

const STDOUT: u8 = 1;
const STATUS: u8 = 3;
const VOLUME: &str = "/kiops";

/// What a program is started on.
struct Ground {
    words: Vec<String>,
    /// What was sent to the pod's first container.
    given: Vec<u8>,
    leaves: Vec<Leaves>,
    breaks: bool,
}

/// Starts a program in a container that is at work.
pub fn exec(
    store: &Arc<Mutex<Store>>,
    call: &Call,
    (upgrade, headers): (Option<OnUpgrade>, &HeaderMap),
    query: &str,
) -> Result<Response<Body>, Refusal> {
    let pod = there(&store.lock().unwrap(), call)?;
    let name = call.query.get("container").cloned().unwrap_or_default();
    let uid = text(&pod["metadata"]["uid"]);
    let mut held = store.lock().unwrap();
    let run = held.runs.get(&uid).and_then(|run| run.containers.iter().find(|run| run.name == name));
    if !run.is_some_and(super::pods::Run::is_running) {
        return Err(Refusal::bad_request(format!("container {name} not found in pod {}", call.name)));
    }
    let words = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "command");
    let words: Vec<String> = words.map(|(_, word)| word.into_owned()).collect();
    let word = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let offered = word(header::SEC_WEBSOCKET_PROTOCOL).split(',').any(|one| one.trim() == PROTOCOL);
    let upgrade = upgrade.filter(|_| offered && !words.is_empty() && call.is("stdout", "true"));
    let Some(upgrade) = upgrade else {
        return Err(Refusal::bad_request("unable to upgrade: a WebSocket and a command are needed"));
    };
    let images: Vec<String> = specs(&pod).iter().map(|spec| text(&spec["image"])).collect();
    let given = specs(&pod).first().map(|spec| (uid, text(&spec["name"])));
    let breaks = held.knobs.broken_programs > 0;
    held.knobs.broken_programs = held.knobs.broken_programs.saturating_sub(1);
    let ground = Ground {
        words,
        given: given.and_then(|key| held.inputs.get(&key).cloned()).unwrap_or_default(),
        leaves: images.iter().filter_map(|image| held.knobs.leaves.get(image).cloned()).collect(),
        breaks,
    };
    let connection = tokio::spawn(tell(upgrade, ground));
    held.attached.push(connection.abort_handle());
    Ok(switched(word(header::SEC_WEBSOCKET_KEY)))
}

async fn tell(upgrade: OnUpgrade, ground: Ground) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    if ground.breaks {
        return;
    }
    let (parts, mut printed) = mpsc::channel::<Vec<u8>>(4);
    let running = tokio::task::spawn_blocking(move || run(&ground, &parts));
    while let Some(part) = printed.recv().await {
        if socket.send(Message::Binary([&[STDOUT], part.as_slice()].concat().into())).await.is_err() {
            return;
        }
    }
    let status = match running.await.unwrap() {
        Some(0) => json!({ "metadata": {}, "status": "Success" }),
        code => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": format!("ended with {code:?}"),
        }),
    };
    let _ = socket.send(Message::Binary([&[STATUS], status.to_string().as_bytes()].concat().into())).await;
    let _ = socket.close(None).await;
}

fn run(ground: &Ground, parts: &mpsc::Sender<Vec<u8>>) -> Option<i32> {
    let volume = tempfile::tempdir().unwrap();
    let root = volume.path();
    std::fs::create_dir(root.join("out")).unwrap();
    unpack(&ground.given, root);
    ground.leaves.iter().for_each(|leave| leave(&root.join("out")));
    let words = ground.words.iter().map(|word| word.replace(VOLUME, root.to_str().unwrap()));
    let mut program = Command::new("busybox")
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = program.stdout.take().unwrap();
    let mut part = vec![0; 32 * 1024];
    loop {
        let count = output.read(&mut part).unwrap();
        // Nobody may want the rest.
        if count == 0 || parts.blocking_send(part[..count].to_vec()).is_err() {
            break;
        }
    }
    drop(output);
    program.wait().unwrap().code()
}

fn unpack(given: &[u8], into: &Path) {
    let mut archive = tar::Archive::new(given);
    for entry in archive.entries().unwrap() {
        // What broke off is not there.
        let Ok(mut entry) = entry else { return };
        if entry.unpack_in(into).is_err() {
            return;
        }
    }
}
