//! Which build a deployment takes, and where its image can go.

use entity::{PipelineTrigger, RunStatus};
use kiops::app::deployments::built;
use kiops::domain::stage::StageKind;
use kiops::domain::status;
use sea_orm::{EntityTrait as _, QueryOrder as _};
use serde_json::json;

use super::fault;
use crate::support::pipelines::{Yard, git_service, id_of, node, service_row, stages, store, succeeded};
use crate::support::shop::{mutate, web, work};

fn says(answer: &async_graphql::Response, code: &str, at: &str) -> String {
    let (is, place, message) = fault(answer);
    assert_eq!((is.as_str(), place.as_str()), (code, at), "{message}");
    message
}

#[tokio::test]
async fn the_newest_success_of_the_branch_is_taken_when_none_is_named() {
    let yard = Yard::new().await;
    says(&yard.try_deploy(json!({})).await, "FAILED_PRECONDITION", "NOTHING_BUILT");
    // Nothing of these counts: not ended, failed, without an image, a stranger's.
    for (number, change) in [
        (
            1,
            &(|p: &mut entity::pipeline::Model| p.status = RunStatus::Running) as &dyn Fn(&mut entity::pipeline::Model),
        ),
        (2, &|p| p.status = RunStatus::Failed),
        (3, &|p| p.image = None),
        (4, &|p| p.trigger = PipelineTrigger::MergeRequest),
        (5, &|p| p.status = RunStatus::Canceled),
    ] {
        let mut row = yard.pipeline(number).await;
        change(&mut row);
        store(&yard.test, row).await;
        says(&yard.try_preview(json!({})).await, "FAILED_PRECONDITION", "NOTHING_BUILT");
    }
    // Another branch is better than nothing, and the service's own is better than a newer one of another.
    let mut other = yard.pipeline(6).await;
    other.ref_name = "feature/x".to_owned();
    store(&yard.test, other.clone()).await;
    assert!(yard.deploy().await["images"][0].as_str().unwrap().starts_with("registry.example/shop:6@sha256:06"));
    yard.built(7).await;
    other.id = yard.test.app.ids.id();
    other.number = 8;
    store(&yard.test, other).await;
    let seventh = yard.deploy().await;
    assert_eq!(seventh["status"], "SUCCEEDED", "{seventh:#}");
    assert_eq!(seventh["images"], json!([format!("registry.example/shop:7@sha256:{}", "07".repeat(32))]));
    let export = "query($id: ID!) { exportService(id: $id, format: COMPOSE) }";
    let export = yard.test.data(&yard.member, export, json!({ "id": yard.service })).await;
    assert!(export["exportService"].as_str().unwrap().contains("registry.example/shop:7@sha256:07"), "{export}");
}

#[tokio::test]
async fn a_newer_build_is_a_change_until_it_is_deployed() {
    let yard = Yard::new().await;
    yard.built(1).await;
    let actions = "query($id: ID!) { service(id: $id) { actions { action enabled } } }";
    let actions = yard.test.data(&yard.member, actions, json!({ "id": yard.service })).await;
    let actions = actions["service"]["actions"].as_array().unwrap();
    assert!(actions.contains(&json!({ "action": "DEPLOY", "enabled": true })), "{actions:?}");
    yard.deploy().await;
    assert_eq!(yard.state().await["environment"]["undeployedChanges"], false);
    let shown = yard.try_preview(json!({})).await.data.into_json().unwrap()["deploymentPreview"]["planHash"].take();
    let second = yard.built_on(2, "fake").await;
    assert_eq!(yard.state().await["environment"]["undeployedChanges"], true);
    says(&yard.try_deploy(json!({ "planHash": shown })).await, "CONFLICT", "input.planHash");
    let deployed = yard.deploy().await;
    assert_eq!(deployed["images"], json!([format!("kiops.internal/acme/shop:2@{}", id_of(2))]));
    assert_eq!(yard.state().await["environment"]["undeployedChanges"], false);
    // Going back takes the image of then, and the pipeline of then.
    let back = mutate(&yard.test, &yard.member, "rollbackService", json!({ "serviceId": yard.service })).await;
    work(&yard.test).await;
    assert!(yard.deployment(&back).await["images"][0].as_str().unwrap().starts_with("registry.example/shop:1@"));
    assert_eq!(yard.state().await["environment"]["undeployedChanges"], true);
    let rows = yard.admin.scope.deployments();
    let rows = rows.order_by_asc(entity::deployment::Column::Revision).all(yard.test.app.db.read()).await.unwrap();
    let of: Vec<_> = rows.iter().map(|row| row.pipeline_id.clone().unwrap()).collect();
    assert_eq!((&of[0], of[0] == of[1]), (&of[2], false));
    // The newest build is forgotten, and so is every other.
    entity::pipeline::Entity::delete_many().exec(yard.test.app.db.read_write()).await.unwrap();
    assert_eq!(yard.state().await["environment"]["undeployedChanges"], false);
    assert!(!second.is_empty());
}

#[tokio::test]
async fn a_named_build_must_be_the_services_own_and_have_passed() {
    let yard = Yard::new().await;
    let fine = yard.built(1).await;
    let newer = yard.built(2).await;
    // A person may name what a merge request built.
    let mut asked = yard.pipeline(3).await;
    asked.trigger = PipelineTrigger::MergeRequest;
    let asked = node(&store(&yard.test, asked).await);
    for (pipeline, number) in [(&fine, 1), (&newer, 2), (&asked, 3)] {
        let shown = yard.try_preview(json!({ "pipelineId": pipeline })).await;
        let manifest = shown.data.into_json().unwrap()["deploymentPreview"]["manifest"].to_string();
        assert!(manifest.contains(&format!("shop:{number}@")), "{manifest}");
    }
    let mut unbuilt = yard.pipeline(4).await;
    (unbuilt.image, unbuilt.image_id, unbuilt.status) = (None, None, RunStatus::Failed);
    let unbuilt = node(&store(&yard.test, unbuilt).await);
    says(&yard.try_deploy(json!({ "pipelineId": unbuilt })).await, "BAD_USER_INPUT", "input.pipelineId");
    for (number, kind) in [(5, StageKind::Scan), (6, StageKind::Test)] {
        let mut failed = yard.pipeline(number).await;
        failed.status = RunStatus::Failed;
        failed.stages = stages(kind, status::RunStatus::Failed, Some("make test: exit code 2"));
        let failed = node(&store(&yard.test, failed).await);
        for answer in [
            yard.try_deploy(json!({ "pipelineId": failed })).await,
            yard.try_preview(json!({ "pipelineId": failed })).await,
        ] {
            let message = says(&answer, "BAD_USER_INPUT", "input.pipelineId");
            assert!(message.contains(kind.as_str()) && message.contains("exit code 2"), "{message}");
        }
    }
    // What failed in its deployment passed all that the image has to pass.
    let mut undeployed = yard.pipeline(7).await;
    undeployed.status = RunStatus::Failed;
    undeployed.stages = stages(StageKind::Deploy, status::RunStatus::Failed, Some("web did not become healthy"));
    let undeployed = node(&store(&yard.test, undeployed).await);
    assert!(yard.try_deploy(json!({ "pipelineId": undeployed })).await.errors.is_empty());
    // Of another service, and of another organization.
    let second = git_service(&yard.test, &yard.admin, "second", &yard.runtime).await;
    let second = succeeded(&yard.test, &service_row(&yard.test, &second).await, 1);
    let second = node(&store(&yard.test, second).await);
    let stranger = yard.test.organization("other").await;
    let mut theirs = yard.pipeline(8).await;
    theirs.organization_id = stranger.scope.organization_id.clone();
    let theirs = node(&store(&yard.test, theirs).await);
    for foreign in [second, theirs, yard.service.clone(), "x".to_owned()] {
        let answer = yard.try_deploy(json!({ "pipelineId": foreign })).await;
        let (code, _, message) = fault(&answer);
        assert_eq!((code.as_str(), message.as_str()), ("NOT_FOUND", "there is no such pipeline"));
    }
    // No pipeline builds a service that is made of images.
    yard.test.registries.push("nginx:1.27", 1);
    let input = json!({ "name": "images", "runtimeId": yard.runtime, "containers": [web()] });
    let images = mutate(&yard.test, &yard.admin, "registerDockerHubService", input).await;
    let deploy = "mutation($input: DeployServiceInput!) { deployService(input: $input) { deployment { id } } }";
    let input = json!({ "input": { "serviceId": images, "pipelineId": fine } });
    let answer = yard.test.run(Some(&yard.member), deploy, input).await;
    says(&answer, "BAD_USER_INPUT", "input.pipelineId");
}

#[tokio::test]
async fn an_image_without_a_registry_runs_on_its_engine_alone() {
    let yard = Yard::new().await;
    yard.built_on(1, "elsewhere").await;
    let message = says(&yard.try_deploy(json!({})).await, "FAILED_PRECONDITION", "IMAGE_REPOSITORY_NEEDED");
    assert!(message.contains("imageRepository") && message.contains("repositoryPrefix"), "{message}");
    assert!(message.contains("runtime engine"), "{message}");
    // The engine never said which one it is.
    let mut row = yard.pipeline(2).await;
    (row.image_digest, row.engine_id) = (None, None);
    store(&yard.test, row).await;
    says(&yard.try_preview(json!({})).await, "FAILED_PRECONDITION", "IMAGE_REPOSITORY_NEEDED");
    yard.built_on(3, "fake").await;
    assert_eq!(yard.deploy().await["status"], "SUCCEEDED");
    yard.built(4).await;
    assert_eq!(yard.deploy().await["status"], "SUCCEEDED");

    // On another engine neither that build nor a way back to it is any use; one in a registry is.
    yard.test.runtimes.another("tcp://192.0.2.2:2375");
    let far = json!({ "name": "far", "docker": { "host": "tcp://192.0.2.2:2375" } });
    let far = mutate(&yard.test, &yard.admin, "registerRuntime", far).await;
    yard.save("production", json!({ "runtimeId": far })).await;
    let third = node(&crate::support::pipelines::read(&yard.test, 3).await);
    let message =
        says(&yard.try_deploy(json!({ "pipelineId": third })).await, "FAILED_PRECONDITION", "IMAGE_REPOSITORY_NEEDED");
    assert!(message.contains("runtime far"), "{message}");
    assert_eq!(yard.deploy().await["status"], "SUCCEEDED");
    let back = "mutation($id: ID!) { rollbackService(input: {serviceId: $id, revision: 1}) { deployment { id } } }";
    let answer = yard.test.run(Some(&yard.member), back, json!({ "id": yard.service })).await;
    says(&answer, "FAILED_PRECONDITION", "IMAGE_REPOSITORY_NEEDED");
}

#[tokio::test]
async fn a_runtime_that_never_said_which_engine_it_is_is_asked() {
    let yard = Yard::new().await;
    let db = yard.test.app.db.read();
    let mut runtime = yard.admin.scope.runtimes().one(db).await.unwrap().unwrap();
    let reach = async |runtime: &entity::runtime::Model, id: Option<&str>| {
        built::reachable(&yard.test.app, &yard.admin.scope, id, runtime).await
    };
    assert!(reach(&runtime, Some("fake")).await.unwrap());
    let asked = yard.test.runtimes.count("check");
    runtime.engine_id = None;
    assert!(reach(&runtime, Some("fake")).await.unwrap());
    assert!(!reach(&runtime, Some("other")).await.unwrap());
    assert!(!reach(&runtime, None).await.unwrap());
    assert_eq!(yard.test.runtimes.count("check"), asked + 2);
    yard.test.runtimes.fail("check", kiops::runtime::RuntimeError::Unreachable("away".to_owned()));
    assert_eq!(reach(&runtime, Some("fake")).await.unwrap_err().code, kiops::app::Code::UpstreamError);
    runtime.organization_id = "another".to_owned();
    assert!(!reach(&runtime, Some("fake")).await.unwrap());
    assert_eq!(yard.try_deploy(json!({ "idempotencyKey": "pipeline:x" })).await.errors.len(), 1);
    let refused = yard.try_deploy(json!({ "idempotencyKey": "pipeline:x" })).await;
    says(&refused, "BAD_USER_INPUT", "input.idempotencyKey");
    assert_eq!(yard.jobs().await, Vec::<(String, String)>::new());
}
