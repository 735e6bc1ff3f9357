//! Many at once: one wins, nobody is lost, nothing is done twice.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_graphql::Response;
use chrono::TimeDelta;
use entity::{Db, JobState, Role, job, membership};
use futures_util::future::join_all;
use kiops::app::deployments::perform::Outcome;
use kiops::app::identity::users;
use kiops::config::{Config, ConfigSource};
use kiops::queue::{self, NewJob};
use migration::{Migrator, MigratorTrait as _};
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use serde_json::{Value, json};

use crate::support::app::{TestApp, code, new_database};
use crate::support::server::{self, Server};
use crate::support::shop::{NO_LIMIT, Shop, shared_engine, text, web, work};

const LEASE: Duration = Duration::from_secs(10);

async fn shop() -> (Arc<TestApp>, Shop) {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    (Arc::new(test), shop)
}

/// The same request so many times at once, from tasks of their own.
async fn at_once(
    test: &Arc<TestApp>,
    shop: &Shop,
    times: usize,
    document: &'static str,
    input: Value,
) -> Vec<Response> {
    let asked = (0..times).map(|_| {
        let (test, admin, input) = (test.clone(), shop.admin.clone(), input.clone());
        tokio::spawn(async move { test.run(Some(&admin), document, json!({ "i": input })).await })
    });
    join_all(asked).await.into_iter().map(Result::unwrap).collect()
}

const DEPLOY: &str = "mutation($i: DeployServiceInput!) { deployService(input: $i) { deployment { id revision } } }";

fn deployments(answers: Vec<Response>) -> Vec<(String, i64)> {
    let deployments = answers.into_iter().map(|answer| {
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        let made = answer.data.into_json().unwrap()["deployService"]["deployment"].clone();
        (text(&made["id"]), made["revision"].as_i64().unwrap())
    });
    deployments.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_registrations_of_a_name_one_wins() {
    let (test, shop) = shop().await;
    let document = "mutation($i: RegisterDockerHubServiceInput!) { \
        registerDockerHubService(input: $i) { service { id } } }";
    let input = json!({ "name": "wanted", "runtimeId": shop.runtime, "containers": [web()] });
    let answers = at_once(&test, &shop, 50, document, input).await;
    assert_eq!(answers.iter().filter(|a| a.errors.is_empty()).count(), 1);
    for answer in answers.iter().filter(|a| !a.errors.is_empty()) {
        assert_eq!(code(answer).as_deref(), Some("CONFLICT"), "{:?}", answer.errors);
        let field = answer.errors[0].extensions.as_ref().unwrap().get("field").cloned();
        assert_eq!(field, Some(async_graphql::Value::from("input.name")));
    }
    let wanted = entity::service::Entity::find().filter(entity::service::Column::Name.eq("wanted"));
    assert_eq!(wanted.count(test.app.db.read()).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deployments_at_once_are_numbered_without_a_gap() {
    let (test, shop) = shop().await;
    let made = deployments(at_once(&test, &shop, 20, DEPLOY, json!({ "serviceId": shop.service })).await);
    let revisions: BTreeSet<i64> = made.into_iter().map(|(_, revision)| revision).collect();
    assert_eq!(revisions.into_iter().collect::<Vec<_>>(), (3..=22).collect::<Vec<_>>());
    let outcomes = work(&test).await;
    assert_eq!(outcomes.len(), 20);
    let applied: Vec<String> =
        test.runtimes.calls.lock().unwrap().iter().filter(|c| c.starts_with("apply ")).cloned().collect();
    let revisions: Vec<i64> = applied.iter().map(|c| c.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(revisions, (1..=22).collect::<Vec<_>>());
}

/// The first deployment makes the environment: that too happens once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_deployments_at_once_share_one_environment() {
    let (test, shop) = shop().await;
    let input = json!({ "serviceId": shop.service, "environment": "staging" });
    let made = deployments(at_once(&test, &shop, 20, DEPLOY, input).await);
    let revisions: BTreeSet<i64> = made.into_iter().map(|(_, revision)| revision).collect();
    assert_eq!(revisions.into_iter().collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    assert_eq!(entity::environment::Entity::find().count(test.app.db.read()).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_is_one_deployment() {
    let (test, shop) = shop().await;
    let input = json!({ "serviceId": shop.service, "idempotencyKey": "once" });
    let made = deployments(at_once(&test, &shop, 20, DEPLOY, input).await);
    assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 1, "{made:?}");
    assert_eq!(work(&test).await.len(), 1);
    let all = entity::deployment::Entity::find().count(test.app.db.read()).await.unwrap();
    assert_eq!(all, 3);
}

/// Two hundred real logins at once, each with its Argon2 and its writes, and two thousand questions meanwhile, of the
/// real server over HTTP.
#[test]
fn logins_and_questions_in_a_crowd_all_get_an_answer() {
    let server = Server::start();
    let login = "mutation($i: LoginInput!) { login(input: $i) { token } }";
    let input = json!({ "i": { "email": "admin@localhost", "password": server::PASSWORD } });
    let question = "{ viewer { user { email } role } users { totalCount } services { totalCount nodes { name } } \
        apiTokens { name } auditEvents(first: 5) { nodes { action at } } }";
    let (logins, answers) = std::thread::scope(|scope| {
        let logins: Vec<_> = (0..200).map(|_| scope.spawn(|| server.post(login, input.clone()))).collect();
        let ask = || (0..40).map(|_| server.post(question, Value::Null)).collect::<Vec<_>>();
        let askers: Vec<_> = (0..50).map(|_| scope.spawn(ask)).collect();
        let logins: Vec<_> = logins.into_iter().map(|thread| thread.join().unwrap()).collect();
        (logins, askers.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>())
    });
    for (status, answer) in logins.iter().chain(&answers) {
        assert_eq!(*status, 200, "{answer:#}");
        assert!(answer.get("errors").is_none(), "{answer:#}");
    }
    assert_eq!((logins.len(), answers.len()), (200, 2000));
    let tokens: HashSet<String> = logins.iter().map(|(_, a)| text(&a["data"]["login"]["token"])).collect();
    assert_eq!(tokens.len(), 200);
    // Nobody had to be told, and nothing was tried in vain.
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("locked"), "{log}");
    // The pool says so when somebody waits for a connection, and the server what takes long: no faults on a slow machine.
    let is_fault = |line: &&str| line.contains("WARN") && line.contains("kiops") && !line.contains("slow ");
    let warned = log.lines().find(is_fault);
    assert_eq!(warned, None, "{log}");
    // Each is in the audit trail, and so is the one of the server's start.
    let trail = "query($after: String) { auditEvents(first: 100, after: $after, action: \"auth.logged_in\") {
        nodes { at } pageInfo { endCursor } } }";
    let (mut after, mut told) = (Value::Null, 0);
    loop {
        let page = server.data(trail, json!({ "after": after }))["auditEvents"].take();
        match page["nodes"].as_array().unwrap().len() {
            0 => break,
            some => told += some,
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(told, 201);
}

/// Everything that touches a service and its environment, with workers at it: nothing waits for each other in a circle,
/// and nothing stays under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_and_workers_do_not_stand_in_each_others_way() {
    let (test, shop) = shop().await;
    let by_id = json!({ "serviceId": shop.service });
    let tagged = json!({ "serviceId": shop.service, "tags": [{ "container": "web", "tag": "1.27" }] });
    let saved = json!({ "id": shop.service, "runtimeId": shop.runtime, "containers": [web()] });
    let rollback = "mutation($i: RollbackServiceInput!) { rollbackService(input: $i) { deployment { id } } }";
    let stop = "mutation($i: StopServiceInput!) { stopService(input: $i) { service { status } } }";
    let restart = "mutation($i: RestartServiceInput!) { restartService(input: $i) { service { status } } }";
    let update = "mutation($i: UpdateServiceInput!) { updateService(input: $i) { service { status } } }";
    let check = "mutation($i: CheckRuntimeInput!) { checkRuntime(input: $i) { runtime { status } } }";
    let ended = Arc::new(AtomicBool::new(false));
    let workers = (0..2).map(|_| {
        let (test, ended) = (test.clone(), ended.clone());
        tokio::spawn(async move {
            let mut outcomes = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                outcomes.extend(work(&test).await);
                tokio::task::yield_now().await;
            }
            outcomes
        })
    });
    let workers: Vec<_> = workers.collect();
    let answers = tokio::join!(
        at_once(&test, &shop, 10, DEPLOY, by_id.clone()),
        at_once(&test, &shop, 10, DEPLOY, tagged),
        at_once(&test, &shop, 10, rollback, by_id.clone()),
        at_once(&test, &shop, 10, stop, by_id.clone()),
        at_once(&test, &shop, 10, restart, by_id),
        at_once(&test, &shop, 10, update, saved),
        at_once(&test, &shop, 10, check, json!({ "id": shop.runtime })),
    );
    ended.store(true, Ordering::Relaxed);
    let mut outcomes = Vec::new();
    for worker in workers {
        outcomes.extend(worker.await.unwrap());
    }
    outcomes.extend(work(&test).await);
    assert!(outcomes.iter().all(|o| matches!(o, Ok(Outcome::Done))), "{outcomes:?}");
    let (a, b, c, d, e, f, g) = answers;
    for answer in [a, b, c, d, e, f, g].iter().flatten().filter(|a| !a.errors.is_empty()) {
        // To be told to try again is fair.
        assert_eq!(code(answer).as_deref(), Some("CONFLICT"), "{:?}", answer.errors);
    }
    let left = job::Entity::find().count(test.app.db.read()).await.unwrap();
    let running = entity::deployment::Entity::find().filter(entity::deployment::Column::FinishedAt.is_null());
    assert_eq!((left, running.count(test.app.db.read()).await.unwrap()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_admins_who_lower_each_other_leave_one() {
    let test = Arc::new(TestApp::new().await);
    let admin = test.organization("acme").await;
    for round in 0..5 {
        let email = format!("ada{round}@acme.example");
        test.user(&admin, &email, Role::Admin).await;
        let ada = test.login(&email, None).await.unwrap().actor;
        let lower = |by: &kiops::app::Actor, whom: &str| {
            let (test, by, whom) = (test.clone(), by.clone(), whom.to_owned());
            tokio::spawn(async move { users::set_role(&test.app, &by, &whom, Role::Member).await })
        };
        let (one, two) = tokio::join!(lower(&admin, &ada.user_id), lower(&ada, &admin.user_id));
        assert_eq!([one.unwrap(), two.unwrap()].iter().filter(|r| r.is_ok()).count(), 1);
        let admins = membership::Entity::find().filter(membership::Column::Role.eq(Role::Admin));
        let admins = admins.all(test.app.db.read()).await.unwrap();
        assert_eq!(admins.len(), 1);
        if admins[0].user_id == ada.user_id {
            users::set_role(&test.app, &ada, &admin.user_id, Role::Admin).await.unwrap();
            users::set_role(&test.app, &admin, &ada.user_id, Role::Member).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_that_start_at_once_all_find_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let url = new_database(folder.path()).await;
    let source = ConfigSource { file: None, env: Vec::new(), dir: folder.path().to_owned() };
    let mut config = Config::load(&source).unwrap();
    config.database.url = url;
    let starts = (0..4).map(|_| {
        let config = config.clone();
        tokio::spawn(async move { kiops::boot::database(&config).await })
    });
    let started: Vec<Db> = join_all(starts).await.into_iter().map(|db| db.unwrap().unwrap()).collect();
    for db in started {
        assert!(Migrator::get_pending_migrations(db.read()).await.unwrap().is_empty());
        assert_eq!(job::Entity::find().count(db.read()).await.unwrap(), 0);
    }
}

async fn enqueue(test: &TestApp, lane: &str, subject: &str) {
    let tx = test.app.begin().await.unwrap();
    let new = NewJob { organization_id: "o", kind: "test", lane, subject };
    queue::enqueue(&tx, new, test.app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// Which of `n` things happens; spread well enough for the purpose, the same in each run.
fn pick(state: &mut u64, n: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % n
}

/// Claims until there is nothing left; returns at least once what it gets now and then.
async fn worker(
    test: Arc<TestApp>,
    held: Arc<Mutex<HashSet<String>>>,
    ended: Arc<Mutex<Vec<(String, i64)>>>,
    seed: u64,
) {
    let mut state = seed;
    loop {
        let now = test.app.clock.now();
        let Some(claim) = queue::claim(&test.app.db, &format!("worker {seed}"), now, LEASE, NO_LIMIT).await.unwrap()
        else {
            if job::Entity::find().count(test.app.db.read()).await.unwrap() == 0 {
                return;
            }
            tokio::task::yield_now().await;
            continue;
        };
        let lane = claim.job.lane.clone();
        assert!(held.lock().unwrap().insert(lane.clone()), "two hold {lane}");
        for _ in 0..pick(&mut state, 4) {
            tokio::task::yield_now().await;
        }
        assert!(claim.renew(test.app.db.read_write(), now + TimeDelta::seconds(10)).await.unwrap());
        let gives_back = pick(&mut state, 3) == 0;
        // Before the row is free for others.
        held.lock().unwrap().remove(&lane);
        if gives_back {
            claim.release(test.app.db.read_write(), now, "later").await.unwrap();
        } else {
            ended.lock().unwrap().push((lane, claim.job.id));
            let tx = test.app.begin().await.unwrap();
            assert!(claim.complete(&tx).await.unwrap());
            tx.commit().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_workers_hold_one_lane() {
    for seed in 1..=3_u64 {
        let test = Arc::new(TestApp::new().await);
        let mut state = seed;
        for n in 0..40 {
            enqueue(&test, &format!("lane {}", pick(&mut state, 6)), &n.to_string()).await;
        }
        let (held, ended) = <(Arc<Mutex<_>>, Arc<Mutex<Vec<_>>>)>::default();
        let workers = (0..4).map(|n| tokio::spawn(worker(test.clone(), held.clone(), ended.clone(), seed * 10 + n)));
        for worker in join_all(workers).await {
            worker.unwrap();
        }
        let ended = ended.lock().unwrap().clone();
        assert_eq!(ended.len(), 40);
        let mut last = BTreeMap::new();
        for (lane, id) in ended {
            let before = last.insert(lane.clone(), id);
            assert!(before.is_none_or(|before| before < id), "{lane}: {id} ended after {before:?}");
        }
    }
}

#[tokio::test]
async fn who_lost_the_lease_changes_nothing() {
    let test = TestApp::new().await;
    enqueue(&test, "lane", "subject").await;
    let db = &test.app.db;
    let claim = async |who: &str| queue::claim(db, who, test.app.clock.now(), LEASE, NO_LIMIT).await.unwrap();
    let old = claim("old").await.unwrap();
    assert!(claim("new").await.is_none());
    test.clock.advance(TimeDelta::seconds(11));
    let new = claim("new").await.unwrap();
    assert_eq!((new.job.id, new.job.fence, new.job.attempts), (old.job.id, old.job.fence + 1, 2));

    let later = test.app.clock.now() + TimeDelta::hours(1);
    let row = async || job::Entity::find_by_id(new.job.id).one(db.read()).await.unwrap();
    let before = row().await;
    assert!(!old.renew(db.read_write(), later).await.unwrap());
    let tx = db.begin().await.unwrap();
    assert!(!old.complete(&tx).await.unwrap());
    tx.commit().await.unwrap();
    old.release(db.read_write(), later, "gives up").await.unwrap();
    assert_eq!(row().await, before);
    assert_eq!(before.map(|j| (j.state, j.worker)), Some((JobState::Running, Some("new".to_owned()))));

    assert!(new.renew(db.read_write(), later).await.unwrap());
    // What its holder drops half-way is still there, and it is still theirs.
    let tx = db.begin().await.unwrap();
    assert!(new.complete(&tx).await.unwrap());
    drop(tx);
    assert!(new.renew(db.read_write(), later).await.unwrap());
    let tx = db.begin().await.unwrap();
    assert!(new.complete(&tx).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!new.renew(db.read_write(), later).await.unwrap());
    assert!(claim("anybody").await.is_none());
}
