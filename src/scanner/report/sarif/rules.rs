//! The rules of a run, as small as they can be kept.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed as _, Deserializer};

use super::messages;
use super::severity::Said;
use super::wire::{self, Message, Outcome};
use crate::scanner::report::json::Each;
use crate::scanner::report::{identity, text};

/// Rules of a component at most, and bytes that they take.
const MOST: usize = 100_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What is known of a rule.
#[derive(Debug, Default)]
pub struct Rule {
    pub id: String,
    /// Its short description, in a line.
    pub title: Option<String>,
    /// Its full description, else its help.
    pub body: Option<String>,
    pub help_url: Option<String>,
    pub said: Said,
    pub weakness: Option<u32>,
    pub messages: BTreeMap<String, String>,
    /// Other ids: of advisories the aliases (OSV-Scanner).
    pub aliases: Vec<String>,
    /// The package that it is about (Grype).
    pub purl: Option<String>,
}

/// The rules of a component.
#[derive(Default)]
pub struct Rules {
    all: Vec<Rule>,
    by_id: HashMap<String, usize>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rules", self.all.len())
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rules = Self::default();
        let mut bytes = 0;
        let mut take = |rule: wire::Rule| {
            let rule = Rule::from(rule);
            bytes += rule.size();
            if rules.all.len() == MOST || bytes > MOST_BYTES {
                return Err(format!("it lists more than {MOST} rules, or more than {MOST_BYTES} bytes of them"));
            }
            rules.by_id.entry(rule.id.clone()).or_insert(rules.all.len());
            rules.all.push(rule);
            Ok(())
        };
        Each::new(&mut take).deserialize(deserializer)?;
        Ok(rules)
    }
}

impl From<wire::Rule> for Rule {
    fn from(wire: wire::Rule) -> Self {
        let properties = wire.properties.unwrap_or_default();
        let taxa = wire.relationships.0.iter().filter_map(|relationship| relationship.target.as_ref());
        let weakness = weakness(&properties, taxa);
        let plain = |message: Option<Message>| message.and_then(|message| messages::plain(&message));
        let help = plain(wire.help);
        let body = plain(wire.full_description).or(help).map(|text| text::body(&text, text::DESCRIPTION / 2));
        let messages = wire.message_strings.0.iter();
        let messages = messages.filter_map(|(id, message)| Some((id.clone(), messages::plain(message)?))).collect();
        Self {
            id: text::line(&wire.id.unwrap_or_default(), text::NAME),
            title: plain(wire.short_description).or(wire.name).map(|text| text::line(&text, text::TITLE)),
            body,
            help_url: wire.help_uri.as_deref().and_then(text::help),
            said: Said::of(&properties, wire.default_configuration.and_then(|configuration| configuration.level)),
            weakness,
            messages,
            aliases: wire.deprecated_ids.0.iter().map(|id| text::line(id, text::NAME)).collect(),
            purl: properties.purls.first().map(str::to_owned),
        }
    }
}

impl Rule {
    fn size(&self) -> usize {
        let texts = [&self.title, &self.body, &self.help_url, &self.purl];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let messages: usize = self.messages.iter().map(|(id, text)| id.len() + text.len()).sum();
        size_of::<Self>() + 2 * self.id.len() + texts + messages + self.aliases.iter().map(String::len).sum::<usize>()
    }
}

impl Rules {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// By place, then by name; `CA1000/1` is `CA1000` where there is no such rule of its own.
    fn find(&self, index: Option<i64>, id: Option<&str>) -> Option<&Rule> {
        let at = index.and_then(|index| usize::try_from(index).ok()).and_then(|index| self.all.get(index));
        if at.is_some() {
            return at;
        }
        let mut id = id?;
        loop {
            if let Some(at) = self.by_id.get(id) {
                return self.all.get(*at);
            }
            id = &id[..id.rfind('/')?];
        }
    }
}

/// The driver of a run, or one of its extensions.
#[derive(Debug, Default)]
pub struct Component {
    pub name: String,
    pub guid: Option<String>,
    pub rules: Rules,
}

/// The rule of a result: of the component that it names, else of the driver, else of whichever has its name.
pub fn find<'a>(components: &'a [Component], result: &Outcome) -> Option<&'a Rule> {
    let reference = result.rule.as_ref();
    let index = reference.and_then(|rule| rule.index).or(result.rule_index);
    let id = result.rule_id.as_deref().or(reference.and_then(|rule| rule.id.as_deref()));
    let named = reference.and_then(|rule| rule.tool_component.as_ref()).map(|wanted| {
        // Place 0 of a reference is the first extension; the driver stands before them here.
        let at = wanted.index.and_then(|index| usize::try_from(index).ok()).and_then(|index| components.get(index + 1));
        let named = |component: &&Component| {
            (wanted.guid.is_some() && component.guid == wanted.guid)
                || wanted.name.as_ref().is_some_and(|name| *name == component.name)
        };
        at.or_else(|| components.iter().find(named)).or(components.first())
    });
    match named {
        Some(component) => component?.rules.find(index, id),
        None => {
            let driver = components.first()?.rules.find(index, id);
            driver.or_else(|| components.iter().skip(1).find_map(|component| component.rules.find(None, id)))
        }
    }
}

/// The weakness that properties or taxa name.
pub fn weakness<'a>(properties: &wire::Properties, taxa: impl Iterator<Item = &'a wire::Reference>) -> Option<u32> {
    let said = properties.tags.0.iter().chain(&properties.cwe.0).filter_map(|text| identity::cwe(text));
    let taxa = taxa.filter_map(|taxon| {
        let id = taxon.id.as_deref()?;
        let is_cwe = taxon.tool_component.as_ref()?.name.as_deref()?.eq_ignore_ascii_case("CWE");
        identity::cwe(id).or_else(|| id.parse().ok().filter(|_| is_cwe))
    });
    said.chain(taxa).min()
}
