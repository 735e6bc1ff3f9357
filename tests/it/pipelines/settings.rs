//! How a service is built, saved.

use serde_json::{Value, json};

use super::Yard;
use crate::support::app::code;
use crate::support::shop::{mutate, web};

const SAVE: &str = "mutation($i: SaveBuildSettingsInput!) { saveBuildSettings(input: $i) { service { \
    buildSettings { mode dockerfilePath contextPath dockerfile buildArgs { name value secret } target platforms \
    imageRepository profile testCommand scans } registryUsername git { contextPath } } } }";

#[tokio::test]
async fn what_is_left_out_stays_and_what_is_null_is_the_default_again() {
    let yard = Yard::new().await;
    let save = async |settings: Value| {
        let mut input = settings;
        input["serviceId"] = json!(yard.service);
        yard.test.data(&yard.member, SAVE, json!({ "i": input })).await["saveBuildSettings"]["service"].clone()
    };
    let saved = save(json!({
        "mode": "PATH", "dockerfilePath": "docker/Dockerfile", "contextPath": "services/shop", "target": "run",
        "buildArgs": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2", "secret": true }],
        "platforms": ["linux/amd64"], "imageRepository": "registry.example/team/shop", "profile": "medium",
        "testCommand": ["npm", "test"], "registryAuth": { "username": "bot", "token": "tokentoken" },
    }))
    .await;
    let build = &saved["buildSettings"];
    assert_eq!((&build["mode"], &build["target"]), (&json!("PATH"), &json!("run")));
    assert_eq!(build["buildArgs"][1], json!({ "name": "B", "value": null, "secret": true }));
    assert_eq!((&saved["registryUsername"], &saved["git"]["contextPath"]), (&json!("bot"), &json!("services/shop")));
    let kept = save(json!({ "testCommand": null, "target": null })).await;
    assert_eq!(kept["buildSettings"]["testCommand"], Value::Null);
    assert_eq!(kept["buildSettings"]["imageRepository"], "registry.example/team/shop");
    assert_eq!(kept["buildSettings"]["profile"], "medium");
}

#[tokio::test]
async fn every_fault_is_named() {
    let yard = Yard::new().await;
    let long = "x".repeat(300 * 1024);
    for (input, field) in [
        (json!({ "mode": "PATH" }), "input.dockerfilePath"),
        (json!({ "dockerfilePath": "../../etc/passwd" }), "input.dockerfilePath"),
        (json!({ "contextPath": "/etc" }), "input.contextPath"),
        (json!({ "contextPath": "a/../../b" }), "input.contextPath"),
        (json!({ "dockerfile": "FROM scratch" }), "input.dockerfile"),
        (json!({ "mode": "WIZARD", "dockerfile": long }), "input.dockerfile"),
        (json!({ "mode": "WIZARD", "dockerfile": " " }), "input.dockerfile"),
        (json!({ "target": "--x" }), "input.target"),
        (json!({ "target": "a b" }), "input.target"),
        (json!({ "platforms": ["linux"] }), "input.platforms.0"),
        (json!({ "platforms": ["linux/amd64", "linux/arm64"] }), "input.platforms"),
        (json!({ "imageRepository": "x:$(id)" }), "input.imageRepository"),
        (json!({ "imageRepository": "registry.example/a:tag" }), "input.imageRepository"),
        (json!({ "profile": "huge" }), "input.profile"),
        (json!({ "testCommand": [] }), "input.testCommand"),
        (json!({ "testCommand": ["a\0b"] }), "input.testCommand.0"),
        (json!({ "buildArgs": [{ "name": "A=B", "value": "" }] }), "input.buildArgs.0.name"),
        (json!({ "buildArgs": [{ "name": "A" }] }), "input.buildArgs.0.value"),
    ] {
        let mut input = input;
        input["serviceId"] = json!(yard.service);
        let answer = yard.test.run(Some(&yard.member), SAVE, json!({ "i": input })).await;
        let error = answer.errors.first().unwrap_or_else(|| panic!("{field}: {}", answer.data));
        let named = error.extensions.as_ref().and_then(|e| e.get("field")).cloned().map(|v| v.into_json().unwrap());
        assert_eq!(named, Some(json!(field)), "{error:?}");
    }
    let scans = json!({ "i": { "serviceId": yard.service, "scans": ["SAST"] } });
    let answer = yard.test.run(Some(&yard.member), SAVE, scans).await;
    assert_eq!(code(&answer).as_deref(), Some("FAILED_PRECONDITION"));
}

#[tokio::test]
async fn a_service_of_images_is_not_built() {
    let yard = Yard::new().await;
    let input = json!({ "name": "images", "runtimeId": yard.runtime, "containers": [web()] });
    let service = mutate(&yard.test, &yard.admin, "registerDockerHubService", input).await;
    let answer = yard.test.run(Some(&yard.member), SAVE, json!({ "i": { "serviceId": service } })).await;
    assert_eq!(code(&answer).as_deref(), Some("BAD_USER_INPUT"));
    let answer = yard.ask_start(&yard.member, json!({ "serviceId": service })).await;
    assert_eq!(code(&answer).as_deref(), Some("BAD_USER_INPUT"));
    let asked = "query($id: ID!) { service(id: $id) { buildSettings { mode } actions { action enabled } } }";
    let shown = yard.test.data(&yard.member, asked, json!({ "id": service })).await;
    assert_eq!(shown["service"]["buildSettings"], Value::Null);
    assert!(shown["service"]["actions"].to_string().contains(r#"{"action":"START_PIPELINE","enabled":false}"#));
}
