//! Several tools, one list.

use proptest::prelude::*;

use super::*;

/// A vulnerability of a package, by a tool, under these names.
fn vulnerable(name: &str, package: &str, ids: &[&str], severity: &str) -> Vec<Found> {
    let references: Vec<Value> = ids[1..].iter().map(|id| json!({ "id": id })).collect();
    let report = json!({ "bomFormat": "CycloneDX", "specVersion": "1.6",
        "components": [{ "type": "library", "bom-ref": "a", "purl": format!("pkg:npm/{package}@1") }],
        "vulnerabilities": [{ "id": ids[0], "references": references, "ratings": [{ "severity": severity }],
            "affects": [{ "ref": "a" }] }] });
    read_bytes(&tool(name, ScanKind::Sca, Format::Cyclonedx), report.to_string()).unwrap().1
}

/// A fault in a line, by a tool.
fn fault(name: &str, results: &[(&str, u32, &str)]) -> Vec<Found> {
    let results: Vec<Value> = results
        .iter()
        .map(|(rule, line, tag)| {
            json!({ "ruleId": rule, "properties": { "tags": [tag] }, "message": { "text": format!("{rule} of {name}") },
                "locations": [{ "physicalLocation": { "artifactLocation": { "uri": "a.py" },
                    "region": { "startLine": line, "snippet": { "text": format!("code of line {line}") } } } }] })
        })
        .collect();
    let report = log(json!({ "name": "T" }), json!(results)).to_string();
    read_bytes(&tool(name, ScanKind::Sast, Format::Sarif), report).unwrap().1
}

fn list(found: Vec<Vec<Found>>) -> Vec<Finding> {
    merge(found.into_iter().flatten().collect(), &key())
}

fn tools(finding: &Finding) -> Vec<&str> {
    finding.detected_by.iter().map(String::as_str).collect()
}

#[test]
fn names_of_an_advisory_are_one_through_others() {
    let all = list(vec![
        vulnerable("a", "x", &["CVE-2026-1", "GHSA-aaaa"], "low"),
        vulnerable("b", "x", &["GHSA-aaaa"], "critical"),
        vulnerable("c", "x", &["PYSEC-7", "GHSA-aaaa"], "high"),
        vulnerable("b", "y", &["GHSA-aaaa"], "low"),
        vulnerable("b", "x", &["GHSA-other"], "low"),
    ]);
    assert_eq!(all.len(), 3);
    let first = &all[0];
    assert_eq!(
        (first.rule.as_str(), first.severity, tools(first)),
        ("CVE-2026-1", Severity::Critical, vec!["a", "b", "c"])
    );
    assert_eq!(first.aliases, ["GHSA-aaaa".to_owned(), "PYSEC-7".to_owned()].into());
    // What one tool knows of an advisory holds for every package.
    let other = all.iter().find(|f| path_of(f).starts_with("y@")).unwrap();
    assert_eq!((other.rule.as_str(), tools(other)), ("CVE-2026-1", vec!["b"]));
}

#[test]
fn two_cves_stay_two_whatever_bundles_them() {
    let all = list(vec![
        vulnerable("a", "x", &["CVE-2026-1", "RHSA-2026:1"], "low"),
        vulnerable("a", "x", &["CVE-2026-2", "RHSA-2026:1"], "low"),
    ]);
    assert_eq!(all.len(), 2);
    let all = list(vec![
        vulnerable("a", "x", &["CVE-2026-1", "GHSA-aaaa"], "low"),
        vulnerable("a", "x", &["CVE-2026-2", "GHSA-aaaa"], "low"),
        vulnerable("b", "x", &["GHSA-aaaa"], "low"),
    ]);
    let rules: std::collections::BTreeSet<_> = all.iter().map(|f| f.rule.as_str()).collect();
    assert_eq!(rules, ["CVE-2026-1", "CVE-2026-2"].into());
}

#[test]
fn a_weakness_in_a_line_is_one_for_two_tools() {
    let all = list(vec![
        fault("bandit", &[("B602", 3, "external/cwe/cwe-078"), ("B105", 3, "external/cwe/cwe-259")]),
        fault(
            "semgrep",
            &[("shell-true", 3, "CWE-78: OS Command Injection"), ("noted", 3, "none"), ("shell-true", 4, "CWE-78")],
        ),
    ]);
    assert_eq!(all.len(), 4);
    let shell = all.iter().find(|f| f.detected_by.len() == 2).unwrap();
    assert_eq!((shell.rule.as_str(), path_of(shell).as_str()), ("B602", "a.py:3"));
    assert!(shell.aliases.contains("shell-true"));
}

#[test]
fn two_faults_of_a_tool_in_a_line_stay_two() {
    let two = fault("bandit", &[("B602", 3, "CWE-78"), ("B607", 3, "CWE-78")]);
    let both = list(vec![two.clone(), fault("semgrep", &[("shell-true", 3, "CWE-78")])]);
    assert_eq!(both.len(), 3);
    // A waiver of one must not become one of the other when its neighbour is mended.
    let alone = list(vec![fault("bandit", &[("B607", 3, "CWE-78")])]);
    let before = list(vec![two]);
    let b602 = before.iter().find(|f| f.rule == "B602").unwrap();
    assert_ne!(alone[0].identity, b602.identity);
}

#[test]
fn a_secret_names_every_place_that_it_is_in() {
    let leak = |path: &str, line: u32| {
        json!({ "ruleId": "key", "message": { "text": "A key." }, "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": path },
            "region": { "startLine": line, "snippet": { "text": "k3y-0123456789abcdef" } } } }] })
    };
    let report = log(json!({ "name": "T" }), json!([leak("b", 2), leak("a", 1), leak("c", 3), leak("a", 1)]));
    let all = findings(read_sarif(ScanKind::Secret, &report));
    assert_eq!((all.len(), path_of(&all[0]).as_str()), (1, "a:1"));
    assert_eq!(all[0].description.as_deref(), Some("Also in b:2, c:3."));
}

#[test]
fn a_hundred_thousand_are_merged_soon() {
    let one = fault("t", &[("r", 1, "CWE-78")]).remove(0);
    let started = std::time::Instant::now();
    let many: Vec<Found> = (0..100_000_u32)
        .map(|n| {
            let mut found = one.clone();
            found.finding.place = Place::Code { path: "a.py".to_owned(), line: Some(n + 1) };
            found.finding.detected_by = [if n % 2 == 0 { "a" } else { "b" }.to_owned()].into();
            found
        })
        .collect();
    let merged = merge(many, &key());
    assert_eq!(merged.len(), 100_000);
    // Unoptimised, on a machine that does other things too; optimised it is a tenth.
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn order_makes_no_difference(
        sca in prop::collection::vec((0_usize..3, 0_usize..2, prop::collection::vec(0_usize..6, 1..3)), 0..6),
        sast in prop::collection::vec((0_usize..3, 0_usize..3, 1_u32..4, 0_usize..3), 0..8),
        order in any::<u64>(),
    ) {
        let names = ["CVE-2026-1", "CVE-2026-2", "GHSA-a", "GHSA-b", "PYSEC-1", "RHSA-1"];
        let mut found: Vec<Found> = sca.iter().flat_map(|(by, package, ids)| {
            let ids: Vec<&str> = ids.iter().map(|id| names[*id]).collect();
            vulnerable(["a", "b", "c"][*by], ["x", "y"][*package], &ids, ["low", "high", "critical"][*by])
        }).collect();
        found.extend(sast.iter().flat_map(|(by, rule, line, tag)| {
            fault(["a", "b", "c"][*by], &[(["r", "s", "u"][*rule], *line, ["CWE-78", "CWE-79", ""][*tag])])
        }));
        let first = merge(found.clone(), &key());
        let mut state = order | 1;
        for at in (1..found.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            found.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
        }
        prop_assert_eq!(&merge(found, &key()), &first);
        let ids: std::collections::BTreeSet<_> = first.iter().map(|f| &f.identity).collect();
        prop_assert_eq!(ids.len(), first.len());
    }
}

#[test]
fn what_findings_take_is_known() {
    let result = |n: usize| {
        let region = json!({ "startLine": n + 1, "snippet": { "text": format!("call({n})") } });
        let location = json!({ "artifactLocation": { "uri": format!("src/{}/file{n}.py", n % 37) }, "region": region });
        json!({
            "ruleId": "rule.1", "message": { "text": format!("finding {n} of many") },
            "locations": [{ "physicalLocation": location }],
        })
    };
    let rules = json!([{ "id": "rule.1", "help": { "text": "words ".repeat(100) } }]);
    let results: Vec<Value> = (0..1000).map(result).collect();
    let found =
        read_sarif(ScanKind::Sast, &log(json!({ "name": "semgrep", "rules": rules }), json!(results))).unwrap().1;
    let each = found.iter().map(Found::bytes).sum::<usize>() / found.len();
    println!("{each} bytes for a finding");
    // All that it points to is in it, and what many share is not in each of them.
    let texts: usize = found.iter().map(|one| one.finding.title.len() + one.finding.identity.len()).sum();
    assert!(each > size_of::<Found>() + texts / found.len() && each < 4096, "{each}");
}
