//! Deployments that wait for an admin.

use std::time::Duration;

use chrono::TimeDelta;
use entity::{DeploymentPhase, deployment};
use kiops::app::Code;
use kiops::app::deployments::approvals::{self, ResolveApproval};
use kiops::app::deployments::{built, perform};
use kiops::graphql::ids::NodeKind;
use kiops::queue;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};

use super::fault;
use crate::support::app::code;
use crate::support::pipelines::{Yard, read};
use crate::support::shop::{NO_LIMIT, mutate, text, web, work};

impl Yard {
    async fn guarded() -> Self {
        let yard = Self::new().await;
        yard.built(1).await;
        yard.deploy().await;
        yard.save("production", json!({ "requireApproval": true })).await;
        yard
    }

    async fn resolve(&self, actor: &kiops::app::Actor, input: Value) -> async_graphql::Response {
        let resolve = "mutation($input: ResolveApprovalInput!) { resolveApproval(input: $input) {
            deployment { id status approval { approved comment canResolve resolvedBy { email } } } } }";
        self.test.run(Some(actor), resolve, json!({ "input": input })).await
    }

    async fn actions(&self) -> Vec<String> {
        let audit = "{ auditEvents(first: 100) { nodes { action detail } } }";
        let answer = self.test.data(&self.admin, audit, Value::Null).await;
        answer["auditEvents"]["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| format!("{} {}", e["action"], e["detail"]))
            .collect()
    }
}

#[tokio::test]
async fn it_waits_and_holds_nothing_up_until_an_admin_lets_it_go_on() {
    let yard = Yard::guarded().await;
    yard.built(2).await;
    let id = yard.queue().await;
    assert_eq!(yard.jobs().await, []);
    assert!(work(&yard.test).await.is_empty());
    let waits = yard.deployment(&id).await;
    assert_eq!((&waits["status"], &waits["trigger"]), (&json!("WAITING_APPROVAL"), &json!("MANUAL")));
    assert_eq!(waits["approval"]["requestedAt"], "2026-11-23T12:00:00+00:00");
    let open = json!([null, null, null, null]);
    assert_eq!(json!(["resolvedAt", "resolvedBy", "approved", "comment"].map(|f| waits["approval"][f].clone())), open);
    assert_eq!(waits["approval"]["canResolve"], true);
    assert_eq!(yard.deployment_for(&yard.member, &id).await["approval"]["canResolve"], false);
    // It serves on, and can be stopped and started meanwhile.
    let state = yard.state().await;
    assert_eq!((&state["status"], &state["environment"]["status"]), (&json!("RUNNING"), &json!("RUNNING")));
    assert_eq!(state["environment"]["latestDeployment"]["revision"], 2);
    let restart = "mutation($id: ID!) { restartService(input: {serviceId: $id}) { service { id } } }";
    yard.test.data(&yard.member, restart, json!({ "id": yard.service })).await;
    assert_eq!(work(&yard.test).await.len(), 1);
    assert_eq!(yard.state().await["status"], "RUNNING");

    let refused = yard.resolve(&yard.member, json!({ "id": id, "approve": true })).await;
    assert_eq!(code(&refused).as_deref(), Some("FORBIDDEN"));
    for comment in ["x".repeat(2001), "a\u{0}b".to_owned(), "a\u{1b}[2J".to_owned()] {
        let refused = yard.resolve(&yard.admin, json!({ "id": id, "approve": true, "comment": comment })).await;
        assert_eq!(fault(&refused).1, "input.comment");
    }
    assert_eq!(yard.deployment(&id).await["status"], "WAITING_APPROVAL");
    let longest = format!(" {}\n", "ä".repeat(2000));
    let said = yard.resolve(&yard.admin, json!({ "id": id, "approve": true, "comment": longest })).await;
    assert!(said.errors.is_empty(), "{:?}", said.errors);
    let said = said.data.into_json().unwrap()["resolveApproval"]["deployment"].take();
    let expected = json!({ "approved": true, "comment": "ä".repeat(2000), "canResolve": false,
        "resolvedBy": { "email": "admin@acme.example" } });
    assert_eq!((&said["status"], &said["approval"]), (&json!("QUEUED"), &expected));
    assert_eq!(yard.state().await["status"], "DEPLOYING");
    work(&yard.test).await;
    assert_eq!(yard.deployment(&id).await["status"], "SUCCEEDED");
    assert_eq!(yard.state().await["environment"]["currentDeployment"]["revision"], 2);
    let late = yard.resolve(&yard.admin, json!({ "id": id, "approve": false })).await;
    assert_eq!(fault(&late), ("CONFLICT".to_owned(), "input.id".to_owned(), "it was approved already".to_owned()));
    let actions = yard.actions().await;
    assert!(actions.iter().any(|a| a.contains("deployment.approved") && a.contains("\"revision\":2")), "{actions:?}");
    assert!(actions.iter().any(|a| a.contains("deployment.started") && a.contains("\"waitsForApproval\":true")));
}

#[tokio::test]
async fn what_is_rejected_is_canceled_and_says_by_whom() {
    let yard = Yard::guarded().await;
    yard.test.runtimes.fail("apply", kiops::runtime::RuntimeError::Failed("web did not become healthy".to_owned()));
    yard.save("production", json!({ "requireApproval": false })).await;
    assert_eq!(yard.deploy().await["status"], "FAILED");
    yard.save("production", json!({ "requireApproval": true })).await;
    let id = yard.queue().await;
    let no = json!({ "id": id, "approve": false, "comment": "not on a Friday" });
    assert!(yard.resolve(&yard.admin, no).await.errors.is_empty());
    let rejected = yard.deployment(&id).await;
    assert_eq!((&rejected["status"], &rejected["current"]), (&json!("CANCELED"), &json!(false)));
    let message = text(&rejected["message"]);
    assert!(message.starts_with("rejected by ") && message.ends_with(": not on a Friday"), "{message}");
    assert!(rejected["finishedAt"].is_string());
    assert_eq!(yard.jobs().await, []);
    // The last one that was tried still has failed.
    assert_eq!(yard.state().await["status"], "DEPLOY_FAILED");
    let environment = yard.environments().await.remove(0);
    kiops::app::deployments::status::observe(&yard.test.app, &environment.id).await.unwrap();
    assert_eq!(yard.state().await["status"], "DEPLOY_FAILED");
    let late = yard.resolve(&yard.admin, json!({ "id": id, "approve": true })).await;
    assert_eq!(fault(&late).2, "it was rejected already");
    assert!(yard.actions().await.iter().any(|a| a.contains("deployment.rejected") && a.contains("not on a Friday")));
    let first = yard.admin.scope.deployments().one(yard.test.app.db.read()).await.unwrap().unwrap();
    let never = yard.resolve(&yard.admin, json!({ "id": NodeKind::Deployment.id(&first.id), "approve": true })).await;
    assert_eq!(fault(&never).0, "CONFLICT");
}

#[tokio::test]
async fn the_newer_one_takes_the_place_of_those_that_wait() {
    let yard = Yard::guarded().await;
    let second = yard.queue().await;
    // A way back waits as well, and what a pipeline deploys does.
    let back = "mutation($id: ID!) { rollbackService(input: {serviceId: $id}) { deployment { id } } }";
    assert_eq!(
        fault(&yard.test.run(Some(&yard.member), back, json!({ "id": yard.service })).await).1,
        "NO_EARLIER_REVISION"
    );
    let pipeline = read(&yard.test, 1).await;
    let third = built::deploy_built(&yard.test.app, &pipeline, "production").await.unwrap().outcome.unwrap();
    let replaced = yard.deployment(&second).await;
    assert_eq!((&replaced["status"], &replaced["message"]), (&json!("CANCELED"), &json!("revision 3 took its place")));
    let third = NodeKind::Deployment.id(&third.id).to_string();
    assert_eq!(yard.deployment(&third).await["status"], "WAITING_APPROVAL");
    let refused = yard.resolve(&yard.admin, json!({ "id": second, "approve": true })).await;
    assert_eq!(fault(&refused).0, "CONFLICT");
    yard.resolve(&yard.admin, json!({ "id": third, "approve": true })).await;
    work(&yard.test).await;
    let id = mutate(&yard.test, &yard.member, "rollbackService", json!({ "serviceId": yard.service })).await;
    assert_eq!(yard.deployment(&id).await["status"], "WAITING_APPROVAL");
    // One that needs none takes its place too; and one of another environment does not.
    let other = mutate(
        &yard.test,
        &yard.member,
        "deployService",
        json!({ "serviceId": yard.service, "environment": "staging" }),
    )
    .await;
    assert_eq!(yard.deployment(&id).await["status"], "WAITING_APPROVAL");
    yard.save("production", json!({ "requireApproval": false })).await;
    let last = yard.queue().await;
    assert_eq!(yard.deployment(&id).await["message"], "revision 5 took its place");
    work(&yard.test).await;
    for id in [&last, &other] {
        assert_eq!(yard.deployment(id).await["status"], "SUCCEEDED");
    }
    // However many wait and give way, no more are kept than of anything else.
    yard.save("production", json!({ "requireApproval": true })).await;
    for _ in 0..30 {
        yard.queue().await;
    }
    let kept = deployment::Entity::find().all(yard.test.app.db.read()).await.unwrap();
    assert!(kept.len() < 20 + 10, "{}", kept.len());
}

#[tokio::test]
async fn of_two_at_once_one_is_too_late() {
    let yard = Yard::guarded().await;
    for _ in 0..5 {
        let id = yard.queue().await;
        let row = NodeKind::Deployment.row(&id.clone().into()).unwrap();
        let say = |approve| ResolveApproval { id: row.clone(), approve, comment: None, gate_override: None };
        let (yes, no, again) = (say(true), say(false), say(true));
        let app = &yard.test.app;
        let answers = tokio::join!(
            approvals::resolve(app, &yard.admin, &yes),
            approvals::resolve(app, &yard.admin, &no),
            approvals::resolve(app, &yard.admin, &again),
        );
        let answers = [answers.0, answers.1, answers.2];
        assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 1);
        assert!(answers.iter().flat_map(|a| a.as_ref().err()).all(|e| e.code == Code::Conflict));
        work(&yard.test).await;
        let ended = yard.deployment(&id).await;
        assert!(["SUCCEEDED", "CANCELED"].iter().any(|s| ended["status"] == *s), "{ended:#}");
    }
}

#[tokio::test]
async fn what_was_approved_outlives_the_server() {
    let yard = Yard::guarded().await;
    let id = yard.queue().await;
    assert!(yard.resolve(&yard.admin, json!({ "id": id, "approve": true })).await.errors.is_empty());
    // A worker claims it and dies.
    let now = yard.test.app.clock.now();
    let lost = queue::claim(&yard.test.app.db, "w", now, Duration::from_secs(60), NO_LIMIT).await.unwrap().unwrap();
    yard.test.clock.advance(TimeDelta::minutes(2));
    work(&yard.test).await;
    assert_eq!(yard.deployment(&id).await["status"], "SUCCEEDED");
    assert_eq!(perform::run(&yard.test.app, &lost).await.unwrap(), perform::Outcome::Lost);
    let row = yard.admin.scope.deployments();
    let rows = row.all(yard.test.app.db.read()).await.unwrap();
    assert!(rows.iter().all(|row| row.phase == DeploymentPhase::Done));
}

#[tokio::test]
async fn what_is_being_removed_waits_for_nobody() {
    let yard = Yard::guarded().await;
    let waits = yard.queue().await;
    let remove = "mutation($id: ID!) { removeEnvironment(input: {id: $id}) { id } }";
    let environment = NodeKind::Environment.id(&yard.environments().await[0].id);
    yard.test.data(&yard.member, remove, json!({ "id": environment })).await;
    let ended = yard.deployment(&waits).await;
    assert_eq!((&ended["status"], &ended["message"]), (&json!("CANCELED"), &json!("the environment is being removed")));
    work(&yard.test).await;
    assert_eq!(yard.environments().await, []);

    yard.save("production", json!({ "requireApproval": true })).await;
    let waits = yard.queue().await;
    // The first deployment of all: nothing serves yet.
    assert_eq!(yard.state().await["status"], "REGISTERED");
    entity::pipeline::Entity::delete_many().exec(yard.test.app.db.read_write()).await.unwrap();
    let remove = "mutation($id: ID!) { removeService(input: {id: $id}) { id } }";
    yard.test.data(&yard.member, remove, json!({ "id": yard.service })).await;
    let late = yard.resolve(&yard.admin, json!({ "id": waits, "approve": true })).await;
    assert_eq!(fault(&late).1, "IN_PROGRESS");
    work(&yard.test).await;
    assert_eq!(deployment::Entity::find().all(yard.test.app.db.read()).await.unwrap(), []);
}

#[tokio::test]
async fn who_may_turn_it_on_and_for_what() {
    let yard = Yard::new().await;
    let refused = yard.try_save(&yard.member, "production", json!({ "requireApproval": true })).await;
    assert_eq!(code(&refused).as_deref(), Some("FORBIDDEN"));
    yard.save("production", json!({ "requireApproval": true, "autoDeploy": true })).await;
    let refused = yard.try_save(&yard.member, "production", json!({ "requireApproval": false })).await;
    assert_eq!(code(&refused).as_deref(), Some("FORBIDDEN"));
    assert!(yard.try_save(&yard.member, "production", json!({ "autoDeploy": false })).await.errors.is_empty());

    // A service of images may wait for an approval, and nothing deploys it by itself.
    yard.test.registries.push("nginx:1.27", 1);
    let input = json!({ "name": "images", "runtimeId": yard.runtime, "containers": [web()] });
    let images = mutate(&yard.test, &yard.admin, "registerDockerHubService", input).await;
    let yard = Yard { service: images, ..yard };
    let refused = yard.try_save(&yard.admin, "production", json!({ "autoDeploy": true })).await;
    assert_eq!(fault(&refused).1, "input.autoDeploy");
    yard.save("production", json!({ "requireApproval": true })).await;
    let id = yard.queue().await;
    assert_eq!(yard.deployment(&id).await["status"], "WAITING_APPROVAL");
    // To others it does not exist.
    let stranger = yard.test.organization("other").await;
    let refused = yard.resolve(&stranger, json!({ "id": id, "approve": true })).await;
    assert_eq!(fault(&refused).0, "NOT_FOUND");
}
