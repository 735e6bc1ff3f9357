//! The second pass: a finding of each result.

use serde::de::{Error as _, MapAccess};

use super::first::{Known, Meta};
use super::places::Spot;
use super::rules::{self, Rule};
use super::severity::{self, Said};
use super::wire::{Baseline, Kind, Outcome, Region, Status, Suppression};
use super::{messages, packages};
use crate::domain::scan::ScanKind;
use crate::scanner::report::finding::{Maker, Secret, Seen};
use crate::scanner::report::json::{self, Each, Items, Nested};
use crate::scanner::report::source::Source;
use crate::scanner::report::{Found, Input, Read, package, secrets, text};
use crate::scanner::{Place, ScanError};

/// Reads the results of a report.
pub fn read(input: &Input<'_>, known: &Known, sink: &mut dyn FnMut(Found) -> bool) -> Result<Read, ScanError> {
    let mut reading = Reading {
        input,
        known,
        sink,
        maker: Maker::new(input),
        source: input.source.and_then(Source::open),
        read: known.read.clone(),
        is_stopped: false,
    };
    match json::parse(input.report, Nested { list: "runs", items: &mut reading }) {
        Err(_) if reading.is_stopped => {
            reading.read.incomplete = Some("not all of the report was wanted".to_owned());
        }
        read => read?,
    }
    Ok(reading.read)
}

/// What results become findings with.
struct Reading<'a> {
    input: &'a Input<'a>,
    known: &'a Known,
    sink: &'a mut dyn FnMut(Found) -> bool,
    maker: Maker<'a>,
    source: Option<Source>,
    read: Read,
    is_stopped: bool,
}

impl Items for Reading<'_> {
    fn take<'de, A: MapAccess<'de>>(&mut self, at: usize, key: &str, run: &mut A) -> Result<bool, A::Error> {
        if key != "results" {
            return Ok(false);
        }
        let known = self.known;
        let meta = known.runs.get(at).ok_or_else(|| A::Error::custom("it has become another one"))?;
        run.next_value_seed(Each::new(&mut |outcome| self.result(meta, &outcome)))?;
        Ok(true)
    }
}

impl Reading<'_> {
    fn result(&mut self, meta: &Meta, outcome: &Outcome) -> Result<(), String> {
        if !matches!(outcome.kind.unwrap_or_default(), Kind::Fail | Kind::Review) {
            return Ok(());
        }
        if outcome.baseline_state == Some(Baseline::Absent) || is_suppressed(&outcome.suppressions.0) {
            self.read.suppressed += 1;
            return Ok(());
        }
        let found = self.finding(meta, outcome);
        self.read.findings += 1;
        if (self.sink)(found) {
            return Ok(());
        }
        self.is_stopped = true;
        Err("no more is wanted".to_owned())
    }

    fn finding(&mut self, meta: &Meta, outcome: &Outcome) -> Found {
        let rule = rules::find(&meta.components, outcome);
        let id = outcome.rule_id.as_deref().or(outcome.rule.as_ref().and_then(|rule| rule.id.as_deref()));
        let id = id.or(rule.map(|rule| rule.id.as_str())).filter(|id| !id.trim().is_empty());
        let id = text::line(id.unwrap_or("unnamed"), text::NAME);
        let properties = outcome.properties.clone().unwrap_or_default();
        let weakness = rules::weakness(&properties, outcome.taxa.0.iter()).or(rule.and_then(|rule| rule.weakness));
        let message = messages::of(&outcome.message, rule, &meta.global);
        let location = outcome.locations.0.first();
        let physical = location.and_then(|location| location.physical_location.as_ref());
        let spot = physical.and_then(|p| p.artifact_location.as_ref()).and_then(|at| meta.bases.spot(at));
        let region = physical.and_then(|physical| physical.region.as_ref());
        let context = physical.and_then(|physical| physical.context_region.as_ref());
        let kind = self.input.tool.kind;
        let mut seen = Seen {
            rule: id,
            severity: severity::of(kind, Said::of(&properties, outcome.level), rule.map(|rule| rule.said)),
            weakness,
            message: message.unwrap_or_default(),
            rule_title: rule.and_then(|rule| rule.title.as_deref()),
            rule_body: rule.and_then(|rule| rule.body.as_deref()),
            help_url: rule.and_then(|rule| rule.help_url.as_deref()),
            column: region.and_then(|region| number(region.start_column)).unwrap_or(0),
            ..Seen::default()
        };
        if matches!(kind, ScanKind::Sca | ScanKind::Sbom) && Self::package(&mut seen, rule, spot.as_ref()) {
            return self.maker.make(seen);
        }
        seen.place = match spot {
            Some(Spot::Web(url)) => {
                let logical = location.map_or(&[][..], |location| &location.logical_locations.0);
                let named = logical.iter().find(|at| at.kind.as_deref() == Some("parameter"));
                let named = named.and_then(|at| at.name.as_deref().or(at.fully_qualified_name.as_deref()));
                let parameter = properties.parameter.first().or(properties.param.first()).or(named);
                Place::Url { url, parameter: parameter.map(|name| text::line(name, text::NAME)) }
            }
            Some(Spot::Inside(path)) => {
                let line = region.and_then(|region| number(region.start_line));
                seen.code = line.and_then(|line| self.source.as_mut()?.line(&path, line).map(str::to_owned));
                seen.is_inside = true;
                Place::Code { path, line }
            }
            Some(Spot::Outside(path)) => {
                Place::Code { path, line: region.and_then(|region| number(region.start_line)) }
            }
            None => Place::Nowhere,
        };
        let shown = region.and_then(snippet);
        if kind == ScanKind::Secret || secrets::is_in_code(weakness) {
            let told = [&properties.secret_snippet, &properties.secret, &properties.raw, &properties.matched];
            let told = told.into_iter().filter_map(|told| told.first()).chain(shown).map(str::to_owned).collect();
            let commit = outcome.partial_fingerprints.as_ref().and_then(|prints| prints.commit_sha.first());
            let of_history = commit.is_some_and(|commit| !commit.is_empty());
            let in_source = if of_history { None } else { self.slice(meta, &seen, region) };
            seen.secret = Some(Secret {
                told,
                in_source,
                spot: region.map(spelled).unwrap_or_default(),
                is_all: kind == ScanKind::Secret,
            });
        }
        if seen.code.is_none() {
            seen.code = first_line(shown).or_else(|| in_context(region?, context?));
        }
        self.maker.make(seen)
    }

    /// Fills in the package of a result, if it names one.
    fn package(seen: &mut Seen<'_>, rule: Option<&Rule>, spot: Option<&Spot>) -> bool {
        let manifest = match spot {
            Some(Spot::Inside(path) | Spot::Outside(path)) => Some(path.as_str()),
            _ => None,
        };
        let Some(found) = packages::of(&seen.rule, rule, &seen.message, manifest) else {
            seen.rule = package::advisory(&seen.rule);
            return false;
        };
        // An image is no manifest, and its name has changed by the next scan.
        let is_file =
            |path: &&str| path.rsplit('/').next().is_some_and(|name| name.contains('.') && !name.contains(':'));
        let manifest = manifest.filter(|_| !found.package.is_of_system()).filter(is_file);
        seen.rule = found.advisory;
        seen.aliases = found.aliases;
        seen.fixed = found.fixed;
        seen.place = Place::Package {
            purl: found.package.purl,
            name: found.package.name,
            version: found.package.version,
            manifest: manifest.map(str::to_owned),
        };
        true
    }

    /// What the source has where a region is.
    fn slice(&mut self, meta: &Meta, seen: &Seen<'_>, region: Option<&Region>) -> Option<String> {
        let Place::Code { path, line: Some(first) } = &seen.place else { return None };
        let region = region.filter(|_| seen.is_inside)?;
        let last = number(region.end_line).unwrap_or(*first).clamp(*first, first.saturating_add(200));
        // Gitleaks counts the last character in, SARIF does not.
        let over = u32::from(meta.driver.eq_ignore_ascii_case("gitleaks"));
        let source = self.source.as_mut()?;
        let mut slice = String::new();
        for at in *first..=last {
            let line = source.line(path, at)?;
            let from = if at == *first { number(region.start_column).unwrap_or(1) - 1 } else { 0 };
            let to = number(region.end_column).filter(|_| at == last).map_or(u32::MAX, |end| end - 1 + over);
            let length = usize::try_from(to.saturating_sub(from)).ok()?;
            slice.extend(line.chars().skip(usize::try_from(from).ok()?).take(length));
            slice.push('\n');
        }
        Some(slice)
    }
}

/// Whether a suppression stands: one under review or rejected doesn't, and one without status does.
fn is_suppressed(suppressions: &[Suppression]) -> bool {
    suppressions.iter().any(|one| matches!(one.status.or(one.state), None | Some(Status::Accepted)))
}

/// Lines and columns count from 1.
fn number(number: Option<i64>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0)
}

fn snippet(region: &Region) -> Option<&str> {
    let snippet = region.snippet.as_ref()?;
    snippet.text.as_deref().or(snippet.markdown.as_deref()).filter(|text| !text.trim().is_empty())
}

fn first_line(text: Option<&str>) -> Option<String> {
    text?.lines().find(|line| !line.trim().is_empty()).map(|line| text::cut(line, 4096).to_owned())
}

/// The region's first line, in the lines around it.
fn in_context(region: &Region, context: &Region) -> Option<String> {
    let above = number(region.start_line)?.checked_sub(number(context.start_line)?)?;
    first_line(snippet(context)?.lines().nth(usize::try_from(above).ok()?))
}

fn spelled(region: &Region) -> String {
    let numbers = [region.start_line, region.start_column, region.end_line, region.end_column];
    numbers.map(|number| number.unwrap_or(0).to_string()).join(":")
}
