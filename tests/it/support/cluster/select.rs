//! Label and field selectors.

use serde_json::Value;

use super::answer::Refusal;
use super::store::text;

/// Which objects are meant.
#[derive(Debug, Default, Clone)]
pub struct Selector {
    labels: Vec<Term>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Debug, Clone)]
enum Term {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Has(String),
    Lacks(String),
}

/// Fields that can be selected by; a real server knows some more for some kinds.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "involvedObject.kind",
    "involvedObject.name",
    "involvedObject.namespace",
    "involvedObject.uid",
    "reason",
    "status.phase",
    "spec.nodeName",
];

impl Selector {
    /// From `labelSelector` and `fieldSelector`.
    pub fn parse(labels: &str, fields: &str) -> Result<Self, Refusal> {
        let mut selector = Self::default();
        for part in split(labels) {
            selector.labels.push(term(&part)?);
        }
        for part in fields.split(',').filter(|part| !part.is_empty()) {
            let (key, is, value) = match (part.split_once("!="), part.split_once("==").or_else(|| part.split_once('=')))
            {
                (Some((key, value)), _) => (key, false, value),
                (None, Some((key, value))) => (key, true, value),
                (None, None) => return Err(Refusal::bad_request(format!("invalid field selector {part:?}"))),
            };
            if !FIELDS.contains(&key) {
                return Err(Refusal::bad_request(format!("field label not supported: {key}")));
            }
            selector.fields.push((key.to_owned(), is, value.to_owned()));
        }
        Ok(selector)
    }

    /// Whether an object is meant.
    pub fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"][key].as_str();
        let fits = |term: &Term| match term {
            Term::In(key, values) => label(key).is_some_and(|value| values.iter().any(|one| one == value)),
            Term::NotIn(key, values) => label(key).is_none_or(|value| !values.iter().any(|one| one == value)),
            Term::Has(key) => label(key).is_some(),
            Term::Lacks(key) => label(key).is_none(),
        };
        let field = |(key, is, value): &(String, bool, String)| {
            let there = object.pointer(&format!("/{}", key.replace('.', "/"))).map(text).unwrap_or_default();
            (there == *value) == *is
        };
        self.labels.iter().all(fits) && self.fields.iter().all(field)
    }
}

/// At commas, but not inside of parentheses.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut open) = (vec![String::new()], false);
    for sign in text.chars() {
        match sign {
            ',' if !open => parts.push(String::new()),
            _ => {
                open = (open || sign == '(') && sign != ')';
                if let Some(part) = parts.last_mut() {
                    part.push(sign);
                }
            }
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn term(part: &str) -> Result<Term, Refusal> {
    let bad = || Refusal::bad_request(format!("unable to parse requirement: {part:?}"));
    let values = |list: &str| -> Result<Vec<String>, Refusal> {
        let inside = list.trim().strip_prefix('(').and_then(|list| list.strip_suffix(')')).ok_or_else(bad)?;
        Ok(inside.split(',').map(|value| value.trim().to_owned()).collect())
    };
    let key = |key: &str| key.trim().to_owned();
    if let Some((name, list)) = part.split_once(" notin ") {
        return Ok(Term::NotIn(key(name), values(list)?));
    }
    if let Some((name, list)) = part.split_once(" in ") {
        return Ok(Term::In(key(name), values(list)?));
    }
    if let Some((name, value)) = part.split_once("!=") {
        return Ok(Term::NotIn(key(name), vec![key(value)]));
    }
    if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Term::In(key(name), vec![key(value)]));
    }
    match part.strip_prefix('!') {
        Some(name) => Ok(Term::Lacks(key(name))),
        None if part.contains(char::is_whitespace) => Err(bad()),
        None => Ok(Term::Has(key(part))),
    }
}
