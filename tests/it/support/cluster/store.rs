//! What the cluster holds: objects, their versions, and what changed when.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::kinds::{self, Kind};
use super::knobs::Knobs;
use super::pods::PodRun;

/// How many changes a watch can go back; a test can make it forget more.
const KEPT: usize = 10_000;

/// Where an object is: kind, namespace (empty for what is in none), name.
pub type Key = (&'static Kind, String, String);

/// A change.
#[derive(Clone)]
pub struct Change {
    pub version: u64,
    pub kind: &'static Kind,
    pub before: Option<Value>,
    /// None when it was removed; then `before` carries the version of the removal.
    pub after: Option<Value>,
}

/// All that is there.
pub struct Store {
    pub objects: BTreeMap<Key, Value>,
    pub changes: VecDeque<Change>,
    /// Changes up to this one are forgotten.
    pub forgotten: u64,
    pub version: u64,
    /// What the pods are doing, by uid.
    pub runs: BTreeMap<String, PodRun>,
    /// What containers were sent to their standard input, by the pod's uid and their name; whole once it has ended.
    pub inputs: BTreeMap<(String, String), Vec<u8>>,
    /// Connections to containers' standard inputs.
    pub attached: Vec<tokio::task::AbortHandle>,
    /// When a deployment last came forward, and its counts then, by uid.
    pub progress: BTreeMap<String, (tokio::time::Instant, Vec<i64>)>,
    /// When a namespace that is being deleted may go, by name.
    pub leaving: BTreeMap<String, tokio::time::Instant>,
    pub knobs: Knobs,
    ids: u64,
    told: watch::Sender<u64>,
}

impl Store {
    /// An empty cluster with one node and what every cluster has.
    pub fn new() -> Self {
        let (told, _) = watch::channel(0);
        let mut store = Self {
            objects: BTreeMap::new(),
            changes: VecDeque::new(),
            forgotten: 0,
            version: 1000,
            runs: BTreeMap::new(),
            inputs: BTreeMap::new(),
            attached: Vec::new(),
            progress: BTreeMap::new(),
            leaving: BTreeMap::new(),
            knobs: Knobs::default(),
            ids: 0,
            told,
        };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            store.insert(
                kinds::of("Namespace"),
                json!({
                    "metadata": { "name": name, "labels": { "kubernetes.io/metadata.name": name } },
                    "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" },
                }),
            );
        }
        let node = json!({
            "metadata": { "name": "node-1", "labels": { "kubernetes.io/hostname": "node-1" } }, "spec": {},
            "status": {
                "addresses": [
                    { "type": "InternalIP", "address": "192.0.2.10" }, { "type": "Hostname", "address": "node-1" },
                ],
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        });
        store.insert(kinds::of("Node"), node);
        store
    }

    /// Hears of every change's version.
    pub fn listen(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    /// Wakes whoever listens, without a change.
    pub fn nudge(&self) {
        self.told.send_modify(|_| ());
    }

    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(kinds::of(kind), namespace.to_owned(), name.to_owned()))
    }

    /// All of a kind in a namespace; an empty one is all.
    pub fn list(&self, kind: &str, namespace: &str) -> Vec<Value> {
        let kind = kinds::of(kind);
        let inside = |key: &&Key| key.0 == kind && (namespace.is_empty() || key.1 == namespace);
        self.objects.iter().filter(|(key, _)| inside(key)).map(|(_, object)| object.clone()).collect()
    }

    /// Puts a new object there, with what the server gives each.
    pub fn insert(&mut self, kind: &'static Kind, mut object: Value) -> Value {
        self.ids += 1;
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.kind.into();
        let uid = format!("00000000-0000-4000-8000-{:012x}", self.ids);
        let meta = &mut object["metadata"];
        meta["uid"] = uid.into();
        meta["creationTimestamp"] = now().into();
        if object.get("spec").is_some() && kind.kind != "Namespace" && kind.kind != "Node" {
            object["metadata"]["generation"] = 1.into();
        }
        self.write(kind, object)
    }

    /// Puts the next version of an object there; says nothing when it is the same.
    pub fn write(&mut self, kind: &'static Kind, mut object: Value) -> Value {
        let key = key_of(kind, &object);
        let before = self.objects.get(&key).cloned();
        if let Some(before) = &before {
            object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
            if *before == object {
                return object;
            }
            if before.get("metadata").is_some_and(|meta| meta.get("generation").is_some())
                && (before.get("spec") != object.get("spec"))
            {
                let generation = before["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
                object["metadata"]["generation"] = generation.into();
            }
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(key, object.clone());
        self.tell(Change { version: self.version, kind, before, after: Some(object.clone()) });
        object
    }

    /// Changes an object in place, where it is there.
    pub fn change(&mut self, kind: &str, at: (&str, &str), change: impl FnOnce(&mut Value)) {
        let kind = kinds::of(kind);
        if let Some(mut object) = self.objects.get(&(kind, at.0.to_owned(), at.1.to_owned())).cloned() {
            change(&mut object);
            self.write(kind, object);
        }
    }

    /// Takes an object away.
    pub fn remove(&mut self, key: &Key) -> Option<Value> {
        let mut before = self.objects.remove(key)?;
        self.version += 1;
        before["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.tell(Change { version: self.version, kind: key.0, before: Some(before.clone()), after: None });
        Some(before)
    }

    /// A watch from before now has to start anew.
    pub fn forget(&mut self) {
        self.forgotten = self.version;
        self.changes.clear();
    }

    /// A number that was not given before.
    pub fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn tell(&mut self, change: Change) {
        self.told.send_replace(change.version);
        self.changes.push_back(change);
        if self.changes.len() > KEPT {
            self.forgotten = self.changes.pop_front().map_or(self.forgotten, |change| change.version);
        }
    }
}

/// The place of an object.
pub fn key_of(kind: &'static Kind, object: &Value) -> Key {
    let namespace = if kind.namespaced { text(&object["metadata"]["namespace"]) } else { String::new() };
    (kind, namespace, text(&object["metadata"]["name"]))
}

/// A text, empty where there is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether an object carries all of these labels.
pub fn has_labels(object: &Value, wanted: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    wanted.as_object().is_some_and(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// Now, in the spelling of Kubernetes.
#[expect(clippy::disallowed_methods, reason = "a cluster has a clock of its own")]
pub fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Now, to the nanosecond, as log lines have it.
#[expect(clippy::disallowed_methods, reason = "a cluster has a clock of its own")]
pub fn now_fine() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
}
