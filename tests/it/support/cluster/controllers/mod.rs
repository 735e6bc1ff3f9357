//! What goes on by itself in a cluster: the controllers, which look at everything whenever something changed.

mod deployments;
mod jobs;
mod rest;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::kinds;
use super::pods;
use super::store::{Store, key_of, text};

pub use rest::{exceeded, resolve};

/// How often it looks when nothing changed and nothing is due.
const IDLE: Duration = Duration::from_secs(5);

/// Works until it is dropped.
pub async fn run(store: Arc<Mutex<Store>>) {
    let mut changed = store.lock().unwrap().listen();
    loop {
        changed.mark_unchanged();
        let due = {
            let mut store = store.lock().unwrap();
            step(&mut store)
        };
        let wait = due.map_or(IDLE, |due| due.saturating_duration_since(Instant::now())).max(Duration::from_millis(2));
        // Either is a reason to look again.
        let _ = tokio::time::timeout(wait, changed.changed()).await;
    }
}

fn step(store: &mut Store) -> Option<Instant> {
    let at = Instant::now();
    // Later controllers see what earlier ones did; what they do in turn wakes all again.
    let dues = [
        rest::namespaces(store, at),
        rest::garbage(store),
        rest::services(store),
        rest::claims(store),
        rest::autoscalers(store),
        deployments::step(store, at),
        jobs::step(store, at),
        pods::step(store, at),
        rest::quotas(store),
    ];
    dues.into_iter().flatten().min()
}

/// Deletes a pod as a controller does: it is told to go, and goes.
fn tell_to_go(store: &mut Store, pod: &Value) {
    store.change("Pod", (&text(&pod["metadata"]["namespace"]), &text(&pod["metadata"]["name"])), |pod| {
        if pod["metadata"]["deletionTimestamp"].is_null() {
            pod["metadata"]["deletionTimestamp"] = super::store::now().into();
            pod["metadata"]["deletionGracePeriodSeconds"] = pod["spec"]["terminationGracePeriodSeconds"].clone();
        }
    });
}

/// What an owner has.
fn owned(store: &Store, kind: &str, owner: &Value) -> Vec<Value> {
    let mut all = store.list(kind, &text(&owner["metadata"]["namespace"]));
    all.retain(|object| {
        let owners = object["metadata"]["ownerReferences"].as_array();
        owners.into_iter().flatten().any(|reference| reference["uid"] == owner["metadata"]["uid"])
    });
    all
}

fn owner(object: &Value) -> Value {
    serde_json::json!([{
        "apiVersion": object["apiVersion"], "kind": object["kind"], "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }])
}

/// A short word that was not given before, as names end in.
fn suffix(store: &mut Store) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut number = store.next_id().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
    let mut word = String::new();
    for _ in 0..5 {
        word.push(char::from(LETTERS[usize::try_from(number % 27).unwrap_or(0)]));
        number /= 27;
    }
    word
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// Makes a pod from a template; says why not when a quota is against it.
fn make_pod(store: &mut Store, of: &Value, prefix: &str) -> Result<(), String> {
    let template = &of["spec"]["template"];
    let namespace = text(&of["metadata"]["namespace"]);
    let mut pod = serde_json::json!({ "metadata": template["metadata"], "spec": template["spec"], "status": {} });
    let name = format!("{prefix}-{}", suffix(store));
    pod["metadata"]["name"] = name.into();
    pod["metadata"]["namespace"] = namespace.clone().into();
    pod["metadata"]["ownerReferences"] = owner(of);
    super::defaults::fill(kinds::of("Pod"), &mut pod);
    super::defaults::tidy(&mut pod);
    if let Some(why) = rest::exceeded(store, &namespace, "Pod", &pod) {
        return Err(format!("pods {:?} is forbidden: {why}", text(&pod["metadata"]["name"])));
    }
    store.insert(kinds::of("Pod"), pod);
    Ok(())
}

/// Deletes what is owned, and then the thing itself.
fn remove(store: &mut Store, kind: &str, object: &Value) {
    store.remove(&key_of(kinds::of(kind), object));
}
