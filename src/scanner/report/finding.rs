//! From what a report says of one thing to a finding, in the same way for every format.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Input;
use super::identity::{self, Digest, Key, What};
use super::merge::{self, Found, Trace};
use super::package::{self, Package};
use super::secrets::{self, Hide};
use super::text::{self, Shared};
use crate::domain::scan::{ScanKind, Severity};
use crate::scanner::{Finding, Place};

/// What a report says of one thing.
pub struct Seen<'a> {
    /// The tool's rule, or the advisory.
    pub rule: String,
    /// Other names of the advisory.
    pub aliases: Vec<String>,
    /// How bad it is.
    pub severity: Severity,
    /// The CWE number.
    pub weakness: Option<u32>,
    /// What is said of this one; may be empty.
    pub message: String,
    /// What is said of all of its kind, in a line.
    pub rule_title: Option<&'a str>,
    /// The same at length.
    pub rule_body: Option<&'a str>,
    /// Where there is more, checked.
    pub help_url: Option<&'a str>,
    /// Where it is.
    pub place: Place,
    /// Whether the place is a path of the source.
    pub is_inside: bool,
    /// Where in the line.
    pub column: u32,
    /// The line of code.
    pub code: Option<String>,
    /// The first version without it.
    pub fixed: Option<String>,
    /// Set where it is a secret: then its value is hidden.
    pub secret: Option<Secret>,
}

/// What is known of a secret.
pub struct Secret {
    /// What the report shows of it: itself, or its line.
    pub told: Vec<String>,
    /// What the source has in its place.
    pub in_source: Option<String>,
    /// Lines and columns.
    pub spot: String,
    /// Whether the secret is all that was found, and not a fault of the code around it.
    pub is_all: bool,
}

impl Default for Seen<'_> {
    fn default() -> Self {
        Self {
            rule: String::new(),
            aliases: Vec::new(),
            severity: Severity::Medium,
            weakness: None,
            message: String::new(),
            rule_title: None,
            rule_body: None,
            help_url: None,
            place: Place::Nowhere,
            is_inside: false,
            column: 0,
            code: None,
            fixed: None,
            secret: None,
        }
    }
}

impl Secret {
    /// Its value, if anything shows it.
    fn value(&self) -> Option<String> {
        self.told.iter().chain(&self.in_source).find_map(|shown| secrets::value(shown))
    }

    /// All that must not be seen.
    fn values(&self) -> impl Iterator<Item = String> + '_ {
        let whole = self.told.iter().map(|told| told.trim()).filter(|told| !told.contains(char::is_whitespace));
        let whole = whole.filter(|told| !secrets::is_masked(told)).map(str::to_owned);
        self.told.iter().chain(&self.in_source).filter_map(|shown| secrets::value(shown)).chain(whole)
    }
}

/// Makes findings of a report.
pub struct Maker<'a> {
    tool: BTreeSet<String>,
    kind: ScanKind,
    key: &'a Key,
    titles: Shared,
    descriptions: Shared,
    hide: Hide,
}

impl<'a> Maker<'a> {
    /// For a tool's report.
    pub fn new(input: &Input<'a>) -> Self {
        Self {
            tool: [input.tool.name.clone()].into(),
            kind: input.tool.kind,
            key: input.key,
            titles: Shared::default(),
            descriptions: Shared::default(),
            hide: Hide::new([]),
        }
    }

    /// Makes one.
    pub fn make(&mut self, mut seen: Seen<'_>) -> Found {
        let trace = self.trace(&mut seen);
        let (title, description) = self.texts(&seen);
        let identity = match &trace {
            Trace::Spot { rule, weakness, .. } => weakness.unwrap_or(*rule),
            Trace::Advisory { subject, manifest } => merge::advisory(self.key, subject, &seen.rule, manifest),
            Trace::Whole(digest) => *digest,
        };
        let finding = Finding {
            identity: hex::encode(identity),
            rule: seen.rule,
            aliases: seen.aliases.into_iter().take(32).collect(),
            title,
            severity: seen.severity,
            place: seen.place,
            description,
            fixed_version: seen.fixed.map(|version| text::line(&version, text::NAME)).filter(|fixed| !fixed.is_empty()),
            help_url: seen.help_url.map(str::to_owned),
            detected_by: self.tool.clone(),
        };
        Found { finding, trace }
    }

    /// Title and description: what is said of this one, then what is said of all of its kind. Of what comes with every
    /// result of a rule the work is done once.
    fn texts(&mut self, seen: &Seen<'_>) -> (String, Option<Arc<str>>) {
        let known = seen.secret.as_ref().map(|secret| Hide::new(secret.values()));
        let hide = known.as_ref().unwrap_or(&self.hide);
        let message = hide.hide(seen.message.trim());
        let opening = message.lines().next().unwrap_or_default();
        let unnamed = match &seen.place {
            Place::Package { name, .. } => format!("{} in {name}", seen.rule),
            _ => seen.rule.clone(),
        };
        let is_package = matches!(seen.place, Place::Package { .. });
        let of_rule = seen.rule_title.filter(|_| opening.is_empty() || is_package).map(|title| match &known {
            Some(hide) => hide.hide(title).into(),
            None => self.titles.get(title, |title| hide.hide(title)),
        });
        let heading = match &of_rule {
            Some(title) => title,
            None if opening.is_empty() => unnamed.as_str(),
            None => opening,
        };
        let title = text::line(heading, text::TITLE);
        let title = if title.is_empty() { "unnamed".to_owned() } else { title };
        let is_told = message.is_empty() || message == heading && heading.chars().count() <= text::TITLE;
        let body = seen.rule_body.filter(|body| !body.trim().is_empty() && body.trim() != seen.message.trim());
        let description = match (is_told, body) {
            (true, None) => return (title, None),
            (true, Some(body)) if known.is_none() => {
                self.descriptions.get(body, |body| text::body(&hide.hide(body), text::DESCRIPTION))
            }
            (true, Some(body)) => text::body(&hide.hide(body), text::DESCRIPTION).into(),
            (false, None) => text::body(&message, text::DESCRIPTION).into(),
            (false, Some(body)) => {
                let whole = format!("{message}\n\n{}", hide.hide(body));
                self.descriptions.get(&whole, |whole| text::body(whole, text::DESCRIPTION))
            }
        };
        (title, Some(description).filter(|text| !text.is_empty()))
    }

    /// What the identity is made of.
    fn trace(&self, seen: &mut Seen<'_>) -> Trace {
        if let Some(secret) = seen.secret.as_ref().filter(|secret| secret.is_all) {
            return Trace::Whole(match (secret.value(), &seen.place) {
                (Some(value), _) => self.key.digest(What::Secret, &[&value]),
                (None, Place::Code { path, .. }) => self.key.digest(What::Redacted, &[&seen.rule, path, &secret.spot]),
                (None, _) => self.key.digest(What::Redacted, &[&seen.rule, "", &seen.message]),
            });
        }
        let (subject, manifest) = match &seen.place {
            Place::Package { purl, manifest, name, .. } => {
                let base = Package::of_purl(purl).map_or_else(|| name.clone(), |package| package.base);
                (base, manifest.clone().unwrap_or_default())
            }
            Place::Code { path, .. } if self.kind == ScanKind::Sca && package::is_single(&seen.rule) => {
                (String::new(), path.clone())
            }
            place => return self.spot(seen, place),
        };
        prefer(seen);
        Trace::Advisory { subject, manifest }
    }

    fn spot(&self, seen: &Seen<'_>, place: &Place) -> Trace {
        let weakness = seen.weakness.map(|cwe| cwe.to_string());
        let by =
            |what: What, name: &str, rest: [&str; 2]| -> Digest { self.key.digest(what, &[name, rest[0], rest[1]]) };
        match place {
            Place::Code { path, .. } => {
                let code = seen.code.as_deref().map(identity::normalised).unwrap_or_default();
                let weakness = weakness.filter(|_| !code.is_empty());
                Trace::Spot {
                    rule: by(What::Rule, &seen.rule, [path, &code]),
                    weakness: weakness.map(|cwe| by(What::Weakness, &cwe, [path, &code])),
                    column: seen.column,
                }
            }
            Place::Url { url, parameter } => {
                let address = identity::address(url);
                let named = parameter.as_deref().unwrap_or_default();
                let weakness = weakness.filter(|_| !named.is_empty());
                Trace::Spot {
                    rule: by(What::Address, &seen.rule, [&address, named]),
                    weakness: weakness.map(|cwe| by(What::AddressWeakness, &cwe, [&address, named])),
                    column: 0,
                }
            }
            _ => Trace::Spot { rule: by(What::Rule, &seen.rule, ["", &seen.message]), weakness: None, column: 0 },
        }
    }
}

/// Calls an advisory by its preferred name.
fn prefer(seen: &mut Seen<'_>) {
    let best = seen.aliases.iter().filter(|alias| package::is_single(alias));
    let best = best.min_by(|a, b| package::preference(a).cmp(&package::preference(b))).cloned();
    if let Some(best) = best.filter(|best| package::preference(best) < package::preference(&seen.rule)) {
        seen.aliases.push(std::mem::replace(&mut seen.rule, best));
    }
    seen.aliases.retain(|alias| *alias != seen.rule);
}
