//! What is written is valid by the format's own schema, and reads as what it was.

use proptest::prelude::*;

use super::*;
use crate::scanner::report::sarif::write::write;

fn schema() -> jsonschema::Validator {
    let schema = std::fs::read_to_string(fixture("sarif-schema-2.1.0.json")).unwrap();
    jsonschema::options().should_validate_formats(true).build(&serde_json::from_str(&schema).unwrap()).unwrap()
}

fn written(findings: &[Finding]) -> Value {
    let names: std::collections::BTreeSet<_> = findings.iter().flat_map(|f| f.detected_by.clone()).collect();
    let tools: Vec<_> = names.into_iter().map(|name| (name, Some("1.2.3".to_owned()))).collect();
    let bytes = write(Vec::new(), &tools, || findings.iter().cloned()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn assert_valid(document: &Value) {
    let faults: Vec<String> =
        schema().iter_errors(document).map(|fault| format!("{} at {}", fault, fault.instance_path())).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

fn finding(rule: &str, place: Place) -> Finding {
    Finding {
        identity: "ab".repeat(32),
        rule: rule.to_owned(),
        aliases: ["GHSA-x".to_owned()].into(),
        title: "A title with [brackets](1) and {0}".to_owned(),
        severity: Severity::High,
        place,
        description: Some("More\nof it".into()),
        fixed_version: Some("2".to_owned()),
        help_url: Some("https://example.com/a".to_owned()),
        detected_by: ["a".to_owned(), "b".to_owned()].into(),
    }
}

fn one_of_each() -> Vec<Finding> {
    let package = |manifest: Option<&str>| Place::Package {
        purl: "pkg:npm/x@1".to_owned(),
        name: "x".to_owned(),
        version: "1".to_owned(),
        manifest: manifest.map(str::to_owned),
    };
    let url = |parameter: Option<&str>| Place::Url {
        url: "http://127.0.0.1:8080/find?q=1".to_owned(),
        parameter: parameter.map(str::to_owned),
    };
    [
        Place::Code { path: "a b/naïve%.py".to_owned(), line: Some(7) },
        Place::Code { path: "a.py".to_owned(), line: None },
        Place::Code { path: "../outside: it".to_owned(), line: Some(1) },
        package(Some("package-lock.json")),
        package(None),
        url(Some("q")),
        url(None),
        Place::Nowhere,
    ]
    .into_iter()
    .enumerate()
    .map(|(at, place)| finding(["r", "s", "t"][at % 3], place))
    .collect()
}

#[test]
fn the_schema_knows_faults() {
    assert!(!schema().is_valid(&json!({ "version": "2.1.0" })));
    assert!(!schema().is_valid(&json!({ "version": "2.1.0", "runs": [{ "results": [] }] })));
    assert_valid(&log(json!({ "name": "T" }), json!([])));
}

#[test]
fn every_kind_of_finding_is_written() {
    let document = written(&one_of_each());
    assert_valid(&document);
    assert_valid(&written(&[]));
    assert_eq!(document["runs"].as_array().unwrap().len(), 2);
    let run = &document["runs"][0];
    assert_eq!((&run["tool"]["driver"]["name"], run["results"].as_array().unwrap().len()), (&json!("a"), 8));
    assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 3);
    for result in run["results"].as_array().unwrap() {
        let at = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][at]["id"], result["ruleId"]);
        assert_eq!(result["partialFingerprints"]["kiops/v1"], "ab".repeat(32));
    }
    assert!(document.to_string().contains("[brackets] (1)"));
}

#[test]
fn what_was_read_from_others_is_valid_again() {
    for (folder, kind) in [
        ("sarif-tutorials", ScanKind::Sast),
        ("iam-sarif-report", ScanKind::Iac),
        ("reports", ScanKind::Secret),
        ("trivy", ScanKind::Sca),
    ] {
        for entry in std::fs::read_dir(fixture(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|end| end != "sarif") {
                continue;
            }
            let Ok((_, found)) = read_file(&tool("t", kind, Format::Sarif), &path, None) else { continue };
            assert_valid(&written(&merge(found, &key())));
        }
    }
}

#[test]
fn what_is_written_reads_as_it_was() {
    let all = one_of_each();
    let document = written(&all);
    let mut log = document.clone();
    log["runs"].as_array_mut().unwrap().truncate(1);
    let (read, found) = read_sarif(ScanKind::Sast, &log).unwrap();
    assert_eq!((read.tool_name.as_str(), read.version.as_deref(), read.incomplete), ("a", Some("1.2.3"), None));
    for (before, after) in all.iter().zip(&found) {
        let after = &after.finding;
        assert_eq!((&before.rule, before.severity, &before.help_url), (&after.rule, after.severity, &after.help_url));
        if matches!(before.place, Place::Code { .. }) {
            assert_eq!(before.place, after.place);
        }
    }
}

/// The tool of the format's makers, where it is installed: `npm install -g @microsoft/sarif-multitool`.
#[test]
#[ignore = "needs sarif-multitool on the PATH"]
fn the_makers_tool_finds_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.sarif");
    std::fs::write(&path, written(&one_of_each()).to_string()).unwrap();
    let out = std::process::Command::new("sarif-multitool").arg("validate").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && !said.contains("error"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_found_is_written_validly(
        rule in "\\PC{1,20}", title in "\\PC{1,40}", path in "\\PC{1,30}", line in prop::option::of(any::<u32>()),
        rest in "(/[\\PC]{0,12}|[a-z%#\\[\\]{}|<>? ]{0,12})",
    ) {
        let url = format!("http://[::1]:8080{rest}");
        let code = Finding { title, help_url: Some(url.clone()), ..finding(&rule, Place::Code { path, line }) };
        let at = finding(&rule, Place::Url { url, parameter: None });
        assert_valid(&written(&[code, at]));
    }
}
