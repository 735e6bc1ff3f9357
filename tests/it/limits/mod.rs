//! Each key of `[limits]` in the real program: what is just under it is answered, what is over it is refused, with the code that
//! clients see, over HTTP and, where there is such a thing, over a WebSocket.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

pub mod client;
mod documents;
mod requests;
mod sockets;
mod times;

use std::collections::BTreeSet;

/// The keys that a test of this folder trips, by the file that does it.
const TRIPPED: [(&str, &[&str]); 4] = [
    ("documents", &documents::KEYS),
    ("requests", &requests::KEYS),
    ("sockets", &sockets::KEYS),
    ("times", &times::KEYS),
];

#[test]
fn no_key_is_left_out() {
    let defaults: toml::Value = toml::from_str(kiops::config::DEFAULTS).unwrap();
    let keys: BTreeSet<&str> = defaults["limits"].as_table().unwrap().keys().map(String::as_str).collect();
    let tripped: Vec<&str> = TRIPPED.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
    let once: BTreeSet<&str> = tripped.iter().copied().collect();
    assert_eq!(once, keys, "each key of [limits] has a test here");
    assert_eq!(once.len(), tripped.len(), "and one alone");
}
