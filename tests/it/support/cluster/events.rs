//! What the cluster says of its objects.

use serde_json::{Value, json};

use super::kinds;
use super::store::{Store, now, text};

/// Writes an event about an object: `("Warning", "BackOff")` and a sentence. One that was said before is counted up.
pub fn event(store: &mut Store, about: &Value, what: (&str, &str), message: &str) {
    let namespace = text(&about["metadata"]["namespace"]);
    let uid = &about["metadata"]["uid"];
    let same = |event: &&Value| {
        event["involvedObject"]["uid"] == *uid && event["reason"] == what.1 && event["message"] == message
    };
    let before = store.list("Event", &namespace).iter().find(same).cloned();
    if let Some(before) = before {
        store.change("Event", (&namespace, &text(&before["metadata"]["name"])), |event| {
            event["count"] = (event["count"].as_i64().unwrap_or(1) + 1).into();
            event["lastTimestamp"] = now().into();
        });
        return;
    }
    let name = format!("{}.{:016x}", text(&about["metadata"]["name"]), store.next_id());
    let component = if about["kind"] == "Pod" { "kubelet" } else { "controller-manager" };
    let object = json!({
        "metadata": { "name": name, "namespace": namespace },
        "involvedObject": {
            "apiVersion": about["apiVersion"], "kind": about["kind"], "name": about["metadata"]["name"],
            "namespace": namespace, "uid": uid,
        },
        "type": what.0, "reason": what.1, "message": message, "count": 1, "source": { "component": component },
        "firstTimestamp": now(), "lastTimestamp": now(),
    });
    store.insert(kinds::of("Event"), object);
}
