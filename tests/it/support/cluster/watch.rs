//! Lists, with their pages, and watches.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::Stream;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answer::Refusal;
use super::request::Call;
use super::select::Selector;
use super::store::{Change, Store, text};

/// How long a watch lasts when nothing is said.
const LASTS: f64 = 1800.0;

/// What a collection holds.
pub fn found(store: &Store, call: &Call) -> Result<Vec<Value>, Refusal> {
    let selector = selector(call)?;
    let mut all = store.list(call.kind.kind, &call.namespace);
    all.retain(|object| selector.matches(object));
    Ok(all)
}

/// A list, or the page of it that is asked for.
pub fn list(store: &Store, call: &Call) -> Result<Value, Refusal> {
    let mut items = found(store, call)?;
    let mut version = store.version;
    if let Some(token) = call.query.get("continue").filter(|token| !token.is_empty()) {
        let (from, after) = resume(token).ok_or_else(|| Refusal::bad_request("continue key is not valid"))?;
        if from < store.forgotten {
            return Err(Refusal::new(
                410,
                "Expired",
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
            ));
        }
        version = from;
        items.retain(|item| place(item) > after);
    }
    let limit = call.query.get("limit").and_then(|limit| limit.parse::<usize>().ok()).filter(|limit| *limit > 0);
    let mut meta = json!({ "resourceVersion": version.to_string() });
    if let Some(limit) = limit.filter(|limit| *limit < items.len()) {
        meta["remainingItemCount"] = (items.len() - limit).into();
        items.truncate(limit);
        let last = items.last().map(place).unwrap_or_default();
        meta["continue"] = URL_SAFE_NO_PAD.encode(format!("{version} {last}")).into();
    }
    let items: Vec<Value> = items.iter().map(|item| seen(call, item)).collect();
    let (version, kind) = match is_partial(call) {
        true => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata"),
        false => (call.kind.api_version(), call.kind.kind),
    };
    Ok(json!({ "kind": format!("{kind}List"), "apiVersion": version, "metadata": meta, "items": items }))
}

fn place(object: &Value) -> String {
    format!("{}/{}", text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]))
}

fn resume(token: &str) -> Option<(u64, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (version, after) = text.split_once(' ')?;
    Some((version.parse().ok()?, after.to_owned()))
}

fn selector(call: &Call) -> Result<Selector, Refusal> {
    let word = |key: &str| call.query.get(key).cloned().unwrap_or_default();
    Selector::parse(&word("labelSelector"), &word("fieldSelector"))
}

/// An object as the caller wants to see it: whole, or its metadata alone.
pub fn seen(call: &Call, object: &Value) -> Value {
    if !is_partial(call) {
        return object.clone();
    }
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}

fn is_partial(call: &Call) -> bool {
    call.accept.contains("as=PartialObjectMetadata")
}

/// Changes from a version on, one JSON a line.
pub fn watch(store: &Arc<Mutex<Store>>, call: Call) -> Result<impl Stream<Item = Bytes> + Send + use<>, Refusal> {
    let selector = selector(&call)?;
    let store = Arc::clone(store);
    let given = call.query.get("resourceVersion").cloned().unwrap_or_default();
    let initial = given.is_empty() || given == "0" || call.is("sendInitialEvents", "true");
    let from: u64 = match given.as_str() {
        "" | "0" => 0,
        given => given.parse().map_err(|_| Refusal::bad_request(format!("invalid resource version {given:?}")))?,
    };
    let seconds = call.query.get("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(LASTS);
    let ends = Instant::now() + Duration::from_secs_f64(seconds);
    let bookmarks = call.is("allowWatchBookmarks", "true");
    Ok(async_stream::stream! {
        let (mut told, mut version, start, too_old) = {
            let store = store.lock().unwrap();
            let start: Vec<Value> = if initial {
                store.list(call.kind.kind, &call.namespace).into_iter().filter(|object| selector.matches(object)).collect()
            } else {
                Vec::new()
            };
            (store.listen(), if initial { store.version } else { from }, start, !initial && from < store.forgotten)
        };
        if too_old {
            let why = format!("too old resource version: {from} ({})", store.lock().unwrap().forgotten);
            yield line("ERROR", &Refusal::new(410, "Expired", why).to_json());
            return;
        }
        for object in start {
            yield line("ADDED", &seen(&call, &object));
        }
        if call.is("sendInitialEvents", "true") {
            yield line("BOOKMARK", &bookmark(&call, version, true));
        }
        loop {
            told.mark_unchanged();
            let (changes, pause) = {
                let store = store.lock().unwrap();
                let fresh: Vec<Change> = store.changes.iter().filter(|change| change.version > version).cloned().collect();
                version = version.max(store.version);
                (fresh, store.knobs.seconds(60.0))
            };
            for change in changes {
                if let Some(line) = event(&call, &selector, &change) {
                    yield line;
                }
            }
            let wait = pause.min(ends.saturating_duration_since(Instant::now()));
            match tokio::time::timeout(wait, told.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    if bookmarks {
                        yield line("BOOKMARK", &bookmark(&call, version, false));
                    }
                    if Instant::now() >= ends {
                        return;
                    }
                }
            }
        }
    })
}

fn line(kind: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({ "type": kind, "object": object })))
}

fn bookmark(call: &Call, version: u64, first: bool) -> Value {
    let mut object = json!({
        "kind": call.kind.kind, "apiVersion": call.kind.api_version(), "metadata": { "resourceVersion": version.to_string() },
    });
    if first {
        object["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
    }
    // Types that need a spec get an empty one, as a real server's do.
    object["spec"] = json!({});
    object
}

/// What a change is to somebody who sees a part: what begins to match is added, what ends to is deleted.
fn event(call: &Call, selector: &Selector, change: &Change) -> Option<Bytes> {
    let mine = |object: &Value| {
        change.kind == call.kind
            && (call.namespace.is_empty() || object["metadata"]["namespace"] == call.namespace.as_str())
            && selector.matches(object)
    };
    let (before, after) = (change.before.as_ref().filter(|o| mine(o)), change.after.as_ref().filter(|o| mine(o)));
    match (before, after) {
        (None, Some(object)) => Some(line("ADDED", &seen(call, object))),
        (Some(_), Some(object)) => Some(line("MODIFIED", &seen(call, object))),
        (Some(object), None) => {
            let mut object = object.clone();
            object["metadata"]["resourceVersion"] = change.version.to_string().into();
            Some(line("DELETED", &seen(call, &object)))
        }
        (None, None) => None,
    }
}
