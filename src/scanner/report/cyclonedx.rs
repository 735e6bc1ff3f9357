//! CycloneDX 1.4 to 1.6 in JSON: what an image or a source is made of, and vulnerabilities of that. 1.7, which newer
//! tools write, only adds to that what is passed over here.
//!
//! A document without a component says that nothing was found to look at, so neither an SBOM nor a search for known
//! vulnerabilities has succeeded with one. A component of the type `file` doesn't count: it is no package.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::finding::{Maker, Seen};
use super::json::{self, Each, Few, Loose};
use super::package::{Package, advisory};
use super::sarif::severity;
use super::{Found, Input, Read, text};
use crate::domain::scan::{ScanKind, Severity};
use crate::scanner::{Place, ScanError};

/// Versions of the format that are read.
const VERSIONS: [&str; 4] = ["1.4", "1.5", "1.6", "1.7"];
/// Bytes that the table of components may take.
const MOST_BYTES: usize = 128 * 1024 * 1024;
/// Ways to rate, the newest first; any other comes after them.
const METHODS: [&str; 3] = ["CVSSv4", "CVSSv31", "CVSSv3"];
/// Properties in which tools say where they found a component.
const PATHS: [&str; 3] = ["syft:location:0:path", "aquasecurity:trivy:FilePath", "internal:srcFile"];

/// Reads a document.
pub(super) fn read(input: &Input<'_>, sink: &mut dyn FnMut(Found) -> bool) -> Result<Read, ScanError> {
    let mut table = Table::default();
    json::parse(input.report, First { table: &mut table })?;
    let is_nothing = table.packages == 0 && table.vulnerabilities == 0;
    if is_nothing && matches!(input.tool.kind, ScanKind::Sbom | ScanKind::Sca) {
        return Err(ScanError::LookedAtNothing(
            "the document names no component: there was nothing to look at".to_owned(),
        ));
    }
    if input.tool.kind == ScanKind::Sbom && table.packages == 0 {
        return Err(ScanError::LookedAtNothing("the document names no component".to_owned()));
    }
    let mut read = Read {
        tool_name: table.tool.clone(),
        version: table.version.clone(),
        components: Some(table.packages),
        ..Read::default()
    };
    if table.vulnerabilities == 0 {
        return Ok(read);
    }
    let mut maker = Maker::new(input);
    let mut is_stopped = false;
    let mut take = |vulnerability: Vulnerability| {
        if vulnerability.is_no_fault() {
            read.suppressed += 1;
            return Ok(());
        }
        let nothing = [Affected::default()];
        let affected = if vulnerability.affects.0.is_empty() { &nothing[..] } else { &vulnerability.affects.0 };
        for affected in affected {
            read.findings += 1;
            if !sink(maker.make(vulnerability.seen(affected, &table))) {
                is_stopped = true;
                return Err("no more is wanted".to_owned());
            }
        }
        Ok(())
    };
    match json::parse(input.report, Second { take: &mut take }) {
        Err(_) if is_stopped => read.incomplete = Some("not all of the report was wanted".to_owned()),
        done => done?,
    }
    Ok(read)
}

/// What is known after the first pass.
#[derive(Default)]
struct Table {
    tool: String,
    version: Option<String>,
    packages: u64,
    vulnerabilities: u64,
    /// Components by their reference.
    components: HashMap<String, Known>,
    bytes: usize,
}

struct Known {
    package: Package,
    manifest: Option<String>,
}

impl Table {
    fn take(&mut self, component: Component) -> Result<(), String> {
        if component.kind.as_deref() != Some("file") {
            self.packages += 1;
        }
        for inner in component.components.0 {
            self.take(inner)?;
        }
        let Some(reference) = component.reference else { return Ok(()) };
        let name = [component.group, component.name].into_iter().flatten().filter(|part| !part.is_empty());
        let name = text::line(&name.collect::<Vec<_>>().join("/"), text::NAME);
        let version = text::line(&component.version.unwrap_or_default(), text::NAME);
        let package = component.purl.as_deref().and_then(Package::of_purl);
        let package = package.unwrap_or_else(|| Package::of_name("generic", &name, &version));
        let property = PATHS.iter().find_map(|path| {
            component.properties.0.iter().find(|property| property.name.as_deref() == Some(path))?.value.first()
        });
        let occurrence = component.evidence.occurrences.0.first().and_then(|at| at.location.as_deref());
        let manifest = occurrence.or(property).map(|path| text::line(path.trim_start_matches('/'), 1024));
        let manifest = manifest.filter(|path| !path.is_empty() && !package.is_of_system());
        self.bytes += 2 * reference.len() + 4 * package.purl.len() + manifest.as_ref().map_or(0, String::len) + 256;
        if self.bytes > MOST_BYTES {
            return Err(format!("its components take more than {MOST_BYTES} bytes"));
        }
        self.components.insert(reference, Known { package, manifest });
        Ok(())
    }
}

/// The document in the first pass.
struct First<'a> {
    table: &'a mut Table,
}

impl<'de> DeserializeSeed<'de> for First<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for First<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CycloneDX document, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut document: A) -> Result<(), A::Error> {
        let table = self.table;
        let (mut is_it, mut version) = (false, None);
        let mut seen = std::collections::BTreeSet::new();
        while let Some(key) = document.next_key::<String>()? {
            if seen.len() < 64 && !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("{} is there twice", text::line(&key, 40))));
            }
            match key.as_str() {
                "bomFormat" => is_it = document.next_value::<String>()? == "CycloneDX",
                "specVersion" => version = Some(document.next_value::<String>()?),
                "metadata" => {
                    let metadata: Metadata = document.next_value::<Option<_>>()?.unwrap_or_default();
                    let tool = metadata.tools.all.into_iter().next().unwrap_or_default();
                    table.tool = text::line(&tool.name.unwrap_or_else(|| "unnamed".to_owned()), text::NAME);
                    table.version = tool.version.map(|version| text::line(&version, 64));
                    if let Some(subject) = metadata.component {
                        // What the document is about is none of its parts, but a vulnerability may be of it.
                        let before = table.packages;
                        let parts = subject.components.0.len() as u64;
                        table.take(*subject).map_err(A::Error::custom)?;
                        table.packages = before + parts;
                    }
                }
                "components" => {
                    document.next_value_seed(Each::new(&mut |component| table.take(component)))?;
                }
                "vulnerabilities" => {
                    table.vulnerabilities = document.next_value_seed(Each::<IgnoredAny>::new(&mut |_| Ok(())))?;
                }
                _ => {
                    document.next_value::<IgnoredAny>()?;
                }
            }
        }
        match version {
            Some(version) if is_it && VERSIONS.contains(&version.as_str()) => Ok(()),
            Some(version) if is_it => {
                let version = text::line(&version, 20);
                Err(A::Error::custom(format!("it is CycloneDX {version}, and 1.4 to 1.7 are what is read")))
            }
            _ => Err(A::Error::custom("it is no CycloneDX document: it lacks bomFormat or specVersion")),
        }
    }
}

/// The document in the second pass: its vulnerabilities.
struct Second<'a> {
    take: &'a mut dyn FnMut(Vulnerability) -> Result<(), String>,
}

impl<'de> DeserializeSeed<'de> for Second<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Second<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CycloneDX document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut document: A) -> Result<(), A::Error> {
        while let Some(key) = document.next_key::<String>()? {
            if key == "vulnerabilities" {
                document.next_value_seed(Each::new(&mut *self.take))?;
            } else {
                document.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    tools: Tools,
    component: Option<Box<Component>>,
}

/// A list up to 1.4, an object with components since.
#[derive(Default)]
struct Tools {
    all: Vec<Program>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Program {
    name: Option<String>,
    version: Option<String>,
}

impl<'de> Deserialize<'de> for Tools {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            List(Few<Program, 16>),
            Object {
                #[serde(default)]
                components: Few<Program, 16>,
            },
        }
        Ok(Self {
            all: match Either::deserialize(deserializer)? {
                Either::List(all) | Either::Object { components: all } => all.0,
            },
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Component {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "bom-ref")]
    reference: Option<String>,
    group: Option<String>,
    name: Option<String>,
    version: Option<String>,
    purl: Option<String>,
    properties: Few<Property, 64>,
    evidence: Evidence,
    components: Few<Component, 100_000>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Property {
    name: Option<String>,
    value: Loose,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Evidence {
    occurrences: Few<Occurrence, 1>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Occurrence {
    location: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Vulnerability {
    id: Option<String>,
    source: Option<Origin>,
    references: Few<Reference, 32>,
    ratings: Few<Rating, 64>,
    description: Option<String>,
    detail: Option<String>,
    recommendation: Option<String>,
    advisories: Few<Advisory, 8>,
    analysis: Option<Analysis>,
    affects: Few<Affected, 10_000>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Origin {
    url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reference {
    id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rating {
    score: Option<f64>,
    severity: Option<String>,
    method: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Advisory {
    url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Analysis {
    state: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Affected {
    #[serde(rename = "ref")]
    reference: String,
    versions: Few<Versions, 64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Versions {
    version: Option<String>,
    status: Option<String>,
}

impl Vulnerability {
    /// Whether somebody has looked at it and says that it is none here.
    fn is_no_fault(&self) -> bool {
        let state = self.analysis.as_ref().and_then(|analysis| analysis.state.as_deref());
        matches!(state, Some("not_affected" | "false_positive" | "resolved" | "resolved_with_pedigree"))
    }

    /// By the newest method that rates it, the highest.
    fn severity(&self) -> Severity {
        let rated = self.ratings.0.iter().filter_map(|rating| {
            let score = rating.score.filter(|score| (0.0..=10.0).contains(score)).map(Severity::of_score);
            let severity = score.or_else(|| rating.severity.as_deref().and_then(severity::word))?;
            let method = METHODS.iter().position(|method| rating.method.as_deref() == Some(method));
            Some((std::cmp::Reverse(method.unwrap_or(METHODS.len())), severity))
        });
        rated.max().map_or(Severity::Medium, |(_, severity)| severity)
    }

    fn seen(&self, affected: &Affected, table: &Table) -> Seen<'_> {
        // A reference into a document by its serial number: `urn:cdx:…/1#reference`.
        let reference = affected.reference.as_str();
        let local = reference.strip_prefix("urn:cdx:").and_then(|rest| rest.split_once('#')).map(|(_, local)| local);
        let known = table.components.get(reference).or_else(|| table.components.get(local?));
        let (package, manifest) = match known {
            Some(known) => (known.package.clone(), known.manifest.clone()),
            None => {
                let package = Package::of_purl(local.unwrap_or(reference));
                let name = text::line(local.unwrap_or(reference), text::NAME);
                (package.unwrap_or_else(|| Package::of_name("generic", &name, "")), None)
            }
        };
        let place = match reference {
            "" => Place::Nowhere,
            _ => Place::Package { purl: package.purl, name: package.name, version: package.version, manifest },
        };
        let mended = affected.versions.0.iter().find(|one| one.status.as_deref() == Some("unaffected"));
        // Trivy: `Upgrade lodash to version 4.17.19`.
        let recommended = self.recommendation.as_deref().and_then(|text| text.split_once(" to version "));
        let recommended = recommended.and_then(|(_, rest)| rest.split([';', ' ', '\n']).next());
        let fixed =
            mended.and_then(|one| one.version.as_deref()).or(recommended).map(|v| v.trim_end_matches(['.', ',']));
        let texts = [&self.description, &self.detail, &self.recommendation];
        let texts: Vec<&str> =
            texts.into_iter().flatten().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
        let source = self.source.as_ref().and_then(|source| source.url.as_deref());
        let advisories = self.advisories.0.iter().filter_map(|advisory| advisory.url.as_deref());
        let help = source.into_iter().chain(advisories).find(|url| text::help(url).is_some());
        let aliases = self.references.0.iter().filter_map(|reference| reference.id.as_deref());
        Seen {
            rule: advisory(&text::line(self.id.as_deref().unwrap_or("unnamed"), text::NAME)),
            aliases: aliases.map(|id| advisory(&text::line(id, text::NAME))).collect(),
            severity: self.severity(),
            message: texts.join("\n\n"),
            help_url: help,
            place,
            fixed: fixed.map(str::to_owned),
            ..Seen::default()
        }
    }
}
