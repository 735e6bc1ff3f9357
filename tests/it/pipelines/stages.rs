//! What a pipeline comes to, stage by stage.

use std::collections::BTreeMap;

use kiops::builder::BuilderError;
use kiops::builder::source::SourceError;
use serde_json::{Value, json};

use super::{Yard, lines, message, statuses};
use crate::support::app::code;
use crate::support::builds::commit;
use crate::support::shop::{text, work};

#[tokio::test]
async fn a_commit_becomes_an_image() {
    let yard = Yard::new().await;
    yard.save(json!({ "testCommand": ["/bin/check", "--all"] })).await;
    let id = yard.start(json!({})).await;
    let queued = yard.look(&id).await;
    assert_eq!((&queued["status"], &queued["queuePosition"]), (&json!("QUEUED"), &json!(1)));
    assert_eq!(queued["trigger"], "MANUAL");
    work(&yard.test).await;

    let done = yard.look(&id).await;
    assert_eq!(done["status"], "SUCCEEDED", "{done}");
    assert_eq!(statuses(&done), "SUCCEEDED SUCCEEDED SKIPPED SUCCEEDED SKIPPED");
    assert_eq!(message(&done, "DEPLOY"), "no environment asks for it");
    assert_eq!(done["commit"]["sha"], String::from(commit(1)));
    assert_eq!(done["commit"]["authorName"], "Ada");
    assert!(text(&done["commit"]["webUrl"]).ends_with(&format!("/-/commit/{}", String::from(commit(1)))));
    let image = text(&done["image"]);
    assert!(image.starts_with("kiops.internal/acme/shop:01010101-1@sha256:"), "{image}");
    assert_eq!(done["queuePosition"], Value::Null);

    let request = yard.test.builder.requests.lock().unwrap()[0].clone();
    assert_eq!(request.dockerfile, "FROM scratch\n");
    let label = |name: &str| {
        let key = format!("org.opencontainers.image.{name}");
        request.labels.iter().find(|(k, _)| *k == key).map(|(_, v)| v.clone()).unwrap()
    };
    assert_eq!(label("revision"), String::from(commit(1)));
    assert!(label("source").contains("team/shop") && label("created").starts_with("2026-"));
    let said = lines(&done);
    assert!(said.contains(&"BUILD STDOUT building".to_owned()), "{said:?}");
    assert!(said.contains(&"TEST STDERR testing".to_owned()), "{said:?}");
    let folder = &yard.test.app.settings.builds.work_dir;
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "no source is left");
}

#[tokio::test]
async fn the_stage_that_fails_says_why_and_the_others_are_skipped() {
    let yard = Yard::new().await;
    yard.save(json!({ "testCommand": ["npm", "test"], "imageRepository": "registry.example/team/shop" })).await;
    let run = async |yard: &Yard| {
        let id = yard.start(json!({})).await;
        work(&yard.test).await;
        yard.look(&id).await
    };

    *yard.test.sources.failure.lock().unwrap() = Some(SourceError::Unauthorized("the token may not".to_owned()));
    let source = run(&yard).await;
    assert_eq!(statuses(&source), "FAILED SKIPPED SKIPPED SKIPPED SKIPPED");
    assert_eq!(message(&source, "SOURCE"), "the token may not");
    *yard.test.sources.failure.lock().unwrap() = None;

    yard.test.builder.fail("build", BuilderError::Failed("RUN make: exit code 2: no rule".to_owned()));
    let build = run(&yard).await;
    assert_eq!(statuses(&build), "SUCCEEDED FAILED SKIPPED SKIPPED SKIPPED");
    assert_eq!(message(&build, "BUILD"), "RUN make: exit code 2: no rule");
    assert_eq!(build["status"], "FAILED");

    yard.test.builder.fail("push", BuilderError::PushRefused("denied".to_owned()));
    let push = run(&yard).await;
    assert_eq!(statuses(&push), "SUCCEEDED FAILED SKIPPED SKIPPED SKIPPED");
    assert_eq!(
        message(&push, "BUILD"),
        "the image was built, and registry.example/team/shop:01010101-3 could not be pushed: denied"
    );

    *yard.test.builder.exit_code.lock().unwrap() = 7;
    let test = run(&yard).await;
    assert_eq!(statuses(&test), "SUCCEEDED SUCCEEDED SKIPPED FAILED SKIPPED");
    assert_eq!(message(&test, "TEST"), "`npm test` ended with exit code 7");
    assert!(text(&test["image"]).starts_with("registry.example/team/shop:01010101-4@sha256:dddd"));
}

#[tokio::test]
async fn what_there_is_no_dockerfile_for_is_said_with_a_way_out() {
    let yard = Yard::new().await;
    *yard.test.sources.files.lock().unwrap() = BTreeMap::from([
        ("package.json".to_owned(), r#"{"scripts":{"start":"node ."},"main":"a.js"}"#.to_owned()),
        ("package-lock.json".to_owned(), "{}".to_owned()),
        ("a.js".to_owned(), String::new()),
    ]);
    let id = yard.start(json!({})).await;
    work(&yard.test).await;
    let failed = yard.look(&id).await;
    assert!(message(&failed, "BUILD").contains("mode WIZARD"), "{}", message(&failed, "BUILD"));

    yard.save(json!({ "mode": "WIZARD" })).await;
    let id = yard.start(json!({})).await;
    work(&yard.test).await;
    assert_eq!(yard.look(&id).await["status"], "SUCCEEDED");
    let request = yard.test.builder.requests.lock().unwrap()[0].clone();
    assert!(request.dockerfile.contains("FROM node:"), "{}", request.dockerfile);
    assert!(request.dockerignore.is_some());
}

#[tokio::test]
async fn names_that_are_none_are_refused_before_anything_is_stored() {
    let yard = Yard::new().await;
    for name in ["--upload-pack=touch x", "-x", "a..b", "@{-1}", "x.lock", "a\nb", ""] {
        let answer = yard.ask_start(&yard.member, json!({ "serviceId": yard.service, "ref": name })).await;
        assert_eq!(code(&answer).as_deref(), Some("BAD_USER_INPUT"), "{name:?}");
    }
    let answer = yard.ask_start(&yard.member, json!({ "serviceId": yard.service, "deployTo": "a b" })).await;
    assert_eq!(code(&answer).as_deref(), Some("BAD_USER_INPUT"));
    let all = yard.test.data(&yard.member, "{ pipelines { totalCount } }", Value::Null).await;
    assert_eq!(all["pipelines"]["totalCount"], 0);
}

#[tokio::test]
async fn a_retry_builds_the_same_commit() {
    let yard = Yard::new().await;
    let id = yard.start(json!({ "ref": "feature/x" })).await;
    let early = yard.retry(&id).await;
    assert_eq!(code(&early).as_deref(), Some("FAILED_PRECONDITION"));
    work(&yard.test).await;
    yard.test.sources.push("feature/x", commit(9));
    let again = yard.retry(&id).await.data.into_json().unwrap()["retryPipeline"]["pipeline"].clone();
    assert_eq!((&again["number"], &again["ref"]), (&json!(2), &json!("feature/x")));
    work(&yard.test).await;
    let done = yard.look(&text(&again["id"])).await;
    assert_eq!(done["commit"]["sha"], String::from(commit(2)));
}
