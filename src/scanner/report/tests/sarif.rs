//! SARIF, a part at a time.

use super::*;

fn one(result: Value) -> Value {
    log(json!({ "name": "T" }), json!([result]))
}

#[test]
fn rules_are_found_by_every_way_that_results_name_them() {
    let driver = json!({ "name": "T", "rules": [
        { "id": "A", "defaultConfiguration": { "level": "note" } },
        { "id": "CA1000", "defaultConfiguration": { "level": "error" }, "helpUri": "https://example.com/ca1000" },
    ] });
    let extensions = json!([
        { "name": "first", "guid": "11111111-1111-1111-8888-111111111111",
          "rules": [{ "id": "A", "properties": { "security-severity": 9.8 } }] },
        { "name": "second", "rules": [{ "id": "B", "properties": { "security-severity": "3.0" } }] },
    ]);
    for (result, severity) in [
        (json!({ "ruleId": "A" }), Severity::Low),
        (json!({ "ruleIndex": 1 }), Severity::High),
        (json!({ "ruleId": "CA1000", "ruleIndex": 1 }), Severity::High),
        (json!({ "ruleId": "CA1000/1" }), Severity::High),
        (json!({ "ruleId": "CA1000/1/2", "ruleIndex": -1 }), Severity::High),
        (json!({ "rule": { "id": "CA1000" } }), Severity::High),
        (json!({ "rule": { "index": 1 } }), Severity::High),
        (json!({ "rule": { "index": 0, "toolComponent": { "index": 0 } } }), Severity::Critical),
        (json!({ "ruleId": "A", "rule": { "toolComponent": { "name": "first" } } }), Severity::Critical),
        (
            json!({ "ruleId": "A", "rule": { "toolComponent": { "guid": "11111111-1111-1111-8888-111111111111" } } }),
            Severity::Critical,
        ),
        (json!({ "ruleId": "B" }), Severity::Low),
        (json!({ "ruleId": "unheard of", "ruleIndex": 99 }), Severity::Medium),
        (json!({ "ruleId": "A", "level": "error" }), Severity::High),
        (json!({}), Severity::Medium),
    ] {
        let mut report = log(driver.clone(), json!([result.clone()]));
        report["runs"][0]["tool"]["extensions"] = extensions.clone();
        assert_eq!(only(read_sarif(ScanKind::Sast, &report)).severity, severity, "{result}");
    }
    let finding = only(read_sarif(ScanKind::Sast, &log(driver, json!([{ "ruleIndex": 1 }]))));
    assert_eq!((finding.rule.as_str(), finding.help_url.as_deref()), ("CA1000", Some("https://example.com/ca1000")));
}

#[test]
fn what_is_no_fault_or_suppressed_is_no_finding() {
    for (result, found, suppressed) in [
        (json!({}), 1, 0),
        (json!({ "kind": "fail" }), 1, 0),
        (json!({ "kind": "review" }), 1, 0),
        (json!({ "kind": "pass" }), 0, 0),
        (json!({ "kind": "notApplicable" }), 0, 0),
        (json!({ "kind": "informational" }), 0, 0),
        (json!({ "kind": "open" }), 0, 0),
        (json!({ "baselineState": "absent" }), 0, 1),
        (json!({ "baselineState": "unchanged" }), 1, 0),
        (json!({ "suppressions": [] }), 1, 0),
        (json!({ "suppressions": null }), 1, 0),
        (json!({ "suppressions": [{ "kind": "inSource" }] }), 0, 1),
        (json!({ "suppressions": [{ "kind": "external", "status": "accepted" }] }), 0, 1),
        (json!({ "suppressions": [{ "kind": "external", "status": "underReview" }] }), 1, 0),
        (json!({ "suppressions": [{ "kind": "external", "status": "rejected" }] }), 1, 0),
        (json!({ "suppressions": [{ "status": "rejected" }, { "status": "accepted" }] }), 0, 1),
    ] {
        let (read, all) = read_sarif(ScanKind::Sast, &one(result.clone())).unwrap();
        assert_eq!((all.len(), read.suppressed, read.findings), (found, suppressed, found as u64), "{result}");
    }
}

#[test]
fn places_are_found_from_every_kind_of_address() {
    let bases = json!({
        "ROOT": { "uri": "file:///src/" },
        "SUB": { "uri": "app/", "uriBaseId": "ROOT" },
        "ELSEWHERE": { "uri": "file:///builds/acme/shop/" },
        "LOOP": { "uri": "x/", "uriBaseId": "LOOP" },
        "%SRCROOT%": {},
        "WEB": { "uri": "https://shop.example/" },
    });
    for (location, place) in [
        (json!({ "uri": "app/a.py" }), "app/a.py:3"),
        (json!({ "uri": "./app//x/../a.py" }), "app/a.py:3"),
        (json!({ "uri": "app\\win.cs" }), "app/win.cs:3"),
        (json!({ "uri": "na%C3%AFve%20file.js" }), "naïve file.js:3"),
        (json!({ "uri": "100%.py" }), "100%.py:3"),
        (json!({ "uri": "file:///src/app/a.py" }), "app/a.py:3"),
        (json!({ "uri": "file:/src/app/a.py" }), "app/a.py:3"),
        (json!({ "uri": "file://build-host/src/app/a.py" }), "app/a.py:3"),
        (json!({ "uri": "/src/app/../app/a.py" }), "app/a.py:3"),
        (json!({ "uri": "/srcs/a.py" }), "/srcs/a.py:3"),
        (json!({ "uri": "/etc/passwd" }), "/etc/passwd:3"),
        (json!({ "uri": "/src/../etc/passwd" }), "/etc/passwd:3"),
        (json!({ "uri": "/../../etc/passwd" }), "/../../etc/passwd:3"),
        (json!({ "uri": "../../etc/passwd" }), "../../etc/passwd:3"),
        (json!({ "uri": "%2e%2e/%2e%2e/etc/passwd" }), "../../etc/passwd:3"),
        (json!({ "uri": "C:\\work\\a.cs" }), "C:\\work\\a.cs:3"),
        (json!({ "uri": "a.py", "uriBaseId": "ROOT" }), "a.py:3"),
        (json!({ "uri": "a.py", "uriBaseId": "SUB" }), "app/a.py:3"),
        (json!({ "uri": "a.py", "uriBaseId": "ELSEWHERE" }), "a.py:3"),
        (json!({ "uri": "a.py", "uriBaseId": "LOOP" }), "a.py:3"),
        (json!({ "uri": "a.py", "uriBaseId": "%SRCROOT%" }), "a.py:3"),
        (json!({ "uri": "a.py", "uriBaseId": "unheard of" }), "a.py:3"),
        (json!({ "uri": "cart", "uriBaseId": "WEB" }), "https://shop.example/cart -"),
        (json!({ "index": 0 }), "app/b.py:3"),
        (json!({ "index": 7 }), "nowhere"),
        (json!({ "index": -1 }), "nowhere"),
        (json!({}), "nowhere"),
        (json!({ "uri": "" }), "nowhere"),
        (json!({ "uri": "a\u{1b}[31m\u{7}.py" }), "a\u{fffd}[31m\u{fffd}.py:3"),
    ] {
        let region = json!({ "startLine": 3 });
        let physical = json!({ "artifactLocation": location, "region": region });
        let mut report = one(json!({ "ruleId": "r", "locations": [{ "physicalLocation": physical }] }));
        report["runs"][0]["originalUriBaseIds"] = bases.clone();
        report["runs"][0]["artifacts"] = json!([{ "location": { "uri": "b.py", "uriBaseId": "SUB" } }]);
        assert_eq!(path_of(&only(read_sarif(ScanKind::Sast, &report))), place, "{location}");
    }
}

#[test]
fn keys_come_in_any_order_and_runs_are_many() {
    let report = r#"{"runs":[
        {"results":[{"message":{"arguments":["x"],"id":"m"},"ruleIndex":0}],
         "tool":{"driver":{"rules":[{"messageStrings":{"m":{"text":"Found {0}."}},"id":"r","defaultConfiguration":{"level":"error"}}],
                 "version":"2","name":"One"}}},
        {"tool":{"driver":{"name":"Two","globalMessageStrings":{"g":{"text":"Global."}}}},"results":[{"ruleId":"s","message":{"id":"g"}}]}
        ],"inlineExternalProperties":[],"version":"2.1.0","$schema":"x"}"#;
    let (read, found) = read_bytes(&tool("tool", ScanKind::Sast, Format::Sarif), report).unwrap();
    assert_eq!((read.tool_name.as_str(), read.version.as_deref()), ("One, Two", Some("2")));
    let titles: Vec<_> = found.iter().map(|f| (f.finding.title.as_str(), f.finding.severity)).collect();
    assert_eq!(titles, [("Found x.", Severity::High), ("Global.", Severity::Medium)]);
}

#[test]
fn a_tool_that_says_that_it_failed_has_not_succeeded() {
    let with = |invocation: Value, results: Value| {
        let mut report = log(json!({ "name": "T" }), results);
        report["runs"][0]["invocations"] = json!([invocation]);
        read_sarif(ScanKind::Sast, &report)
    };
    let failed = json!({ "executionSuccessful": false, "exitCode": 3,
        "toolExecutionNotifications": [{ "level": "error", "message": { "text": "No\nmemory" } }] });
    let error = with(failed.clone(), json!([])).unwrap_err();
    assert_eq!(error, ScanError::Failed("T says that it did not succeed with code 3: No memory".to_owned()));
    let (read, found) = with(failed, json!([{ "ruleId": "r" }])).unwrap();
    assert_eq!((read.incomplete.is_some(), found.len()), (true, 1));
    let notices = json!({ "executionSuccessful": true, "toolConfigurationNotifications": [
        { "level": "warning", "message": { "text": "w" } }, { "level": "error", "message": { "text": "e" } } ] });
    assert_eq!(with(notices, json!([])).unwrap().0.incomplete.as_deref(), Some("T met an error on the way: e"));
    let warned = json!({ "executionSuccessful": true, "toolExecutionNotifications": [
        { "level": "warning", "message": { "text": "w" } }, { "message": { "text": "no level" } } ] });
    assert_eq!(with(warned, json!([])).unwrap().0.incomplete, None);
}

#[test]
fn nothing_looked_at_is_told_from_nothing_found() {
    let is_nothing = |report: &Value| match read_sarif(ScanKind::Sast, report) {
        Err(ScanError::LookedAtNothing(_)) => true,
        Ok(_) => false,
        Err(other) => panic!("{other}"),
    };
    let rule = json!([{ "id": "r" }]);
    assert!(is_nothing(&json!({ "version": "2.1.0", "runs": [] })));
    assert!(is_nothing(&json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": { "name": "T" } } }] })));
    assert!(is_nothing(&log(json!({ "name": "gitleaks" }), json!([]))));
    assert!(is_nothing(&log(json!({ "name": "Semgrep OSS", "rules": [] }), json!([]))));
    assert!(!is_nothing(&log(json!({ "name": "Semgrep OSS", "rules": rule }), json!([]))));
    assert!(!is_nothing(&log(json!({ "name": "Semgrep OSS", "rules": [] }), json!([{ "ruleId": "r" }]))));
    assert!(!is_nothing(&log(json!({ "name": "Checkov", "rules": [] }), json!([]))));
    // CodeQL has its rules in extensions.
    let mut extended = log(json!({ "name": "CodeQL", "rules": [] }), json!([]));
    extended["runs"][0]["tool"]["extensions"] = json!([{ "name": "pack", "rules": rule }]);
    assert!(!is_nothing(&extended));
    // One run of two that has looked at something.
    let mut two = log(json!({ "name": "Semgrep OSS", "rules": rule }), json!([]));
    let other = log(json!({ "name": "gitleaks" }), json!([]))["runs"][0].clone();
    two["runs"].as_array_mut().unwrap().push(other);
    assert_eq!(read_sarif(ScanKind::Sast, &two).unwrap().0.incomplete.as_deref(), Some("gitleaks ran no rule"));
}

#[test]
fn texts_are_harmless_and_bounded() {
    let driver = json!({ "name": "T\u{1b}[2J", "rules": [{ "id": "r", "helpUri": "javascript:alert(1)",
        "fullDescription": { "text": "y".repeat(100_000) } }] });
    let text = format!("first\u{202e} line\u{7}\nsecond \u{1b}[31m{}", "x".repeat(50_000));
    let report = log(driver, json!([{ "ruleId": "r", "message": { "text": text } }]));
    let (read, found) = read_sarif(ScanKind::Sast, &report).unwrap();
    let finding = &found[0].finding;
    assert_eq!((read.tool_name.as_str(), finding.title.as_str()), ("T", "first\u{fffd} line\u{fffd}"));
    let description = finding.description.as_deref().unwrap();
    assert!(description.len() <= 8 * 1024 && description.contains("\nsecond x"), "{description:.100}");
    assert_eq!(finding.help_url, None);
}

#[test]
fn a_sink_that_wants_no_more_gets_no_more() {
    let report = log(json!({ "name": "T" }), json!([{ "ruleId": "a" }, { "ruleId": "b" }, { "ruleId": "c" }]));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), report.to_string()).unwrap();
    let (tool, key) = (tool("t", ScanKind::Sast, Format::Sarif), key());
    let input = Input { tool: &tool, report: file.path(), source: None, seen_at: None, key: &key };
    let mut count = 0;
    let read = read(&input, &mut |_| {
        count += 1;
        count < 2
    });
    assert_eq!((count, read.unwrap().incomplete.is_some()), (2, true));
}

#[test]
fn dast_results_are_at_addresses() {
    let result = json!({ "ruleId": "40018", "locations": [{
        "physicalLocation": { "artifactLocation": { "uri": "http://127.0.0.1:8080/find?q=1" } },
        "logicalLocations": [{ "kind": "parameter", "name": "q" }] }] });
    let finding = only(read_sarif(ScanKind::Dast, &one(result)));
    let place = Place::Url { url: "http://127.0.0.1:8080/find?q=1".to_owned(), parameter: Some("q".to_owned()) };
    assert_eq!(finding.place, place);
}

#[test]
fn of_an_empty_report_it_is_known_whether_anything_was_looked_at() {
    let semgrep = json!({ "name": "Semgrep OSS", "rules": [{ "id": "a" }] });
    let read = |report: &Value| read_sarif(ScanKind::Sast, report).map(|(read, _)| read);
    let empty = log(semgrep.clone(), json!([]));
    assert!(read(&empty).unwrap().untold.unwrap().contains("how many files"));
    let unknown = log(json!({ "name": "x" }), json!([]));
    assert!(read(&unknown).unwrap().untold.unwrap().contains("by how many rules"));
    // What is there is not asked.
    let result = json!([{ "ruleId": "a", "message": { "text": "m" } }]);
    assert_eq!(read(&log(semgrep.clone(), result)).unwrap().untold, None);
    let mut named = empty.clone();
    named["runs"][0]["artifacts"] = json!([{ "location": { "uri": "a.py" }, "roles": ["analysisTarget"] }]);
    assert_eq!(read(&named).unwrap().untold, None);
    // And what a run notifies of is heard.
    for list in ["toolExecutionNotifications", "toolConfigurationNotifications"] {
        let mut said = empty.clone();
        let notice = json!({ "level": "note", "message": { "text": "Scan Summary\n\u{2022} Targets scanned: 0" } });
        said["runs"][0]["invocations"] = json!([{ "executionSuccessful": true, list: [notice] }]);
        let error = read(&said).unwrap_err();
        assert!(matches!(&error, ScanError::LookedAtNothing(why) if why.contains("Targets scanned: 0")), "{error:?}");
    }
}
