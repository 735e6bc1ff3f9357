//! The published schemas, as tests/fixtures/kubernetes/cut.py cut them, and what they say against an object.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// One version's definitions.
pub struct Schemas(Map<String, Value>);

/// The newest version that is supported: what the double serves.
pub static NEWEST: LazyLock<Schemas> =
    LazyLock::new(|| Schemas::parse(include_str!("../../../fixtures/kubernetes/v1.37.json")));
/// The oldest: what is written has to be good there too.
pub static OLDEST: LazyLock<Schemas> =
    LazyLock::new(|| Schemas::parse(include_str!("../../../fixtures/kubernetes/v1.25.json")));

/// What is wrong with an object.
#[derive(Debug, Default)]
pub struct Faults {
    /// Paths of fields that the schema does not know: refused by strict validation, else dropped.
    pub unknown: Vec<String>,
    /// Values of the wrong type: they can't be read at all.
    pub wrong: Vec<String>,
    /// Needed fields that are missing, and values outside of an enumeration: `path: sentence`.
    pub invalid: Vec<String>,
}

/// How a list is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListKind {
    /// Replaced as a whole.
    Atomic,
    /// Each value once.
    Set,
    /// By these keys of its items.
    Map(Vec<String>),
}

impl Schemas {
    fn parse(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap())
    }

    /// A definition by its full name; none where this version has no such kind.
    pub fn definition(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    fn resolved<'a>(&'a self, node: &'a Value) -> &'a Value {
        match node["$ref"].as_str() {
            Some(name) => self.0.get(name).unwrap_or(&Value::Null),
            None => node,
        }
    }

    /// The schema of a property; none where there is no such one.
    pub fn property<'a>(&'a self, node: &'a Value, key: &str) -> Option<&'a Value> {
        let node = self.resolved(node);
        node["properties"].get(key).or_else(|| node.get("additionalProperties"))
    }

    /// The schema of a list's items.
    pub fn items<'a>(&'a self, node: &'a Value) -> &'a Value {
        &self.resolved(node)["items"]
    }

    /// How a list at this place is merged.
    pub fn list_kind(&self, node: &Value) -> ListKind {
        let here = self.resolved(node);
        let words = |at: &Value| -> Vec<String> {
            at.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        match here["x-kubernetes-list-type"].as_str() {
            Some("map") => ListKind::Map(words(&here["x-kubernetes-list-map-keys"])),
            Some("set") => ListKind::Set,
            Some(_) => ListKind::Atomic,
            None => match (here["x-kubernetes-patch-strategy"].as_str(), here["x-kubernetes-patch-merge-key"].as_str())
            {
                (Some(strategy), Some(key)) if strategy.contains("merge") => ListKind::Map(vec![key.to_owned()]),
                (Some("merge"), None) => ListKind::Set,
                _ => ListKind::Atomic,
            },
        }
    }

    /// Whether a mapping at this place is replaced as a whole, like a selector.
    pub fn is_atomic(&self, node: &Value) -> bool {
        // The mark stands beside the reference or on what it refers to.
        [node, self.resolved(node)].iter().any(|node| node["x-kubernetes-map-type"] == "atomic")
    }

    /// Whether nothing is said of what is inside.
    fn is_open(&self, node: &Value) -> bool {
        node.get("properties").is_none() && node.get("additionalProperties").is_none()
    }

    /// What is wrong with a value of a definition.
    pub fn check(&self, definition: &str, value: &Value) -> Faults {
        let mut faults = Faults::default();
        if let Some(node) = self.definition(definition) {
            self.walk(node, value, "", &mut faults);
        }
        faults
    }

    fn walk(&self, node: &Value, value: &Value, path: &str, faults: &mut Faults) {
        let node = self.resolved(node);
        if let Some(choices) = node["oneOf"].as_array() {
            if !choices.iter().any(|choice| is_of(&choice["type"], value)) {
                faults.wrong.push(path.to_owned());
            }
            return;
        }
        // A null is as if the field was not there.
        if value.is_null() {
            return;
        }
        if !is_of(&node["type"], value) {
            faults.wrong.push(format!("{path}: {} is no {}", shown(value), node["type"]));
            return;
        }
        if let Some(words) = node["enum"].as_array()
            && !words.contains(value)
        {
            faults.invalid.push(format!("{path}: Unsupported value: {}", shown(value)));
        }
        if node["format"] == "byte" && !value.as_str().is_some_and(is_base64) {
            faults.wrong.push(format!("{path}: illegal base64 data"));
        }
        match value {
            Value::Object(fields) => {
                for (key, inner) in fields {
                    let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    match self.property(node, key) {
                        Some(schema) => self.walk(schema, inner, &at, faults),
                        None if self.is_open(node) => {}
                        None => faults.unknown.push(at),
                    }
                }
                for key in node["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if fields.get(key).is_none_or(Value::is_null) {
                        let at = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                        faults.invalid.push(format!("{at}: Required value"));
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.walk(&node["items"], item, &format!("{path}[{index}]"), faults);
                }
            }
            _ => {}
        }
    }
}

fn is_of(kinds: &Value, value: &Value) -> bool {
    let is = |kind: &str| match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        _ => true,
    };
    match kinds {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}
