//! Scans that somebody starts, and what is refused.

use std::time::Duration;

use async_graphql::{Request, Variables};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::{EVAL, Yard, until};
use crate::support::app::{caller, code};
use crate::support::shop::{mutate, web, work};

#[tokio::test]
async fn a_scan_looks_at_a_branch_or_a_commit() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.hits("semgrep", &[EVAL]);
    for (input, sha) in [
        (json!({ "kind": "SAST" }), "01"),
        (json!({ "kind": "SAST", "ref": "feature/x" }), "02"),
        (json!({ "kind": "SAST", "ref": "07".repeat(20) }), "07"),
    ] {
        let id = yard.start(input).await;
        assert_eq!(yard.look(&id).await["status"], "QUEUED");
        work(&yard.test).await;
        let scan = yard.look(&id).await;
        assert_eq!((&scan["status"], &scan["commit"]["sha"]), (&json!("SUCCEEDED"), &json!(sha.repeat(20))), "{scan}");
        assert_eq!((&scan["pipeline"], &scan["environment"]), (&json!(null), &json!(null)));
    }
    let left = std::fs::read_dir(&yard.test.app.settings.builds.work_dir).unwrap().count();
    assert_eq!(left, 0, "nothing is left on the disk");
    // A branch that is not there is said by the scan.
    let id = yard.start(json!({ "kind": "SAST", "ref": "nowhere" })).await;
    work(&yard.test).await;
    let scan = yard.look(&id).await;
    assert_eq!((&scan["status"], &scan["message"]), (&json!("FAILED"), &json!("there is no branch or tag nowhere")));
}

#[tokio::test]
async fn what_can_not_be_scanned_is_refused_by_name() {
    let yard = Yard::new(&["semgrep"]).await;
    let images = json!({ "name": "images", "runtimeId": yard.runtime, "containers": [web()] });
    let images = mutate(&yard.test, &yard.admin, "registerDockerHubService", images).await;
    for (input, expected, detail) in [
        (json!({ "kind": "SAST", "environment": "production" }), "BAD_USER_INPUT", "input.environment"),
        (json!({ "kind": "SAST", "ref": "--upload-pack=x" }), "BAD_USER_INPUT", "input.ref"),
        (json!({ "kind": "SAST", "ref": "a..b" }), "BAD_USER_INPUT", "input.ref"),
        (json!({ "kind": "DAST", "ref": "main" }), "BAD_USER_INPUT", "input.ref"),
        (json!({ "kind": "DAST", "environment": "http://169.254.169.254/" }), "BAD_USER_INPUT", "input.environment"),
        (json!({ "kind": "SAST", "serviceId": images }), "BAD_USER_INPUT", "input.kind"),
        (json!({ "kind": "SCA", "serviceId": images, "ref": "main" }), "BAD_USER_INPUT", "input.ref"),
        (json!({ "kind": "IAC" }), "FAILED_PRECONDITION", "SCANNER_NOT_CONFIGURED"),
        (json!({ "kind": "DAST" }), "FAILED_PRECONDITION", "SCANNER_NOT_CONFIGURED"),
        (json!({ "kind": "SAST", "serviceId": "bm90aGluZw" }), "NOT_FOUND", ""),
    ] {
        let answer = yard.ask_scan(&yard.member, input.clone()).await;
        assert_eq!(code(&answer).as_deref(), Some(expected), "{input} {:?}", answer.errors);
        let said = serde_json::to_value(&answer.errors[0].extensions).unwrap();
        let word = [&said["field"], &said["reason"]].into_iter().find_map(Value::as_str).unwrap_or_default();
        assert_eq!(word, detail, "{input}");
    }
    assert!(yard.claim().await.is_none(), "nothing was queued");
}

#[tokio::test]
async fn menus_say_whether_it_can_be_scanned() {
    let yard = Yard::new(&["semgrep"]).await;
    let images = json!({ "name": "images", "runtimeId": yard.runtime, "containers": [web()] });
    let images = mutate(&yard.test, &yard.admin, "registerDockerHubService", images).await;
    let ask = "query($id: ID!) { service(id: $id) { actions { action enabled reason } } }";
    let state = async |id: &str| {
        let found = yard.test.data(&yard.member, ask, json!({ "id": id })).await;
        let all = found["service"]["actions"].as_array().unwrap().clone();
        all.into_iter().find(|a| a["action"] == "SCAN").unwrap()
    };
    assert_eq!(state(&yard.service).await["enabled"], true);
    let refused = state(&images).await;
    assert_eq!((&refused["enabled"], &refused["reason"]), (&json!(false), &json!("SCANNER_NOT_CONFIGURED")));
}

#[tokio::test]
async fn one_scan_of_a_kind_and_branch_at_a_time() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.hits("semgrep", &[EVAL]);
    yard.hold("semgrep");
    let first = yard.start(json!({ "kind": "SAST" })).await;
    let second = yard.start(json!({ "kind": "SAST" })).await;
    let elsewhere = yard.start(json!({ "kind": "SAST", "ref": "feature/x" })).await;
    let (one, two) = (yard.begin().await, yard.begin().await);
    assert!(yard.claim().await.is_none(), "the second waits for the first");
    until(|| yard.has_begun("semgrep")).await;
    yard.let_go("semgrep");
    one.await.unwrap();
    two.await.unwrap();
    assert_eq!(yard.look(&second).await["status"], "QUEUED");
    work(&yard.test).await;
    for id in [first, second, elsewhere] {
        assert_eq!(yard.look(&id).await["status"], "SUCCEEDED");
    }
}

#[tokio::test]
async fn it_is_followed_until_it_has_ended() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.hits("semgrep", &[EVAL]);
    yard.hold("semgrep");
    let id = yard.start(json!({ "kind": "SAST" })).await;
    let document = "subscription($id: ID!) { scan(id: $id) { status tools { status } counts { high } } }";
    let request = Request::new(document).variables(Variables::from_json(json!({ "id": id })));
    let mut answers = yard.test.schemas.execute_stream(request, caller(Some(&yard.member)));
    let mut next = async || {
        let answer = tokio::time::timeout(Duration::from_secs(20), answers.next()).await.unwrap();
        answer.map(|answer| answer.data.into_json().unwrap()["scan"].clone())
    };
    assert_eq!(next().await.unwrap()["status"], "QUEUED");
    let worker = yard.begin().await;
    let mut seen = next().await.unwrap();
    while seen["tools"] != json!([{ "status": "RUNNING" }]) {
        seen = next().await.unwrap();
    }
    yard.let_go("semgrep");
    let mut last = seen;
    while let Some(state) = next().await {
        last = state;
    }
    assert_eq!(last, json!({ "status": "SUCCEEDED", "tools": [{ "status": "SUCCEEDED" }], "counts": { "high": 1 } }));
    worker.await.unwrap();

    let stranger = yard.test.organization("other").await;
    let request = Request::new(document).variables(Variables::from_json(json!({ "id": id })));
    let refused = yard.test.schemas.execute_stream(request, caller(Some(&stranger))).next().await.unwrap();
    assert_eq!(code(&refused).as_deref(), Some("NOT_FOUND"));
}
