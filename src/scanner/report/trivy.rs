//! Trivy's own JSON, schema 2.
//!
//! All of it counts for what the tool is declared for: vulnerabilities, misconfigurations that fail, secrets. Licences
//! are left out. Trivy has a result for every file with packages or configuration that it looked at, found or not, so
//! a report without one has looked at nothing; only a search for secrets lists none where it found none.

use serde::Deserialize;
use serde::de::{Error as _, MapAccess};

use super::finding::{Maker, Secret, Seen};
use super::json::{self, Count, Each, Few, Items, Nested};
use super::package::{Package, advisory};
use super::sarif::places::{Bases, Spot};
use super::sarif::severity;
use super::sarif::wire::ArtifactLocation;
use super::source::Source;
use super::{Found, Input, Read, text};
use crate::domain::scan::{ScanKind, Severity};
use crate::scanner::{Place, ScanError};

/// Results of a report at most: one for each file.
const MOST: usize = 200_000;

/// Reads a report.
pub(super) fn read(input: &Input<'_>, sink: &mut dyn FnMut(Found) -> bool) -> Result<Read, ScanError> {
    let report: Report = json::parse(input.report, std::marker::PhantomData)?;
    let unreadable = |why: String| ScanError::Unreadable(format!("the report is not of its format: {why}"));
    match report.schema_version {
        Some(2) => {}
        Some(other) => return Err(unreadable(format!("it is Trivy's schema {other}, and 2 is what is read"))),
        None => return Err(unreadable("it is no report of Trivy: it has no SchemaVersion".to_owned())),
    }
    let results = report.results.0;
    if results.len() == MOST {
        return Err(unreadable(format!("it has more than {MOST} results")));
    }
    if !has_looked(input.tool.kind, &results) {
        let what = if input.tool.kind == ScanKind::Iac { "no configuration" } else { "no packages" };
        return Err(ScanError::LookedAtNothing(format!("Trivy found {what} to look at")));
    }
    let packages = results.iter().map(|result| result.packages.0).sum();
    let mut reading = Reading {
        results: &results,
        sink,
        maker: Maker::new(input),
        bases: Bases::new(input, std::collections::BTreeMap::new(), super::sarif::places::Artifacts::default()),
        source: input.source.and_then(Source::open),
        read: Read {
            tool_name: "Trivy".to_owned(),
            version: report.trivy.version.map(|version| text::line(&version, 64)),
            components: Some(packages).filter(|count| *count > 0),
            suppressed: results.iter().map(|result| result.modified.0).sum(),
            ..Read::default()
        },
        is_stopped: false,
    };
    match json::parse(input.report, Nested { list: "Results", items: &mut reading }) {
        Err(_) if reading.is_stopped => {
            reading.read.incomplete = Some("not all of the report was wanted".to_owned());
        }
        read => read?,
    }
    Ok(reading.read)
}

/// Whether there was anything of the kind to look at.
fn has_looked(kind: ScanKind, results: &[Results]) -> bool {
    match kind {
        ScanKind::Secret => true,
        ScanKind::Sca | ScanKind::Sbom => {
            results.iter().any(|result| result.class.ends_with("-pkgs") || result.vulnerabilities.0 > 0)
        }
        ScanKind::Iac => {
            results.iter().any(|result| result.class.starts_with("config") || result.misconfigurations.0 > 0)
        }
        ScanKind::Sast | ScanKind::Dast => !results.is_empty(),
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Report {
    schema_version: Option<u64>,
    trivy: Program,
    results: Few<Results, MOST>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Program {
    version: Option<String>,
}

/// One result without what was found.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Results {
    target: String,
    class: String,
    packages: Count,
    vulnerabilities: Count,
    misconfigurations: Count,
    #[serde(rename = "ExperimentalModifiedFindings")]
    modified: Count,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: Option<String>,
    pkg_name: Option<String>,
    pkg_path: Option<String>,
    pkg_identifier: Option<Identifier>,
    installed_version: Option<String>,
    fixed_version: Option<String>,
    status: Option<String>,
    title: Option<String>,
    description: Option<String>,
    severity: Option<String>,
    #[serde(rename = "PrimaryURL")]
    url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Identifier {
    #[serde(rename = "PURL")]
    purl: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Misconfiguration {
    #[serde(rename = "ID")]
    id: Option<String>,
    title: Option<String>,
    description: Option<String>,
    message: Option<String>,
    resolution: Option<String>,
    severity: Option<String>,
    #[serde(rename = "PrimaryURL")]
    url: Option<String>,
    status: Option<String>,
    cause_metadata: Cause,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Cause {
    start_line: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Leak {
    #[serde(rename = "RuleID")]
    id: Option<String>,
    title: Option<String>,
    severity: Option<String>,
    start_line: Option<u32>,
    end_line: Option<u32>,
    #[serde(rename = "Match")]
    matched: Option<String>,
}

struct Reading<'a> {
    results: &'a [Results],
    sink: &'a mut dyn FnMut(Found) -> bool,
    maker: Maker<'a>,
    bases: Bases,
    source: Option<Source>,
    read: Read,
    is_stopped: bool,
}

impl Items for Reading<'_> {
    fn take<'de, A: MapAccess<'de>>(&mut self, at: usize, key: &str, object: &mut A) -> Result<bool, A::Error> {
        let results = self.results;
        let result = results.get(at).ok_or_else(|| A::Error::custom("it has become another one"))?;
        match key {
            "Vulnerabilities" => {
                object.next_value_seed(Each::new(&mut |found: Vulnerability| self.vulnerability(result, found)))?;
            }
            "Misconfigurations" => {
                object
                    .next_value_seed(Each::new(&mut |found: Misconfiguration| self.misconfiguration(result, found)))?;
            }
            "Secrets" => {
                object.next_value_seed(Each::new(&mut |found: Leak| self.secret(result, found)))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Reading<'_> {
    fn give(&mut self, seen: Seen<'_>) -> Result<(), String> {
        self.read.findings += 1;
        if (self.sink)(self.maker.make(seen)) {
            return Ok(());
        }
        self.is_stopped = true;
        Err("no more is wanted".to_owned())
    }

    fn vulnerability(&mut self, result: &Results, found: Vulnerability) -> Result<(), String> {
        if found.status.as_deref() == Some("not_affected") {
            self.read.suppressed += 1;
            return Ok(());
        }
        let name = text::line(found.pkg_name.as_deref().unwrap_or("unnamed"), text::NAME);
        let version = text::line(found.installed_version.as_deref().unwrap_or_default(), text::NAME);
        let purl = found.pkg_identifier.and_then(|identifier| identifier.purl);
        let package = purl.as_deref().and_then(Package::of_purl);
        let package = package.unwrap_or_else(|| Package::of_name(Package::ecosystem(&result.target), &name, &version));
        // Of an image the target is its name, or the name of an ecosystem for packages that lie about in it.
        let target =
            Some(result.target.as_str()).filter(|target| result.class == "lang-pkgs" && target.contains(['.', '/']));
        let manifest = found.pkg_path.as_deref().filter(|path| !path.is_empty()).or(target);
        let manifest = manifest.filter(|_| !package.is_of_system()).map(|path| self.path(path));
        let url = found.url.as_deref().and_then(text::help);
        let title = found.title.as_deref().map(str::trim).filter(|title| !title.is_empty());
        self.give(Seen {
            rule: advisory(&text::line(found.id.as_deref().unwrap_or("unnamed"), text::NAME)),
            severity: rated(found.severity.as_deref()),
            message: found.description.unwrap_or_default(),
            rule_title: title,
            help_url: url.as_deref(),
            place: Place::Package { purl: package.purl, name: package.name, version: package.version, manifest },
            fixed: found.fixed_version,
            ..Seen::default()
        })
    }

    fn misconfiguration(&mut self, result: &Results, found: Misconfiguration) -> Result<(), String> {
        match found.status.as_deref() {
            Some("FAIL") | None => {}
            Some("EXCEPTION") => {
                self.read.suppressed += 1;
                return Ok(());
            }
            Some(_) => return Ok(()),
        }
        let line = found.cause_metadata.start_line.filter(|line| *line > 0);
        let path = self.path(&result.target);
        let code = line.and_then(|line| self.source.as_mut()?.line(&path, line).map(str::to_owned));
        let url = found.url.as_deref().and_then(text::help);
        let body: Vec<&str> =
            [&found.description, &found.resolution].into_iter().flatten().map(String::as_str).collect();
        let body = body.join("\n\n");
        let title = found.title.unwrap_or_default();
        let message = found.message.filter(|message| !message.trim().is_empty()).unwrap_or_else(|| title.clone());
        self.give(Seen {
            rule: text::line(found.id.as_deref().unwrap_or("unnamed"), text::NAME),
            severity: rated(found.severity.as_deref()),
            message,
            rule_title: Some(&title),
            rule_body: Some(&body),
            help_url: url.as_deref(),
            place: Place::Code { path, line },
            is_inside: true,
            code,
            ..Seen::default()
        })
    }

    fn secret(&mut self, result: &Results, found: Leak) -> Result<(), String> {
        let line = found.start_line.filter(|line| *line > 0);
        let path = self.path(&result.target);
        let in_source = line.and_then(|line| self.source.as_mut()?.line(&path, line).map(str::to_owned));
        self.give(Seen {
            rule: text::line(found.id.as_deref().unwrap_or("unnamed"), text::NAME),
            severity: found.severity.as_deref().and_then(severity::word).unwrap_or(Severity::High),
            message: found.title.unwrap_or_default(),
            place: Place::Code { path, line },
            is_inside: true,
            secret: Some(Secret {
                told: found.matched.into_iter().collect(),
                in_source,
                spot: format!("{}:{}", line.unwrap_or(0), found.end_line.unwrap_or(0)),
                is_all: true,
            }),
            ..Seen::default()
        })
    }

    fn path(&self, target: &str) -> String {
        let location = ArtifactLocation { uri: Some(target.to_owned()), ..ArtifactLocation::default() };
        match self.bases.spot(&location) {
            Some(Spot::Inside(path) | Spot::Outside(path) | Spot::Web(path)) => path,
            None => String::new(),
        }
    }
}

/// A severity by its word; what nobody has rated is in the middle.
fn rated(word: Option<&str>) -> Severity {
    word.and_then(severity::word).unwrap_or(Severity::Medium)
}
