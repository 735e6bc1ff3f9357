//! Which fields an object has, as paths, and who owns which (metadata.managedFields).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::schema::{ListKind, NEWEST};

/// A step: `f:name`, `k:{"name":"x"}`, `v:"x"`, or `.`, which is the item itself.
pub type Path = Vec<String>;

/// A set of fields.
pub type Fields = BTreeSet<Path>;

/// Who owns what: by manager and operation (`Apply`, `Update`).
pub type Managers = BTreeMap<(String, String), Fields>;

/// The fields of an object that somebody can own.
pub fn of(definition: &str, object: &Value) -> Fields {
    let mut found = Fields::new();
    let Some(node) = NEWEST.definition(definition) else { return found };
    walk(node, object, &mut Path::new(), &mut found);
    found.retain(|path| !is_of_the_server(path));
    found
}

fn is_of_the_server(path: &Path) -> bool {
    const OWN: [&str; 9] = [
        "f:name",
        "f:namespace",
        "f:uid",
        "f:resourceVersion",
        "f:generation",
        "f:creationTimestamp",
        "f:managedFields",
        "f:deletionTimestamp",
        "f:selfLink",
    ];
    match path.first().map(String::as_str) {
        Some("f:apiVersion" | "f:kind" | "f:status") => true,
        Some("f:metadata") => path.get(1).is_none_or(|second| OWN.contains(&second.as_str())),
        _ => false,
    }
}

fn walk(node: &Value, value: &Value, path: &mut Path, found: &mut Fields) {
    match value {
        Value::Object(fields) if !NEWEST.is_atomic(node) && !fields.is_empty() => {
            for (key, inner) in fields {
                path.push(format!("f:{key}"));
                walk(NEWEST.property(node, key).unwrap_or(&Value::Null), inner, path, found);
                path.pop();
            }
        }
        Value::Array(items) => match NEWEST.list_kind(node) {
            ListKind::Atomic => {
                found.insert(path.clone());
            }
            ListKind::Set => {
                for item in items {
                    path.push(format!("v:{item}"));
                    found.insert(path.clone());
                    path.pop();
                }
            }
            ListKind::Map(keys) => {
                for item in items {
                    path.push(step(&keys, item));
                    found.insert([path.clone(), vec![".".to_owned()]].concat());
                    walk(NEWEST.items(node), item, path, found);
                    path.pop();
                }
            }
        },
        _ => {
            found.insert(path.clone());
        }
    }
}

/// The step to an item of a list that is merged by keys.
pub fn step(keys: &[String], item: &Value) -> String {
    let of_item: Map<String, Value> = keys
        .iter()
        .filter_map(|key| Some((key.clone(), item.get(key).cloned().or_else(|| default_of(key))?)))
        .collect();
    format!("k:{}", Value::Object(of_item))
}

/// A key that is not written has its default.
fn default_of(key: &str) -> Option<Value> {
    (key == "protocol").then(|| json!("TCP"))
}

/// What stands at a path; none where there is nothing.
pub fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    let Some((first, rest)) = path.split_first() else { return Some(value) };
    if first == "." {
        return Some(value);
    }
    let inner = match first.split_once(':')? {
        ("f", key) => value.get(key)?,
        (kind, text) => value.as_array()?.iter().find(|item| is_item(kind, text, item))?,
    };
    at(inner, rest)
}

/// Takes away what stands at a path, and mappings and lists that are empty then.
pub fn remove(value: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    let last = rest.is_empty() || rest == ["."];
    match first.split_once(':') {
        Some(("f", key)) => {
            let Some(fields) = value.as_object_mut() else { return };
            if last {
                fields.remove(key);
            } else if let Some(inner) = fields.get_mut(key) {
                remove(inner, rest);
                if is_empty(inner) {
                    fields.remove(key);
                }
            }
        }
        Some((kind, text)) => {
            let Some(items) = value.as_array_mut() else { return };
            if last {
                items.retain(|item| !is_item(kind, text, item));
            } else if let Some(item) = items.iter_mut().find(|item| is_item(kind, text, item)) {
                remove(item, rest);
            }
        }
        None => {}
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn is_item(kind: &str, text: &str, item: &Value) -> bool {
    let Ok(wanted) = serde_json::from_str::<Value>(text) else { return false };
    if kind == "v" {
        return *item == wanted;
    }
    wanted.as_object().is_some_and(|wanted| {
        wanted.iter().all(|(key, value)| item.get(key).cloned().or_else(|| default_of(key)).as_ref() == Some(value))
    })
}

/// A path as sentences have it: `.spec.template.spec.containers[name="web"].image`.
pub fn shown(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        match part.split_once(':') {
            Some(("f", key)) => {
                text.push('.');
                text.push_str(key);
            }
            Some(("k", keys)) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                text.push_str(&format!("[{}]", keys.join(",")));
            }
            Some((_, value)) => text.push_str(&format!("[={value}]")),
            None => {}
        }
    }
    text
}

/// As metadata.managedFields has it.
pub fn to_json(managers: &Managers, api_version: &str, time: &str) -> Value {
    let entries = managers.iter().filter(|(_, fields)| !fields.is_empty()).map(|((manager, operation), fields)| {
        let mut tree = Value::Object(Map::new());
        for path in fields {
            let mut here = &mut tree;
            for part in path {
                here = &mut here[part.as_str()];
                if here.is_null() {
                    *here = json!({});
                }
            }
        }
        json!({
            "manager": manager, "operation": operation, "apiVersion": api_version, "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": tree,
        })
    });
    Value::Array(entries.collect())
}

/// From metadata.managedFields.
pub fn from_json(value: &Value) -> Managers {
    let mut managers = Managers::new();
    for entry in value.as_array().into_iter().flatten() {
        let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let mut fields = Fields::new();
        leaves(&entry["fieldsV1"], &mut Path::new(), &mut fields);
        managers.insert((word("manager"), word("operation")), fields);
    }
    managers
}

fn leaves(tree: &Value, path: &mut Path, found: &mut Fields) {
    match tree.as_object() {
        Some(fields) if !fields.is_empty() => {
            for (key, inner) in fields {
                path.push(key.clone());
                leaves(inner, path, found);
                path.pop();
            }
        }
        _ if path.is_empty() => {}
        _ => {
            found.insert(path.clone());
        }
    }
}
