//! Reports as tools and people write them.

mod formats;
mod hostile;
mod identities;
mod merging;
mod real;
mod sarif;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::domain::scan::{ScanKind, Severity};
use crate::scanner::{Finding, Place};

/// Where the fixtures are.
fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/scans").join(path)
}

fn tool(name: &str, kind: ScanKind, format: Format) -> Tool {
    Tool {
        name: name.to_owned(),
        kind,
        image: None,
        command: Vec::new(),
        files: Vec::new(),
        format,
        timeout: Duration::from_secs(60),
        ok_exit_codes: vec![0],
        network: false,
        cpu: 1.0,
        memory: 1 << 30,
        history: false,
        max_report_bytes: 1 << 29,
        mounts: Vec::new(),
    }
}

fn key() -> Key {
    Key::new([7; 32])
}

/// A report that has been read.
type Outcome = Result<(Read, Vec<Found>), ScanError>;

/// Reads a file.
fn read_file(tool: &Tool, report: &Path, source: Option<&Path>) -> Outcome {
    let mut found = Vec::new();
    let input = Input { tool, report, source, seen_at: Some("/src"), key: &key() };
    let read = read(&input, &mut |one| {
        found.push(one);
        true
    })?;
    Ok((read, found))
}

/// Reads a text as a report.
fn read_bytes(tool: &Tool, report: impl AsRef<[u8]>) -> Outcome {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), report).unwrap();
    read_file(tool, file.path(), None)
}

fn read_sarif(kind: ScanKind, report: &Value) -> Outcome {
    read_bytes(&tool("tool", kind, Format::Sarif), report.to_string())
}

/// A log of one run.
fn log(driver: Value, results: Value) -> Value {
    json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": driver }, "results": results }] })
}

/// The findings of a report, of this tool alone.
fn findings(outcome: Outcome) -> Vec<Finding> {
    merge(outcome.unwrap().1, &key())
}

/// The only finding of a report.
fn only(outcome: Outcome) -> Finding {
    let mut found = outcome.unwrap().1;
    assert_eq!(found.len(), 1);
    found.remove(0).finding
}

fn path_of(finding: &Finding) -> String {
    match &finding.place {
        Place::Code { path, line } => format!("{path}:{}", line.unwrap_or(0)),
        Place::Package { name, version, manifest, .. } => {
            format!("{name}@{version} in {}", manifest.as_deref().unwrap_or("-"))
        }
        Place::Url { url, parameter } => format!("{url} {}", parameter.as_deref().unwrap_or("-")),
        Place::Nowhere => "nowhere".to_owned(),
    }
}

/// Rule, place and severity of findings, in an order of their own.
fn told(findings: &[Finding]) -> Vec<String> {
    let mut told: Vec<String> = findings.iter().map(|f| format!("{} {} {}", f.rule, path_of(f), f.severity)).collect();
    told.sort();
    told
}
