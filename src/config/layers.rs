//! The three layers, and which of them a key came from.

use std::path::Path;

use figment::Figment;
use figment::providers::Serialized;
use figment::value::{Dict, Value};

use super::document::{self, Document};
use super::faults::{ConfigFault, ConfigFaults};
use super::places::{Layer, Places};

/// Every key with its default.
pub const DEFAULTS: &str = include_str!("../../kiops.toml");

pub(super) struct Layers {
    /// All layers together.
    pub merged: Value,
    /// The lowest alone.
    pub defaults: Value,
    /// Where each key comes from.
    pub places: Places,
}

impl Layers {
    /// # Errors
    /// Every line at which the file is no TOML, or why it can't be read.
    pub fn read(file: Option<&Path>, env: &[(String, String)], dir: &Path) -> Result<Self, ConfigFaults> {
        let built_in = "the built-in defaults".to_owned();
        let read = Document::read(DEFAULTS).map_err(|faults| no_toml(&built_in, faults))?;
        let mut values = vec![read.value.clone()];
        let mut places = vec![Layer::of_value(built_in, &read.value)];
        let path = dir.join(file.unwrap_or(Path::new("kiops.toml")));
        let name = path.strip_prefix(".").unwrap_or(&path).display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let document = Document::read(&text).map_err(|faults| no_toml(&name, faults))?;
                values.push(document.value);
                places.push(Layer::of_file(name, document.lines));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && file.is_none() => {}
            Err(e) => {
                let fault = ConfigFault { place: name, key: "--config".to_owned(), message: e.to_string() };
                return Err(ConfigFaults(vec![fault]));
            }
        }
        for (name, text) in env {
            let Some(keys) = keys_of(name) else { continue };
            let value = typed(find(&read.value, &keys).cloned().or_else(|| like(&keys)).as_ref(), &keys, text);
            let nested = keys.iter().rev().fold(value, |inner, key| Value::from(Dict::from([(key.clone(), inner)])));
            places.push(Layer::of_value(name.clone(), &nested));
            values.push(nested);
        }
        let defaults = values.iter().skip(1).fold(read.value, without_replaced);
        values[0] = defaults.clone();
        let figment = values.iter().fold(Figment::new(), |f, value| f.merge(Serialized::defaults(value)));
        let merged = figment.extract().map_err(|e| no_toml("the configuration", vec![(0, e.kind.to_string())]))?;
        Ok(Self { merged, defaults, places: Places { layers: places } })
    }
}

fn no_toml(name: &str, faults: Vec<(usize, String)>) -> ConfigFaults {
    let fault = |(line, message)| ConfigFault { place: format!("{name}:{line}"), key: String::new(), message };
    ConfigFaults(faults.into_iter().map(fault).collect())
}

/// The defaults without the scanners that another layer declares itself. Whoever gives a command means all of that tool: what
/// comes with KIOPS under the same name, its image and that it is off, would be a surprise.
fn without_replaced(defaults: Value, layer: &Value) -> Value {
    let of = |value: &Value| match find(value, &["scan".to_owned(), "tools".to_owned()]) {
        Some(Value::Dict(_, tools)) => tools.clone(),
        _ => Dict::new(),
    };
    let command = ["command".to_owned()];
    let declared: Vec<String> =
        of(layer).into_iter().filter(|(_, tool)| find(tool, &command).is_some()).map(|(name, _)| name).collect();
    let Value::Dict(tag, mut all) = defaults else { return defaults };
    if let Some(Value::Dict(_, scan)) = all.get_mut("scan")
        && let Some(Value::Dict(_, tools)) = scan.get_mut("tools")
    {
        tools.retain(|name, _| !declared.contains(name));
    }
    Value::Dict(tag, all)
}

fn keys_of(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix("KIOPS_").filter(|rest| !rest.starts_with("TEST_") && rest.contains("__"))?;
    Some(rest.split("__").map(str::to_ascii_lowercase).collect())
}

/// What a layer says of a key.
pub(super) fn find<'a>(value: &'a Value, keys: &[String]) -> Option<&'a Value> {
    keys.iter().try_fold(value, |value, key| match value {
        Value::Dict(_, dict) => dict.get(key),
        Value::Array(_, list) => list.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

/// A variable's text, read as its key's default says: text stays text.
fn typed(default: Option<&Value>, keys: &[String], text: &str) -> Value {
    match default {
        Some(Value::Array(..)) => list(text),
        Some(Value::Bool(..)) => match text {
            "true" => Value::from(true),
            "false" => Value::from(false),
            _ if keys.last().is_some_and(|key| key == "local_engine") => list(text),
            _ => Value::from(text),
        },
        Some(Value::Num(..)) => {
            let whole = text.parse::<i64>().map(Value::from).ok();
            whole.or_else(|| text.parse::<f64>().map(Value::from).ok()).unwrap_or_else(|| Value::from(text))
        }
        _ => Value::from(text),
    }
}

/// A value of the kind of a key that has no default, because it belongs to a scanner or a profile that teams name themselves; none
/// where that is text.
fn like(keys: &[String]) -> Option<Value> {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    match keys.as_slice() {
        ["scan", "tools", _, "command" | "ok_exit_codes"] => Some(Value::from(Vec::<Value>::new())),
        ["scan", "tools", _, "enabled" | "network" | "history"] => Some(Value::from(false)),
        ["scan", "tools", _, "cpu" | "max_report_bytes"] | ["build", "profiles", _, "cpu"] => Some(Value::from(0)),
        _ => None,
    }
}

/// `["a", "b"]` or `a, b`; nothing is the empty list.
fn list(text: &str) -> Value {
    let text = text.trim();
    if text.starts_with('[') {
        return document::value(text).unwrap_or_else(|| Value::from(text));
    }
    Value::from(text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(Value::from).collect::<Vec<_>>())
}
