//! The SCAN stage of a pipeline.

use kiops::domain::scan::ScanKind;
use kiops::scanner::Tool;
use serde_json::json;

use super::{EVAL, PICKLE, SHELL, Yard, lister, stages, tool};
use crate::support::shop::{text, work};

#[tokio::test]
async fn what_is_built_is_scanned_before_it_is_tested() {
    let yard = Yard::new(&["semgrep", "bandit"]).await;
    yard.save_scans(&["SAST"]).await;
    yard.hits("semgrep", &[EVAL, PICKLE]);
    yard.hits("bandit", &[EVAL, SHELL]);
    let id = yard.start_pipeline(json!({})).await;
    work(&yard.test).await;

    let pipeline = yard.pipeline(&id).await;
    assert_eq!(stages(&pipeline), "SUCCEEDED SUCCEEDED SUCCEEDED SKIPPED SKIPPED", "{pipeline}");
    assert_eq!(pipeline["status"], "SUCCEEDED");
    let scan = &pipeline["scans"][0];
    assert_eq!((&scan["kind"], &scan["status"], &scan["message"]), (&json!("SAST"), &json!("SUCCEEDED"), &json!(null)));
    assert_eq!(scan["counts"], json!({ "critical": 0, "high": 1, "medium": 1, "low": 1, "info": 0 }));
    assert_eq!((&scan["newFindings"], &scan["fixedFindings"]), (&json!(3), &json!(0)));
    assert_eq!(scan["pipeline"]["id"], id.as_str());
    for tool in scan["tools"].as_array().unwrap() {
        assert_eq!((&tool["status"], &tool["version"]), (&json!("SUCCEEDED"), &json!("1.2.3")), "{tool}");
    }
    assert_eq!(scan["findings"]["totalCount"], 3);
    let lines: Vec<String> = pipeline["log"]["nodes"].as_array().unwrap().iter().map(|n| text(&n["text"])).collect();
    let said = |start: &str| lines.iter().any(|line| line.starts_with(start));
    assert!(said("semgrep: semgrep looks at /") && said("bandit: bandit looks at /"), "{lines:?}");
    assert!(said("SAST: SUCCEEDED, 0 critical, 1 high"), "{lines:?}");

    let eval = yard.finding("py.eval").await;
    assert_eq!(eval["detectedBy"], json!(["bandit", "semgrep"]));
    assert_eq!((&eval["severity"], &eval["location"]), (&json!("HIGH"), &json!("src/app.py:10")));
    let url = format!("https://git.example/team/shop/-/blob/{}/src/app.py#L10", "01".repeat(20));
    assert_eq!(eval["locationUrl"], url);
    assert_eq!(yard.risk().await["risk"], "HIGH");
}

#[tokio::test]
async fn one_tool_that_breaks_takes_nothing_from_the_other() {
    let yard = Yard::new(&["semgrep", "bandit"]).await;
    yard.save_scans(&["SAST"]).await;
    yard.hits("semgrep", &[EVAL]);
    yard.break_down("bandit", 3);
    let id = yard.start_pipeline(json!({})).await;
    work(&yard.test).await;
    let pipeline = yard.pipeline(&id).await;
    assert_eq!(stages(&pipeline), "SUCCEEDED SUCCEEDED INCOMPLETE SKIPPED SKIPPED");
    assert_eq!(pipeline["status"], "SUCCEEDED", "a gate judges, and not the stage");
    let scan = &pipeline["scans"][0];
    assert_eq!(scan["status"], "INCOMPLETE");
    let message = text(&scan["message"]);
    assert!(message.starts_with("bandit: ") && message.contains('3'), "{message}");
    assert_eq!(scan["findings"]["totalCount"], 1);
    let bandit = scan["tools"].as_array().unwrap().iter().find(|t| t["name"] == "bandit").unwrap().clone();
    assert_eq!(bandit["status"], "FAILED");
}

#[tokio::test]
async fn a_scan_without_a_result_has_never_passed() {
    let yard = Yard::new(&["semgrep", "bandit"]).await;
    yard.save_scans(&["SAST"]).await;
    yard.break_down("semgrep", 1);
    yard.tell("bandit", "this is no report");
    let id = yard.start_pipeline(json!({})).await;
    work(&yard.test).await;
    let pipeline = yard.pipeline(&id).await;
    assert_eq!(stages(&pipeline), "SUCCEEDED SUCCEEDED INCOMPLETE SKIPPED SKIPPED");
    let scan = &pipeline["scans"][0];
    assert_eq!((&scan["status"], &scan["reportUrl"]), (&json!("FAILED"), &json!(null)));
    let message = text(&scan["message"]);
    assert!(message.contains("semgrep: ") && message.contains("bandit: "), "{message}");
    assert_eq!(scan["findings"]["totalCount"], 0);
}

#[tokio::test]
async fn each_kind_is_a_scan_and_what_is_not_asked_for_is_none() {
    let yard = Yard::with(|told| {
        let mut tools: Vec<_> = [("semgrep", ScanKind::Sast), ("gitleaks", ScanKind::Secret), ("zap", ScanKind::Dast)]
            .into_iter()
            .map(|(name, kind)| tool(told, name, kind))
            .collect();
        tools.push(lister(told, "syft"));
        tools
    })
    .await;
    yard.hits("semgrep", &[]);
    yard.hits("gitleaks", &[]);
    let sbom = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "components": [{ "type": "library", "name": "left-pad", "version": "1.3.0", "purl": "pkg:npm/left-pad@1.3.0" }],
    });
    yard.tell("syft", &sbom.to_string());
    yard.save_scans(&["SBOM", "SAST", "DAST", "SECRET"]).await;
    let id = yard.start_pipeline(json!({})).await;
    work(&yard.test).await;
    let pipeline = yard.pipeline(&id).await;
    let kinds: Vec<_> = pipeline["scans"].as_array().unwrap().iter().map(|s| text(&s["kind"])).collect();
    assert_eq!(kinds, ["SAST", "SECRET", "SBOM"], "{pipeline}");
    assert!(pipeline["scans"].as_array().unwrap().iter().all(|s| s["status"] == "SUCCEEDED"), "{pipeline}");

    // DAST alone comes after a deployment: there is nothing to do here.
    yard.save_scans(&["DAST"]).await;
    let id = yard.start_pipeline(json!({})).await;
    work(&yard.test).await;
    let pipeline = yard.pipeline(&id).await;
    assert_eq!(stages(&pipeline), "SUCCEEDED SUCCEEDED SKIPPED SKIPPED SKIPPED");
    assert_eq!(pipeline["scans"], json!([]));
}

#[tokio::test]
async fn a_tool_that_wants_the_history_has_it_and_no_other() {
    let yard = Yard::with(|told| {
        let script = "[ -e \"$2/.git/HEAD\" ] && echo there > \"$1/$3.history\"; cp \"$1/$3.report\" \"$4\"";
        let named = |name: &str, history: bool| {
            let command = ["/bin/sh", "-c", script, "-", told.to_str().unwrap(), "{source}", name, "{report}"];
            Tool { history, ..crate::support::shop::process(name, ScanKind::Secret, &command) }
        };
        vec![named("gitleaks", true), named("other", false)]
    })
    .await;
    yard.save_scans(&["SECRET"]).await;
    yard.hits("gitleaks", &[EVAL]);
    yard.hits("other", &[]);
    let id = yard.start_pipeline(json!({})).await;
    work(&yard.test).await;
    let scan = yard.pipeline(&id).await["scans"][0].clone();
    assert_eq!(scan["status"], "SUCCEEDED", "{scan}");
    assert!(yard.told.join("gitleaks.history").exists() && !yard.told.join("other.history").exists());
    // What is built has none.
    assert_eq!(yard.test.sources.fetched.lock().unwrap().len(), 2);
    // The same for a scan by itself; and where it can't be had that is the tool's own trouble.
    std::fs::remove_file(yard.told.join("gitleaks.history")).unwrap();
    let id = yard.start(json!({ "kind": "SECRET" })).await;
    work(&yard.test).await;
    assert_eq!(yard.look(&id).await["status"], "SUCCEEDED");
    assert!(yard.told.join("gitleaks.history").exists());
}
