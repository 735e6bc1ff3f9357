//! The server killed in each stage, with one pipeline at work and five that wait.

use serde_json::{Value, json};

use super::{BASE, Works, statuses, text};
use crate::support::git_server::{Change, Fault};
use crate::support::server::until;

/// A Dockerfile whose build takes a moment, and in which that moment is told.
fn slow(works: &Works) {
    let dockerfile = format!(
        "FROM {BASE}\nCOPY index.html /www/index.html\nRUN busybox sleep 3\nSTOPSIGNAL SIGKILL\n\
         CMD [\"/bin/sh\", \"-c\", \"busybox sleep 2; exec busybox httpd -f -p {} -h /www\"]\n",
        works.port
    );
    works.repositories.commit("team/shop", "main", &[Change::file("Dockerfile", dockerfile)]);
}

#[test]
fn in_each_stage_with_five_that_wait() {
    let Some(mut works) = Works::open_with("in_each_stage_with_five_that_wait", &[("BUILD__AT_ONCE", "1")]) else {
        return;
    };
    slow(&works);
    works.save(json!({ "testCommand": ["/bin/busybox", "sleep", "2"] }));
    for kind in ["SOURCE", "BUILD", "TEST", "DEPLOY"] {
        // Each time another page, so that there is something to build.
        works.repositories.commit("team/shop", "main", &[Change::file("index.html", kind)]);
        let branches: Vec<String> = (0..5).map(|n| branch(&works, n)).collect();
        // Its SOURCE is a moment, unless the Git server says what there is, and then nothing.
        works.repositories.set_fault((kind == "SOURCE").then_some(Fault::StallLater));
        let first = works.start(json!({ "deployTo": "production" }));
        let others: Vec<String> = branches.iter().map(|branch| works.start(json!({ "ref": branch }))).collect();
        works.reaches(&first, kind);
        works.server.kill9();
        works.repositories.set_fault(None);
        works.server.restart();

        let done = works.ended(&first);
        let said = works.lines(&first);
        assert_eq!(statuses(&done), "SUCCEEDED SUCCEEDED SKIPPED SUCCEEDED SUCCEEDED", "{kind}: {done:#}\n{said:#?}");
        assert_eq!(works.page().as_deref(), Some(kind));
        // The first is not among them: while it waits for its deployment, the next has the room.
        let mut ends = Vec::new();
        for id in &others {
            let done = works.ended(id);
            assert_eq!(done["status"], "SUCCEEDED", "{kind}: {done:#}\n{:#?}", works.lines(id));
            ends.push(finished(&works, id));
        }
        assert!(ends.is_sorted(), "{kind}: they end in their order: {ends:?}");
        // What had ended before the kill was not done again.
        let of =
            |stage: &str, part: &str| said.iter().filter(|line| line.starts_with(stage) && line.contains(part)).count();
        assert!(kind == "SOURCE" || of("SOURCE ", "Fetching") == 1, "{kind}: {said:#?}");
        assert!(!["TEST", "DEPLOY"].contains(&kind) || of("BUILD ", "Building with") == 1, "{kind}: {said:#?}");
        assert!(kind != "DEPLOY" || of("TEST ", "Testing") == 1, "{kind}: {said:#?}");
        for id in others.iter().chain([&first]) {
            assert_eq!(works.left_of(id), "", "{kind}");
        }
    }
    let work = works.server.folder().join("data/work");
    let names = |folder: &std::path::Path| -> Vec<_> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    // The folder of scanners is the server's own.
    assert_eq!(names(&work), ["tools"], "no source is left");
    assert!(names(&work.join("tools")).is_empty(), "nor anything of a scan");
    works.close();
}

/// A branch of its own for each of those that wait: one of a branch at a time would be too easy.
fn branch(works: &Works, n: usize) -> String {
    let name = format!("branch-{n}");
    works.commit(&name, &name);
    name
}

fn finished(works: &Works, id: &str) -> String {
    let document = "query($id: ID!) { node(id: $id) { ... on Pipeline { finishedAt } } }";
    let at = until("the end's time", 10, || {
        let at = works.server.data(document, json!({ "id": id }))["node"]["finishedAt"].take();
        (at != Value::Null).then_some(at)
    });
    text(&at)
}
