//! What is left of a deployment when the server dies in the middle of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{Shop, text};
use crate::support::server::until;

/// What the log says at the moments at which the server is killed.
const MOMENTS: [&str; 4] = [
    "Starting a candidate for container web.",
    "Waiting for container web to become healthy.",
    "is taken over by its successor.",
    "Starting container web.",
];

#[test]
fn killed_servers_go_on_in_order_and_nothing_runs_twice() {
    let Some(mut shop) = Shop::open("killed_servers_go_on_in_order") else { return };
    shop.register(&[shop.web("1")], json!({}));
    shop.deploy_well(None);
    let created = Created::watch(&shop);

    let mut tag = (2..=9).chain(2..).map(|version| version.to_string());
    let mut queued = Vec::new();
    let mut last = String::new();
    for (at, moment) in MOMENTS.into_iter().enumerate() {
        while queued.len() < at + 6 {
            last = tag.next().unwrap();
            queued.push(shop.queue(Some(&last)));
        }
        let running = &queued[at];
        until(moment, 60, || {
            let ended = shop.deployment(running)["status"] == "SUCCEEDED";
            (ended || shop.lines(running).iter().any(|line| line.contains(moment))).then_some(())
        });
        shop.server.kill9();
        shop.server.restart();
    }
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
