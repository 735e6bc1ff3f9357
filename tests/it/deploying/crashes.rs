//! What is left of a deployment when the server dies in the middle of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{Shop, text};
use crate::support::server::until;

/// What the log says at the moments at which the server is killed.
const MOMENTS: [&str; 6] = [
    "of production",
    "Starting a candidate for container web.",
    "Waiting for container web to become healthy.",
    "is taken over by its successor.",
    "Starting container web.",
    "it serves",
];

#[test]
fn killed_servers_go_on_in_order_and_nothing_runs_twice() {
    let Some(mut shop) = Shop::open("killed_servers_go_on_in_order") else { return };
    shop.register(&[shop.web("1")], json!({}));
    shop.deploy_well(None);
    let created = Created::watch(&shop);

    let mut tag = (2..=9).cycle().map(|version| version.to_string());
    let mut queued = Vec::new();
    let mut last = String::new();
    let mut interrupted = 0;
    for (at, moment) in MOMENTS.into_iter().enumerate() {
        while queued.len() < at + 6 {
            last = tag.next().unwrap();
            queued.push(shop.queue(Some(&last)));
        }
        let running = &queued[at];
        until(moment, 60, || logged(&shop, running, moment));
        shop.server.kill9();
        shop.server.restart();
        interrupted += usize::from(shop.deployment(running)["status"] == "RUNNING");
    }
    // Some moments may be over when the signal comes.
    assert!(interrupted * 2 >= MOMENTS.len(), "{interrupted} were interrupted");
    for (revision, id) in (2..).zip(&queued) {
        let ended = until("the deployment's end", 60, || {
            let found = shop.deployment(id);
            ["SUCCEEDED", "FAILED", "CANCELED"].iter().any(|s| found["status"] == *s).then_some(found)
        });
        assert_eq!((&ended["status"], &ended["revision"]), (&json!("SUCCEEDED"), &json!(revision)), "{ended:#}");
    }
    assert_eq!(shop.page().unwrap(), format!("v{last} hello"));
    assert_eq!(shop.containers().keys().collect::<Vec<_>>(), ["web"]);
    assert_eq!(shop.becomes("RUNNING", 10)["environments"][0]["currentDeployment"]["revision"], queued.len() + 1);
    in_order(&shop, &queued);

    // Each revision made the container that served once, one after another; a proof may have been made anew.
    let made = created.end();
    let mains: Vec<i64> = made.iter().filter(|(name, _)| !name.contains('.')).map(|(_, revision)| *revision).collect();
    assert_eq!(mains, (2..=i64::try_from(queued.len()).unwrap() + 1).collect::<Vec<_>>(), "{made:?}");
    let mut proofs: BTreeMap<i64, usize> = BTreeMap::new();
    made.iter()
        .filter(|(name, _)| name.contains('.'))
        .for_each(|(_, revision)| *proofs.entry(*revision).or_default() += 1);
    assert!(proofs.values().all(|count| *count <= 2), "{made:?}");
    shop.close();
}

#[test]
fn a_stopped_server_gives_its_work_back_and_a_killed_one_still_brings_back_what_ran() {
    let Some(mut shop) = Shop::open("a_stopped_server_gives_its_work_back") else { return };
    let mut web = shop.web("1");
    web["volumes"] = json!([{ "mountPath": "/kept" }]);
    shop.register(&[web], json!({}));
    shop.deploy_well(None);

    // Volumes go from one to the other: the old container has stopped when the new one ends.
    let before = shop.containers();
    let id = shop.queue(Some("exits"));
    until("the failure", 60, || logged(&shop, &id, "It failed; what ran before is started again."));
    shop.server.kill9();
    shop.server.restart();
    let failed = shop.ended(&id);
    assert_eq!(failed["status"], "FAILED", "{failed:#}");
    assert!(text(&failed["message"]).contains("exited with code 7"), "{failed:#}");
    assert_eq!(until("the page", 10, || shop.page()), "v1 hello");
    assert_eq!(shop.containers(), before);

    let id = shop.queue(Some("2"));
    until("the wait", 60, || logged(&shop, &id, "Starting container web."));
    shop.server.stop();
    shop.server.restart();
    assert_eq!(shop.ended(&id)["status"], "SUCCEEDED");
    assert_eq!(shop.page().unwrap(), "v2 hello");
    assert_eq!(shop.containers().len(), 1);
    shop.close();
}

/// Whether a deployment's log has come to a line, or the deployment to its end.
fn logged(shop: &Shop, id: &str, part: &str) -> Option<()> {
    let ended = ["SUCCEEDED", "FAILED"].iter().any(|s| shop.deployment(id)["status"] == *s);
    (ended || shop.lines(id).iter().any(|line| line.contains(part))).then_some(())
}

/// One began after the other's end.
fn in_order(shop: &Shop, ids: &[String]) {
    let times = "query($id: ID!) { node(id: $id) { ... on Deployment { startedAt finishedAt } } }";
    let read = |id: &String| shop.server.data(times, json!({ "id": id }))["node"].take();
    let times: Vec<Value> = ids.iter().map(read).collect();
    for pair in times.windows(2) {
        assert!(text(&pair[0]["finishedAt"]) <= text(&pair[1]["startedAt"]), "{times:#?}");
    }
}

/// Notes every container that the engine makes for a service.
struct Created {
    child: Child,
    notes: tempfile::NamedTempFile,
}

impl Created {
    fn watch(shop: &Shop) -> Self {
        let notes = tempfile::NamedTempFile::new().unwrap();
        let id = &shop.containers()["web"];
        let label = "{{index .Config.Labels \"kiops.dev/environment\"}}";
        let environment = shop.docker(&["inspect", "--format", label, id]);
        let filter = format!("label=kiops.dev/environment={environment}");
        let child = Command::new("docker")
            .args(["--host", &shop.host, "events", "--filter", "event=create", "--filter", &filter])
            .args(["--format", "{{.Actor.Attributes.name}} {{index .Actor.Attributes \"kiops.dev/revision\"}}"])
            .stdout(File::create(notes.path()).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, notes }
    }

    /// Names and revisions in the order in which they were made.
    fn end(mut self) -> Vec<(String, i64)> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let notes = std::fs::read_to_string(self.notes.path()).unwrap();
        let read = |line: &str| line.split_once(' ').map(|(name, n)| (name.to_owned(), n.parse().unwrap()));
        notes.lines().filter_map(read).collect()
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        // A failed test leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
