//! Servers that are killed again and again while they share two hundred pipelines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use async_graphql::ID;
use chrono::{DateTime, Utc};
use entity::{job, pipeline};
use kiops::app::Actor;
use kiops::graphql::ids::decode;
use sea_orm::{ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use serde_json::{Value, json};

use super::world::Standing;
use super::{Site, Town};
use crate::support::shop::text;

const SERVERS: usize = 3;
const SERVICES: usize = 10;
const PIPELINES: usize = 200;
/// Of how many pipelines one is followed on every server.
const ONE_IN: usize = 8;
/// A server dies so often, and is down so long.
const KILLED_EVERY: Duration = Duration::from_millis(2500);
const DOWN: Duration = Duration::from_millis(1000);

/// Writes down every change of every pipeline, in the order in which they became true.
const CHANGES: &str = "
    CREATE TABLE change_log (
        n bigserial PRIMARY KEY, pipeline_id text, status text, stages jsonb, ends boolean, had_ended boolean,
        at timestamptz DEFAULT clock_timestamp());
    CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO change_log (pipeline_id, status, stages, ends, had_ended) VALUES (NEW.id, NEW.status, NEW.stages,
            NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL, OLD.finished_at IS NOT NULL);
        RETURN NEW; END $$;
    CREATE TRIGGER note_change AFTER UPDATE ON pipeline FOR EACH ROW EXECUTE FUNCTION note_change();";

struct Change {
    standing: Standing,
    ends: bool,
    had_ended: bool,
    at: DateTime<Utc>,
}

#[test]
fn two_hundred_pipelines_end_once_each_whoever_dies() {
    let Some(town) = Town::open("two_hundred_pipelines_end_once_each_whoever_dies", SERVERS) else { return };
    let mut sites: Vec<Site> = (0..SERVERS).map(|n| town.site(n)).collect();
    let db = sites[0].app.db.clone();
    sites[0].run(async move { db.read_write().execute_unprepared(CHANGES).await.unwrap() });
    let (admin, services) = town.settle(&sites[0], SERVICES);
    let save = "mutation($i: SaveBuildSettingsInput!) { saveBuildSettings(input: $i) { service { id } } }";
    for service in &services {
        sites[0].data(&admin, save, json!({ "i": { "serviceId": service, "testCommand": ["check"] } }));
    }
    // Every server is asked for its share.
    let start = "mutation($i: StartPipelineInput!) { startPipeline(input: $i) { pipeline { id } } }";
    let runs: Vec<(String, String)> = (0..PIPELINES)
        .map(|n| {
            let input = json!({ "serviceId": services[n % SERVICES], "ref": format!("branch-{}", n / SERVICES % 5) });
            let made = sites[n % SERVERS].data(&admin, start, json!({ "i": input }));
            let id = text(&made["startPipeline"]["pipeline"]["id"]);
            (decode(&ID(id.clone())).unwrap().1, id)
        })
        .collect();
    let followed: Vec<_> = runs.iter().step_by(ONE_IN).cloned().collect();
    followed.iter().for_each(|(run, _)| town.world.follow(run));
    for (number, site) in sites.iter().enumerate() {
        follow(&town, site, (number, 0), &admin, &followed);
        site.work();
    }

    let begun = Instant::now();
    let mut kills = 0;
    loop {
        std::thread::sleep(KILLED_EVERY);
        let victim = kills % SERVERS;
        if left(&sites[(victim + 1) % SERVERS]) == 0 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(400), "{} have not ended", left(&sites[(victim + 1) % SERVERS]));
        sites[victim].kill();
        std::thread::sleep(DOWN);
        kills += 1;
        sites[victim] = town.working(victim);
        follow(&town, &sites[victim], (victim, kills), &admin, &followed);
    }
    let took = begun.elapsed();
    // What is told to the provider is told afterwards.
    let deadline = Instant::now() + Duration::from_secs(60);
    while jobs(&sites[0]) > 0 || !all_seen(&town, &followed) {
        assert!(Instant::now() < deadline, "{} jobs are left, or an end was not seen", jobs(&sites[0]));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(town.world.faults(), Vec::<String>::new());
    assert_eq!(town.world.at_work(), 0);
    assert!(kills >= 3, "it was over after {took:?} and {kills} kills");
    let changes = changes(&sites[0]);
    ends_once(&town, &changes, &runs);
    for (run, _) in &followed {
        for server in 0..SERVERS {
            seen_in_order(&town, server, run, &changes[run]);
        }
    }
    let repeated = town.world.begun().iter().filter(|(_, what, _)| *what == "the build").count() - PIPELINES;
    println!("{PIPELINES} pipelines in {took:?}, {kills} kills, {repeated} builds repeated");
    sites.into_iter().for_each(Site::stop);
}

/// Subscribes to each of these that this server's subscriber has not seen the end of.
fn follow(town: &Town, site: &Site, who: (usize, usize), admin: &Actor, runs: &[(String, String)]) {
    let document = "subscription($id: ID!) { pipeline(id: $id) { status stages { status } } }";
    for (run, id) in runs {
        if town.world.seen(who.0, run).iter().any(|(_, standing)| standing.0 == "SUCCEEDED") {
            continue;
        }
        let (world, run) = (town.world.clone(), run.clone());
        site.subscribe(admin, document, json!({ "id": id }), move |answer| {
            match answer {
                Ok(data) => world.saw(who, &run, standing(&data["pipeline"]["status"], &data["pipeline"]["stages"])),
                Err(error) => world.fault(format!("the subscriber of {run} on server {}: {error}", who.0)),
            }
            true
        });
    }
}

fn standing(status: &Value, stages: &Value) -> Standing {
    (text(status), stages.as_array().unwrap().iter().map(|stage| text(&stage["status"])).collect())
}

fn left(site: &Site) -> u64 {
    let db = site.app.db.clone();
    let open = pipeline::Entity::find().filter(pipeline::Column::FinishedAt.is_null());
    site.run(async move { open.count(db.read()).await.unwrap() })
}

fn jobs(site: &Site) -> u64 {
    let db = site.app.db.clone();
    site.run(async move { job::Entity::find().count(db.read()).await.unwrap() })
}

fn all_seen(town: &Town, followed: &[(String, String)]) -> bool {
    let saw_end =
        |server, run: &str| town.world.seen(server, run).last().is_some_and(|(_, standing)| standing.0 == "SUCCEEDED");
    followed.iter().all(|(run, _)| (0..SERVERS).all(|server| saw_end(server, run)))
}

/// Every change that was committed, by pipeline, in order.
fn changes(site: &Site) -> BTreeMap<String, Vec<Change>> {
    let db = site.app.db.clone();
    let rows = site.run(async move {
        let all = "SELECT pipeline_id, status, stages, ends, had_ended, at FROM change_log ORDER BY n";
        db.read().query_all_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, all)).await.unwrap()
    });
    let mut changes: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    for row in rows {
        let stages: Value = row.try_get("", "stages").unwrap();
        let status: String = row.try_get("", "status").unwrap();
        let change = Change {
            standing: standing(&json!(status), &stages),
            ends: row.try_get("", "ends").unwrap(),
            had_ended: row.try_get("", "had_ended").unwrap(),
            at: row.try_get("", "at").unwrap(),
        };
        changes.entry(row.try_get("", "pipeline_id").unwrap()).or_default().push(change);
    }
    changes
}

/// Each has one end, nothing comes after it, no stage goes back, and nothing is begun of a stage that has ended.
fn ends_once(town: &Town, changes: &BTreeMap<String, Vec<Change>>, runs: &[(String, String)]) {
    let known: BTreeSet<&String> = runs.iter().map(|(run, _)| run).collect();
    assert_eq!(changes.keys().collect::<BTreeSet<_>>(), known);
    let over = |status: &str| !["QUEUED", "RUNNING"].contains(&status);
    for (run, changes) in changes {
        assert_eq!(changes.iter().filter(|change| change.ends).count(), 1, "{run}");
        let end = changes.iter().find(|change| change.ends).unwrap();
        let stages = ["SUCCEEDED", "SUCCEEDED", "SKIPPED", "SUCCEEDED", "SKIPPED"].map(str::to_owned).to_vec();
        assert_eq!(end.standing, ("SUCCEEDED".to_owned(), stages), "{run}");
        for change in changes.iter().filter(|change| change.had_ended) {
            assert_eq!(change.standing, end.standing, "{run} changed after its end");
        }
        for pair in changes.windows(2) {
            for (stage, (before, after)) in pair[0].standing.1.iter().zip(&pair[1].standing.1).enumerate() {
                assert!(!over(before) || before == after, "stage {stage} of {run} was {before} and became {after}");
                assert!(before != "RUNNING" || after != "QUEUED", "stage {stage} of {run} went back");
            }
        }
        for (what, stage) in [("the build", 1), ("the test", 3)] {
            let ended = changes.iter().find(|change| over(&change.standing.1[stage])).unwrap().at;
            let begun: Vec<_> = town.world.begun().into_iter().filter(|b| b.0 == *run && b.1 == what).collect();
            assert!(!begun.is_empty(), "{what} of {run} was never begun");
            assert!(begun.iter().all(|(_, _, at)| *at < ended), "{what} of {run} was begun again after its end");
        }
    }
}

/// What a server's subscribers saw are changes that were made, in their order, to the end. That each stage was seen at work
/// while it was is held by the world.
fn seen_in_order(town: &Town, server: usize, run: &str, changes: &[Change]) {
    let seen = town.world.seen(server, run);
    let made: Vec<Standing> = std::iter::once(("QUEUED".to_owned(), vec!["QUEUED".to_owned(); 5]))
        .chain(changes.iter().map(|change| change.standing.clone()))
        .collect();
    let mut at = 0;
    for (_, standing) in &seen {
        let found = made[at..].iter().position(|made| made == standing);
        let found = found.unwrap_or_else(|| panic!("server {server} saw {standing:?} of {run} out of order: {seen:?}"));
        at += found;
    }
    assert_eq!(seen.last().unwrap().1, made.last().unwrap().clone(), "server {server}, {run}");
}
