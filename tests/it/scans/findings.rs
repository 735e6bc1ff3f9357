//! One list of findings with a history.

use chrono::TimeDelta;
use kiops::app::scans::list;
use kiops::app::services;
use kiops::app::services::list::{ServiceFilter, ServiceOrder};
use kiops::domain::scan::{ScanKind, Severity};
use serde_json::{Value, json};

use super::{EVAL, Hit, PICKLE, SHELL, Yard, tool};
use crate::support::shop::text;

#[tokio::test]
async fn forty_lines_above_do_not_make_it_new() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.hits("semgrep", &[EVAL]);
    yard.scan("main").await;
    let before = yard.finding("py.eval").await;
    yard.test.clock.advance(TimeDelta::minutes(1));
    yard.hits("semgrep", &[Hit { line: EVAL.line + 40, ..EVAL }]);
    let scan = yard.scan("main").await;
    assert_eq!((&scan["newFindings"], &scan["fixedFindings"]), (&json!(0), &json!(0)));
    let after = yard.finding("py.eval").await;
    assert_eq!((&after["id"], &after["state"]), (&before["id"], &json!("OPEN")));
    assert_eq!(after["location"], "src/app.py:50");
    assert_eq!(after["firstSeenAt"], before["firstSeenAt"]);
    assert!(text(&after["lastSeenAt"]) > text(&before["lastSeenAt"]));
}

#[tokio::test]
async fn what_is_gone_is_fixed_and_comes_back_as_open() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.hits("semgrep", &[EVAL, PICKLE]);
    yard.scan("main").await;
    yard.hits("semgrep", &[PICKLE]);
    let scan = yard.scan("main").await;
    assert_eq!((&scan["newFindings"], &scan["fixedFindings"]), (&json!(0), &json!(1)));
    assert_eq!(yard.states().await, ["py.eval FIXED", "py.pickle OPEN"]);
    assert_eq!(yard.risk().await["risk"], "MEDIUM");
    yard.hits("semgrep", &[EVAL, PICKLE]);
    let scan = yard.scan("main").await;
    assert_eq!((&scan["newFindings"], &scan["fixedFindings"]), (&json!(1), &json!(0)));
    assert_eq!(yard.states().await, ["py.eval OPEN", "py.pickle OPEN"]);
    let counts = json!({ "critical": 0, "high": 1, "medium": 1, "low": 0, "info": 0 });
    assert_eq!(yard.risk().await, json!({ "risk": "HIGH", "findingCounts": counts }));
}

#[tokio::test]
async fn a_tool_that_failed_fixes_nothing() {
    let yard = Yard::new(&["semgrep", "bandit"]).await;
    yard.hits("semgrep", &[EVAL]);
    yard.hits("bandit", &[EVAL, SHELL]);
    yard.scan("main").await;
    yard.hits("semgrep", &[]);
    yard.break_down("bandit", 2);
    let scan = yard.scan("main").await;
    assert_eq!((&scan["status"], &scan["fixedFindings"]), (&json!("INCOMPLETE"), &json!(0)));
    assert_eq!(yard.states().await, ["py.eval OPEN", "py.shell OPEN"]);
    // What the other one sees again is still known to be seen by both.
    yard.hits("semgrep", &[EVAL]);
    yard.scan("main").await;
    assert_eq!(yard.finding("py.eval").await["detectedBy"], json!(["bandit", "semgrep"]));
    // And what the broken one knew is not new when it works again.
    yard.hits("bandit", &[SHELL]);
    let scan = yard.scan("main").await;
    assert_eq!((&scan["status"], &scan["newFindings"]), (&json!("SUCCEEDED"), &json!(0)));
    assert_eq!(yard.states().await, ["py.eval OPEN", "py.shell OPEN"]);
    assert_eq!(yard.finding("py.eval").await["detectedBy"], json!(["semgrep"]));
}

#[tokio::test]
async fn another_branch_says_nothing_of_the_services_own() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.hits("semgrep", &[EVAL, PICKLE]);
    yard.scan("main").await;
    // On a branch one is mended, and one is new.
    yard.hits("semgrep", &[PICKLE, SHELL]);
    let scan = yard.scan("feature/x").await;
    assert_eq!((&scan["newFindings"], &scan["fixedFindings"]), (&json!(2), &json!(0)), "the first of its branch");
    assert_eq!(yard.states().await, ["py.eval OPEN", "py.pickle OPEN", "py.shell OPEN"]);
    // The own branch does not have what the other has, and says nothing of it.
    yard.hits("semgrep", &[EVAL, PICKLE]);
    let scan = yard.scan("main").await;
    assert_eq!((&scan["newFindings"], &scan["fixedFindings"]), (&json!(0), &json!(0)));
    assert_eq!(yard.states().await, ["py.eval OPEN", "py.pickle OPEN", "py.shell OPEN"]);
    // The branch itself does.
    yard.hits("semgrep", &[PICKLE]);
    let scan = yard.scan("feature/x").await;
    assert_eq!((&scan["newFindings"], &scan["fixedFindings"]), (&json!(0), &json!(1)));
    assert_eq!(yard.states().await, ["py.eval OPEN", "py.pickle OPEN", "py.shell FIXED"]);
    // Merged: from now on the own branch has the word.
    yard.hits("semgrep", &[PICKLE]);
    yard.scan("main").await;
    assert_eq!(yard.states().await, ["py.eval FIXED", "py.pickle OPEN", "py.shell FIXED"]);
}

#[tokio::test]
async fn lists_are_filtered_searched_and_paged() {
    let yard =
        Yard::with(|told| vec![tool(told, "semgrep", ScanKind::Sast), tool(told, "checkov", ScanKind::Iac)]).await;
    yard.hits("semgrep", &[EVAL, PICKLE, SHELL]);
    yard.scan("main").await;
    yard.hits("checkov", &[Hit { path: "infra/main.tf", ..EVAL }]);
    let id = yard.start(json!({ "kind": "IAC" })).await;
    crate::support::shop::work(&yard.test).await;
    assert_eq!(yard.look(&id).await["status"], "SUCCEEDED");
    yard.hits("semgrep", &[EVAL, SHELL]);
    yard.scan("main").await;

    let document = "query($s: String, $k: [ScanKind!], $v: [Severity!], $t: [FindingState!], $n: Int, $a: String) {
        findings(search: $s, kind: $k, severity: $v, state: $t, first: $n, after: $a) {
            totalCount pageInfo { hasNextPage endCursor } nodes { rule location } } }";
    let ask = async |variables: Value| yard.test.data(&yard.member, document, variables).await["findings"].clone();
    let count = async |variables: Value| ask(variables).await["totalCount"].as_i64().unwrap();
    let every = json!(["OPEN", "FIXED", "IGNORED"]);
    assert_eq!(count(json!({ "t": ["OPEN"] })).await, 3);
    assert_eq!(count(json!({ "t": ["FIXED"] })).await, 1);
    assert_eq!(count(json!({ "t": every })).await, 4);
    assert_eq!(count(json!({ "t": null })).await, 4);
    assert_eq!(count(json!({ "t": every, "k": ["IAC"] })).await, 1);
    assert_eq!(count(json!({ "t": every, "v": ["LOW", "MEDIUM"] })).await, 2);
    for (search, found) in [("LOAD.py", 1), ("py.", 4), ("main.tf", 1), ("%", 0), ("_", 0), ("' OR 1=1", 0), ("\0", 0)]
    {
        assert_eq!(count(json!({ "t": every, "s": search })).await, found, "{search}");
    }
    // The default is what is open.
    let open = yard.test.data(&yard.member, "{ findings { totalCount nodes { rule } } }", Value::Null).await;
    assert_eq!(open["findings"]["totalCount"], 3);
    assert_eq!(open["findings"]["nodes"][2]["rule"], "py.shell", "the worst first");

    // Page by page, over all states, each once.
    let (mut seen, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = ask(json!({ "t": every, "n": 1, "a": after })).await;
        seen.extend(page["nodes"].as_array().unwrap().iter().map(|n| format!("{} {}", n["rule"], n["location"])));
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(seen.len(), 4);
    let mut unique = seen.clone();
    unique.dedup();
    assert_eq!(unique, seen);
    assert!(seen[3].contains("py.shell"), "{seen:?}");
    let foreign = json!({ "a": "W10", "t": every });
    let answer = yard.test.run(Some(&yard.member), document, foreign).await;
    assert_eq!(crate::support::app::code(&answer).as_deref(), Some("BAD_USER_INPUT"));
}

#[tokio::test]
async fn services_are_found_by_their_risk() {
    let yard = Yard::new(&["semgrep"]).await;
    let ask = "query($r: [Severity!]) { services(risk: $r) { totalCount nodes { name risk } } }";
    let found = async |risks: Value| yard.test.data(&yard.member, ask, json!({ "r": risks })).await["services"].clone();
    assert_eq!(found(json!(["HIGH", "INFO"])).await["totalCount"], 0, "nothing was found yet");
    yard.hits("semgrep", &[EVAL]);
    yard.scan("main").await;
    assert_eq!(found(json!(["HIGH", "CRITICAL"])).await["nodes"], json!([{ "name": "shop", "risk": "HIGH" }]));
    assert_eq!(found(json!(["CRITICAL"])).await["totalCount"], 0);
    assert_eq!(found(Value::Null).await["totalCount"], 1);
    yard.hits("semgrep", &[]);
    yard.scan("main").await;
    assert_eq!(found(Value::Null).await["nodes"], json!([{ "name": "shop", "risk": null }]));
}

#[tokio::test]
async fn of_a_tool_that_is_declared_no_more_the_others_have_the_word() {
    let yard = Yard::new(&["semgrep", "bandit"]).await;
    yard.hits("semgrep", &[EVAL]);
    yard.hits("bandit", &[EVAL, SHELL]);
    yard.scan("main").await;
    let mut app = yard.test.app.clone();
    let mut settings = (*app.settings).clone();
    settings.scanners.retain(|tool| tool.name == "semgrep");
    app.settings = std::sync::Arc::new(settings);
    yard.hits("semgrep", &[]);
    yard.start(json!({ "kind": "SAST", "ref": "main" })).await;
    let claim = yard.claim().await.unwrap();
    kiops::app::scans::run::run(&app, &claim).await.unwrap();
    // Nobody has looked for what bandit alone has reported.
    assert_eq!(yard.states().await, ["py.eval FIXED", "py.shell OPEN"]);
}

#[tokio::test]
async fn a_word_that_is_said_a_hundred_thousand_times_is_said_once() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.hits("semgrep", &[EVAL]);
    yard.scan("main").await;
    let (app, actor) = (&yard.test.app, &yard.member);
    let request = kiops::domain::paging::PageRequest {
        size: 10,
        after: None,
        before: None,
        direction: kiops::domain::paging::Direction::Forward,
    };
    let filter = list::Filter {
        kinds: Some(vec![entity::ScanKind::Sast; 100_000]),
        severities: Some(vec![Severity::High; 100_000]),
        states: Some(vec![entity::FindingState::Open; 100_000]),
        ..list::Filter::default()
    };
    let page = list::findings(app, actor, &filter, &request).await.unwrap();
    assert_eq!((page.items.len(), (page.count)().await.unwrap()), (1, 1));
    let filter = ServiceFilter { risk: Some(vec![Severity::High; 100_000]), ..ServiceFilter::default() };
    let page = services::list::list(app, &actor.scope, &filter, ServiceOrder::Name, &request).await.unwrap();
    assert_eq!((page.items.len(), (page.count)().await.unwrap()), (1, 1));
}
