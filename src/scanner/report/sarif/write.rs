//! Findings as a SARIF 2.1.0 document.
//!
//! One run for each tool that reports something, so that a finding of two tools stands in both. Results come first and
//! rules after them, as keys have no order: only the rules' ids are kept in memory.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

use crate::domain::scan::Severity;
use crate::scanner::{Finding, Place};

/// Where the format is described.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// Under which name identities stand among the fingerprints.
const FINGERPRINT: &str = "kiops/v1";

/// Writes a document piece by piece. [`Writer::run`], its results, the next run …, [`Writer::finish`].
pub struct Writer<W> {
    out: W,
    /// Whether a run has been written, and whether one is open.
    runs: usize,
    open: Option<Run>,
}

/// The run that is being written.
struct Run {
    tool: String,
    version: Option<String>,
    results: usize,
    indexes: HashMap<String, usize>,
    rules: Vec<Rule>,
}

/// What is kept of a rule until the run's end.
struct Rule {
    id: String,
    title: String,
    severity: Severity,
    help_url: Option<String>,
}

impl<W: Write> Writer<W> {
    /// Begins a document.
    ///
    /// # Errors
    /// Of `out`, here and in all others.
    pub fn new(mut out: W) -> io::Result<Self> {
        write!(out, "{{\"$schema\":\"{SCHEMA}\",\"version\":\"2.1.0\",\"runs\":[")?;
        Ok(Self { out, runs: 0, open: None })
    }

    /// Where it is written to: what is there may be taken away at any time.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// Begins the run of a tool; one that is open ends.
    ///
    /// # Errors
    /// Of `out`.
    pub fn run(&mut self, tool: &str, version: Option<&str>) -> io::Result<()> {
        self.end()?;
        let comma = if self.runs == 0 { "" } else { "," };
        write!(self.out, "{comma}{{\"columnKind\":\"unicodeCodePoints\",\"results\":[")?;
        self.runs += 1;
        self.open = Some(Run {
            tool: tool.to_owned(),
            version: version.map(str::to_owned),
            results: 0,
            indexes: HashMap::new(),
            rules: Vec::new(),
        });
        Ok(())
    }

    /// A result of the run that is open. Without one it goes nowhere.
    ///
    /// # Errors
    /// Of `out`.
    pub fn result(&mut self, finding: &Finding) -> io::Result<()> {
        let Some(run) = &mut self.open else { return Ok(()) };
        let index = run.rule(finding);
        if run.results > 0 {
            self.out.write_all(b",")?;
        }
        run.results += 1;
        serde_json::to_writer(&mut self.out, &outcome(finding, index)).map_err(io::Error::from)
    }

    /// Ends the document.
    ///
    /// # Errors
    /// Of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        self.end()?;
        self.out.write_all(b"]}")?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(run) = self.open.take() else { return Ok(()) };
        write!(self.out, "],\"tool\":{{\"driver\":{{\"name\":")?;
        serde_json::to_writer(&mut self.out, &run.tool)?;
        if let Some(version) = &run.version {
            self.out.write_all(b",\"version\":")?;
            serde_json::to_writer(&mut self.out, version)?;
        }
        self.out.write_all(b",\"rules\":[")?;
        for (at, rule) in run.rules.iter().enumerate() {
            if at > 0 {
                self.out.write_all(b",")?;
            }
            serde_json::to_writer(&mut self.out, &descriptor(rule))?;
        }
        self.out.write_all(b"]}}}")
    }
}

/// Writes the findings of a scan: for each tool, with its version if known, a run of what it reports. `findings` is asked
/// once for every tool.
///
/// # Errors
/// Of `out`.
pub fn write<W: Write, I: IntoIterator<Item = Finding>>(
    out: W,
    tools: &[(String, Option<String>)],
    mut findings: impl FnMut() -> I,
) -> io::Result<W> {
    let mut writer = Writer::new(out)?;
    for (tool, version) in tools {
        writer.run(tool, version.as_deref())?;
        for finding in findings().into_iter().filter(|finding| finding.detected_by.contains(tool)) {
            writer.result(&finding)?;
        }
    }
    writer.finish()
}

impl Run {
    /// The place of a finding's rule among the run's.
    fn rule(&mut self, finding: &Finding) -> usize {
        if let Some(at) = self.indexes.get(&finding.rule) {
            let rule = &mut self.rules[*at];
            rule.severity = rule.severity.max(finding.severity);
            return *at;
        }
        self.indexes.insert(finding.rule.clone(), self.rules.len());
        self.rules.push(Rule {
            id: finding.rule.clone(),
            title: finding.title.clone(),
            severity: finding.severity,
            help_url: finding.help_url.clone(),
        });
        self.rules.len() - 1
    }
}

fn descriptor(rule: &Rule) -> impl Serialize {
    let mut descriptor = json!({
        "id": rule.id,
        "shortDescription": { "text": rule.title },
        "defaultConfiguration": { "level": level(rule.severity) },
        "properties": { "security-severity": score(rule.severity), "tags": ["security"] },
    });
    if let Some(url) = rule.help_url.as_ref().filter(|url| url::Url::parse(url).is_ok()) {
        descriptor["helpUri"] = address(url).into();
    }
    descriptor
}

fn outcome(finding: &Finding, index: usize) -> impl Serialize {
    let text = match &finding.description {
        Some(description) => format!("{}\n\n{description}", finding.title),
        None => finding.title.clone(),
    };
    let text = unlinked(&text);
    let mut properties = json!({ "security-severity": score(finding.severity), "severity": finding.severity });
    if !finding.aliases.is_empty() {
        properties["aliases"] = json!(finding.aliases);
    }
    if let Some(version) = &finding.fixed_version {
        properties["fixedVersion"] = json!(version);
    }
    let mut outcome = json!({
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": level(finding.severity),
        "message": { "text": text },
        "partialFingerprints": { FINGERPRINT: finding.identity },
    });
    match &finding.place {
        Place::Code { path, line } => outcome["locations"] = json!([physical(path, *line)]),
        Place::Package { purl, name, version, manifest } => {
            properties["purl"] = json!(purl);
            let mut location = physical(manifest.as_deref().unwrap_or_default(), None);
            location["logicalLocations"] =
                json!([{ "name": name, "fullyQualifiedName": format!("{name}@{version}"), "kind": "package" }]);
            if manifest.is_none() {
                location.as_object_mut().map(|location| location.remove("physicalLocation"));
            }
            outcome["locations"] = json!([location]);
        }
        Place::Url { url, parameter } => {
            let mut location = json!({ "physicalLocation": { "artifactLocation": { "uri": address(url) } } });
            if let Some(parameter) = parameter {
                location["logicalLocations"] = json!([{ "name": parameter, "kind": "parameter" }]);
            }
            outcome["locations"] = json!([location]);
        }
        Place::Nowhere => {}
    }
    outcome["properties"] = properties;
    outcome
}

/// Code like `calls[0](1)` would be a link to a location that the result has not.
fn unlinked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, part) in text.split("](").enumerate() {
        if at > 0 {
            out.push_str(if part.starts_with(|c: char| c.is_ascii_digit()) { "] (" } else { "](" });
        }
        out.push_str(part);
    }
    out
}

fn physical(path: &str, line: Option<u32>) -> serde_json::Value {
    let mut physical = json!({ "artifactLocation": { "uri": encoded(path) } });
    if let Some(line) = line.filter(|line| *line > 0) {
        physical["region"] = json!({ "startLine": line });
    }
    json!({ "physicalLocation": physical })
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// A score in the middle of the severity's band: more is not known.
const fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
        Severity::Info => "0.0",
    }
}

/// A path as the address that it is.
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b'/' | b'+' | b'@' => {
                out.push(byte.into());
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// An address with what RFC 3986 does not let stand in one encoded: servers and tools are less strict.
fn address(url: &str) -> String {
    let Ok(parsed) = url::Url::parse(url) else { return encoded(url) };
    let url = parsed.as_str();
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    let fragment = url.find('#').unwrap_or(url.len());
    let mut out = String::with_capacity(url.len());
    for (at, byte) in url.bytes().enumerate() {
        let is_escape = || url.as_bytes().get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
        let stays = match byte {
            b'%' => is_escape(),
            b'#' => at == fragment,
            b'[' | b']' => at < path,
            byte => byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=".contains(&byte),
        };
        if stays {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
