//! Moving from one real engine to another, and strategies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{PAGE, Shop, WEB, docker, get, text};
use crate::support::engine;
use crate::support::server::until;

/// What is on an engine of a shop's.
#[derive(Debug, PartialEq, Eq)]
struct There {
    containers: usize,
    networks: usize,
    volumes: usize,
}

fn there(shop: &Shop, host: &str) -> There {
    let count = |args: &[&str]| {
        let filter = shop.filter();
        docker(host, &[args, &["--quiet", "--filter", &filter]].concat()).lines().count()
    };
    There {
        containers: count(&["ps", "--all"]),
        networks: count(&["network", "ls"]),
        volumes: count(&["volume", "ls"]),
    }
}

fn all(list: &Value) -> String {
    list.as_array().unwrap().iter().map(text).collect::<Vec<_>>().join("\n")
}

/// The page where the API says that it is.
fn page(shop: &Shop) -> Option<String> {
    let state = shop.state();
    let url = text(&state["environments"][0]["endpoints"][0]["url"]);
    get(url.rsplit_once(':').unwrap().1.parse().unwrap(), "/")
}

fn logged(shop: &Shop, id: &str, part: &str) -> Option<()> {
    let ended = ["SUCCEEDED", "FAILED"].iter().any(|s| shop.deployment(id)["status"] == *s);
    (ended || shop.lines(id).iter().any(|line| line.contains(part))).then_some(())
}

fn register(shop: &Shop, name: &str, host: &str) -> String {
    let register = "mutation($name: String!, $host: String!) {
        registerRuntime(input: {name: $name, docker: {host: $host}}) { runtime { id } } }";
    let data = shop.server.data(register, json!({ "name": name, "host": host }));
    text(&data["registerRuntime"]["runtime"]["id"])
}

#[test]
fn a_service_moves_between_engines_and_kills_stop_nothing() {
    let test = "a_service_moves_between_engines";
    let Some(second) = engine::second(test) else { return };
    let Some(mut shop) = Shop::open(test) else { return };
    let first = shop.host.clone();
    for version in [1, 2] {
        engine::build(&second, &format!("{WEB}:{version}"), &format!("{PAGE}\nENV VERSION={version}"));
    }
    engine::build(&second, &format!("{WEB}:exits"), "CMD [\"/bin/sh\", \"-c\", \"exit 7\"]");
    let mut web = shop.web("1");
    web["volumes"] = json!([{ "mountPath": "/kept" }]);
    let secret = |value: &str| json!({ "name": "TOKEN", "value": value, "secret": true });
    web["env"].as_array_mut().unwrap().push(secret("the-first-token"));
    shop.register(&[web.clone()], json!({}));
    shop.deploy_well(None);
    shop.docker(&["exec", &shop.containers()["web"], "/bin/sh", "-c", "busybox echo kept > /kept/file"]);
    let before = shop.containers();

    let far = register(&shop, "far", &second);
    shop.update(json!({ "runtimeId": far }));
    let preview = shop.preview(None);
    assert_eq!(preview["downtime"], false, "{preview:#}");
    let warnings = all(&preview["warnings"]);
    assert!(warnings.contains("moves from runtime local to runtime far"), "{warnings}");
    assert!(warnings.contains("volume /kept of web starts empty on far"), "{warnings}");

    // One that fails there leaves nothing there but volumes, and the old one answers all the while.
    let goes_on = Arc::new(AtomicBool::new(true));
    let (polling, port) = (Arc::clone(&goes_on), shop.port);
    let polls = std::thread::spawn(move || {
        let mut count = 0;
        while polling.load(Ordering::Relaxed) {
            assert_eq!(get(port, "/").as_deref(), Some("v1 hello the-first-token"), "poll {count}");
            count += 1;
            std::thread::sleep(Duration::from_millis(50));
        }
        count
    });
    let failed = shop.deploy(Some("exits"));
    assert_eq!(failed["status"], "FAILED", "{failed:#}");
    assert!(text(&failed["message"]).contains("exited with code 7"), "{failed:#}");
    assert_eq!(there(&shop, &second), There { containers: 0, networks: 0, volumes: 1 });
    assert_eq!(shop.containers(), before);
    assert_eq!(shop.state()["status"], "DEPLOY_FAILED");
    goes_on.store(false, Ordering::Relaxed);
    assert!(polls.join().unwrap() > 5);

    // The server dies four times on the way.
    let id = shop.queue(Some("2"));
    let moments = [
        "moves from runtime local to runtime far",
        "Starting container web.",
        "Waiting for container web to become healthy.",
        "taking down what ran on runtime local",
    ];
    let mut interrupted = 0;
    for moment in moments {
        until(moment, 60, || logged(&shop, &id, moment));
        shop.server.kill9();
        shop.server.restart();
        interrupted += usize::from(shop.deployment(&id)["status"] == "RUNNING");
    }
    assert!(interrupted >= 2, "{interrupted} were interrupted");
    let moved = shop.ended(&id);
    assert_eq!(moved["status"], "SUCCEEDED", "{moved:#}");
    assert_eq!(there(&shop, &first), There { containers: 0, networks: 0, volumes: 1 });
    assert_eq!(there(&shop, &second), There { containers: 1, networks: 1, volumes: 1 });
    assert_eq!(page(&shop).unwrap(), "v2 hello the-first-token");

    // It is watched, restarted and rolled back where it is.
    shop.becomes("RUNNING", 10);
    let name = text(&shop.state()["environments"][0]["instances"][0]["name"]);
    docker(&second, &["kill", &name]);
    shop.becomes("DEGRADED", 10);
    let restart = "mutation($id: ID!) { restartService(input: {serviceId: $id}) { service { id } } }";
    shop.server.data(restart, json!({ "id": shop.service }));
    shop.becomes("RUNNING", 30);
    // Values are shown to nobody: only that there is another one.
    let last = web["env"].as_array().unwrap().len() - 1;
    web["tag"] = json!("2");
    web["env"][last] = secret("another-token");
    shop.update(json!({ "containers": [web] }));
    let diff = text(&shop.preview(None)["diff"]);
    assert!(diff.contains("+      TOKEN: \"*** (changed)\"") && !diff.contains("another"), "{diff}");
    shop.deploy_well(None);
    assert_eq!(page(&shop).unwrap(), "v2 hello another-token");
    let back = shop.roll_back(Some(1));
    assert_eq!(back["status"], "SUCCEEDED", "{back:#}");
    assert_eq!(page(&shop).unwrap(), "v1 hello the-first-token");
    assert_eq!(there(&shop, &first), There { containers: 0, networks: 0, volumes: 1 });

    // Back home, where the volume is as it was left.
    shop.update(json!({ "runtimeId": shop.runtime }));
    assert!(all(&shop.preview(None)["warnings"]).contains("holds what was left there on local"));
    let failed = shop.deploy(Some("exits"));
    assert_eq!(failed["status"], "FAILED", "{failed:#}");
    assert_eq!(there(&shop, &first), There { containers: 0, networks: 0, volumes: 1 });
    shop.deploy_well(None);
    assert_eq!(page(&shop).unwrap(), "v2 hello another-token");
    let file = shop.docker(&["exec", &shop.containers()["web"], "/bin/busybox", "cat", "/kept/file"]);
    assert_eq!(file, "kept");
    assert_eq!(there(&shop, &second), There { containers: 0, networks: 0, volumes: 1 });

    // The volumes go from both.
    let remove = "mutation($id: ID!) { removeService(input: {id: $id, deleteVolumes: true}) { id } }";
    shop.server.data(remove, json!({ "id": shop.service }));
    shop.is_gone();
    for host in [&first, &second] {
        assert_eq!(there(&shop, host), There { containers: 0, networks: 0, volumes: 0 });
    }
    shop.end();
}

#[test]
fn one_engine_under_two_names_is_not_taken_down() {
    let Some(mut shop) = Shop::open("one_engine_under_two_names") else { return };
    shop.register(&[shop.web("1")], json!({}));
    shop.deploy_well(None);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alias.sock");
    std::os::unix::fs::symlink(shop.host.strip_prefix("unix://").unwrap(), &path).unwrap();
    let alias = register(&shop, "alias", &format!("unix://{}", path.display()));
    shop.update(json!({ "runtimeId": alias }));
    let warnings = all(&shop.preview(Some("2"))["warnings"]);
    assert!(warnings.contains("alias is the same engine as local"), "{warnings}");
    shop.deploy_well(Some("2"));
    assert_eq!(shop.page().unwrap(), "v2 hello");
    assert_eq!(shop.containers().len(), 1);
    let back = shop.roll_back(None);
    assert_eq!(back["status"], "SUCCEEDED", "{back:#}");
    assert_eq!(shop.page().unwrap(), "v1 hello");
    shop.close();
}

#[test]
fn recreate_stops_all_that_changes_first_and_brings_it_back_when_it_fails() {
    let Some(mut shop) = Shop::open("recreate_stops_all_that_changes_first") else { return };
    let mut db = shop.web("1");
    db["name"] = json!("db");
    db["isInternal"] = json!(true);
    db["port"] = json!(8080);
    db["env"] = json!([{ "name": "PORT", "value": "8080" }, { "name": "TEXT", "value": "data" }]);
    shop.register(&[shop.web("1"), db.clone()], json!({}));
    shop.deploy_well(None);
    let save =
        "mutation($id: ID!) { saveEnvironment(input: {serviceId: $id, name: \"production\", strategy: RECREATE}) {
        environment { strategy undeployedChanges } } }";
    let saved = shop.server.data(save, json!({ "id": shop.service }))["saveEnvironment"]["environment"].take();
    assert_eq!(saved, json!({ "strategy": "RECREATE", "undeployedChanges": true }));
    let before = shop.containers();

    let preview = shop.preview(Some("2"));
    assert_eq!(preview["downtime"], true);
    assert!(all(&preview["downtimeReasons"]).contains("the strategy is RECREATE"), "{preview:#}");
    let deployed = shop.deploy_well(Some("2"));
    assert_eq!(shop.page().unwrap(), "v2 hello");
    let after = shop.containers();
    assert_eq!(after["db"], before["db"], "what did not change is not touched");
    let lines = shop.lines(&text(&deployed["id"]));
    assert!(lines.iter().all(|line| !line.contains("candidate")), "{lines:?}");

    db["env"][1]["value"] = json!("other data");
    let mut web = shop.web("exits");
    web["env"][2]["value"] = json!("other");
    shop.update(json!({ "containers": [web, db] }));
    let failed = shop.deploy(None);
    assert_eq!(failed["status"], "FAILED", "{failed:#}");
    assert_eq!(shop.containers(), after);
    assert_eq!(until("the page", 10, || shop.page()), "v2 hello");
    assert_eq!(until("the neighbour", 10, || get(shop.port, "/cgi-bin/db")), "v1 data");
    shop.close();
}
