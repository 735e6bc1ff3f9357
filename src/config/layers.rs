//! The three layers, and which of them a key came from.

use std::path::{Path, PathBuf};

use figment::providers::{Format as _, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Profile, Provider as _};

use super::ConfigError;

/// Every key with its default.
pub const DEFAULTS: &str = include_str!("../../kiops.toml");

/// Lists that have no default to be known by.
const LISTS: [&str; 2] = ["command", "ok_exit_codes"];

pub(super) struct Layers {
    pub figment: Figment,
    layers: Vec<(String, Value)>,
}

impl Layers {
    pub fn read(file: Option<&Path>, env: &[(String, String)], dir: &Path) -> Result<Self, ConfigError> {
        let defaults = toml(DEFAULTS, "the built-in defaults")?;
        let mut layers = vec![("the built-in defaults".to_owned(), defaults.clone())];
        let path: PathBuf = file.map_or_else(|| dir.join("kiops.toml"), |f| dir.join(f));
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let name = path.display().to_string();
                layers.push((name.clone(), toml(&text, &name)?));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && file.is_none() => {}
            Err(e) => return Err(ConfigError::new("--config", path.display().to_string(), e.to_string())),
        }
        for (name, text) in env {
            let Some(keys) = keys_of(name) else { continue };
            let value = typed(find(&defaults, &keys), keys.last().map_or("", String::as_str), text);
            let nested = keys.iter().rev().fold(value, |inner, key| Value::from(Dict::from([(key.clone(), inner)])));
            layers.push((format!("the environment variable {name}"), nested));
        }
        layers[0].1 = layers.iter().skip(1).fold(defaults, |kept, (_, layer)| without_replaced(kept, layer));
        let figment = layers.iter().fold(Figment::new(), |f, (_, v)| f.merge(Serialized::defaults(v)));
        Ok(Self { figment, layers })
    }

    /// The uppermost layer that has the key.
    pub fn origin(&self, key: &str) -> String {
        let keys: Vec<String> = key.split('.').map(str::to_owned).collect();
        let found = self.layers.iter().rev().find(|(_, value)| find(value, &keys).is_some());
        found.map_or_else(|| "the configuration".to_owned(), |(name, _)| name.clone())
    }
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

fn toml(text: &str, from: &str) -> Result<Value, ConfigError> {
    let data = Toml::string(text).data().map_err(|e| ConfigError::new("", from.to_owned(), e.kind.to_string()))?;
    Ok(Value::from(data.get(&Profile::Default).cloned().unwrap_or_default()))
}

fn keys_of(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix("KIOPS_").filter(|rest| !rest.starts_with("TEST_") && rest.contains("__"))?;
    Some(rest.split("__").map(str::to_ascii_lowercase).collect())
}

fn find<'a>(value: &'a Value, keys: &[String]) -> Option<&'a Value> {
    keys.iter().try_fold(value, |value, key| match value {
        Value::Dict(_, dict) => dict.get(key),
        Value::Array(_, list) => list.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

/// A variable's text, read as its key's default says: text stays text.
fn typed(default: Option<&Value>, key: &str, text: &str) -> Value {
    match default {
        Some(Value::Array(..)) => list(text),
        Some(Value::Bool(..)) => match text {
            "true" => Value::from(true),
            "false" => Value::from(false),
            _ if key == "local_engine" => list(text),
            _ => Value::from(text),
        },
        Some(Value::Num(..)) => {
            let whole = text.parse::<i64>().map(Value::from).ok();
            whole.or_else(|| text.parse::<f64>().map(Value::from).ok()).unwrap_or_else(|| Value::from(text))
        }
        None if LISTS.contains(&key) => list(text),
        _ => Value::from(text),
    }
}

/// `["a", "b"]` or `a, b`; nothing is the empty list.
fn list(text: &str) -> Value {
    let text = text.trim();
    if text.starts_with('[') {
        let parsed = Toml::string(&format!("x = {text}")).data().ok();
        let value = parsed.and_then(|mut d| d.remove(&Profile::Default)).and_then(|mut d| d.remove("x"));
        return value.unwrap_or_else(|| Value::from(text));
    }
    Value::from(text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(Value::from).collect::<Vec<_>>())
}
