//! Where each key of a configuration stands.

use std::collections::BTreeMap;

use figment::value::Value;

use super::document::below;
use super::faults::{ConfigFault, ConfigFaults};

/// Keys and where they stand, without their values, which may be secrets.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The lowest first.
    pub(super) layers: Vec<Layer>,
}

/// One source of keys.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// `kiops.toml`, or the name of an environment variable.
    name: String,
    /// Each key, and its line where it has one.
    keys: BTreeMap<String, Option<usize>>,
}

impl Places {
    /// Where a key stands: in the uppermost layer that has it, or else that has the table which it is missing in.
    #[must_use]
    pub fn of(&self, key: &str) -> String {
        self.layer_of(key).map_or_else(
            || "the configuration".to_owned(),
            |(layer, line)| line.map_or_else(|| layer.name.clone(), |line| format!("{}:{line}", layer.name)),
        )
    }

    /// These faults by their place.
    #[must_use]
    pub fn faults(&self, faults: Vec<(String, String)>) -> ConfigFaults {
        let mut placed: Vec<_> = faults
            .into_iter()
            .map(|(key, message)| {
                let key = self.spelled(key);
                let order = self
                    .layer_of(&key)
                    .map(|(layer, line)| (self.layers.iter().position(|one| one.name == layer.name), line));
                (order, ConfigFault { place: self.of(&key), key, message })
            })
            .collect();
        placed.sort_by_key(|(order, _)| *order);
        ConfigFaults(placed.into_iter().map(|(_, fault)| fault).collect())
    }

    /// A secret is given as `x` or as `x_file`: the one that is there.
    fn spelled(&self, key: String) -> String {
        let file = format!("{key}_file");
        let has = |key: &str| self.layers.iter().any(|layer| layer.has(key));
        if !has(&key) && has(&file) { file } else { key }
    }

    fn layer_of(&self, key: &str) -> Option<(&Layer, Option<usize>)> {
        let mut key = key.to_owned();
        loop {
            if let Some(layer) = self.layers.iter().rev().find(|layer| layer.has(&key)) {
                return Some((layer, layer.keys.get(&key).copied().flatten()));
            }
            key.truncate(key.rfind('.')?);
        }
    }
}

impl Layer {
    /// Keys that have lines.
    pub(super) fn of_file(name: String, lines: BTreeMap<String, usize>) -> Self {
        Self { name, keys: lines.into_iter().map(|(key, line)| (key, Some(line))).collect() }
    }

    /// The keys of a value, which has none.
    pub(super) fn of_value(name: String, value: &Value) -> Self {
        let mut keys = BTreeMap::new();
        gather(value, "", &mut keys);
        Self { name, keys }
    }

    fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }
}

fn gather(value: &Value, key: &str, keys: &mut BTreeMap<String, Option<usize>>) {
    if !key.is_empty() {
        keys.insert(key.to_owned(), None);
    }
    match value {
        Value::Dict(_, dict) => dict.iter().for_each(|(name, inner)| gather(inner, &below(key, name), keys)),
        Value::Array(_, list) => {
            list.iter().enumerate().for_each(|(i, inner)| gather(inner, &below(key, &i.to_string()), keys));
        }
        _ => {}
    }
}
