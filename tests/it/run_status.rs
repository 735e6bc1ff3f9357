//! A deployment's status changes along its state machine, or not at all.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use entity::{DeploymentPhase, RunStatus, deployment, job};
use kiops::app::Code;
use kiops::app::deployments::perform::Outcome;
use kiops::graphql::ids::NodeKind;
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _, Set};
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::shop::{Shop, mutate, shared_engine, work};

async fn row(test: &TestApp, id: &str) -> deployment::Model {
    let id = NodeKind::Deployment.row(&id.into()).unwrap();
    deployment::Entity::find_by_id(id).one(test.app.db.read()).await.unwrap().unwrap()
}

/// Writes what only a fault of ours could have written.
async fn tamper(
    test: &TestApp,
    row: deployment::Model,
    status: RunStatus,
    phase: DeploymentPhase,
) -> deployment::Model {
    let mut row = row.into_active_model();
    row.status = Set(status);
    row.phase = Set(phase);
    row.update(test.app.db.read_write()).await.unwrap()
}

#[tokio::test]
async fn a_step_that_the_machine_does_not_have_is_an_error_and_nothing_is_written() {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    let cases = [
        // What has ended does not begin again, and does not end again.
        (RunStatus::Succeeded, DeploymentPhase::Prepare),
        (RunStatus::Canceled, DeploymentPhase::Finish),
        (RunStatus::Failed, DeploymentPhase::Undo),
        // What has not begun does not succeed, and what waits for an approval is not deployed.
        (RunStatus::Queued, DeploymentPhase::Finish),
        (RunStatus::WaitingApproval, DeploymentPhase::Finish),
    ];
    for (status, phase) in cases {
        let id = mutate(&test, &shop.admin, "deployService", json!({ "serviceId": shop.service })).await;
        let queued = row(&test, &id).await;
        let before = tamper(&test, queued.clone(), status, phase).await;
        let [Err(error)] = &work(&test).await[..] else { panic!("{status:?} in {phase:?} went on") };
        assert_eq!(error.code, Code::Internal);
        // What it says is for the log: an id is all that leaves.
        assert!(error.message.contains("its id in the log is"), "{}", error.message);
        assert_eq!(row(&test, &id).await, before, "{status:?} in {phase:?}");

        tamper(&test, before, RunStatus::Queued, DeploymentPhase::Prepare).await;
        test.clock.advance(chrono::TimeDelta::hours(2));
        assert_eq!(work(&test).await.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [Outcome::Done]);
        assert_eq!(row(&test, &id).await.status, RunStatus::Succeeded);
    }
    assert_eq!(job::Entity::find().count(test.app.db.read()).await.unwrap(), 0);
}
