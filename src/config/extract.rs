//! From layered values to the types, noting every value that is none of its type instead of stopping at the first.

use std::collections::BTreeSet;

use figment::error::Kind;
use figment::value::{Dict, Value};

use super::Config;
use super::layers::find;

/// What is wrong so far, by key.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Keys and messages.
    pub faults: Vec<(String, String)>,
    keys: BTreeSet<String>,
}

impl Noted {
    /// Notes a fault, unless something is wrong with the key already: what is said of it then, of what is in its table or of the
    /// table that it is in may be true only because of that.
    pub fn add(&mut self, key: String, message: String) {
        let plain = key.strip_suffix("_file").unwrap_or(&key).to_owned();
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if self.keys.iter().any(|known| within(&plain, known) || within(known, &plain)) {
            return;
        }
        self.keys.insert(plain);
        self.faults.push((key, message));
    }
}

/// Faults beyond these are not looked for.
const MOST: usize = 1_000;

/// Fills the types. Where a value is none of its type or missing, the default or another value of the type stands in, so that
/// all the rest can be looked at too.
///
/// # Errors
/// The faults alone, when nothing can stand in.
pub(super) fn extract(mut value: Value, defaults: &Value) -> Result<(Config, Noted), Noted> {
    let mut noted = Noted::default();
    let mut tried: Option<(Vec<String>, usize)> = None;
    for _ in 0..MOST {
        let error = match value.deserialize::<Config>() {
            Ok(config) => return Ok((config, noted)),
            Err(error) => error,
        };
        let (path, wrong) = what(&error);
        let key = path.join(".");
        match wrong {
            Wrong::Unknown => {
                noted.add(key, "there is no such key".to_owned());
                if !remove(&mut value, &path) {
                    return Err(noted);
                }
                tried = None;
            }
            Wrong::Value(message) => {
                noted.add(key, message);
                let attempt = match tried {
                    Some((last, attempt)) if last == path => attempt + 1,
                    _ => 0,
                };
                let Some(next) = stand_in(attempt, find(defaults, &path)) else { return Err(noted) };
                let placed = match next {
                    Some(next) => insert(&mut value, &path, next),
                    // It may be gone already.
                    None => {
                        remove(&mut value, &path);
                        true
                    }
                };
                if !placed {
                    return Err(noted);
                }
                tried = Some((path, attempt));
            }
        }
    }
    Err(noted)
}

enum Wrong {
    Unknown,
    Value(String),
}

/// Where the error is and what it is, without the value.
fn what(error: &figment::Error) -> (Vec<String>, Wrong) {
    let mut path = error.path.clone();
    let wrong = match &error.kind {
        Kind::UnknownField(name, _) => {
            if path.last() != Some(name) {
                path.push(name.clone());
            }
            Wrong::Unknown
        }
        Kind::MissingField(name) => {
            path.push(name.to_string());
            Wrong::Value("this key is needed".to_owned())
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            let needed = match expected.to_string().as_str() {
                "u16" | "u32" | "u64" | "usize" | "i32" | "i64" => "a whole number".to_owned(),
                "f64" => "a number".to_owned(),
                other => other.to_owned(),
            };
            Wrong::Value(format!("{needed} is needed"))
        }
        Kind::UnknownVariant(_, known) => Wrong::Value(format!("{} is needed", known.join(" or "))),
        other => Wrong::Value(other.to_string()),
    };
    (path, wrong)
}

/// What is tried in place of a value: the default, nothing, then one value after the other until one is of the type. The inner
/// none is nothing; the outer one says that all was tried.
fn stand_in(attempt: usize, default: Option<&Value>) -> Option<Option<Value>> {
    const TEXTS: [&str; 9] = ["", "1s", "1Gi", "ADMIN", "GITLAB", "NODE_PORT", "sarif", "pretty", "127.0.0.1:1"];
    let others: [Value; 6] = [
        Value::from(1_u8),
        Value::from(1.0_f64),
        Value::from(true),
        Value::from(Dict::new()),
        Value::from(Vec::<Value>::new()),
        Value::from(vec!["kiops"]),
    ];
    match attempt {
        0 => Some(default.cloned()),
        1 => Some(None),
        n => TEXTS.iter().map(|text| Value::from(*text)).chain(others).nth(n - 2).map(Some),
    }
}

fn table_of<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Dict(_, dict) => dict.get_mut(key),
        Value::Array(_, list) => list.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    })
}

/// False where there is no such key.
fn remove(value: &mut Value, path: &[String]) -> bool {
    let Some((last, above)) = path.split_last() else { return false };
    match table_of(value, above) {
        Some(Value::Dict(_, dict)) => dict.remove(last).is_some(),
        _ => false,
    }
}

/// False where there is no such table.
fn insert(value: &mut Value, path: &[String], new: Value) -> bool {
    let Some((last, above)) = path.split_last() else { return false };
    match table_of(value, above) {
        Some(Value::Dict(_, dict)) => {
            dict.insert(last.clone(), new);
            true
        }
        Some(Value::Array(_, list)) => {
            let slot = last.parse::<usize>().ok().and_then(|i| list.get_mut(i));
            slot.map(|slot| *slot = new).is_some()
        }
        _ => false,
    }
}
