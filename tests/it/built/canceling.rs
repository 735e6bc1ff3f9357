//! Ending a deployment before its time, in each phase, with and without servers that die of it.

use std::time::Duration;

use chrono::TimeDelta;
use entity::{RunStatus, deployment};
use kiops::app::deployments::perform::Outcome;
use kiops::app::deployments::{cancel, jobs, perform};
use kiops::graphql::ids::NodeKind;
use kiops::queue;
use kiops::runtime::RuntimeError;
use sea_orm::EntityTrait as _;
use serde_json::json;

use crate::support::pipelines::Yard;
use crate::support::shop::{NO_LIMIT, work};

impl Yard {
    async fn cancel(&self, id: &str) {
        let tx = self.test.app.begin().await.unwrap();
        let row = self.deployment_row(id).await;
        cancel::cancel(&self.test.app, &tx, &row, "somebody changed their mind").await.unwrap();
        tx.commit().await.unwrap();
        cancel::publish(&self.test.app, &row);
    }

    async fn deployment_row(&self, id: &str) -> deployment::Model {
        let id = NodeKind::Deployment.row(&id.to_owned().into()).unwrap();
        deployment::Entity::find_by_id(id).one(self.test.app.db.read()).await.unwrap().unwrap()
    }

    /// Waits until the engine has been called so often.
    async fn called(&self, call: &str, times: usize) {
        for _ in 0..500 {
            if self.test.runtimes.count(call) >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{call} was never called");
    }

    async fn serving(revision: i32) -> Self {
        let yard = Self::new().await;
        yard.built(1).await;
        for _ in 0..revision {
            yard.deploy().await;
        }
        yard
    }

    fn revision(&self, environment: &entity::environment::Model) -> Option<i32> {
        self.test.runtimes.revision(&environment.id)
    }
}

const WHY: &str = "canceled: somebody changed their mind";

#[tokio::test]
async fn what_waits_is_canceled_at_once_and_the_environment_is_what_it_was() {
    let yard = Yard::serving(1).await;
    let (first, second) = (yard.queue().await, yard.queue().await);
    assert_eq!(yard.state().await["status"], "DEPLOYING");
    for (id, status) in [(&second, "DEPLOYING"), (&first, "RUNNING")] {
        yard.cancel(id).await;
        let ended = yard.deployment(id).await;
        assert_eq!((&ended["status"], &ended["message"]), (&json!("CANCELED"), &json!(WHY)));
        assert_eq!(yard.state().await["status"], status);
    }
    // What it really is, is looked at: the container has died meanwhile.
    yard.test.runtimes.running.lock().unwrap().clear();
    work(&yard.test).await;
    assert_eq!(yard.state().await["status"], "DEGRADED");
    assert_eq!(yard.test.runtimes.count("apply"), 1);
    // Again, and one that has ended: nothing happens.
    for id in [&first, &second] {
        yard.cancel(id).await;
    }
    assert_eq!(yard.jobs().await, []);

    yard.save("production", json!({ "requireApproval": true })).await;
    let waits = yard.queue().await;
    yard.cancel(&waits).await;
    assert_eq!(yard.deployment(&waits).await["message"], WHY);
    assert_eq!(yard.jobs().await, []);
}

#[tokio::test]
async fn a_first_deployment_that_is_canceled_leaves_nothing() {
    let yard = Yard::serving(0).await;
    let id = yard.queue().await;
    yard.cancel(&id).await;
    assert_eq!(yard.state().await["status"], "REGISTERED");
    work(&yard.test).await;
    assert_eq!(yard.state().await["status"], "REGISTERED");
    let id = yard.queue().await;
    yard.test.runtimes.hold("apply");
    tokio::join!(work(&yard.test), async {
        yard.called("apply", 1).await;
        yard.cancel(&id).await;
    });
    assert_eq!(yard.deployment(&id).await["status"], "CANCELED");
    assert_eq!(yard.state().await["status"], "REGISTERED");
    assert_eq!(yard.revision(&yard.environments().await[0]), None);
}

#[tokio::test]
async fn at_work_it_ends_as_its_phase_allows() {
    for (phase, undone) in [("pull", 0), ("apply", 1)] {
        let yard = Yard::serving(1).await;
        yard.test.runtimes.hold(phase);
        let id = yard.queue().await;
        let began = std::time::Instant::now();
        tokio::join!(work(&yard.test), async {
            yard.called(phase, 2).await;
            yard.cancel(&id).await;
        });
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        let ended = yard.deployment(&id).await;
        assert_eq!((&ended["status"], &ended["message"]), (&json!("CANCELED"), &json!(WHY)), "{phase}");
        assert_eq!(yard.test.runtimes.count("undo"), undone, "{phase}");
        let environment = yard.environments().await.remove(0);
        assert_eq!(yard.revision(&environment), Some(1));
        let state = yard.state().await;
        assert_eq!(
            (&state["status"], &state["environment"]["currentDeployment"]["revision"]),
            (&json!("RUNNING"), &json!(1))
        );
        assert_eq!(yard.jobs().await, []);
        // The lane is free for the next one.
        yard.test.runtimes.gates.lock().unwrap().clear();
        assert_eq!(yard.deploy().await["status"], "SUCCEEDED");
    }
}

#[tokio::test]
async fn nobody_has_to_say_so_on_the_same_server() {
    let yard = Yard::serving(1).await;
    yard.test.runtimes.hold("apply");
    let id = yard.queue().await;
    let began = std::time::Instant::now();
    tokio::join!(work(&yard.test), async {
        yard.called("apply", 2).await;
        // Nothing is published: another server has written it.
        let tx = yard.test.app.begin().await.unwrap();
        let row = yard.deployment_row(&id).await;
        cancel::cancel(&yard.test.app, &tx, &row, "somebody changed their mind").await.unwrap();
        tx.commit().await.unwrap();
    });
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(yard.deployment(&id).await["status"], "CANCELED");
}

#[tokio::test]
async fn what_serves_already_or_fails_already_goes_on() {
    let yard = Yard::serving(1).await;
    // It applied, and its cleaning up is not done yet: the worker died in between.
    let id = yard.queue().await;
    let mut row = yard.deployment_row(&id).await;
    let claim = claim(&yard).await;
    for (phase, ends) in [(entity::DeploymentPhase::Finish, "SUCCEEDED"), (entity::DeploymentPhase::Undo, "FAILED")] {
        let id = match phase {
            entity::DeploymentPhase::Finish => id.clone(),
            _ => yard.queue().await,
        };
        row = yard.deployment_row(&id).await;
        let mut change: deployment::ActiveModel = row.clone().into();
        change.phase = sea_orm::Set(phase);
        change.status = sea_orm::Set(RunStatus::Running);
        change.message = sea_orm::Set(Some("web did not become healthy".to_owned()));
        let tx = yard.test.app.begin().await.unwrap();
        sea_orm::ActiveModelTrait::update(change, &tx).await.unwrap();
        tx.commit().await.unwrap();
        yard.cancel(&id).await;
        yard.test.clock.advance(TimeDelta::minutes(2));
        work(&yard.test).await;
        let ended = yard.deployment(&id).await;
        assert_eq!(ended["status"], ends, "{ended:#}");
        assert!(ended["message"] != WHY, "{ended:#}");
    }
    assert!(claim.job.attempts > 0 && row.revision == 3);
}

async fn claim(yard: &Yard) -> queue::Claim {
    let now = yard.test.app.clock.now();
    queue::claim(&yard.test.app.db, "w", now, Duration::from_secs(60), NO_LIMIT).await.unwrap().unwrap()
}

#[tokio::test]
async fn one_that_waits_for_an_engine_that_is_away_ends_at_once() {
    let yard = Yard::serving(1).await;
    let id = yard.queue().await;
    *yard.test.runtimes.away.lock().unwrap() = Some(RuntimeError::Unreachable("the engine does not answer".to_owned()));
    let tried = work(&yard.test).await;
    assert!(matches!(tried.as_slice(), [Ok(Outcome::Again(_))]), "{tried:?}");
    yard.cancel(&id).await;
    work(&yard.test).await;
    let ended = yard.deployment(&id).await;
    assert_eq!((&ended["status"], &ended["message"]), (&json!("CANCELED"), &json!(WHY)));
    assert_eq!(yard.jobs().await, []);
}

/// Claims and works as servers do of which one dies: the next takes the job up when the lease has run out.
async fn work_with_deaths(yard: &Yard) {
    loop {
        let now = yard.test.app.clock.now();
        let claimed = queue::claim(&yard.test.app.db, "w", now, Duration::from_secs(60), NO_LIMIT).await.unwrap();
        let Some(claim) = claimed else { return };
        assert_eq!(claim.job.kind, jobs::DEPLOYMENT);
        let app = yard.test.app.clone();
        match tokio::spawn(async move { perform::run(&app, &claim).await }).await {
            Ok(outcome) => assert_eq!(outcome.unwrap(), Outcome::Done),
            Err(died) => {
                assert_eq!(died.into_panic().downcast_ref::<&str>().copied(), Some("killed"));
                yard.test.clock.advance(TimeDelta::minutes(2));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_while_it_is_being_ended_another_ends_it() {
    for phase in ["pull", "apply"] {
        let mut moments = 0;
        loop {
            let yard = Yard::serving(1).await;
            yard.test.runtimes.hold(phase);
            let id = yard.queue().await;
            tokio::join!(work_with_deaths(&yard), async {
                yard.called(phase, 2).await;
                yard.test.runtimes.die_after(Some(moments));
                yard.cancel(&id).await;
            });
            let over = yard.test.runtimes.is_lit();
            yard.test.runtimes.die_after(None);
            let ended = yard.deployment(&id).await;
            assert_eq!((&ended["status"], &ended["message"]), (&json!("CANCELED"), &json!(WHY)), "{phase} {moments}");
            assert_eq!(yard.revision(&yard.environments().await[0]), Some(1), "{phase} {moments}");
            assert_eq!(yard.state().await["status"], "RUNNING", "{phase} {moments}");
            if over {
                break;
            }
            moments += 1;
        }
        assert!(moments >= 1, "{phase}: {moments}");
    }
}
