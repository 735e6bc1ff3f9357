//! What containers print: `pods/NAME/log`.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::Stream;
use serde_json::Value;

use super::answer::Refusal;
use super::pods::{specs, statuses};
use super::request::Call;
use super::store::{Store, text};
use super::write::there;

/// A log, followed where that is asked for, until the container ends.
pub fn log(store: &Arc<Mutex<Store>>, call: Call) -> Result<impl Stream<Item = Bytes> + Send + use<>, Refusal> {
    let (uid, index, lines) = {
        let store = store.lock().unwrap();
        let pod = there(&store, &call)?;
        let index = container(&pod, &call)?;
        let uid = text(&pod["metadata"]["uid"]);
        let name = text(&specs(&pod)[index]["name"]);
        let status = statuses(&pod).get(index).cloned().unwrap_or_default();
        let waits = &status["state"]["waiting"];
        if (status.is_null() || !waits.is_null()) && status["restartCount"].as_i64().unwrap_or(0) == 0 {
            let why = match waits["reason"].as_str() {
                Some("ErrImagePull" | "ImagePullBackOff") => "trying and failing to pull image",
                Some(reason) => reason,
                None => "ContainerCreating",
            };
            let why = format!("container {name:?} in pod {:?} is waiting to start: {why}", call.name);
            return Err(Refusal::bad_request(why));
        }
        let run = store.runs.get(&uid).and_then(|run| run.containers.get(index));
        let lines = match (call.is("previous", "true"), run) {
            (true, _) if status["restartCount"].as_i64().unwrap_or(0) == 0 => {
                let why = format!("previous terminated container {name:?} in pod {:?} not found", call.name);
                return Err(Refusal::bad_request(why));
            }
            // While it waits to be started again, what it printed last is what it printed before.
            (true, Some(run)) if run.is_running() => run.previous.clone(),
            (_, Some(run)) => run.lines.clone(),
            (_, None) => Vec::new(),
        };
        (uid, index, lines)
    };
    let store = Arc::clone(store);
    let follow = call.is("follow", "true") && !call.is("previous", "true");
    Ok(async_stream::stream! {
        let mut sent = lines.len();
        let first = chosen(&call, lines);
        let newest = first.last().map(|(time, _)| time.clone());
        for (time, line) in &first {
            let (part, is_torn) = torn(&store, shown(&call, time, line));
            yield part;
            if is_torn {
                return;
            }
        }
        if !follow {
            return;
        }
        let mut told = store.lock().unwrap().listen();
        let mut newest = newest.unwrap_or_default();
        loop {
            told.mark_unchanged();
            let (fresh, ended) = {
                let store = store.lock().unwrap();
                match store.runs.get(&uid).and_then(|run| run.containers.get(index)) {
                    None => (Vec::new(), true),
                    Some(run) => {
                        // It was started anew: this log is over, but for what was printed at the end.
                        let anew = run.lines.len() < sent;
                        let lines = if anew { &run.previous } else { &run.lines };
                        (lines.iter().skip(sent).cloned().collect(), anew || !run.is_running())
                    }
                }
            };
            sent += fresh.len();
            for (time, line) in fresh {
                if time >= newest {
                    let (part, is_torn) = torn(&store, shown(&call, &time, &line));
                    yield part;
                    if is_torn {
                        return;
                    }
                    newest = time;
                }
            }
            if ended || told.changed().await.is_err() {
                return;
            }
        }
    })
}

fn container(pod: &Value, call: &Call) -> Result<usize, Refusal> {
    let names: Vec<String> = specs(pod).iter().map(|container| text(&container["name"])).collect();
    match call.query.get("container").filter(|name| !name.is_empty()) {
        Some(wanted) => names
            .iter()
            .position(|name| name == wanted)
            .ok_or_else(|| Refusal::bad_request(format!("container {wanted} is not valid for pod {}", call.name))),
        None if names.len() == 1 => Ok(0),
        None => {
            let why = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                call.name,
                names.join(" ")
            );
            Err(Refusal::bad_request(why))
        }
    }
}

fn chosen(call: &Call, mut lines: Vec<(String, String)>) -> Vec<(String, String)> {
    if let Some(since) = call.query.get("sinceTime") {
        let instant = |text: &str| chrono::DateTime::parse_from_rfc3339(text).ok();
        let since = instant(since);
        lines.retain(|(time, _)| instant(time) >= since);
    }
    if let Some(tail) = call.query.get("tailLines").and_then(|tail| tail.parse().ok()) {
        lines.drain(..lines.len().saturating_sub(tail));
    }
    lines
}

/// What comes of a line where one is to break off.
fn torn(store: &Mutex<Store>, line: Bytes) -> (Bytes, bool) {
    match store.lock().unwrap().knobs.tears.take() {
        Some(most) => (line.slice(..most.min(line.len() - 1)), true),
        None => (line, false),
    }
}

fn shown(call: &Call, time: &str, line: &str) -> Bytes {
    if call.is("timestamps", "true") {
        Bytes::from(format!("{time} {line}\n"))
    } else {
        Bytes::from(format!("{line}\n"))
    }
}
