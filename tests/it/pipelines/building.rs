//! What is built once, and what is seen nowhere.

use serde_json::json;
use tokio::sync::Semaphore;

use super::{Yard, lines, message, until};
use crate::support::builds::commit;
use crate::support::git::GOOD_TOKEN;
use crate::support::shop::work;

#[tokio::test]
async fn the_same_source_dockerfile_and_arguments_are_built_once() {
    let yard = Yard::new().await;
    let run = async |input| {
        let id = yard.start(input).await;
        work(&yard.test).await;
        yard.look(&id).await
    };
    let first = run(json!({})).await;
    let second = run(json!({})).await;
    assert_eq!(second["image"], first["image"]);
    assert!(message(&second, "BUILD").contains("built by pipeline 1"), "{second}");
    // Another commit with the same tree is the same source.
    let other = run(json!({ "ref": String::from(commit(5)) })).await;
    assert_eq!(other["image"], first["image"]);
    assert_eq!(yard.test.builder.count("build"), 1);

    yard.save(json!({ "buildArgs": [{ "name": "LEVEL", "value": "2" }] })).await;
    let changed = run(json!({})).await;
    assert_ne!(changed["image"], first["image"]);
    // What is gone from the engine is built again.
    yard.test.builder.images.lock().unwrap().clear();
    run(json!({})).await;
    assert_eq!(yard.test.builder.count("build"), 3);
}

#[tokio::test]
async fn two_at_once_build_one_image() {
    let yard = Yard::new().await;
    let gate = yard.test.builder.hold("build");
    let first = yard.start(json!({})).await;
    let second = yard.start(json!({ "ref": "feature/x" })).await;
    let one = yard.begin().await;
    until(async || yard.test.builder.count("build") == 1).await;
    let two = yard.begin().await;
    let waits = async || lines(&yard.look(&second).await).iter().any(|l| l.contains("is building the same"));
    until(waits).await;
    gate.add_permits(Semaphore::MAX_PERMITS / 2);
    one.await.unwrap();
    two.await.unwrap();
    assert_eq!(yard.look(&first).await["image"], yard.look(&second).await["image"]);
    assert_eq!(yard.test.builder.count("build"), 1);
}

#[tokio::test]
async fn no_secret_is_in_the_log_the_answers_or_the_database() {
    let yard = Yard::new().await;
    let login = json!({ "username": "bot", "token": "a registry's own secret" });
    yard.save(json!({
        "buildArgs": [{ "name": "NPM_TOKEN", "value": "a build's own secret", "secret": true }, { "name": "A", "value": "b" }],
        "imageRepository": "registry.example/team/shop", "registryAuth": login,
    }))
    .await;
    let id = yard.start(json!({})).await;
    work(&yard.test).await;
    let done = yard.look(&id).await;
    assert_eq!(done["status"], "SUCCEEDED", "{done}");
    let said = lines(&done);
    for line in
        ["SOURCE SYSTEM Fetching 01010101 with ***", "BUILD STDOUT a step prints ***", "BUILD SYSTEM pushing with ***"]
    {
        assert!(said.contains(&line.to_owned()), "{line}: {said:?}");
    }
    let request = yard.test.builder.requests.lock().unwrap()[0].clone();
    assert_eq!(request.args, [("A".to_owned(), "b".to_owned())]);
    assert_eq!(request.secrets.len(), 1);
    let rows = format!("{:?}", yard.test.rows().await);
    for secret in ["a build's own secret", "a registry's own secret", GOOD_TOKEN] {
        assert!(!rows.contains(secret) && !done.to_string().contains(secret), "{secret}");
    }
    // A save that names it without a value keeps it.
    yard.save(json!({ "buildArgs": [{ "name": "NPM_TOKEN" }] })).await;
    yard.start(json!({})).await;
    work(&yard.test).await;
    assert_eq!(yard.test.builder.requests.lock().unwrap()[1].secrets.len(), 1);
}
