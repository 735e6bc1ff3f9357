//! What a deployment does when something is wrong, and the ways back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::{Shop, get, text};

#[test]
fn what_fails_says_why_and_the_old_revision_answers_all_the_while() {
    let Some(mut shop) = Shop::open("what_fails_says_why") else { return };
    shop.register(&[shop.web("1")], json!({}));
    shop.deploy_well(None);
    let before = shop.containers();

    let goes_on = Arc::new(AtomicBool::new(true));
    let (polling, port) = (Arc::clone(&goes_on), shop.port);
    let polls = std::thread::spawn(move || {
        let mut count = 0;
        while polling.load(Ordering::Relaxed) {
            assert_eq!(get(port, "/").as_deref(), Some("v1 hello"), "poll {count}");
            count += 1;
            std::thread::sleep(Duration::from_millis(50));
        }
        count
    });
    let cases: [(&str, &[&str]); 3] = [
        ("missing", &["127.0.0.1:1", "web:missing"]),
        ("exits", &["exited with code 7", "the last words"]),
        ("sick", &["did not become healthy", "404", "listening on"]),
    ];
    for (tag, expected) in cases {
        let ended = shop.deploy(Some(tag));
        assert_eq!(ended["status"], "FAILED", "{ended:#}");
        let message = text(&ended["message"]);
        assert!(expected.iter().all(|part| message.contains(part)), "{tag}: {message}");
        let state = shop.state();
        assert_eq!(state["status"], "DEPLOY_FAILED", "{state:#}");
        assert_eq!(state["environments"][0]["currentDeployment"]["revision"], 1);
        assert_eq!(shop.containers(), before, "{tag}");
    }
    goes_on.store(false, Ordering::Relaxed);
    assert!(polls.join().unwrap() > 20);
    // A tag that failed is not kept.
    assert_eq!(shop.preview(None)["diff"], "");
    shop.deploy_well(None);
    assert_eq!(shop.state()["status"], "RUNNING");
    assert_eq!(shop.containers(), before);
    shop.close();
}

#[test]
fn rollbacks_restore_image_variables_and_secrets_and_volumes_keep_their_content() {
    let Some(mut shop) = Shop::open("rollbacks_restore") else { return };
    let told = |text: &str, token: &str, tag: &str| {
        let mut web = shop.web(tag);
        web["volumes"] = json!([{ "mountPath": "/kept" }]);
        web["env"][2]["value"] = json!(text);
        let secret = json!({ "name": "TOKEN", "value": token, "secret": true });
        web["env"].as_array_mut().unwrap().push(secret);
        web
    };
    let (first, second) = (told("one", "secret-of-one", "1"), told("two", "secret-of-two", "2"));
    shop.register(&[first], json!({}));
    shop.deploy_well(None);
    assert_eq!(shop.page().unwrap(), "v1 one secret-of-one");
    shop.docker(&["exec", &shop.containers()["web"], "/bin/sh", "-c", "busybox echo kept > /kept/file"]);
    shop.update(json!({ "containers": [second] }));
    shop.deploy_well(None);
    assert_eq!(shop.page().unwrap(), "v2 two secret-of-two");

    for (to, page) in
        [(Some(1), "v1 one secret-of-one"), (None, "v2 two secret-of-two"), (Some(1), "v1 one secret-of-one")]
    {
        let back = shop.roll_back(to);
        assert_eq!(back["status"], "SUCCEEDED", "{back:#}");
        assert_eq!(back["trigger"], "ROLLBACK");
        assert_eq!(shop.page().unwrap(), page);
        let file = shop.docker(&["exec", &shop.containers()["web"], "/bin/busybox", "cat", "/kept/file"]);
        assert_eq!(file, "kept");
        assert_eq!(shop.containers().len(), 1);
    }
    // The definition stays what it was.
    assert!(text(&shop.preview(None)["diff"]).contains("two"));
    shop.close();
}
