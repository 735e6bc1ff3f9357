//! What several servers do together is done once, and counted together.

use std::time::{Duration, Instant};

use async_graphql::ID;
use entity::log_line;
use kiops::app::Code;
use kiops::app::identity::requests;
use kiops::app::identity::sessions::{self, Login};
use kiops::app::runtimes;
use kiops::domain::secret::{ExposeSecret as _, SecretString};
use kiops::graphql::ids::decode;
use kiops::queue::{self, NewJob};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use serde_json::json;

use super::{LEASE, Site, Town};
use crate::support::app::password;
use crate::support::server::until;
use crate::support::shop::{NO_LIMIT, text};

fn login(site: &Site, secret: SecretString) -> kiops::app::Result<sessions::Session> {
    let app = site.app.clone();
    let login = Login {
        email: "admin@acme.example".to_owned(),
        password: secret,
        organization: None,
        address: Some("192.0.2.77".to_owned()),
    };
    site.run(async move { sessions::login(&app, login).await })
}

#[test]
fn attempts_and_requests_are_counted_together_and_a_session_ends_everywhere() {
    let Some(town) = Town::open("attempts_and_requests_are_counted_together", 0) else { return };
    let sites = [town.site(0), town.site(1), town.site(2)];
    town.settle(&sites[0], 0);
    let session = login(&sites[0], password()).unwrap();
    let works = |site: &Site| {
        let (app, token) = (site.app.clone(), session.token.clone());
        site.run(async move { sessions::authenticate(&app, token.expose_secret(), None).await.unwrap().is_some() })
    };
    assert!(sites.iter().all(works));
    let (app, actor) = (sites[0].app.clone(), session.actor.clone());
    sites[0].run(async move { sessions::logout(&app, &actor).await.unwrap() });
    assert!(!sites.iter().any(works), "no server remembers it");

    for n in 0..10 {
        assert_eq!(login(&sites[n % 3], "wrong".into()).err().unwrap().code, Code::Unauthenticated);
    }
    for site in &sites {
        assert_eq!(login(site, password()).err().unwrap().code, Code::RateLimited);
    }

    let count = |n: usize| {
        let app = sites[n % 3].app.clone();
        sites[n % 3].run(async move { requests::count(&app, "somebody").await.unwrap() })
    };
    let asked: Vec<u32> = (0..12).map(|n| count(n).count).collect();
    assert_eq!(asked, (1..=12).collect::<Vec<u32>>());
    assert!((1..=60).contains(&count(0).left.as_secs()));
    sites.into_iter().for_each(Site::stop);
}

#[test]
fn a_runtime_that_is_due_is_asked_by_one_of_them() {
    let Some(town) = Town::open("a_runtime_that_is_due_is_asked_by_one_of_them", 0) else { return };
    let sites = [town.site(0), town.site(1), town.site(2)];
    town.settle(&sites[0], 0);
    for round in 1..=5 {
        let before = town.runtimes.count("check");
        std::thread::sleep(Duration::from_millis(60));
        let all = sites.iter().map(|site| {
            let (app, (give, take)) = (site.app.clone(), std::sync::mpsc::channel());
            site.spawn(async move {
                let done = runtimes::check_due(&app, Duration::from_millis(50)).await;
                give.send(done).unwrap();
            });
            take
        });
        let all: Vec<_> = all.collect();
        all.into_iter().for_each(|done| done.recv().unwrap().unwrap());
        assert_eq!(town.runtimes.count("check"), before + 1, "round {round}");
    }
    sites.into_iter().for_each(Site::stop);
}

#[test]
fn a_lane_is_never_worked_on_twice_whatever_is_committed_when() {
    let Some(town) = Town::open("a_lane_is_never_worked_on_twice", 0) else { return };
    let site = town.site(0);
    let (admin, _) = town.settle(&site, 0);
    let app = site.app.clone();
    site.run(async move {
        let now = app.clock.now();
        let job = |subject: &'static str| NewJob {
            organization_id: &admin.scope.organization_id,
            kind: "nothing",
            lane: "lane",
            subject,
        };
        let claim = async |worker: &str| queue::claim(&app.db, worker, now, LEASE, NO_LIMIT).await.unwrap();
        let (slow, quick) = (app.begin().await.unwrap(), app.begin().await.unwrap());
        // The earlier one of two servers is the later one to commit.
        queue::enqueue(&slow, job("slow"), now).await.unwrap();
        queue::enqueue(&quick, job("quick"), now).await.unwrap();
        quick.commit().await.unwrap();
        let first = claim("one").await.expect("it is there");
        assert_eq!(first.job.subject, "quick");
        slow.commit().await.unwrap();
        assert!(claim("two").await.is_none(), "somebody is at work in this lane");
        let tx = app.begin().await.unwrap();
        assert!(first.complete(&tx).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(claim("two").await.expect("the lane is free").job.subject, "slow");
    });
    site.stop();
}

/// A followed pipeline that nobody sees stays where it is: its build goes on for as long as the test wants.
fn at_work(town: &Town, site: &Site) -> (kiops::app::Actor, String) {
    let (admin, services) = town.settle(site, 1);
    let start = "mutation($i: StartPipelineInput!) { startPipeline(input: $i) { pipeline { id } } }";
    let made = site.data(&admin, start, json!({ "i": { "serviceId": services[0] } }));
    let id = text(&made["startPipeline"]["pipeline"]["id"]);
    town.world.hold(&decode(&ID(id.clone())).unwrap().1);
    site.work();
    until("the build", 30, || (town.world.at_work() == 1).then_some(()));
    (admin, id)
}

#[test]
fn who_takes_over_has_another_disk_and_fetches_again() {
    let Some(town) = Town::open("who_takes_over_has_another_disk", 0) else { return };
    let mut first = town.site(0);
    let (admin, id) = at_work(&town, &first);
    first.kill();
    let second = town.working(1);
    town.world.release();
    let look = "query($id: ID!) { node(id: $id) { ... on Pipeline { status stages { kind status message } } } }";
    let ended = until("the end", 60, || {
        let found = second.data(&admin, look, json!({ "id": id }))["node"].take();
        (found["status"] != "RUNNING").then_some(found)
    });
    assert_eq!(ended["status"], "SUCCEEDED", "{ended:#}");
    let (db, run) = (second.app.db.clone(), decode(&ID(id)).unwrap().1);
    let lines = second.run(async move {
        let of = log_line::Entity::find().filter(log_line::Column::RunId.eq(run));
        of.order_by_asc(log_line::Column::Seq).all(db.read()).await.unwrap()
    });
    let fetched: Vec<&str> =
        lines.iter().map(|line| line.text.as_str()).filter(|t| t.starts_with("Fetching")).collect();
    assert_eq!(fetched.len(), 2, "{lines:#?}");
    assert_eq!(fetched[0], fetched[1], "the very commit that was written down");
    assert!(lines.iter().any(|line| line.text.contains("this server does not have the source")), "{lines:#?}");
    let left = |n: usize| std::fs::read_dir(town.folder.path().join(format!("server-{n}"))).unwrap().count();
    assert_eq!(left(1), 0);
    // What the dead one left on its own disk goes when it comes back.
    assert_eq!(left(0), 1);
    let again = town.working(0);
    {
        let _inside = again.runtime.as_ref().unwrap().enter();
        kiops::worker::start_sweeping(&again.app, &again.tasks, &again.stop);
    }
    until("the sweep", 20, || (left(0) == 0).then_some(()));
    assert_eq!(town.world.faults(), Vec::<String>::new());
    again.stop();
    second.stop();
}

#[test]
fn who_cannot_say_that_they_live_stops_before_another_begins() {
    let Some(town) = Town::open("who_cannot_say_that_they_live", 0) else { return };
    let site = town.site(0);
    at_work(&town, &site);
    assert_eq!(town.world.waiting(), 1);
    let begun = Instant::now();
    let db = site.app.db.clone();
    // From here on this server's database does not answer.
    site.spawn(async move { db.read().get_postgres_connection_pool().close().await });
    until("the worker to let go", 10, || (town.world.waiting() == 0).then_some(()));
    let took = begun.elapsed();
    assert!(took < LEASE, "its lease was over after {LEASE:?}, and it let go after {took:?}");
}
