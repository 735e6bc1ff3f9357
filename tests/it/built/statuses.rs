//! What a service's pipelines make of its status.

use entity::{RunStatus, pipeline};
use kiops::app::deployments::status::settle;
use kiops::domain::stage::{StageKind, Stages};
use kiops::domain::status;
use sea_orm::EntityTrait as _;
use serde_json::json;

use crate::support::pipelines::{Yard, stages, store};

impl Yard {
    async fn settled(&self) -> (String, Option<String>) {
        let tx = self.test.app.begin().await.unwrap();
        settle(&self.test.app, &tx, &self.row().await.id).await.unwrap();
        tx.commit().await.unwrap();
        let state = self.state().await;
        (state["status"].as_str().unwrap().to_owned(), state["statusMessage"].as_str().map(str::to_owned))
    }

    async fn add(&self, number: i32, change: impl Fn(&mut pipeline::Model)) {
        let mut row = self.pipeline(number).await;
        change(&mut row);
        store(&self.test, row).await;
    }
}

fn running(at: StageKind) -> impl Fn(&mut pipeline::Model) {
    move |row| {
        row.status = RunStatus::Running;
        row.stages = stages(at, status::RunStatus::Running, None);
    }
}

fn failed(at: StageKind) -> impl Fn(&mut pipeline::Model) {
    move |row| {
        row.status = RunStatus::Failed;
        row.stages = stages(at, status::RunStatus::Failed, Some("make: exit code 2"));
    }
}

fn is(status: &str, message: Option<&str>) -> (String, Option<String>) {
    (status.to_owned(), message.map(str::to_owned))
}

#[tokio::test]
async fn building_comes_before_all_and_a_failed_build_is_told_until_the_next_one_succeeds() {
    let yard = Yard::new().await;
    yard.built(1).await;
    yard.deploy().await;
    assert_eq!(yard.settled().await, is("RUNNING", None));
    yard.add(2, |row| {
        row.status = RunStatus::Queued;
        row.started_at = None;
        row.stages = serde_json::to_value(Stages::default()).unwrap();
    })
    .await;
    assert_eq!(yard.settled().await, is("RUNNING", None));
    for at in [StageKind::Source, StageKind::Build, StageKind::Test] {
        let number = 3 + at as i32;
        yard.add(number, running(at)).await;
        assert_eq!(yard.settled().await, is("BUILDING", None), "{at:?}");
        forget(&yard, number).await;
    }
    // What it deploys is for the environments to say.
    yard.add(10, running(StageKind::Deploy)).await;
    assert_eq!(yard.settled().await, is("RUNNING", None));
    yard.add(11, failed(StageKind::Build)).await;
    assert_eq!(yard.settled().await, is("BUILD_FAILED", Some("make: exit code 2")));
    // An older one that builds, in another branch.
    yard.add(9, running(StageKind::Build)).await;
    assert_eq!(yard.settled().await, is("BUILDING", None));
    forget(&yard, 9).await;
    // Canceled ones say nothing.
    yard.add(12, |row| row.status = RunStatus::Canceled).await;
    assert_eq!(yard.settled().await, is("BUILD_FAILED", Some("make: exit code 2")));
    // A failed deployment is worse.
    yard.test.runtimes.fail("apply", kiops::runtime::RuntimeError::Failed("app did not start".to_owned()));
    yard.deploy().await;
    assert_eq!(yard.settled().await, is("DEPLOY_FAILED", Some("app did not start")));
    yard.deploy().await;
    assert_eq!(yard.state().await["status"], "BUILD_FAILED");
    yard.add(13, failed(StageKind::Deploy)).await;
    assert_eq!(yard.settled().await, is("RUNNING", None));
    yard.add(14, failed(StageKind::Test)).await;
    assert_eq!(yard.settled().await.0, "BUILD_FAILED");
    yard.built(15).await;
    assert_eq!(yard.settled().await, is("RUNNING", None));
    // What somebody proposes is not the service yet.
    let proposed = |row: &mut entity::pipeline::Model| {
        failed(StageKind::Build)(row);
        row.trigger = entity::PipelineTrigger::MergeRequest;
    };
    yard.add(16, proposed).await;
    assert_eq!(yard.settled().await, is("RUNNING", None));
}

#[tokio::test]
async fn a_service_without_environments_is_what_its_builds_are() {
    let yard = Yard::new().await;
    assert_eq!(yard.settled().await, is("REGISTERED", None));
    yard.add(1, running(StageKind::Build)).await;
    assert_eq!(yard.settled().await, is("BUILDING", None));
    forget(&yard, 1).await;
    yard.add(2, failed(StageKind::Source)).await;
    assert_eq!(yard.settled().await, is("BUILD_FAILED", Some("make: exit code 2")));
    assert_eq!(yard.state().await["environment"], json!(null));
    // Another service's builds are its own.
    let mut other = yard.pipeline(3).await;
    other.service_id = crate::support::pipelines::service_row(
        &yard.test,
        &crate::support::pipelines::git_service(&yard.test, &yard.admin, "second", &yard.runtime).await,
    )
    .await
    .id;
    running(StageKind::Build)(&mut other);
    store(&yard.test, other).await;
    assert_eq!(yard.settled().await.0, "BUILD_FAILED");
}

async fn forget(yard: &Yard, number: i32) {
    use sea_orm::{ColumnTrait as _, QueryFilter as _};
    let gone = pipeline::Entity::delete_many().filter(pipeline::Column::Number.eq(number));
    gone.exec(yard.test.app.db.read_write()).await.unwrap();
}
