//! What several tools of a kind found, as one list.

use std::collections::{BTreeSet, HashMap};

use super::identity::{Digest, Key, What};
use super::{package, text};
use crate::scanner::{Finding, Place};

/// Aliases that are kept of a finding.
const ALIASES: usize = 32;
/// Other places of a secret that are named.
const PLACES: usize = 20;

/// A finding of one report, before it is known what else there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What was found. Its identity is what it would be if there were nothing else.
    pub finding: Finding,
    /// What [`merge`] makes its identity of.
    pub(super) trace: Trace,
}

impl Found {
    /// Bytes of memory that it takes. A description that many share is counted in parts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let Finding {
            identity, rule, aliases, title, place, description, fixed_version, help_url, detected_by, ..
        } = &self.finding;
        let set =
            |names: &BTreeSet<String>| names.iter().map(|name| size_of::<String>() + name.capacity()).sum::<usize>();
        let texts =
            [place_bytes(place), trace_bytes(&self.trace), identity.capacity(), rule.capacity(), title.capacity()];
        let maybe = [fixed_version, help_url].into_iter().flatten().map(String::capacity).sum::<usize>();
        let description = description.as_ref().map_or(0, |text| text.len() / std::sync::Arc::strong_count(text).max(1));
        size_of::<Self>() + texts.iter().sum::<usize>() + maybe + description + set(aliases) + set(detected_by)
    }
}

fn place_bytes(place: &Place) -> usize {
    match place {
        Place::Code { path, .. } => path.capacity(),
        Place::Package { purl, name, version, manifest } => {
            purl.capacity() + name.capacity() + version.capacity() + manifest.as_ref().map_or(0, String::capacity)
        }
        Place::Url { url, parameter } => url.capacity() + parameter.as_ref().map_or(0, String::capacity),
        Place::Nowhere => 0,
    }
}

fn trace_bytes(trace: &Trace) -> usize {
    match trace {
        Trace::Advisory { subject, manifest } => subject.capacity() + manifest.capacity(),
        Trace::Spot { .. } | Trace::Whole(_) => 0,
    }
}

/// What an identity is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trace {
    /// A place in a file or at an address.
    Spot {
        /// By the tool's rule.
        rule: Digest,
        /// By the weakness that the rule names.
        weakness: Option<Digest>,
        /// Where in its line.
        column: u32,
    },
    /// A vulnerable package.
    Advisory {
        /// Its URL without version, or what else is known of it.
        subject: String,
        /// The file that names it.
        manifest: String,
    },
    /// All that there is to it.
    Whole(Digest),
}

/// Makes one list of what the tools of a kind found: of equal ones one, with every tool that reports it, the worst
/// severity and every alias. The order that they come in makes no difference. Give it the findings of all tools of a
/// scan at once, also of a single tool.
#[must_use]
pub fn merge(mut found: Vec<Found>, key: &Key) -> Vec<Finding> {
    found.sort_by(|a, b| order(a).cmp(&order(b)));
    let advisories = Advisories::of(&found);
    let spots = Spots::of(&found);
    let mut merged: HashMap<Digest, usize> = HashMap::new();
    let mut elsewhere: HashMap<usize, BTreeSet<String>> = HashMap::new();
    let mut findings: Vec<Finding> = Vec::new();
    for Found { mut finding, trace } in found {
        let identity = match &trace {
            Trace::Spot { rule, weakness, column } => spots.identity(&finding, (*rule, *weakness, *column), key),
            Trace::Advisory { subject, manifest } => {
                advisories.rename(&mut finding);
                advisory(key, subject, &finding.rule, manifest)
            }
            Trace::Whole(digest) => *digest,
        };
        match merged.get(&identity) {
            Some(at) => {
                // A secret is one wherever it is; whoever takes it out wants to know every place.
                if matches!(trace, Trace::Whole(_)) && finding.place != findings[*at].place {
                    let places = elsewhere.entry(*at).or_default();
                    if places.len() < PLACES {
                        places.extend(written(&finding.place));
                    }
                }
                unite(&mut findings[*at], finding);
            }
            None => {
                merged.insert(identity, findings.len());
                finding.identity = hex::encode(identity);
                findings.push(finding);
            }
        }
    }
    for (at, places) in elsewhere {
        let places: Vec<String> = places.into_iter().collect();
        let also = format!("Also in {}.", places.join(", "));
        let description = findings[at].description.as_deref().map(|text| format!("{also}\n\n{text}")).unwrap_or(also);
        findings[at].description = Some(text::body(&description, text::DESCRIPTION).into());
    }
    findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.identity.cmp(&b.identity)));
    findings
}

fn written(place: &Place) -> Option<String> {
    match place {
        Place::Code { path, line: Some(line) } => Some(format!("{path}:{line}")),
        Place::Code { path, line: None } => Some(path.clone()),
        _ => None,
    }
}

/// The identity of a vulnerable package.
pub(super) fn advisory(key: &Key, subject: &str, rule: &str, manifest: &str) -> Digest {
    key.digest(What::Advisory, &[subject, rule, manifest])
}

/// What decides whose words are taken where several report the same: the one that finds it worst, then by name.
fn order(found: &Found) -> impl Ord + '_ {
    let finding = &found.finding;
    (std::cmp::Reverse(finding.severity), &finding.detected_by, &finding.rule, spot(&finding.place), &finding.title)
}

fn spot(place: &Place) -> (&str, u32, &str) {
    match place {
        Place::Code { path, line } => (path, line.unwrap_or(0), ""),
        Place::Package { purl, manifest, .. } => (purl, 0, manifest.as_deref().unwrap_or_default()),
        Place::Url { url, parameter } => (url, 0, parameter.as_deref().unwrap_or_default()),
        Place::Nowhere => ("", 0, ""),
    }
}

/// One more report of the same.
fn unite(kept: &mut Finding, other: Finding) {
    if other.rule != kept.rule && kept.aliases.len() < ALIASES {
        kept.aliases.insert(other.rule);
    }
    for alias in other.aliases {
        if alias != kept.rule && kept.aliases.len() < ALIASES {
            kept.aliases.insert(alias);
        }
    }
    kept.severity = kept.severity.max(other.severity);
    kept.detected_by.extend(other.detected_by);
    let length = |text: &Option<std::sync::Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    if length(&other.description) > length(&kept.description) {
        kept.description = other.description;
    }
    kept.fixed_version = kept.fixed_version.take().or(other.fixed_version);
    kept.help_url = kept.help_url.take().or(other.help_url);
}

/// Which names of advisories stand for the same vulnerability, after all reports have said what they know.
struct Advisories {
    /// Of each name its group.
    group: HashMap<String, usize>,
    /// Of each group its names, the preferred first.
    names: Vec<Vec<String>>,
}

impl Advisories {
    fn of(found: &[Found]) -> Self {
        let mut ids: HashMap<&str, usize> = HashMap::new();
        let mut parents: Vec<usize> = Vec::new();
        for Found { finding, trace } in found {
            if !matches!(trace, Trace::Advisory { .. }) {
                continue;
            }
            let mut first = None;
            let names = std::iter::once(&finding.rule).chain(&finding.aliases).filter(|id| package::is_single(id));
            for name in names {
                let id = *ids.entry(name).or_insert_with(|| {
                    parents.push(parents.len());
                    parents.len() - 1
                });
                let with = *first.get_or_insert(id);
                let (a, b) = (root(&mut parents, id), root(&mut parents, with));
                parents[a.max(b)] = a.min(b);
            }
        }
        let mut roots: HashMap<usize, usize> = HashMap::new();
        let mut names: Vec<Vec<String>> = Vec::new();
        let mut group = HashMap::new();
        for (name, id) in ids {
            let root = root(&mut parents, id);
            let at = *roots.entry(root).or_insert_with(|| {
                names.push(Vec::new());
                names.len() - 1
            });
            names[at].push(name.to_owned());
            group.insert(name.to_owned(), at);
        }
        for names in &mut names {
            names.sort_by(|a, b| package::preference(a).cmp(&package::preference(b)));
        }
        Self { group, names }
    }

    /// Calls a finding by the advisory's preferred name. Where a chain of aliases has led from one CVE to another, those
    /// are two vulnerabilities all the same, and each keeps its own.
    fn rename(&self, finding: &mut Finding) {
        let mut own: Vec<&String> = std::iter::once(&finding.rule).chain(&finding.aliases).collect();
        own.sort_by(|a, b| package::preference(a).cmp(&package::preference(b)));
        let Some(group) = own.iter().find_map(|name| self.group.get(*name)).map(|at| &self.names[*at]) else { return };
        let is_cve = |name: &String| name.starts_with("CVE-");
        let is_one = group.iter().filter(|name| is_cve(name)).count() <= 1;
        let best = match own.first() {
            Some(own) if !is_one && is_cve(own) => (*own).clone(),
            _ => group.first().unwrap_or(&finding.rule).clone(),
        };
        let known = group.iter().filter(|_| is_one).take(ALIASES).cloned();
        finding.aliases.extend(known);
        let before = std::mem::replace(&mut finding.rule, best);
        finding.aliases.insert(before);
        finding.aliases.remove(&finding.rule);
    }
}

fn root(parents: &mut [usize], mut at: usize) -> usize {
    while parents[at] != at {
        parents[at] = parents[parents[at]];
        at = parents[at];
    }
    at
}

/// Where the same fault is seen more than once, and which tools have several rules of a weakness in one line.
#[derive(Default)]
struct Spots {
    /// Of a weakness's digest, a line and a tool the one rule; none where it has several.
    single: HashMap<(Digest, u32, String), Option<Digest>>,
    /// Of a digest the lines, in their order.
    lines: HashMap<Digest, Vec<u32>>,
    /// Of a digest, a line and a tool the columns, in their order.
    columns: HashMap<(Digest, u32, String), Vec<u32>>,
}

impl Spots {
    fn of(found: &[Found]) -> Self {
        let mut spots = Self::default();
        for Found { finding, trace } in found {
            let Trace::Spot { rule, weakness: Some(weakness), .. } = trace else { continue };
            let single = spots.single.entry((*weakness, line(finding), tool(finding))).or_insert(Some(*rule));
            *single = single.filter(|known| known == rule);
        }
        for Found { finding, trace } in found {
            let Trace::Spot { rule, weakness, column } = trace else { continue };
            let (base, line) = (spots.base(finding, *rule, *weakness), line(finding));
            spots.lines.entry(base).or_default().push(line);
            spots.columns.entry((base, line, tool(finding))).or_default().push(*column);
        }
        for numbers in spots.lines.values_mut().chain(spots.columns.values_mut()) {
            numbers.sort_unstable();
            numbers.dedup();
        }
        spots
    }

    /// By weakness where the tool has one rule of it in the line, else by rule.
    fn base(&self, finding: &Finding, rule: Digest, weakness: Option<Digest>) -> Digest {
        let Some(weakness) = weakness else { return rule };
        match self.single.get(&(weakness, line(finding), tool(finding))) {
            Some(Some(_)) => weakness,
            _ => rule,
        }
    }

    fn identity(
        &self,
        finding: &Finding,
        (rule, weakness, column): (Digest, Option<Digest>, u32),
        key: &Key,
    ) -> Digest {
        let (base, line) = (self.base(finding, rule, weakness), line(finding));
        let place = |numbers: Option<&Vec<u32>>, number| {
            numbers.and_then(|numbers| numbers.binary_search(&number).ok()).unwrap_or_default()
        };
        let among_lines = place(self.lines.get(&base), line);
        let in_line = place(self.columns.get(&(base, line, tool(finding))), column);
        if (among_lines, in_line) == (0, 0) { base } else { key.again(&base, (among_lines, in_line)) }
    }
}

fn line(finding: &Finding) -> u32 {
    match finding.place {
        Place::Code { line, .. } => line.unwrap_or(0),
        _ => 0,
    }
}

fn tool(finding: &Finding) -> String {
    finding.detected_by.first().cloned().unwrap_or_default()
}
