//! What is written of many findings is written in slices: others write meanwhile, and nobody sees a part.

use std::time::{Duration, Instant};

use entity::{FindingState, finding, scan};
use kiops::app::scans::effect;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::json;

use super::many::large;
use super::{EVAL, PICKLE, Yard};
use crate::support::shop::{text, work};

/// Findings of the large report: enough that one transaction of all would be seen.
const MANY: usize = 20_000;
/// Longest wait for the database's writer: a slice takes tens of milliseconds, where nothing is optimised and others run beside
/// it some more.
const LONGEST: Duration = Duration::from_millis(1000);

/// How long somebody else had to wait for the writer, at most, while the yard was worked on.
async fn longest_wait(yard: &Yard, started: &str) -> Duration {
    let (app, id) = (yard.test.app.clone(), kiops::graphql::ids::decode(&started.into()).unwrap().1);
    let waits = tokio::spawn(async move {
        let mut longest = Duration::ZERO;
        loop {
            let begun = Instant::now();
            app.begin().await.unwrap().commit().await.unwrap();
            longest = longest.max(begun.elapsed());
            let row = scan::Entity::find_by_id(&id).one(app.db.read()).await.unwrap().unwrap();
            if row.settled {
                return longest;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    work(&yard.test).await;
    waits.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_write_meanwhile() {
    let yard = Yard::new(&["semgrep"]).await;
    for report in [large(MANY), large(MANY), large(10)] {
        yard.tell("semgrep", &report);
        let id = yard.start(json!({ "kind": "SAST", "ref": "main" })).await;
        let longest = longest_wait(&yard, &id).await;
        println!("{MANY} findings: the writer was waited for {longest:.0?} at most");
        assert!(longest < LONGEST, "{longest:?}");
    }
    // And while what was half stored is taken back.
    yard.tell("semgrep", &large(MANY));
    yard.hold("semgrep");
    let id = yard.start(json!({ "kind": "SAST", "ref": "feature/x" })).await;
    let worker = yard.begin().await;
    super::until(|| yard.has_begun("semgrep")).await;
    worker.abort();
    assert!(worker.await.is_err());
    seen_by(&yard, &id).await;
    yard.let_go("semgrep");
    yard.test.clock.advance(chrono::TimeDelta::minutes(2));
    let longest = longest_wait(&yard, &id).await;
    println!("taken back: the writer was waited for {longest:.0?} at most");
    assert!(longest < LONGEST, "{longest:?}");
}

/// As if a try of a scan had stored all of the first scan's.
async fn seen_by(yard: &Yard, id: &str) {
    use sea_orm::ConnectionTrait as _;
    let (_, id) = kiops::graphql::ids::decode(&id.into()).unwrap();
    let sql = format!(
        "INSERT INTO scan_finding (scan_id, finding_id, rank, detected_by) SELECT '{id}', id, rank, detected_by FROM finding"
    );
    yard.test.app.db.read_write().execute_unprepared(&sql).await.unwrap();
}

#[tokio::test]
async fn what_was_killed_between_two_slices_is_shown_whole() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.hits("semgrep", &[EVAL]);
    yard.scan("main").await;
    yard.hits("semgrep", &[PICKLE]);
    let id = text(&yard.scan("main").await["id"]);
    assert_eq!(yard.states().await, ["py.eval FIXED", "py.pickle OPEN"]);
    // As it is when the scan has said that it ended, and nothing else was written.
    let (db, (_, row)) = (yard.test.app.db.read_write(), kiops::graphql::ids::decode(&id.as_str().into()).unwrap());
    let killed = async || {
        for (rule, state) in [("py.eval", FindingState::Open), ("py.pickle", FindingState::Pending)] {
            finding::Entity::update_many()
                .col_expr(finding::Column::State, sea_orm::sea_query::Expr::value(state))
                .filter(finding::Column::Rule.eq(rule))
                .exec(db)
                .await
                .unwrap();
        }
        scan::Entity::update_many()
            .col_expr(scan::Column::Settled, false.into())
            .filter(scan::Column::Id.eq(&row))
            .exec(db)
            .await
            .unwrap();
    };
    killed().await;
    assert_eq!(yard.risk().await["risk"], "MEDIUM");
    killed().await;
    assert_eq!(yard.states().await, ["py.eval FIXED", "py.pickle OPEN"]);
    killed().await;
    assert_eq!(yard.look(&id).await["findings"]["totalCount"], 1);
    killed().await;
    // Whoever ends the next scan writes it first: it is compared with what is so.
    yard.hits("semgrep", &[EVAL, PICKLE]);
    let next = yard.scan("main").await;
    assert_eq!((&next["newFindings"], &next["fixedFindings"]), (&json!(1), &json!(0)));
    assert_eq!(yard.states().await, ["py.eval OPEN", "py.pickle OPEN"]);
    // And what is settled is not written again by whoever was late.
    let late = scan::Entity::find_by_id(&row).one(db).await.unwrap().unwrap();
    assert!(late.settled);
    effect::take(&yard.test.app, &scan::Model { settled: false, ..late }).await.unwrap();
    assert_eq!(yard.states().await, ["py.eval OPEN", "py.pickle OPEN"]);
}
