//! What whoever runs KIOPS does to it beside the real server program, while it is used.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod backup;
mod rotation;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::server::{Server, until};

/// Stores one secret after the other until a work is done; gives what came of it, and how many were stored before it
/// began, and in all.
fn while_secrets_are_stored<T>(server: &Server, work: impl FnOnce() -> T) -> (T, [usize; 2]) {
    let (stored, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let now = || stored.load(Ordering::SeqCst);
    let (outcome, before) = std::thread::scope(|scope| {
        for who in ["a", "b"] {
            let (stored, done) = (&stored, &done);
            scope.spawn(move || {
                for number in (0..).take_while(|_| !done.load(Ordering::SeqCst)) {
                    save(server, &format!("{who}{number}.example.com"));
                    stored.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        // Those threads end also when something panics here.
        let _told = Telling(&done);
        let least = |count: usize| until("more secrets", 60, || (now() >= count).then(now));
        let before = least(4);
        let outcome = work();
        least(now() + 4);
        (outcome, before)
    });
    (outcome, [before, now()])
}

/// Says in the end that a work is done.
struct Telling<'a>(&'a AtomicBool);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Stores a registry's login.
fn save(server: &Server, host: &str) {
    let save = "mutation($i: SaveRegistryInput!) { saveRegistry(input: $i) { registry { id } } }";
    server.data(save, json!({ "i": { "host": host, "username": "bot", "token": format!("token-of-{host}") } }));
}

/// How many registries there are.
fn registries(server: &Server) -> usize {
    let ask = "query($after: String) { registries(first: 100, after: $after) {
        nodes { host } pageInfo { hasNextPage endCursor } } }";
    let (mut count, mut after) = (0, Value::Null);
    loop {
        let page = server.data(ask, json!({ "after": after }))["registries"].take();
        count += page["nodes"].as_array().unwrap().len();
        if page["pageInfo"]["hasNextPage"] != true {
            return count;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}
