//! Ignoring findings.

use chrono::{SecondsFormat, TimeDelta};
use entity::{GateMode, security_gate};
use sea_orm::{ActiveModelTrait as _, Set};
use serde_json::{Value, json};

use super::{EVAL, Hit, PICKLE, Yard};
use crate::support::app::code;
use crate::support::builds::commit;
use crate::support::shop::{text, work};

async fn yard() -> (Yard, String) {
    let yard = Yard::new(&["semgrep"]).await;
    yard.hits("semgrep", &[EVAL, PICKLE]);
    yard.scan("main").await;
    let id = text(&yard.finding("py.eval").await["id"]);
    (yard, id)
}

impl Yard {
    pub(super) fn later(&self, minutes: i64) -> String {
        let at = self.test.app.clock.now() + TimeDelta::minutes(minutes);
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

#[tokio::test]
async fn ignoring_needs_a_reason_and_a_time_to_come() {
    let (yard, id) = yard().await;
    for (input, field) in [
        (json!({ "state": "IGNORED" }), "input.reason"),
        (json!({ "state": "IGNORED", "reason": "  \n " }), "input.reason"),
        (json!({ "state": "IGNORED", "reason": "x".repeat(2049) }), "input.reason"),
        (json!({ "state": "IGNORED", "reason": "a test", "until": yard.later(-1) }), "input.until"),
        (json!({ "state": "FIXED" }), "input.state"),
        (json!({ "state": "OPEN", "until": yard.later(5) }), "input.until"),
    ] {
        let mut with = input.clone();
        with["id"] = json!(id);
        let answer = yard.set_state(&yard.member, with).await;
        assert_eq!(code(&answer).as_deref(), Some("BAD_USER_INPUT"), "{input}");
        let said = serde_json::to_value(&answer.errors[0].extensions).unwrap();
        assert_eq!(said["field"], field, "{input}");
    }
    assert_eq!(yard.finding("py.eval").await["state"], "OPEN");
    let never = json!({ "id": yard.service, "state": "OPEN" });
    assert_eq!(code(&yard.set_state(&yard.member, never).await).as_deref(), Some("NOT_FOUND"));
}

#[tokio::test]
async fn what_is_ignored_counts_no_more_until_its_time_is_over() {
    let (yard, id) = yard().await;
    let until = yard.later(10);
    let ignore = json!({ "id": id, "state": "IGNORED", "reason": "  only in tests ", "until": until });
    let answer = yard.set_state(&yard.member, ignore).await;
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    let shown = yard.finding("py.eval").await;
    assert_eq!((&shown["state"], &shown["ignoredReason"]), (&json!("IGNORED"), &json!("only in tests")));
    assert_eq!(shown["ignoredBy"]["email"], "ada@acme.example");
    assert_eq!(yard.risk().await["risk"], "MEDIUM");
    let audit = "{ auditEvents(action: \"finding.ignored\") { nodes { subjectName detail } } }";
    let event = yard.test.data(&yard.admin, audit, Value::Null).await["auditEvents"]["nodes"][0].clone();
    assert_eq!(event["detail"]["reason"], "only in tests");

    // A scan that sees it again leaves it as it is; one that does not, and then one that does, too.
    yard.scan("main").await;
    assert_eq!(yard.finding("py.eval").await["state"], "IGNORED");
    yard.hits("semgrep", &[PICKLE]);
    yard.scan("main").await;
    assert_eq!(yard.finding("py.eval").await["state"], "FIXED");
    let open = json!({ "id": id, "state": "OPEN" });
    assert_eq!(code(&yard.set_state(&yard.member, open).await).as_deref(), Some("CONFLICT"));
    yard.hits("semgrep", &[EVAL, PICKLE]);
    yard.scan("main").await;
    assert_eq!(yard.finding("py.eval").await["state"], "IGNORED");

    yard.test.clock.advance(TimeDelta::minutes(11));
    let shown = yard.finding("py.eval").await;
    assert_eq!((&shown["state"], &shown["ignoredReason"]), (&json!("OPEN"), &json!(null)));
    assert_eq!(yard.risk().await["risk"], "HIGH");
    let ask = "{ findings(state: [IGNORED]) { totalCount } services(risk: [HIGH]) { totalCount } }";
    let counts = yard.test.data(&yard.member, ask, Value::Null).await;
    assert_eq!(counts, json!({ "findings": { "totalCount": 0 }, "services": { "totalCount": 1 } }));
}

#[tokio::test]
async fn it_can_be_taken_back() {
    let (yard, id) = yard().await;
    let ignore = json!({ "id": id, "state": "IGNORED", "reason": "a mistake" });
    assert!(yard.set_state(&yard.member, ignore).await.errors.is_empty());
    assert!(yard.set_state(&yard.member, json!({ "id": id, "state": "OPEN" })).await.errors.is_empty());
    let shown = yard.finding("py.eval").await;
    assert_eq!(
        (&shown["state"], &shown["ignoredReason"], &shown["ignoredBy"]),
        (&json!("OPEN"), &json!(null), &json!(null))
    );
    // Gone for good: it does not come back as ignored.
    yard.hits("semgrep", &[]);
    yard.scan("main").await;
    yard.hits("semgrep", &[EVAL]);
    yard.scan("main").await;
    assert_eq!(yard.finding("py.eval").await["state"], "OPEN");
}

#[tokio::test]
async fn a_member_ignores_nothing_that_a_gate_keeps_back() {
    let (yard, id) = yard().await;
    let rule = json!({ "kind": "SAST", "maxSeverity": "MEDIUM", "onlyNew": false, "savedAt": yard.later(0) });
    let gate = security_gate::ActiveModel {
        id: Set("00000000-0000-7000-8000-000000000001".to_owned()),
        organization_id: Set(yard.admin.scope.organization_id.clone()),
        subject: Set(yard.admin.scope.organization_id.clone()),
        enabled: Set(true),
        mode: Set(GateMode::Block),
        rules: Set(json!([rule])),
        updated_at: Set(yard.test.app.clock.now()),
    };
    let gate = gate.insert(yard.test.app.db.read_write()).await.unwrap();
    let can = async || {
        let (eval, pickle) = (yard.finding("py.eval").await, yard.finding("py.pickle").await);
        (eval["canIgnore"].clone(), pickle["canIgnore"].clone())
    };
    assert_eq!(can().await, (json!(false), json!(true)));
    let ignore = json!({ "id": id, "state": "IGNORED", "reason": "please" });
    assert_eq!(code(&yard.set_state(&yard.member, ignore.clone()).await).as_deref(), Some("FORBIDDEN"));
    assert_eq!(yard.finding("py.eval").await["state"], "OPEN");
    // One that only warns, or is off, keeps nothing back.
    let mut warns: security_gate::ActiveModel = gate.into();
    warns.mode = Set(GateMode::Warn);
    let gate = warns.update(yard.test.app.db.read_write()).await.unwrap();
    assert_eq!(can().await, (json!(true), json!(true)));
    let mut blocks: security_gate::ActiveModel = gate.into();
    blocks.mode = Set(GateMode::Block);
    blocks.update(yard.test.app.db.read_write()).await.unwrap();
    assert!(yard.set_state(&yard.admin, ignore).await.errors.is_empty(), "an admin may");
    // To open it again takes nothing.
    assert!(yard.set_state(&yard.member, json!({ "id": id, "state": "OPEN" })).await.errors.is_empty());
}

#[tokio::test]
async fn a_waiver_does_not_outlive_a_worse_severity() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.save_scans(&["SAST"]).await;
    yard.push_images().await;
    yard.gate("BLOCK", false).await;
    let mild = Hit { level: "warning", ..EVAL };
    yard.push(1, &[mild], json!({})).await;
    let id = text(&yard.finding("py.eval").await["id"]);
    let ignore = json!({ "id": id, "state": "IGNORED", "reason": "only in tests", "until": yard.later(1000) });
    assert!(yard.set_state(&yard.member, ignore).await.errors.is_empty(), "the gate does not count it");

    // On another branch it is worse: that says nothing of the own one, and the waiver says nothing of the other.
    yard.hits("semgrep", &[EVAL]);
    yard.test.sources.push("feature/x", commit(7));
    let other = yard.start_pipeline(json!({ "ref": "feature/x" })).await;
    work(&yard.test).await;
    assert_eq!(yard.finding("py.eval").await["state"], "IGNORED");
    let verdict = yard.preview(&other).await;
    assert_eq!((&verdict["outcome"], &verdict["violations"][0]["count"]), (&json!("BLOCKED"), &json!(1)));

    let worse = yard.push(2, &[EVAL], json!({})).await;
    let shown = yard.finding("py.eval").await;
    assert_eq!((&shown["state"], &shown["severity"]), (&json!("OPEN"), &json!("HIGH")));
    assert_eq!((&shown["ignoredReason"], &shown["canIgnore"]), (&json!(null), &json!(false)));
    assert_eq!(yard.preview(&worse).await["outcome"], "BLOCKED");
    // What is over is over, also when it is as it was.
    yard.push(3, &[], json!({})).await;
    yard.push(4, &[mild], json!({})).await;
    assert_eq!(yard.finding("py.eval").await["state"], "OPEN");
}

#[tokio::test]
async fn a_waiver_holds_for_what_is_less_severe() {
    let (yard, id) = yard().await;
    let ignore = json!({ "id": id, "state": "IGNORED", "reason": "only in tests" });
    assert!(yard.set_state(&yard.admin, ignore).await.errors.is_empty());
    yard.hits("semgrep", &[Hit { level: "note", ..EVAL }]);
    yard.scan("main").await;
    let shown = yard.finding("py.eval").await;
    assert_eq!((&shown["state"], &shown["severity"]), (&json!("IGNORED"), &json!("LOW")));
    yard.hits("semgrep", &[EVAL]);
    yard.scan("main").await;
    assert_eq!(yard.finding("py.eval").await["state"], "IGNORED");
}
