//! Servers that are killed at whatever moment of a move.

use std::time::Duration;

use chrono::TimeDelta;
use kiops::app::deployments::perform::Outcome;
use kiops::app::deployments::{jobs, leftovers, perform};
use kiops::queue;
use kiops::runtime::RuntimeError;

use super::Move;
use crate::support::shop::NO_LIMIT;

/// Claims and works as servers do of which one dies: the next takes the job up when the lease has run out. Nothing else
/// goes wrong on the way.
async fn work_with_deaths(m: &Move) {
    let now = || m.test.app.clock.now();
    loop {
        let claimed = queue::claim(&m.test.app.db, "worker", now(), Duration::from_secs(60), NO_LIMIT).await.unwrap();
        let Some(claim) = claimed else { return };
        let app = m.test.app.clone();
        let worked = tokio::spawn(async move {
            match claim.job.kind.as_str() {
                jobs::DEPLOYMENT => perform::run(&app, &claim).await,
                _ => leftovers::run(&app, &claim).await,
            }
        });
        match worked.await {
            Ok(outcome) => assert_eq!(outcome.unwrap(), Outcome::Done),
            Err(died) => {
                let panic = died.into_panic();
                assert_eq!(panic.downcast_ref::<&str>().copied(), Some("killed"));
                m.test.clock.advance(TimeDelta::minutes(2));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_at_whatever_moment_of_a_move_another_goes_on() {
    let mut moments = 0;
    loop {
        let m = Move::new().await;
        m.go_to(&m.far).await;
        let id = m.queue().await;
        m.test.runtimes.die_after(Some(moments));
        work_with_deaths(&m).await;
        let over = m.test.runtimes.is_lit();
        m.test.runtimes.die_after(None);
        let moved = m.deployment(&id).await;
        assert_eq!(moved["status"], "SUCCEEDED", "{moments}: {moved:#}");
        assert_eq!(m.revisions().await, (None, Some(3)), "{moments}");
        assert_eq!(m.state().await["runtime"]["name"], "far");
        assert_eq!(m.leftovers().await.len(), 1);
        if over {
            break;
        }
        moments += 1;
    }
    assert!(moments > 10, "{moments}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_at_whatever_moment_of_a_failed_move_the_old_one_serves() {
    let mut moments = 0;
    loop {
        let m = Move::new().await;
        m.go_to(&m.far).await;
        let id = m.queue().await;
        // Whoever tries it again fails again.
        for _ in 0..3 {
            m.there.fail("apply", RuntimeError::Failed("web did not become healthy".to_owned()));
        }
        m.test.runtimes.die_after(Some(moments));
        work_with_deaths(&m).await;
        let over = m.test.runtimes.is_lit();
        m.test.runtimes.die_after(None);
        assert_eq!(m.deployment(&id).await["status"], "FAILED", "{moments}");
        assert_eq!(m.revisions().await, (Some(2), None), "{moments}");
        assert_eq!(m.state().await["runtime"]["name"], "acme-engine");
        assert_eq!(m.leftovers().await, []);
        if over {
            break;
        }
        moments += 1;
    }
    assert!(moments > 8, "{moments}");
}
