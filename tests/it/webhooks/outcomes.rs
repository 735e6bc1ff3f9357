//! What comes of deliveries that are proven.

use kiops::app::webhooks::intake::Received;
use kiops::domain::git::Provider;
use serde_json::{Value, json};

use super::Mill;
use crate::support::builds::commit;
use crate::support::hooks::{github_push, gitlab_push};
use crate::support::shop::text;

const ZEROS: &str = "0000000000000000000000000000000000000000";

#[tokio::test]
async fn a_push_starts_a_pipeline_of_its_very_commit() {
    for provider in Provider::ALL {
        let mill = Mill::new(provider).await;
        assert_eq!(mill.outcome(&mill.push("d-1", "main", 7)).await, ("STARTED".to_owned(), String::new()));
        let pipeline = &mill.deliveries().await[0]["pipeline"];
        assert_eq!((&pipeline["ref"], &pipeline["trigger"]), (&json!("main"), &json!("PUSH")));
        assert_eq!(pipeline["commit"]["sha"], commit(7).as_str());
        assert_eq!(pipeline["commit"]["message"], "Add the basket");
        assert_eq!(pipeline["commit"]["authorName"], "Ada Lovelace");
        // The pipeline is found from what it is fetched by: the registered address, whatever the payload names.
        crate::support::shop::work(&mill.test).await;
        let origins = mill.test.sources.origins.lock().unwrap().clone();
        assert_eq!(origins.len(), 1);
        assert!(origins[0].0.starts_with("https://git.example/team/shop"), "{origins:?}");
        assert_eq!(*mill.test.sources.fetched.lock().unwrap(), [commit(7)]);
    }
}

#[tokio::test]
async fn what_starts_nothing_says_why() {
    let mill = Mill::new(Provider::Gitlab).await;
    let push = gitlab_push(&mill.project, "main", commit(1).as_str());
    let with = |pointer: &str, value: Value| {
        let mut payload = push.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        payload.pointer_mut(parent).unwrap()[name] = value;
        payload
    };
    let deleted = {
        let mut payload = with("/after", json!(ZEROS));
        payload["checkout_sha"] = Value::Null;
        payload["commits"] = json!([]);
        payload
    };
    let tag_deleted = {
        let mut payload = deleted.clone();
        payload["object_kind"] = json!("tag_push");
        payload["ref"] = json!("refs/tags/v1");
        payload
    };
    let request = |action: &str, source: u64| {
        let project: u64 = mill.project.parse().unwrap();
        json!({
            "object_kind": "merge_request", "project": { "id": project, "path_with_namespace": "team/shop" },
            "object_attributes": {
                "iid": 7, "action": action, "source_branch": "feature/x", "target_branch": "main",
                "source_project_id": source, "target_project_id": project, "oldrev": commit(8).as_str(),
                "last_commit": { "id": commit(9).as_str(), "message": "Add" },
            },
        })
    };
    let own: u64 = mill.project.parse().unwrap();
    let cases = [
        ("Push Hook", with("/ref", json!("refs/heads/other")), "IGNORED", "the branch other is not one of those"),
        ("Push Hook", deleted, "IGNORED", "the branch was deleted"),
        ("Tag Push Hook", tag_deleted, "IGNORED", "the tag was deleted"),
        ("Push Hook", with("/commits/0/message", json!("Add [skip ci]")), "IGNORED", "[skip ci]"),
        ("Push Hook", with("/project/id", json!(4)), "IGNORED", "another project"),
        ("Merge Request Hook", request("open", own + 1), "IGNORED", "a fork's code is never built"),
        ("Merge Request Hook", request("close", own), "IGNORED", "closed"),
        ("Note Hook", with("/object_kind", json!("note")), "IGNORED", "no pipeline: Note Hook"),
        ("Push Hook", with("/ref", json!("refs/heads/--upload-pack=touch x")), "IGNORED", "can't be read"),
        ("Push Hook", with("/ref", json!("refs/heads/-x")), "IGNORED", "can't be read"),
        ("Push Hook", json!([1]), "IGNORED", "no JSON object"),
        ("Push Hook", json!({}), "IGNORED", "no pipeline: Push Hook"),
        ("Push Hook", json!({ "object_kind": "push" }), "IGNORED", "can't be read"),
        ("Merge Request Hook", request("open", own), "STARTED", ""),
        ("Push Hook", with("/commits", json!([])), "STARTED", ""),
    ];
    for (number, (event, payload, outcome, reason)) in cases.iter().enumerate() {
        let (is, why) = mill.outcome(&mill.delivery(event, &format!("d-{number}"), payload)).await;
        assert_eq!(is, *outcome, "{number}: {why}");
        assert!(why.contains(reason), "{number}: {why}");
    }
    let refs: Vec<String> = mill.pipelines().await.into_iter().map(|(name, ..)| name).collect();
    assert_eq!(refs, ["main", "feature/x"], "of a merge request the source branch");
    assert_eq!(mill.pipelines().await[1].1, commit(9).as_str());
}

#[tokio::test]
async fn events_and_branches_are_as_they_were_saved() {
    let mill = Mill::bare(Provider::Github).await;
    mill.save(json!({ "enabled": true, "branches": ["release/*", "main"] })).await;
    let tag = {
        let mut payload = github_push(&mill.project, "x", commit(1).as_str());
        payload["ref"] = json!("refs/tags/v1");
        payload
    };
    for (number, (branch, outcome)) in
        [("main", "STARTED"), ("release/1/x", "STARTED"), ("feature/x", "IGNORED")].into_iter().enumerate()
    {
        assert_eq!(mill.outcome(&mill.push(&format!("d-{number}"), branch, 1)).await.0, outcome, "{branch}");
    }
    assert_eq!(mill.outcome(&mill.delivery("push", "t-1", &tag)).await.0, "IGNORED");
    mill.save(json!({ "onTag": true, "onPush": false })).await;
    assert_eq!(mill.outcome(&mill.delivery("push", "t-2", &tag)).await.0, "STARTED");
    assert_eq!(mill.outcome(&mill.push("d-9", "main", 1)).await.0, "IGNORED");
    // What was sent before it was switched off, and comes to be handled after.
    assert_eq!(mill.send(&mill.delivery("push", "t-3", &tag)).await, Received::Stored);
    mill.save(json!({ "enabled": false })).await;
    mill.settle().await;
    let newest = &mill.deliveries().await[0];
    assert_eq!((&newest["outcome"], &newest["reason"]), (&json!("IGNORED"), &json!("Auto CI is off")));
}

#[tokio::test]
async fn the_same_id_is_a_duplicate() {
    for provider in Provider::ALL {
        let mill = Mill::new(provider).await;
        let first = mill.push("the-id", "main", 1);
        assert_eq!(mill.outcome(&first).await.0, "STARTED");
        assert_eq!(mill.outcome(&first).await.0, "DUPLICATE");
        // Whatever it says: the provider does not use an id twice.
        assert_eq!(mill.outcome(&mill.push("the-id", "main", 2)).await.0, "DUPLICATE");
        assert_eq!(mill.pipelines().await.len(), 1);
        assert_eq!(mill.outcome(&mill.push("another", "main", 2)).await.0, "STARTED");
        // Without any id the content stands for it.
        if provider == Provider::Github {
            let bare = mill.push("x", "main", 3).with("x-github-delivery", None);
            assert_eq!(mill.outcome(&bare).await.0, "STARTED");
            assert_eq!(mill.outcome(&bare).await.0, "DUPLICATE");
        }
    }
}

/// Every example of npm @octokit/webhooks-examples: tests/fixtures/webhooks/README.md.
#[tokio::test]
async fn every_example_comes_to_what_it_should() {
    let files = [
        ("push", include_str!("../../fixtures/webhooks/push.json")),
        ("pull_request", include_str!("../../fixtures/webhooks/pull_request.json")),
        ("create", include_str!("../../fixtures/webhooks/create.json")),
        ("delete", include_str!("../../fixtures/webhooks/delete.json")),
        ("ping", include_str!("../../fixtures/webhooks/ping.json")),
    ];
    let mill = Mill::bare(Provider::Github).await;
    let all = json!({ "enabled": true, "branches": ["master"], "onMergeRequest": true, "onTag": true });
    mill.save(all).await;
    let mut lines = Vec::new();
    for (event, text) in files {
        let examples: Vec<Value> = serde_json::from_str(text).unwrap();
        for (number, mut payload) in examples.into_iter().enumerate() {
            // The examples are of many repositories; this service's is one of them.
            let ours: u64 = mill.project.parse().unwrap();
            payload["repository"]["id"] = json!(ours);
            for end in ["/pull_request/head/repo", "/pull_request/base/repo"] {
                if let Some(repository) = payload.pointer_mut(end).filter(|r| r.is_object()) {
                    repository["id"] = json!(ours);
                }
            }
            let (outcome, reason) = mill.outcome(&mill.delivery(event, &format!("{event}-{number}"), &payload)).await;
            lines.push(format!("{event} {number}: {outcome} {reason}").trim_end().to_owned());
        }
    }
    assert_eq!(lines.len(), 49);
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn a_service_that_goes_takes_its_webhook_along() {
    let mill = Mill::new(Provider::Gitlab).await;
    let push = mill.push("d-1", "main", 1);
    assert_eq!(mill.send(&push).await, Received::Stored);
    let document = "mutation($i: RemoveServiceInput!) { removeService(input: $i) { service { status } } }";
    mill.test.data(&mill.member, document, json!({ "i": { "id": mill.service } })).await;
    // What had been sent, and what is sent meanwhile.
    let more = mill.push("d-2", "main", 2);
    assert_eq!(mill.send(&more).await, Received::Stored);
    mill.settle().await;
    for delivery in mill.deliveries().await {
        assert_eq!(text(&delivery["reason"]), "the service is being removed");
    }
    let row = mill.row();
    crate::support::shop::work(&mill.test).await;
    assert!(mill.test.gits.of(Provider::Gitlab).hooks.is_empty(), "the webhook stays at the provider");
    assert_eq!(more.to(&mill.intake, &row).await, Received::Refused);
    let rows = mill.written().await.rows().await;
    assert!(rows["webhook_delivery"].is_empty() && rows["service"].is_empty());
}

#[tokio::test]
async fn a_provider_that_is_away_holds_up_no_removal() {
    let mill = Mill::new(Provider::Gitlab).await;
    mill.test.gits.of(Provider::Gitlab).failure = Some(kiops::git::GitError::Unreachable("away".to_owned()));
    let document = "mutation($i: RemoveServiceInput!) { removeService(input: $i) { service { status } } }";
    mill.test.data(&mill.member, document, json!({ "i": { "id": mill.service } })).await;
    crate::support::shop::work(&mill.test).await;
    assert!(mill.written().await.rows().await["service"].is_empty());
}
