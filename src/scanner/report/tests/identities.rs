//! What makes a finding the same as before.

use proptest::prelude::*;

use super::*;

/// A source with a file, and a report of faults in its lines.
struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    fn new(lines: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.py"), lines.join("\n")).unwrap();
        Self { folder }
    }

    /// Reads a report with a result for each: rule, line, CWE.
    fn read(&self, name: &str, results: &[(&str, u32, Option<u32>)]) -> Vec<Found> {
        let results: Vec<Value> = results
            .iter()
            .map(|(rule, line, cwe)| {
                let tags: Vec<String> = cwe.iter().map(|cwe| format!("external/cwe/cwe-{cwe:03}")).collect();
                json!({ "ruleId": rule, "properties": { "tags": tags }, "message": { "text": rule }, "locations": [{
                    "physicalLocation": { "artifactLocation": { "uri": "a.py" }, "region": { "startLine": line } } }] })
            })
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), log(json!({ "name": "T" }), json!(results)).to_string()).unwrap();
        let tool = tool(name, ScanKind::Sast, Format::Sarif);
        read_file(&tool, file.path(), Some(self.folder.path())).unwrap().1
    }

    fn ids(&self, results: &[(&str, u32, Option<u32>)]) -> std::collections::BTreeSet<String> {
        merge(self.read("t", results), &key()).into_iter().map(|f| f.identity).collect()
    }
}

#[test]
fn forty_lines_above_change_nothing() {
    let before = Tree::new(&["import os", "eval(x)", "y = 1", "eval(x)", "    run( z )"]);
    let faults = |by: u32| [("r", 2 + by, None), ("r", 4 + by, None), ("s", 5 + by, Some(78))];
    let ids = before.ids(&faults(0));
    assert_eq!(ids.len(), 3);
    let mut lines = vec!["# a line above"; 40];
    lines.extend(["import os", "eval(x)", "y = 1", "eval(x)", "\trun(  z )"]);
    assert_eq!(Tree::new(&lines).ids(&faults(40)), ids);
}

#[test]
fn another_line_file_rule_or_key_is_another_finding() {
    let tree = Tree::new(&["eval(x)", "eval(y)"]);
    let ids = tree.ids(&[("r", 1, None), ("r", 2, None), ("s", 1, None), ("s", 2, Some(95)), ("u", 2, Some(79))]);
    assert_eq!(ids.len(), 5);
    let found = tree.read("t", &[("r", 1, None)]);
    assert_eq!(merge(found, &key())[0].identity, *tree.ids(&[("r", 1, None)]).first().unwrap());
    let edited = Tree::new(&["eval(z)", "eval(y)"]);
    assert!(edited.ids(&[("r", 1, None)]).is_disjoint(&ids));
}

#[test]
fn without_a_source_the_report_shows_the_code() {
    let with = Tree::new(&["import os", "eval( x )"]).read("t", &[("r", 2, None)]).remove(0).finding.identity;
    let region = |snippet: Value, context: Value| {
        let physical = json!({ "artifactLocation": { "uri": "a.py" }, "region": snippet, "contextRegion": context });
        let report =
            log(json!({ "name": "T" }), json!([{ "ruleId": "r", "locations": [{ "physicalLocation": physical }] }]));
        only(read_sarif(ScanKind::Sast, &report)).identity
    };
    let snippet = json!({ "startLine": 2, "snippet": { "text": "  eval( x )\n" } });
    assert_eq!(region(snippet, json!(null)), with);
    let context = json!({ "startLine": 1, "snippet": { "text": "import os\neval( x )\nend" } });
    assert_eq!(region(json!({ "startLine": 2 }), context), with);
    assert_ne!(region(json!({ "startLine": 2 }), json!(null)), with);
}

#[test]
fn the_order_of_a_report_makes_no_difference_and_columns_tell_apart() {
    let place = |column: u32| {
        json!({ "ruleId": "r", "locations": [{ "physicalLocation": { "artifactLocation": { "uri": "a.py" },
            "region": { "startLine": 1, "startColumn": column, "snippet": { "text": "f(a); f(b)" } } } }] })
    };
    let ids = |results: Value| -> std::collections::BTreeSet<String> {
        let report = log(json!({ "name": "T" }), results);
        findings(read_sarif(ScanKind::Sast, &report)).into_iter().map(|f| f.identity).collect()
    };
    let both = ids(json!([place(1), place(7)]));
    assert_eq!(both.len(), 2);
    assert_eq!(ids(json!([place(7), place(1), place(7)])), both);
    assert!(ids(json!([place(9)])).is_subset(&both));
}

#[test]
fn a_package_stays_the_same_through_an_upgrade_that_does_not_help() {
    let report = |version: &str, advisory: &str, manifest: &str| {
        let purl = format!("pkg:npm/lodash@{version}");
        json!({ "bomFormat": "CycloneDX", "specVersion": "1.6",
            "components": [{ "type": "library", "bom-ref": "a", "purl": purl,
                "properties": [{ "name": "syft:location:0:path", "value": manifest }] }],
            "vulnerabilities": [{ "id": advisory, "affects": [{ "ref": "a" }] }] })
    };
    let id = |version, advisory, manifest| {
        let report = report(version, advisory, manifest).to_string();
        only(read_bytes(&tool("t", ScanKind::Sca, Format::Cyclonedx), report)).identity
    };
    let first = id("4.17.15", "CVE-2026-1", "/package-lock.json");
    assert_eq!(id("4.17.16", "CVE-2026-1", "package-lock.json"), first);
    assert_ne!(id("4.17.15", "CVE-2026-2", "/package-lock.json"), first);
    assert_ne!(id("4.17.15", "CVE-2026-1", "/web/package-lock.json"), first);
}

#[test]
fn a_secret_is_known_by_its_value_and_never_shown() {
    let secret = "s3cr3t-Value-0123456789";
    let result = |snippet: &str, path: &str, line: u32| {
        json!({ "ruleId": "generic", "message": { "text": format!("found '{secret}' in it") },
            "properties": { "match": snippet },
            "locations": [{ "physicalLocation": { "artifactLocation": { "uri": path },
                "region": { "startLine": line, "snippet": { "text": snippet } },
                "contextRegion": { "startLine": line, "snippet": { "text": snippet } } } }] })
    };
    let id = |result: Value| {
        let finding = only(read_sarif(ScanKind::Secret, &log(json!({ "name": "T" }), json!([result]))));
        let shown = format!("{finding:?}");
        assert!(!shown.contains(secret) && !shown.contains("Value-0123"), "{shown}");
        assert!(finding.severity >= Severity::High);
        finding.identity
    };
    let first = id(result(secret, "a.env", 1));
    assert_eq!(id(result(&format!("TOKEN={secret}"), "b.env", 9)), first);
    assert_eq!(id(result(&format!("  token = \"{secret}\"  # old"), "a.env", 1)), first);
    let another = json!({ "ruleId": "generic", "locations": [{ "physicalLocation": {
        "artifactLocation": { "uri": "a.env" }, "region": { "startLine": 1, "snippet": { "text": "another-Value-99" } } } }] });
    assert_ne!(id(another), first);
    // What is redacted is known by its place: two in a file are two.
    let redacted = |line: u32| {
        json!({ "ruleId": "generic", "locations": [{ "physicalLocation": { "artifactLocation": { "uri": "a.env" },
            "region": { "startLine": line, "snippet": { "text": "REDACTED" } } } }] })
    };
    assert_ne!(id(redacted(1)), id(redacted(2)));
    // Whoever does not have the key can't try secrets.
    let plain = <sha2::Sha256 as sha2::Digest>::digest(secret);
    assert_ne!(first, hex::encode(plain));
}

#[test]
fn an_address_is_known_without_host_and_values() {
    let id = |uri: &str, parameter: &str| {
        let result = json!({ "ruleId": "xss", "properties": { "parameter": parameter },
            "locations": [{ "physicalLocation": { "artifactLocation": { "uri": uri } } }] });
        only(read_sarif(ScanKind::Dast, &log(json!({ "name": "T" }), json!([result])))).identity
    };
    let first = id("http://10.0.0.7:31234/find?q=1&page=2", "q");
    assert_eq!(id("https://shop.example/find?page=9&q=%3Cscript%3E#top", "q"), first);
    assert_ne!(id("http://10.0.0.7:31234/find?q=1", "q"), first);
    assert_ne!(id("http://10.0.0.7:31234/other?q=1&page=2", "q"), first);
    assert_ne!(id("http://10.0.0.7:31234/find?q=1&page=2", "page"), first);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn lines_above_never_make_a_finding_new(
        code in prop::collection::vec("[a-c]\\(x\\)", 1..12), above in prop::collection::vec("# [a-z]{0,3}", 0..45),
        faults in prop::collection::vec((0_usize..12, 0_usize..3, prop::option::of(78_u32..80)), 1..8),
    ) {
        let rules = ["r", "s", "u"];
        let lines: Vec<&str> = code.iter().map(String::as_str).collect();
        let moved: Vec<&str> = above.iter().map(String::as_str).chain(lines.iter().copied()).collect();
        let by = u32::try_from(above.len()).unwrap();
        let at = |by: u32| -> Vec<(&str, u32, Option<u32>)> {
            faults.iter().map(|(line, rule, cwe)| {
                (rules[*rule], u32::try_from(line % code.len()).unwrap() + 1 + by, *cwe)
            }).collect()
        };
        prop_assert_eq!(Tree::new(&lines).ids(&at(0)), Tree::new(&moved).ids(&at(by)));
    }
}
