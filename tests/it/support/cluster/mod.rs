//! A Kubernetes cluster of one's own: an API server behind TLS on loopback, its controllers, and one node whose pods
//! do what the test says of their images. It is as strict as a real one, in its words, and holds what is written to the
//! published schemas of the newest and the oldest version (tests/fixtures/kubernetes).
//!
//! What it does not have: discovery, admission by policies, endpoint slices, metrics, an ingress controller, more than
//! one node.

mod answer;
mod answers;
mod attach;
mod controllers;
mod defaults;
mod events;
mod exec;
mod faults;
mod fields;
mod json;
mod kinds;
mod knobs;
mod listen;
mod logs;
mod merge;
mod pods;
mod request;
mod rules;
pub mod schema;
mod select;
mod store;
mod watch;
mod write;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::tls::Authority;
pub use knobs::{Behaviour, Image, Login};
use listen::Listener;
pub use request::Asked;
use store::{Store, text};

/// The bearer token of who may do anything.
pub const ADMIN: &str = "admin-token-0123456789";

/// A running cluster; it ends when it is dropped.
pub struct ClusterDouble {
    store: Arc<Mutex<Store>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    authority: Authority,
    listener: Mutex<Listener>,
    runtime: Option<Runtime>,
}

impl Drop for ClusterDouble {
    fn drop(&mut self) {
        // Dropping a runtime waits, which a test's own must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl ClusterDouble {
    /// With one login that may do anything ([`ADMIN`]) and no images.
    pub fn start() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("cluster").enable_all().build().unwrap();
        let store = Arc::new(Mutex::new(Store::new()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let authority = Authority::new();
        let listener = Listener::bind(runtime.handle(), &authority.sign("127.0.0.1"), (&store, &asked));
        runtime.spawn(controllers::run(Arc::clone(&store)));
        let double = Self { store, asked, authority, listener: Mutex::new(listener), runtime: Some(runtime) };
        double.login(ADMIN, "kubernetes-admin", &[("*", "*")]);
        double
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.listener.lock().unwrap().url.clone()
    }

    /// The authority of its certificate, PEM.
    pub fn ca(&self) -> String {
        self.authority.pem.clone()
    }

    /// A kubeconfig of who may do anything.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_of(ADMIN)
    }

    /// A kubeconfig with this token.
    pub fn kubeconfig_of(&self, token: &str) -> String {
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.authority.pem);
        format!(
            "apiVersion: v1
kind: Config
current-context: double
clusters:
- name: double
  cluster:
    server: {}
    certificate-authority-data: {ca}
contexts:
- name: double
  context: {{cluster: double, user: me}}
users:
- name: me
  user:
    token: {token}
",
            self.url()
        )
    }

    /// Lets a token in as a user (`system:serviceaccount:ops:kiops`) who may do this: `("patch", "deployments.apps")`,
    /// `("get", "pods/log")`, `*` for all of either. Called again it changes what they may.
    pub fn login(&self, token: &str, user: &str, may: &[(&str, &str)]) {
        let may = may.iter().map(|(verb, resource)| ((*verb).to_owned(), (*resource).to_owned())).collect();
        self.with(|store| store.knobs.logins.insert(token.to_owned(), Login { user: user.to_owned(), may }));
    }

    /// A token is not known any more.
    pub fn revoke(&self, token: &str) {
        self.with(|store| store.knobs.logins.remove(token));
    }

    /// What containers of an image do, from now on. An image that was never named is missing.
    pub fn image(&self, name: &str, behaviour: Behaviour) {
        self.image_like(name, Image { behaviour, root: false, private: false });
    }

    /// An image with more to say: that its user is root, that it needs a pull secret.
    pub fn image_like(&self, name: &str, image: Image) {
        self.with(|store| store.knobs.images.insert(name.to_owned(), image));
    }

    /// What containers of an image leave in the folder that is at `/kiops/out` in them, by the time they have ended.
    pub fn leaves(&self, image: &str, leave: impl Fn(&std::path::Path) + Send + Sync + 'static) {
        self.with(|store| store.knobs.leaves.insert(image.to_owned(), Arc::new(leave)));
    }

    /// So many connections to programs that are started in containers break.
    pub fn break_programs(&self, count: u32) {
        self.with(|store| store.knobs.broken_programs = count);
    }

    /// So many of the cluster's seconds (deadlines, back-offs) are one of the world's.
    pub fn speed(&self, factor: f64) {
        self.with(|store| store.knobs.speed = factor);
    }

    /// How long each answer takes to begin.
    pub fn latency(&self, latency: Duration) {
        self.with(|store| store.knobs.latency = latency);
    }

    /// How long a deleted namespace is Terminating at least.
    pub fn namespaces_leave_after(&self, time: Duration) {
        self.with(|store| store.knobs.namespace_leaves = time);
    }

    /// Of every kind of request each other one is answered 502 from now on, the first to begin with.
    pub fn stumble(&self) {
        self.with(|store| store.knobs.stumbles = Some(std::collections::BTreeMap::new()));
    }

    /// A connection to a container's standard input breaks once so many bytes have come.
    pub fn break_input_after(&self, bytes: usize) {
        self.with(|store| store.knobs.input_breaks_after = Some(bytes));
    }

    /// The next line of a log that is followed breaks off after so many bytes, and the log with it.
    pub fn tear_a_line_after(&self, bytes: usize) {
        self.with(|store| store.knobs.tears = Some(bytes));
    }

    /// The node dies: pods that are deleted stay, for nobody says that they are gone.
    pub fn kill_node(&self) {
        self.with(|store| store.knobs.node_is_dead = true);
    }

    /// Asks about each object that is written: `Some((403, "why"))` denies it, in a webhook's words.
    pub fn admit(&self, admission: impl Fn(&Value) -> Option<(u16, String)> + Send + Sync + 'static) {
        self.with(|store| store.knobs.admission = Some(Arc::new(admission)));
    }

    /// Nobody listens any more, and every connection is broken; what is there stays, and goes on.
    pub fn go_away(&self) {
        self.listener.lock().unwrap().close();
        self.with(|store| store.attached.drain(..).for_each(|connection| connection.abort()));
    }

    /// Listens again, at the same address.
    pub fn come_back(&self) {
        let runtime = self.runtime.as_ref().unwrap();
        self.listener.lock().unwrap().open(runtime.handle(), (&self.store, &self.asked));
    }

    /// Breaks every connection, as a restart or a proxy does; new ones are taken.
    pub fn break_connections(&self) {
        self.go_away();
        self.come_back();
    }

    /// Forgets all changes until now: watches from before have to start anew (410).
    pub fn forget(&self) {
        self.with(Store::forget);
    }

    /// An object as it is now: `get("Deployment", "shop", "web")`; no namespace is "".
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        self.with(|store| store.get(kind, namespace, name).cloned())
    }

    /// All of a kind in a namespace; in all where it is "".
    pub fn list(&self, kind: &str, namespace: &str) -> Vec<Value> {
        self.with(|store| store.list(kind, namespace))
    }

    /// Puts an object there past all rules: what somebody else did.
    pub fn put(&self, kind: &str, object: Value) -> Value {
        self.with(|store| store.insert(kinds::of(kind), object))
    }

    /// Changes an object past all rules.
    pub fn change(&self, kind: &str, at: (&str, &str), change: impl FnOnce(&mut Value)) {
        self.with(|store| store.change(kind, at, change));
    }

    /// The names of the ready pods that a service leads to.
    pub fn resolve(&self, namespace: &str, service: &str) -> Vec<String> {
        self.with(|store| controllers::resolve(store, namespace, service))
    }

    /// A line that a pod's container prints; nothing happens when it does not run.
    pub fn print(&self, at: (&str, &str), container: &str, line: &str) {
        self.with(|store| {
            let Some(uid) = store.get("Pod", at.0, at.1).map(|pod| text(&pod["metadata"]["uid"])) else { return };
            let run = store.runs.get_mut(&uid);
            let found = run.and_then(|run| run.containers.iter_mut().find(|one| one.name == container));
            if let Some(run) = found.filter(|run| run.is_running()) {
                run.print(line);
            }
            store.nudge();
        });
    }

    /// Ends a container that is at work, with this code; what a behaviour would make of it does not matter any more.
    pub fn end(&self, at: (&str, &str), container: &str, exit_code: i32) {
        self.with(|store| {
            let Some(pod) = store.get("Pod", at.0, at.1) else { return };
            let (uid, next) = (text(&pod["metadata"]["uid"]), pods::restart(pod, exit_code));
            let run = store.runs.get_mut(&uid);
            if let Some(run) = run.and_then(|run| run.containers.iter_mut().find(|one| one.name == container)) {
                run.end_with(exit_code, next);
            }
            store.nudge();
        });
    }

    /// It says that it is of this version: `v1.29.4`.
    pub fn version(&self, version: &str) {
        self.with(|store| version.clone_into(&mut store.knobs.version));
    }

    /// The node puts a pod out: `Evicted`, and why.
    pub fn put_out(&self, at: (&str, &str), reason: &str, why: &str) {
        self.with(|store| {
            let Some(uid) = store.get("Pod", at.0, at.1).map(|pod| text(&pod["metadata"]["uid"])) else { return };
            if let Some(run) = store.runs.get_mut(&uid) {
                run.put_out = Some((reason.to_owned(), why.to_owned()));
            }
        });
    }

    /// A pod is put out through the API, as a drain does it: a condition says so, and its containers are killed.
    pub fn drain(&self, at: (&str, &str)) {
        self.with(|store| {
            let Some(uid) = store.get("Pod", at.0, at.1).map(|pod| text(&pod["metadata"]["uid"])) else { return };
            if let Some(run) = store.runs.get_mut(&uid) {
                run.is_drained = true;
            }
        });
    }

    /// What containers of this name were sent, oldest pod first.
    pub fn inputs(&self, container: &str) -> Vec<Vec<u8>> {
        self.with(|store| {
            let all = store.inputs.iter().filter(|((_, name), _)| name == container);
            all.map(|(_, input)| input.clone()).collect()
        })
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What was asked since the last time.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn with<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store.lock().unwrap();
        let done = change(&mut store);
        // The controllers look at what was told, too.
        store.nudge();
        done
    }
}
