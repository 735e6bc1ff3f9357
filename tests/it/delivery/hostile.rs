//! Sources that mean harm: each ends in FAILED with a sentence, within its limits, and the server goes on answering.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{BASE, Works, stage, text};
use crate::support::git_server::Change;

/// Runs what is on a branch, while a small query is asked all the time; gives the stage's message and the slowest answer
/// but the one percent that were slower still.
fn run(works: &Works, branch: &str, changes: &[Change], kind: &str) -> (String, Duration) {
    works.repositories.commit("team/shop", branch, changes);
    let id = works.start(json!({ "ref": branch }));
    let mut times = Vec::new();
    let done = loop {
        let asked = Instant::now();
        works.server.data("{ viewer { role } }", Value::Null);
        times.push(asked.elapsed());
        let found = works.look(&id);
        if !["QUEUED", "RUNNING"].iter().any(|s| found["status"] == *s) {
            break found;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(done["status"], "FAILED", "{branch}: {done:#}");
    assert_eq!(works.left_of(&id), "", "{branch}");
    times.sort_unstable();
    (text(&stage(&done, kind)["message"]), times[(times.len() * 99 / 100).min(times.len() - 1)])
}

#[test]
fn each_fails_with_a_sentence_and_the_server_goes_on_answering() {
    let settings =
        [("BUILD__TIMEOUT", "12s"), ("BUILD__MAX_CONTEXT_BYTES", "50000000"), ("LOGS__MAX_BYTES_PER_RUN", "200000")];
    let Some(works) = Works::open_with("each_fails_with_a_sentence", &settings) else { return };
    let from = |lines: &str| vec![Change::file("Dockerfile", format!("FROM {BASE}\n{lines}\n"))];
    let deep: String = (0..50).map(|n| format!("line {n}\n")).collect();
    let mut slowest = Duration::ZERO;
    for (branch, changes, kind, part) in [
        ("link-out", vec![Change::link("Dockerfile", "/etc/passwd")], "SOURCE", "Dockerfile"),
        ("link-up", vec![Change::link("sub/Dockerfile", "../../../etc/passwd")], "SOURCE", "Dockerfile"),
        ("no-text", vec![Change::file("Dockerfile", [0xff, 0xfe, 0x00])], "BUILD", "Dockerfile"),
        ("not-one", vec![Change::file("Dockerfile", &deep)], "BUILD", "unknown instruction"),
        (
            "too-large",
            vec![Change::file("big", vec![0; 60_000_000]), Change::file("Dockerfile", "FROM scratch\n")],
            "SOURCE",
            "47 MiB",
        ),
        ("sleeps", from("RUN busybox sleep 7575"), "BUILD", "12s"),
        ("floods", from("RUN busybox yes | busybox head -c 100000000; exit 3"), "BUILD", ""),
        (
            "forks",
            // The machine is spared by a limit of the step's own, which does not hold for root.
            from(
                "RUN busybox mkdir -p /etc && echo some:x:54322:54322::/:/bin/sh > /etc/passwd && echo some:x:54322: > /etc/group\nUSER some\n\
                 RUN ulimit -u 300; bomb() { bomb | bomb & }; bomb & exec busybox sleep 7676",
            ),
            "BUILD",
            "",
        ),
    ] {
        let changes: Vec<Change> = changes;
        let asked = Instant::now();
        let (message, slow) = run(&works, branch, &changes, kind);
        assert!(message.contains(part) && !message.is_empty(), "{branch}: {message}");
        assert!(asked.elapsed() < Duration::from_secs(60), "{branch} took {:?}", asked.elapsed());
        println!("{branch}: {message} (p99 {slow:?})");
        slowest = slowest.max(slow);
    }
    println!("p99 of a small query: {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    works.close();
}
