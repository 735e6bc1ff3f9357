//! Workers that are killed while they scan, scans that nobody wants any more, and services that go.

use chrono::TimeDelta;
use kiops::graphql::ids::decode;
use serde_json::{Value, json};

use super::{EVAL, PICKLE, SHELL, Yard, stages, until};
use crate::support::app::code;
use crate::support::shop::{text, work};

/// Process ids of a tool's own shell that live, by the words of its command line.
fn at_work(yard: &Yard) -> usize {
    let told = yard.told.to_str().unwrap();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(told))
        .count()
}

#[tokio::test]
async fn a_stage_whose_worker_was_killed_is_done_again() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.save_scans(&["SAST"]).await;
    yard.hits("semgrep", &[EVAL]);
    yard.hold("semgrep");
    let id = yard.start_pipeline(json!({})).await;
    let worker = yard.begin().await;
    until(|| yard.has_begun("semgrep")).await;
    worker.abort();
    assert!(worker.await.is_err());
    let pipeline = yard.pipeline(&id).await;
    assert_eq!(pipeline["scans"][0]["status"], "RUNNING");
    yard.let_go("semgrep");
    yard.test.clock.advance(TimeDelta::minutes(2));
    // Another server does not have the source.
    std::fs::remove_dir_all(&yard.test.app.settings.builds.work_dir).unwrap();
    work(&yard.test).await;
    let pipeline = yard.pipeline(&id).await;
    assert_eq!(stages(&pipeline), "SUCCEEDED SUCCEEDED SUCCEEDED SKIPPED SKIPPED", "{pipeline}");
    assert_eq!(pipeline["scans"].as_array().unwrap().len(), 1, "it is the same scan");
    assert_eq!(pipeline["scans"][0]["findings"]["totalCount"], 1);
    assert_eq!(yard.test.sources.fetched.lock().unwrap().len(), 2);
    assert_eq!(at_work(&yard), 0);
}

#[tokio::test]
async fn what_was_half_stored_is_stored_again() {
    let yard = Yard::new(&["semgrep", "bandit"]).await;
    yard.hits("semgrep", &[EVAL, PICKLE]);
    yard.hits("bandit", &[]);
    yard.hold("bandit");
    let id = yard.start(json!({ "kind": "SAST" })).await;
    let worker = yard.begin().await;
    until(|| yard.has_begun("bandit")).await;
    worker.abort();
    assert!(worker.await.is_err());
    // As if it had been killed between two transactions that store: nobody is shown anything of it.
    let (_, row) = decode(&id.as_str().into()).unwrap();
    half_stored(&yard, &row).await;
    assert_eq!(yard.states().await, Vec::<String>::new());
    assert_eq!(yard.look(&id).await["findings"]["totalCount"], 0);
    assert_eq!(yard.risk().await["risk"], Value::Null);
    let everything = "{ findings(state: null) { totalCount } }";
    assert_eq!(yard.test.data(&yard.member, everything, Value::Null).await["findings"]["totalCount"], 0);

    // This time it sees another thing, and what was stored of the first try is gone.
    yard.hits("semgrep", &[PICKLE, SHELL]);
    yard.let_go("bandit");
    yard.test.clock.advance(TimeDelta::minutes(2));
    work(&yard.test).await;
    assert_eq!(yard.look(&id).await["status"], "SUCCEEDED");
    assert_eq!(yard.states().await, ["py.pickle OPEN", "py.shell OPEN"]);
    let rows = yard.test.rows().await;
    assert!(!rows["finding"].iter().any(|row| row.contains("half.stored")), "{:?}", rows["finding"]);
}

async fn half_stored(yard: &Yard, scan_id: &str) {
    use entity::{FindingState, finding, scan, scan_finding};
    use sea_orm::{ActiveModelTrait as _, EntityTrait as _, Set};
    let db = yard.test.app.db.read_write();
    let scan = scan::Entity::find_by_id(scan_id).one(db).await.unwrap().unwrap();
    let now = yard.test.app.clock.now();
    let found = finding::ActiveModel {
        id: Set("01900000-0000-7000-8000-000000000007".to_owned()),
        organization_id: Set(scan.organization_id),
        service_id: Set(scan.service_id),
        kind: Set(scan.kind),
        identity: Set("0".repeat(64)),
        rule: Set("half.stored".to_owned()),
        aliases: Set(json!([])),
        title: Set("half stored".to_owned()),
        severity: Set(entity::Severity::Critical),
        rank: Set(0),
        state: Set(FindingState::Pending),
        detected_by: Set(json!(["semgrep"])),
        location: Set("x".to_owned()),
        place: Set(json!({ "at": "nowhere" })),
        description: Set(None),
        fixed_version: Set(None),
        help_url: Set(None),
        on_default: Set(true),
        lane: Set(scan.lane),
        commit_sha: Set(None),
        first_seen_at: Set(now),
        last_seen_at: Set(now),
        deployed_at: Set(None),
        ignored_reason: Set(None),
        ignored_until: Set(None),
        ignored_by: Set(None),
        waived_rank: Set(None),
        digest: Set(None),
    };
    let found = found.insert(db).await.unwrap();
    let seen = scan_finding::ActiveModel {
        scan_id: Set(scan_id.to_owned()),
        finding_id: Set(found.id),
        rank: Set(0),
        detected_by: Set(json!(["semgrep"])),
    };
    scan_finding::Entity::insert(seen).exec_without_returning(db).await.unwrap();
}

#[tokio::test]
async fn a_scan_that_kills_its_worker_each_time_ends_with_a_cause() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.hits("semgrep", &[EVAL]);
    yard.hold("semgrep");
    let id = yard.start(json!({ "kind": "SAST" })).await;
    for _ in 0..4 {
        let worker = yard.begin().await;
        until(|| at_work(&yard) > 0).await;
        worker.abort();
        assert!(worker.await.is_err());
        yard.test.clock.advance(TimeDelta::minutes(2));
        until(|| at_work(&yard) == 0).await;
    }
    work(&yard.test).await;
    let scan = yard.look(&id).await;
    assert_eq!(scan["status"], "FAILED");
    assert!(text(&scan["message"]).contains("never came to its end"), "{scan}");
    assert_eq!(scan["tools"][0]["status"], "FAILED");
    assert!(yard.claim().await.is_none());
}

#[tokio::test]
async fn canceling_a_pipeline_ends_its_tools_first() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.save_scans(&["SAST"]).await;
    yard.hits("semgrep", &[EVAL]);
    yard.hold("semgrep");
    let id = yard.start_pipeline(json!({})).await;
    let worker = yard.begin().await;
    until(|| yard.has_begun("semgrep")).await;
    let document = "mutation($i: CancelPipelineInput!) { cancelPipeline(input: $i) { pipeline { status } } }";
    yard.test.data(&yard.member, document, json!({ "i": { "id": id } })).await;
    worker.await.unwrap();
    let pipeline = yard.pipeline(&id).await;
    assert_eq!(stages(&pipeline), "SUCCEEDED SUCCEEDED CANCELED SKIPPED SKIPPED");
    let scan = &pipeline["scans"][0];
    assert_eq!((&scan["status"], &scan["tools"][0]["status"]), (&json!("CANCELED"), &json!("CANCELED")));
    assert_eq!(at_work(&yard), 0);
    assert_eq!(yard.states().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_service_that_is_removed_takes_all_of_it_along() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.hits("semgrep", &[EVAL, PICKLE]);
    yard.scan("main").await;
    let finding = text(&yard.finding("py.eval").await["id"]);
    yard.hold("semgrep");
    let running = yard.start(json!({ "kind": "SAST" })).await;
    let queued = yard.start(json!({ "kind": "SAST" })).await;
    std::fs::remove_file(yard.told.join("semgrep.begun")).unwrap();
    let worker = yard.begin().await;
    until(|| yard.has_begun("semgrep")).await;
    let document = "mutation($i: RemoveServiceInput!) { removeService(input: $i) { id } }";
    yard.test.data(&yard.member, document, json!({ "i": { "id": yard.service } })).await;
    assert_eq!(yard.look(&queued).await["status"], "CANCELED");
    worker.await.unwrap();
    assert_eq!(at_work(&yard), 0);
    assert_eq!(yard.look(&running).await["status"], "CANCELED");
    let refused = yard.ask_scan(&yard.member, json!({ "kind": "SAST" })).await;
    assert_eq!(code(&refused).as_deref(), Some("FAILED_PRECONDITION"));
    yard.test.clock.advance(TimeDelta::hours(2));
    work(&yard.test).await;
    for id in [&yard.service, &running, &queued, &finding] {
        let asked = yard.test.data(&yard.member, "query($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await;
        assert_eq!(asked["node"], Value::Null);
    }
    let rows = yard.test.rows().await;
    for table in ["scan", "finding", "scan_finding", "scan_document", "job"] {
        assert!(rows[table].is_empty(), "{table}: {:?}", rows[table]);
    }
}

#[tokio::test]
async fn old_scans_are_forgotten_and_say_so() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.hits("semgrep", &[EVAL]);
    let first = text(&yard.scan("main").await["id"]);
    for _ in 0..yard.test.app.settings.keep_revisions {
        yard.scan("main").await;
    }
    let scan = yard.look(&first).await;
    assert_eq!((&scan["status"], &scan["counts"]["high"]), (&json!("SUCCEEDED"), &json!(1)));
    assert_eq!((&scan["reportUrl"], &scan["findings"]["totalCount"]), (&json!(null), &json!(0)));
    assert_eq!(yard.test.rows().await["scan_finding"].len(), 20);
    let ask = "query($id: ID!) { service(id: $id) { scans(kind: SAST, first: 2) { totalCount nodes { reportUrl } } } }";
    let scans = yard.test.data(&yard.member, ask, json!({ "id": yard.service })).await["service"]["scans"].clone();
    assert_eq!(scans["totalCount"], 21);
    assert!(scans["nodes"][0]["reportUrl"].is_string());
}

#[tokio::test]
async fn what_failed_takes_no_place_of_what_did_not() {
    let yard = Yard::new(&["semgrep", "bandit"]).await;
    let many = yard.test.app.settings.keep_revisions + 2;
    yard.hits("semgrep", &[EVAL]);
    yard.hits("bandit", &[]);
    let whole = text(&yard.scan("main").await["id"]);
    yard.break_down("semgrep", 2);
    yard.break_down("bandit", 2);
    for _ in 0..many {
        assert_eq!(yard.scan("main").await["status"], "FAILED");
    }
    assert_eq!(yard.look(&whole).await["findings"]["totalCount"], 1);
    // The last whole one stays, also when so many came after it that are a part.
    yard.hits("bandit", &[]);
    let part = text(&yard.scan("main").await["id"]);
    for _ in 0..many {
        assert_eq!(yard.scan("main").await["status"], "INCOMPLETE");
    }
    assert_eq!(yard.look(&part).await["reportUrl"], Value::Null);
    let kept = yard.look(&whole).await;
    assert_eq!(kept["findings"]["totalCount"], 1);
    assert!(kept["reportUrl"].is_string());
    yard.hits("semgrep", &[]);
    yard.scan("main").await;
    yard.scan("main").await;
    assert_eq!(yard.look(&whole).await["reportUrl"], Value::Null, "there is another one");
}

#[tokio::test]
async fn what_looked_at_nothing_is_never_clean() {
    let yard = Yard::with(|told| {
        // A tool that prints what it is told to, and then reports.
        let script = "cat \"$1/words\"; cp \"$1/semgrep.report\" \"$3\"";
        let command = ["/bin/sh", "-c", script, "-", told.to_str().unwrap(), "{source}", "{report}"];
        vec![crate::support::shop::process("semgrep", kiops::domain::scan::ScanKind::Sast, &command)]
    })
    .await;
    let say = |words: &str| std::fs::write(yard.told.join("words"), words).unwrap();
    say("");
    yard.hits("semgrep", &[EVAL]);
    assert_eq!(yard.scan("main").await["tools"][0]["message"], Value::Null);
    yard.hits("semgrep", &[]);
    for words in [
        "Scan completed\n \u{2022} Findings: 0\n \u{2022} Targets scanned: 0\nRan 3 rules on 0 files: 0 findings.\n",
        "Nothing to scan.\n",
        "Ran 0 rules on 5 files: 0 findings.\n",
    ] {
        say(words);
        let scan = yard.scan("main").await;
        assert_eq!((&scan["status"], &scan["tools"][0]["status"]), (&json!("FAILED"), &json!("FAILED")), "{words}");
        assert!(text(&scan["tools"][0]["message"]).contains("looked at nothing"), "{scan}");
        assert_eq!(yard.states().await, ["py.eval OPEN"], "nothing is fixed by that");
    }
    // Where nobody can know, that is said.
    say("");
    let scan = yard.scan("main").await;
    assert_eq!((&scan["status"], &scan["message"]), (&json!("SUCCEEDED"), &json!(null)));
    assert!(text(&scan["tools"][0]["message"]).contains("does not say how many files"), "{scan}");
    say("Ran 3 rules on 5 files: 0 findings.\n");
    let scan = yard.scan("main").await;
    assert_eq!((&scan["status"], &scan["tools"][0]["message"]), (&json!("SUCCEEDED"), &json!(null)), "{scan}");
}
