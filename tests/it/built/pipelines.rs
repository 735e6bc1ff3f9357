//! What a pipeline asks for, and what it is told.

use entity::{JobState, RunStatus, audit_event, job, pipeline};
use kiops::app::deployments::{built, cancel};
use kiops::app::pipelines;
use kiops::graphql::ids::NodeKind;
use kiops::queue::{self, NewJob};
use kiops::runtime::RuntimeError;
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, QueryFilter as _, Set};
use serde_json::json;

use crate::support::pipelines::{Yard, store};

impl Yard {
    /// A pipeline at its DEPLOY stage, whose job is parked until its deployments came to something.
    async fn deploying(&self, number: i32) -> pipeline::Model {
        let mut row = self.pipeline(number).await;
        row.status = RunStatus::Running;
        row.triggered_by = Some(self.member.user_id.clone());
        let row = store(&self.test, row).await;
        let job =
            NewJob { organization_id: &row.organization_id, kind: pipelines::RUN, lane: &row.lane, subject: &row.id };
        let tx = self.test.app.begin().await.unwrap();
        let id = queue::enqueue(&tx, job, self.test.app.clock.now()).await.unwrap();
        let parked = job::ActiveModel { id: Set(id), state: Set(JobState::Parked), ..Default::default() };
        parked.update(&tx).await.unwrap();
        tx.commit().await.unwrap();
        row
    }

    /// Whether the pipeline was told that it may look; it is parked again afterwards.
    async fn was_woken(&self, of: &pipeline::Model) -> bool {
        let found = job::Entity::find().filter(job::Column::Subject.eq(&of.id)).one(self.test.app.db.read()).await;
        let found = found.unwrap().unwrap();
        let woken = found.state == JobState::Queued;
        assert_eq!(found.kind == pipelines::RESUME, woken || found.kind == pipelines::RESUME);
        let mut change: job::ActiveModel = found.into();
        change.state = Set(JobState::Parked);
        let tx = self.test.app.begin().await.unwrap();
        change.update(&tx).await.unwrap();
        tx.commit().await.unwrap();
        woken
    }

    /// Works on the deployment that is queued, and on nothing else.
    async fn work_on_deployments(&self) {
        use crate::support::shop::NO_LIMIT;
        let now = self.test.app.clock.now();
        let lease = std::time::Duration::from_secs(60);
        let claim = queue::claim(&self.test.app.db, "w", now, lease, NO_LIMIT).await.unwrap().unwrap();
        kiops::app::deployments::perform::run(&self.test.app, &claim).await.unwrap();
    }
}

#[tokio::test]
async fn it_deploys_its_image_once_however_often_it_asks() {
    let yard = Yard::new().await;
    // The newest build is not what it deploys.
    yard.built(9).await;
    let pipeline = yard.deploying(1).await;
    let app = &yard.test.app;
    let (first, again) =
        tokio::join!(built::deploy_built(app, &pipeline, "staging"), built::deploy_built(app, &pipeline, "staging"));
    let first = first.unwrap().outcome.unwrap();
    assert_eq!(first.id, again.unwrap().outcome.unwrap().id);
    assert_eq!(first.pipeline_id.as_ref(), Some(&pipeline.id));
    assert_eq!(first.idempotency_key, Some(format!("pipeline:{}:staging", pipeline.id)));
    let id = NodeKind::Deployment.id(&first.id).to_string();
    let asked = yard.deployment(&id).await;
    assert_eq!((&asked["trigger"], &asked["triggeredBy"]["email"]), (&json!("PIPELINE"), &json!("ada@acme.example")));
    // The environment was made where the service goes.
    let environment = yard.environments().await.remove(0);
    assert_eq!(
        (environment.name.as_str(), Some(&environment.runtime_id)),
        ("staging", yard.row().await.runtime_id.as_ref())
    );
    assert!(!yard.was_woken(&pipeline).await);
    yard.work_on_deployments().await;
    assert!(yard.was_woken(&pipeline).await);
    assert_eq!(yard.deployment(&id).await["status"], "SUCCEEDED");
    assert!(yard.deployment(&id).await["images"][0].as_str().unwrap().starts_with("registry.example/shop:1@"));
    let after = built::deploy_built(app, &pipeline, "staging").await.unwrap().outcome.unwrap();
    assert_eq!((after.id, after.status), (first.id, RunStatus::Succeeded));
    let production = built::deploy_built(app, &pipeline, "production").await.unwrap().outcome.unwrap();
    assert_eq!(production.revision, 1);

    // One that nobody started has nobody in the trail.
    let mut alone = yard.deploying(2).await;
    alone.triggered_by = None;
    let row = built::deploy_built(app, &alone, "staging").await.unwrap().outcome.unwrap();
    let entry = audit_event::Entity::find().filter(audit_event::Column::SubjectId.eq(&row.id)).one(app.db.read()).await;
    let entry = entry.unwrap().unwrap();
    assert_eq!((entry.actor_id, entry.action.as_str()), (None, "deployment.started"));
    assert_eq!(entry.detail["trigger"], "PIPELINE");
    assert_eq!(row.triggered_by, None);
}

#[tokio::test]
async fn it_hears_of_every_end_and_every_word() {
    let yard = Yard::new().await;
    let pipeline = yard.deploying(1).await;
    let app = &yard.test.app;
    let ask = async |name: &str| built::deploy_built(app, &pipeline, name).await.unwrap().outcome.unwrap();

    ask("one").await;
    yard.test.runtimes.fail("apply", RuntimeError::Failed("app did not become healthy".to_owned()));
    yard.work_on_deployments().await;
    assert!(yard.was_woken(&pipeline).await, "it failed");

    let queued = ask("two").await;
    let tx = app.begin().await.unwrap();
    cancel::cancel(app, &tx, &queued, "it was").await.unwrap();
    tx.commit().await.unwrap();
    assert!(yard.was_woken(&pipeline).await, "it was canceled");

    let resolve = "mutation($input: ResolveApprovalInput!) { resolveApproval(input: $input) { deployment { id } } }";
    for (name, approve) in [("three", true), ("four", false)] {
        yard.save(name, json!({ "requireApproval": true })).await;
        let waits = ask(name).await;
        assert_eq!(waits.status, RunStatus::WaitingApproval);
        assert!(!yard.was_woken(&pipeline).await);
        let input = json!({ "input": { "id": NodeKind::Deployment.id(&waits.id), "approve": approve } });
        yard.test.data(&yard.admin, resolve, input).await;
        assert!(yard.was_woken(&pipeline).await, "approved: {approve}");
    }
    yard.save("five", json!({ "requireApproval": true })).await;
    ask("five").await;
    let newer = yard.deploying(2).await;
    built::deploy_built(app, &newer, "five").await.unwrap().outcome.unwrap();
    assert!(yard.was_woken(&pipeline).await, "it was replaced");
    assert!(!yard.was_woken(&newer).await);
    let five = yard.environments().await.into_iter().find(|e| e.name == "five").unwrap();
    let remove = "mutation($id: ID!) { removeEnvironment(input: {id: $id}) { id } }";
    yard.test.data(&yard.admin, remove, json!({ "id": NodeKind::Environment.id(&five.id) })).await;
    assert!(yard.was_woken(&newer).await, "its environment goes");
}
