//! The first pass: what the results of a report refer to, and whether there is anything to read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::places::{Artifacts, Bases};
use super::rules::Component;
use super::wire::{self, Level};
use super::{messages, wire::Run};
use crate::scanner::ScanError;
use crate::scanner::report::json::{self, Each};
use crate::scanner::report::{Input, Read, text};
use crate::scanner::words;

/// Runs of a report at most.
const MOST_RUNS: usize = 1000;
/// Tools, in lower case, that list every rule that ran and not only those that found something.
const LIST_ALL: [&str; 4] = ["semgrep", "opengrep", "gitleaks", "codeql"];

/// What is known before the results are read.
pub struct Known {
    pub runs: Vec<Meta>,
    pub read: Read,
}

/// Of one run.
pub struct Meta {
    /// The tool's own name.
    pub driver: String,
    /// The driver, then the extensions.
    pub components: Vec<Component>,
    pub bases: Bases,
    /// Texts of the tool as a whole, by id.
    pub global: BTreeMap<String, String>,
}

/// Reads a report but for its results.
pub fn read(input: &Input<'_>) -> Result<Known, ScanError> {
    let mut all = Gathered::default();
    let mut take = |run: Run| all.take(input, run);
    json::parse(input.report, Log { take: &mut take })?;
    all.judge()
}

/// The whole document.
struct Log<'a> {
    take: &'a mut dyn FnMut(Run) -> Result<(), String>,
}

impl<'de> DeserializeSeed<'de> for Log<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Log<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SARIF log, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut log: A) -> Result<(), A::Error> {
        let mut version = None;
        while let Some(key) = log.next_key::<String>()? {
            match key.as_str() {
                "version" if version.is_some() => return Err(A::Error::duplicate_field("version")),
                "version" => {
                    let said: String = log.next_value()?;
                    // Drafts called themselves 2.1.0-rtm.4 and so on.
                    if said != "2.1.0" && !said.starts_with("2.1.0-") {
                        let said = text::line(&said, 20);
                        return Err(A::Error::custom(format!("it is SARIF {said}, and 2.1.0 is what is read")));
                    }
                    version = Some(said);
                }
                "runs" => {
                    log.next_value_seed(Each::new(self.take))?;
                    return rest(log, version);
                }
                _ => {
                    log.next_value::<IgnoredAny>()?;
                }
            }
        }
        Err(A::Error::custom(match version {
            Some(_) => "it is SARIF, and has no runs",
            None => "it is no SARIF: it has neither version nor runs",
        }))
    }
}

/// What comes after the runs.
fn rest<'de, A: MapAccess<'de>>(mut log: A, mut version: Option<String>) -> Result<(), A::Error> {
    while let Some(key) = log.next_key::<String>()? {
        match key.as_str() {
            "runs" => return Err(A::Error::duplicate_field("runs")),
            "version" if version.is_some() => return Err(A::Error::duplicate_field("version")),
            "version" => version = Some(log.next_value()?),
            _ => {
                log.next_value::<IgnoredAny>()?;
            }
        }
    }
    match version.as_deref() {
        Some(said) if said == "2.1.0" || said.starts_with("2.1.0-") => Ok(()),
        Some(said) => {
            let said = text::line(said, 20);
            Err(A::Error::custom(format!("it is SARIF {said}, and 2.1.0 is what is read")))
        }
        None => Err(A::Error::custom("it is no SARIF: it has no version")),
    }
}

/// What the runs say, one after the other.
#[derive(Default)]
struct Gathered {
    runs: Vec<Meta>,
    names: BTreeSet<String>,
    versions: BTreeSet<String>,
    rules_run: Option<u64>,
    results: u64,
    /// Why runs looked at nothing.
    nothing: Vec<String>,
    /// Why runs have not succeeded.
    failed: Vec<String>,
    /// What went wrong in runs that have.
    errors: Vec<String>,
    /// What runs without a result don't say.
    untold: Vec<String>,
}

/// What a run's invocations notify of.
fn notices(invocations: &[wire::Invocation]) -> impl Iterator<Item = &wire::Notification> {
    invocations.iter().flat_map(|invocation| {
        let execution = invocation.tool_execution_notifications.0.iter();
        execution.chain(&invocation.tool_configuration_notifications.0)
    })
}

impl Gathered {
    fn take(&mut self, input: &Input<'_>, run: Run) -> Result<(), String> {
        if self.runs.len() == MOST_RUNS {
            return Err(format!("it has more than {MOST_RUNS} runs"));
        }
        if run.external_property_file_references.as_ref().is_some_and(|files| files.results.0 > 0) {
            return Err("its results are in other files, which are not here".to_owned());
        }
        let driver = text::line(run.tool.driver.name.as_deref().unwrap_or("unnamed"), text::NAME);
        let version = run.tool.driver.semantic_version.as_ref().or(run.tool.driver.version.as_ref());
        self.versions.extend(version.map(|version| text::line(version, 64)));
        self.names.insert(driver.clone());
        self.results += run.results.map_or(0, |count| count.0);
        self.hear(&driver, &run.invocations.0);
        let count = |component: &wire::Component| component.rules.as_ref().map_or(0, |rules| rules.len() as u64);
        let rules = count(&run.tool.driver) + run.tool.extensions.0.iter().map(count).sum::<u64>();
        let lists_all = LIST_ALL.iter().any(|name| driver.to_ascii_lowercase().contains(name));
        if lists_all {
            self.rules_run = Some(self.rules_run.unwrap_or(0) + rules);
        }
        let metrics = run.properties.as_ref().and_then(|properties| properties.metrics.as_ref());
        let says_so = notices(&run.invocations.0).filter_map(|notice| messages::plain(&notice.message));
        let says_so = says_so.flat_map(|said| said.lines().map(str::to_owned).collect::<Vec<_>>());
        let says_so = says_so.into_iter().find(|line| words::looked_at(line) == Some(0));
        let names_any = metrics.is_some() || run.artifacts.as_ref().is_some_and(Artifacts::is_any);
        if run.results.is_some_and(|count| count.0 == 0) && !names_any {
            let what = if lists_all || rules > 0 { "how many files" } else { "by how many rules, and how many files," };
            self.untold.push(format!("the report does not say {what} it looked at"));
        }
        self.nothing.extend(match run.results.map(|count| count.0) {
            None => Some(format!("{driver} wrote no list of results")),
            Some(0) if says_so.is_some() => {
                says_so.map(|line| format!("{driver} looked at nothing: {}", text::line(&line, 300)))
            }
            Some(0) if lists_all && rules == 0 => Some(format!("{driver} ran no rule")),
            Some(0) if metrics.is_some_and(|files| files.0.len() == 1 && files.0.contains_key("_totals")) => {
                Some(format!("{driver} found no file to look at"))
            }
            Some(_) => None,
        });
        let mut global = BTreeMap::new();
        let components = std::iter::once(run.tool.driver).chain(run.tool.extensions.0);
        let components = components.map(|component| {
            let texts = component.global_message_strings.0.iter();
            global.extend(texts.filter_map(|(id, text)| Some((id.clone(), messages::plain(text)?))));
            Component {
                name: component.name.unwrap_or_default(),
                guid: component.guid,
                rules: component.rules.unwrap_or_default(),
            }
        });
        let components = components.collect();
        let bases = Bases::new(input, run.original_uri_base_ids.0, run.artifacts.unwrap_or_default());
        self.runs.push(Meta { driver, components, bases, global });
        Ok(())
    }

    /// Takes what a run says of how it went.
    fn hear(&mut self, driver: &str, invocations: &[wire::Invocation]) {
        for invocation in invocations {
            let notices = notices(std::slice::from_ref(invocation));
            let errors: Vec<_> = notices.filter(|notice| notice.level == Some(Level::Error)).collect();
            let said = errors.iter().find_map(|notice| messages::plain(&notice.message));
            let said = said.map(|said| format!(": {}", text::line(&said, 300))).unwrap_or_default();
            let code = invocation.exit_code.map(|code| format!(" with code {code}")).unwrap_or_default();
            if invocation.execution_successful == Some(false) {
                self.failed.push(format!("{driver} says that it did not succeed{code}{said}"));
            } else if !errors.is_empty() {
                let times = if errors.len() == 1 { "an error".to_owned() } else { format!("{} errors", errors.len()) };
                self.errors.push(format!("{driver} met {times} on the way{said}"));
            }
        }
    }

    fn judge(self) -> Result<Known, ScanError> {
        if let (Some(failed), 0) = (self.failed.first(), self.results) {
            return Err(ScanError::Failed(failed.clone()));
        }
        if self.nothing.len() == self.runs.len() {
            let why = self.nothing.into_iter().next().unwrap_or_else(|| "the report has no run of a tool".to_owned());
            return Err(ScanError::LookedAtNothing(why));
        }
        let faults: Vec<String> = [self.failed, self.nothing, self.errors].into_iter().flatten().take(3).collect();
        let read = Read {
            tool_name: self.names.into_iter().take(8).collect::<Vec<_>>().join(", "),
            version: self.versions.into_iter().next(),
            rules_run: self.rules_run,
            incomplete: (!faults.is_empty()).then(|| faults.join("; ")),
            untold: self.untold.into_iter().next().filter(|_| self.results == 0),
            ..Read::default()
        };
        Ok(Known { runs: self.runs, read })
    }
}
