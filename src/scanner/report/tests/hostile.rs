//! Reports that are none, or are meant to do harm.

use proptest::prelude::*;

use super::*;

const ALL: [(Format, ScanKind); 3] =
    [(Format::Sarif, ScanKind::Sast), (Format::Cyclonedx, ScanKind::Sbom), (Format::Trivy, ScanKind::Sca)];

/// The reason for which a report is refused.
fn refusal(format: Format, kind: ScanKind, report: impl AsRef<[u8]>) -> String {
    match read_bytes(&tool("tool", kind, format), report) {
        Err(ScanError::Unreadable(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_report_is_refused_with_the_reason() {
    for (format, kind) in ALL {
        let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        for (report, why) in [
            (&b""[..], "the report is empty"),
            (&utf16, "UTF-16"),
            (b"{\0}", "UTF-16"),
            (b"<html>", "no JSON: expected value at line 1 column 1"),
            (b"{", "ends in the middle"),
            (b"   ", "ends in the middle"),
            (b"{}", "is no"),
            (b"[]", "which is an object at line 1 column 2"),
            (b"7", "not of its format"),
            (b"null", "not of its format"),
            (b"\"text\"", "not of its format"),
            // What is passed over may be as deep as it likes: it takes no stack.
            (deep.as_bytes(), "ends in the middle"),
        ] {
            let said = refusal(format, kind, report);
            let is_list = format == Format::Trivy && report == b"[]";
            let report: String = String::from_utf8_lossy(report).chars().take(40).collect();
            assert!(said.contains(why) || is_list, "{format:?} {report:?}: {said}");
        }
    }
}

#[test]
fn what_comes_after_a_report_and_what_is_no_utf8_are_refused() {
    let whole = log(json!({ "name": "T" }), json!([{ "ruleId": "r" }])).to_string();
    let said = refusal(Format::Sarif, ScanKind::Sast, format!("{whole}\n{whole}"));
    assert!(said.contains("trailing characters at line 2 column 1"), "{said}");
    let mut bytes = whole.into_bytes();
    let at = bytes.windows(3).position(|three| three == b"\"r\"").unwrap();
    bytes[at + 1] = 0xff;
    let said = refusal(Format::Sarif, ScanKind::Sast, bytes);
    assert!(said.contains("invalid unicode code point at line 1 column"), "{said}");
}

#[test]
fn what_is_deep_is_refused_where_it_would_be_kept() {
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let deep = format!(r#"{{"version":"2.1.0","runs":[{{"results":[{{"properties":{{"tags":{open}{close}}}}}]}}]}}"#);
    assert!(refusal(Format::Sarif, ScanKind::Sast, deep).contains("recursion limit exceeded"));
}

#[test]
fn other_versions_and_formats_are_named() {
    let run = json!([{ "tool": { "driver": { "name": "T" } }, "results": [] }]);
    for (report, why) in [
        (json!({ "version": "1.0.0", "runs": run }), "it is SARIF 1.0.0, and 2.1.0 is what is read"),
        (json!({ "runs": run, "version": "2.0.0" }), "it is SARIF 2.0.0"),
        (json!({ "runs": run }), "it is no SARIF: it has no version"),
        (json!({ "version": "2.1.0" }), "it is SARIF, and has no runs"),
        (json!({ "bomFormat": "CycloneDX" }), "it is no SARIF"),
        (json!({ "version": "2.1.0", "runs": {} }), "invalid type: map, expected a list"),
        (json!({ "version": "2.1.0", "runs": [{ "results": 7 }] }), "expected a list"),
        (json!({ "version": "2.1.0", "runs": [{ "results": [7] }] }), "not of its format"),
        (json!({ "version": "2.1.0", "runs": [{ "results": [{ "level": "terrible" }] }] }), "unknown variant"),
        (
            json!({ "version": "2.1.0", "runs": [{ "externalPropertyFileReferences": { "results": [{}] } }] }),
            "its results are in other files",
        ),
    ] {
        let said = refusal(Format::Sarif, ScanKind::Sast, report.to_string());
        assert!(said.contains(why), "{report}: {said}");
    }
    for (report, why) in [
        (json!({ "bomFormat": "CycloneDX", "specVersion": "1.3" }), "it is CycloneDX 1.3, and 1.4 to 1.7"),
        (json!({ "bomFormat": "CycloneDX", "specVersion": "2.0" }), "it is CycloneDX 2.0"),
        (json!({ "specVersion": "1.6" }), "it is no CycloneDX document"),
        (json!({ "version": "2.1.0", "runs": [] }), "it is no CycloneDX document"),
    ] {
        let said = refusal(Format::Cyclonedx, ScanKind::Sbom, report.to_string());
        assert!(said.contains(why), "{report}: {said}");
    }
    for (report, why) in [
        (json!({ "SchemaVersion": 1 }), "it is Trivy's schema 1, and 2 is what is read"),
        (json!({ "Results": [] }), "it is no report of Trivy"),
        (json!({ "SchemaVersion": 2, "Results": [{ "Vulnerabilities": 7 }] }), "expected a list"),
    ] {
        let said = refusal(Format::Trivy, ScanKind::Sca, report.to_string());
        assert!(said.contains(why), "{report}: {said}");
    }
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let twice = r#"{"version":"2.1.0","runs":[{"results":[],"results":[{"ruleId":"hidden"}]}]}"#;
    assert!(refusal(Format::Sarif, ScanKind::Sast, twice).contains("duplicate field `results` at line 1 column"));
    let twice = r#"{"version":"2.1.0","runs":[],"runs":[{"results":[{"ruleId":"hidden"}]}]}"#;
    assert!(refusal(Format::Sarif, ScanKind::Sast, twice).contains("duplicate field `runs`"));
    let twice = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[],"components":[{}]}"#;
    assert!(refusal(Format::Cyclonedx, ScanKind::Sbom, twice).contains("components is there twice"));
    let twice = r#"{"SchemaVersion":2,"Results":[{"Vulnerabilities":[],"Vulnerabilities":[{}]}]}"#;
    assert!(refusal(Format::Trivy, ScanKind::Sca, twice).contains("duplicate field `Vulnerabilities`"));
}

#[test]
fn what_is_said_of_a_fault_quotes_nothing_of_the_report() {
    let said = refusal(Format::Sarif, ScanKind::Secret, r#"{"version":"2.1.0","runs":"hunter2-of-the-shop"}"#);
    assert!(said.contains("invalid type: string") && !said.contains("hunter2"), "{said}");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let report = format!("\u{feff}{}", log(json!({ "name": "T" }), json!([{ "ruleId": "r" }])));
    assert_eq!(read_bytes(&tool("t", ScanKind::Sast, Format::Sarif), report).unwrap().1.len(), 1);
}

#[test]
fn findings_before_a_fault_are_given_and_the_reading_fails_all_the_same() {
    let whole = log(json!({ "name": "T" }), json!([{ "ruleId": "a" }, { "ruleId": "b" }])).to_string();
    for end in 0..whole.len() {
        let outcome = read_bytes(&tool("t", ScanKind::Sast, Format::Sarif), &whole[..end]);
        assert!(matches!(outcome, Err(ScanError::Unreadable(_))), "{end}: {outcome:?}");
    }
}

#[test]
fn huge_strings_take_little_memory_and_do_no_harm() {
    let big = "\\u0041\\ud83d\\ude00x".repeat(200_000);
    let report = format!(
        r#"{{"version":"2.1.0","{big}":"{big}","runs":[{{"tool":{{"driver":{{"name":"{big}","rules":[{{"id":"r","name":"{big}"}}]}}}},
        "results":[{{"ruleId":"{big}","message":{{"text":"{big}"}},"locations":[{{"physicalLocation":{{"artifactLocation":{{"uri":"{big}"}}}}}}]}}]}}]}}"#
    );
    let (read, found) = read_bytes(&tool("t", ScanKind::Sast, Format::Sarif), report).unwrap();
    let finding = &found[0].finding;
    assert!(read.tool_name.len() < 2000 && finding.rule.len() < 2000 && finding.title.len() < 2000);
    assert!(finding.description.as_ref().unwrap().len() <= 8 * 1024 && path_of(finding).len() < 1100);
}

#[test]
fn tables_are_bounded() {
    let rules: String = (0..100_001).map(|n| format!("{}{{\"id\":\"{n}\"}}", if n > 0 { "," } else { "" })).collect();
    let report =
        format!(r#"{{"version":"2.1.0","runs":[{{"tool":{{"driver":{{"rules":[{rules}]}}}},"results":[]}}]}}"#);
    assert!(refusal(Format::Sarif, ScanKind::Sast, report).contains("more than 100000 rules"));
    let runs: Vec<Value> = (0..1001).map(|_| json!({ "results": [] })).collect();
    let report = json!({ "version": "2.1.0", "runs": runs }).to_string();
    assert!(refusal(Format::Sarif, ScanKind::Sast, report).contains("more than 1000 runs"));
}

/// The most memory that this process has taken, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A report of a hundred thousand results, as Semgrep would write it.
fn large(path: &Path) {
    use std::io::Write as _;
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let rules: Vec<Value> = (0..500)
        .map(|n| {
            json!({ "id": format!("rule-{n}"), "fullDescription": { "text": "What it is about. ".repeat(40) },
                "defaultConfiguration": { "level": "warning" }, "properties": { "tags": ["CWE-78: Injection"] } })
        })
        .collect();
    write!(out, r#"{{"version":"2.1.0","runs":[{{"results":["#).unwrap();
    for n in 0..100_000 {
        let comma = if n > 0 { "," } else { "" };
        let (rule, file, line) = (n % 500, n / 100, 10 * (n % 100) + 1);
        write!(
            out,
            r#"{comma}{{"fingerprints":{{"matchBasedId/v1":"{n:0128}"}},"locations":[{{"physicalLocation":{{"artifactLocation":{{"uri":"src/module{file}/file.py","uriBaseId":"%SRCROOT%"}},"region":{{"endColumn":48,"endLine":{line},"snippet":{{"text":"    subprocess.call(\"echo \" + name{n}, shell=True)"}},"startColumn":5,"startLine":{line}}}}}}}],"message":{{"text":"A shell runs name{n}: whoever calls may add commands to it, and they run with the rights of the service."}},"properties":{{}},"ruleId":"rule-{rule}"}}"#
        )
        .unwrap();
    }
    write!(out, r#"],"tool":{{"driver":{{"name":"Semgrep OSS","rules":{}}}}}}}]}}"#, json!(rules)).unwrap();
}

#[test]
fn a_hundred_thousand_results_take_seconds_and_little_memory() {
    let file = tempfile::NamedTempFile::new().unwrap();
    large(file.path());
    let size = file.path().metadata().unwrap().len();
    let (tool, key) = (tool("semgrep", ScanKind::Sast, Format::Sarif), key());
    let input = Input { tool: &tool, report: file.path(), source: None, seen_at: None, key: &key };
    let (before, started) = (peak(), std::time::Instant::now());
    let report = read(&input, &mut |_| true).unwrap();
    let (taken, reading) = (peak() - before, started.elapsed());
    assert_eq!(report.findings, 100_000);
    let mut found = Vec::new();
    read(&input, &mut |one| {
        found.push(one);
        true
    })
    .unwrap();
    let started = std::time::Instant::now();
    let merged = merge(found, &key);
    let (whole, merging) = (peak() - before, started.elapsed());
    assert_eq!(merged.len(), 100_000);
    println!(
        "{} MB: read in {reading:?} with {} KiB; merged in {merging:?}, all of it in {} MiB",
        size / 1_000_000,
        taken / 1024,
        whole >> 20
    );
    // Unoptimised, and on a machine that does other things too.
    assert!(reading.as_secs() < 180 && merging.as_secs() < 60, "{reading:?} {merging:?}");
    assert!(taken < 32 << 20, "{taken} bytes to read it");
    assert!(whole < 400 << 20, "{whole} bytes to have it");
}

/// Real reports, of which a few bytes are changed.
fn seeds() -> Vec<(Format, ScanKind, Vec<u8>)> {
    [
        (Format::Sarif, ScanKind::Sast, "reports/bandit.sarif"),
        (Format::Sarif, ScanKind::Secret, "trivy/alpine-310.sarif"),
        (Format::Sarif, ScanKind::Sca, "sarif-tutorials/OriginalUriBaseIds.sarif"),
        (Format::Cyclonedx, ScanKind::Sca, "trivy/pom.cdx.json"),
        (Format::Trivy, ScanKind::Sca, "trivy/npm-with-suppressed.json"),
        (Format::Trivy, ScanKind::Secret, "trivy/secrets.json"),
    ]
    .map(|(format, kind, path)| (format, kind, std::fs::read(fixture(path)).unwrap()))
    .into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for (format, kind) in ALL {
            let _ = read_bytes(&tool("t", kind, format), &bytes);
        }
    }

    #[test]
    fn no_change_of_a_real_report_makes_it_panic(
        seed in 0_usize..6, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        pieces in prop::collection::vec((any::<prop::sample::Index>(), "(null|\\{\\}|\\[\\]|-1|1e400|\"\"|\"\\\\ud800\"|,|:|99999999999999999999)"), 0..3),
    ) {
        let (format, kind, mut report) = seeds().swap_remove(seed);
        for (at, byte) in changes {
            let at = at.index(report.len());
            report[at] = byte;
        }
        for (at, piece) in pieces {
            let at = at.index(report.len());
            report.splice(at..at, piece.bytes());
        }
        if let Ok((_, found)) = read_bytes(&tool("t", kind, format), &report) {
            for finding in merge(found, &key()) {
                prop_assert!(!finding.title.chars().any(char::is_control));
                prop_assert_eq!(finding.identity.len(), 64);
            }
        }
    }
}
