//! Canceled in each stage: within five seconds nothing of it runs.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{BASE, Works, text};
use crate::support::git_server::{Change, Fault};
use crate::support::server::until;

/// Processes whose command line holds a word, as this machine has them.
fn running(word: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(word)).count()
}

fn ends_soon(works: &Works, id: &str, word: &str) {
    let asked = Instant::now();
    works.cancel(id);
    let done = works.ended(id);
    assert_eq!(done["status"], "CANCELED", "{done:#}");
    // A process that was killed takes a moment to be gone from the list.
    until("the end of what was at work", 2, || (running(word) == 0).then_some(()));
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    assert_eq!(works.left_of(id), "");
}

#[test]
fn in_each_stage() {
    let Some(works) = Works::open("in_each_stage") else { return };
    // SOURCE: a Git server that says what there is, and then nothing.
    works.repositories.set_fault(Some(Fault::StallLater));
    let id = works.start(json!({}));
    works.reaches(&id, "SOURCE");
    // The server's own, and not what it talks to: that ends when its other side has gone.
    until("git", 40, || (running("--depth=1") > 0).then_some(()));
    ends_soon(&works, &id, "--depth");
    works.repositories.set_fault(None);

    // BUILD: a step that sleeps.
    let dockerfile = format!("FROM {BASE}\nRUN busybox sleep 7171\n");
    works.repositories.commit("team/shop", "sleeper", &[Change::file("Dockerfile", dockerfile)]);
    let id = works.start(json!({ "ref": "sleeper" }));
    works.reaches(&id, "BUILD");
    until("the step", 40, || (running("sleep\x007171") > 0).then_some(()));
    ends_soon(&works, &id, "sleep\x007171");

    // TEST: a command that sleeps.
    works.save(json!({ "testCommand": ["/bin/busybox", "sleep", "7272"] }));
    let id = works.start(json!({}));
    works.reaches(&id, "TEST");
    until("the command", 40, || (running("sleep\x007272") > 0).then_some(()));
    ends_soon(&works, &id, "sleep\x007272");
    works.save(json!({ "testCommand": null }));

    // DEPLOY: a container that never becomes healthy. What ran before goes on.
    let first = works.ended(&works.start(json!({ "deployTo": "production" })));
    assert_eq!(first["status"], "SUCCEEDED", "{first:#}");
    let dockerfile = format!("FROM {BASE}\nSTOPSIGNAL SIGKILL\nCMD [\"/bin/busybox\", \"sleep\", \"7373\"]\n");
    works.repositories.commit("team/shop", "sick", &[Change::file("Dockerfile", dockerfile)]);
    let id = works.start(json!({ "ref": "sick", "deployTo": "production" }));
    works.reaches(&id, "DEPLOY");
    until("the container", 40, || (running("sleep\x007373") > 0).then_some(()));
    ends_soon(&works, &id, "sleep\x007373");
    assert_eq!(works.page().as_deref(), Some("version 1"));
    works.close();
}

#[test]
fn a_service_that_is_removed_while_it_builds_leaves_the_queue_moving() {
    let Some(works) = Works::open_with("a_service_that_is_removed", &[("BUILD__AT_ONCE", "1")]) else { return };
    let dockerfile = format!("FROM {BASE}\nRUN busybox sleep 7474\n");
    works.repositories.commit("team/shop", "sleeper", &[Change::file("Dockerfile", dockerfile)]);
    // Another service of the same project waits for the one place there is.
    let register = "mutation($i: RegisterGitProjectInput!) { registerGitProject(input: $i) { service { id } } }";
    let other = json!({ "provider": "GITLAB", "project": "team/shop", "branch": "main", "name": "other" });
    let other = works.server.data(register, json!({ "i": other }));
    let id = works.start(json!({ "ref": "sleeper" }));
    works.reaches(&id, "BUILD");
    let start = "mutation($id: ID!) { startPipeline(input: {serviceId: $id}) { pipeline { id } } }";
    let waiting =
        works.server.data(start, json!({ "id": other["registerGitProject"]["service"]["id"] }))["startPipeline"].take();
    until("the step", 40, || (running("sleep\x007474") > 0).then_some(()));
    let remove = "mutation($id: ID!) { removeService(input: {id: $id}) { id } }";
    works.server.data(remove, json!({ "id": works.service }));
    let done = works.ended(&text(&waiting["pipeline"]["id"]));
    assert_eq!(done["status"], "SUCCEEDED", "{done:#}");
    assert_eq!(running("sleep\x007474"), 0);
    let gone =
        "query($id: ID!) { service(id: $id) { id } node(id: $p) { id } }".replace("($id: ID!)", "($id: ID!, $p: ID!)");
    until("the service's end", 30, || {
        let found = works.server.data(&gone, json!({ "id": works.service, "p": id }));
        (found["service"].is_null() && found["node"].is_null()).then_some(())
    });
}
