//! Server-side apply, and the other ways to change a part of an object.

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::fields::{self, Managers};
use super::kinds::Kind;
use super::schema::{ListKind, NEWEST};

/// Who applies, and whether they take fields from others.
pub struct Applier<'a> {
    pub manager: &'a str,
    pub force: bool,
}

/// Server-side apply: the object as it is then, with who owns what.
pub fn apply(kind: &Kind, live: &Value, given: &Value, applier: &Applier<'_>) -> Result<(Value, Managers), Refusal> {
    let definition = kind.definition();
    let node = NEWEST.definition(&definition).unwrap_or(&Value::Null);
    let mine = (applier.manager.to_owned(), "Apply".to_owned());
    let mut managers = fields::from_json(&live["metadata"]["managedFields"]);
    let wanted = fields::of(&definition, given);

    let mut conflicts = Vec::new();
    for (who, owned) in managers.iter_mut().filter(|(who, _)| **who != mine) {
        let taken: Vec<_> = owned
            .intersection(&wanted)
            .filter(|path| path.last().is_none_or(|last| last != "."))
            .filter(|path| fields::at(live, path) != fields::at(given, path))
            .cloned()
            .collect();
        for path in taken {
            conflicts.push((who.clone(), fields::shown(&path)));
            owned.remove(&path);
        }
    }
    if !conflicts.is_empty() && !applier.force {
        return Err(conflict(kind, &conflicts));
    }

    let mut object = merged(node, live, given);
    let before = managers.remove(&mine).unwrap_or_default();
    for path in before.difference(&wanted) {
        let inside = |other: &fields::Path| match path.last().map(String::as_str) {
            Some(".") => other.starts_with(&path[..path.len() - 1]),
            _ => other == path,
        };
        let still_mine = path.last().is_some_and(|last| last == ".") && wanted.iter().any(inside);
        if !still_mine && !managers.values().flatten().any(inside) {
            fields::remove(&mut object, path);
        }
    }
    managers.insert(mine, wanted);
    Ok((object, managers))
}

fn conflict(kind: &Kind, conflicts: &[((String, String), String)]) -> Refusal {
    let one = |((manager, _), path): &((String, String), String)| {
        format!("conflict with {manager:?} using {}: {path}", kind.api_version())
    };
    let message = match conflicts {
        [only] => format!("Apply failed with 1 conflict: {}", one(only)),
        many => {
            let all: Vec<String> = many.iter().map(one).collect();
            format!("Apply failed with {} conflicts: {}", many.len(), all.join("\n"))
        }
    };
    let causes = conflicts.iter().map(|(who, path)| {
        json!({ "reason": "FieldManagerConflict", "message": format!("conflict with {:?}", who.0), "field": path })
    });
    Refusal { causes: causes.collect(), ..Refusal::new(409, "Conflict", message) }
}

/// What was there with what is given on top, lists by their kinds.
pub fn merged(node: &Value, live: &Value, given: &Value) -> Value {
    match (live, given) {
        (Value::Object(old), Value::Object(new)) if !NEWEST.is_atomic(node) => {
            let mut all = old.clone();
            for (key, value) in new {
                let inner = NEWEST.property(node, key).unwrap_or(&Value::Null);
                let value = match all.get(key) {
                    Some(before) => merged(inner, before, value),
                    None => value.clone(),
                };
                all.insert(key.clone(), value);
            }
            Value::Object(all)
        }
        (Value::Array(old), Value::Array(new)) => match NEWEST.list_kind(node) {
            ListKind::Atomic => given.clone(),
            ListKind::Set => {
                let mut all = old.clone();
                all.extend(new.iter().filter(|item| !old.contains(item)).cloned());
                Value::Array(all)
            }
            ListKind::Map(keys) => {
                let mut all = old.clone();
                for item in new {
                    let step = fields::step(&keys, item);
                    match all.iter_mut().find(|before| fields::step(&keys, before) == step) {
                        Some(before) => *before = merged(NEWEST.items(node), before, item),
                        None => all.push(item.clone()),
                    }
                }
                Value::Array(all)
            }
        },
        _ => given.clone(),
    }
}

/// Who owns what after `manager` wrote `after` in one of the other ways.
pub fn updated(kind: &Kind, before: Option<&Value>, after: &Value, manager: &str) -> Managers {
    let definition = kind.definition();
    let old = before.cloned().unwrap_or_else(|| json!({}));
    let (had, has) = (fields::of(&definition, &old), fields::of(&definition, after));
    let mut managers = fields::from_json(&old["metadata"]["managedFields"]);
    let changed = has.iter().filter(|path| !had.contains(*path) || fields::at(&old, path) != fields::at(after, path));
    let changed: fields::Fields = changed.cloned().collect();
    for owned in managers.values_mut() {
        owned.retain(|path| has.contains(path) && !changed.contains(path));
    }
    managers.entry((manager.to_owned(), "Update".to_owned())).or_default().extend(changed);
    managers
}

/// RFC 7396: null takes away.
pub fn merge_patch(target: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut all = target.as_object().cloned().unwrap_or_default();
    for (key, value) in changes {
        if value.is_null() {
            all.remove(key);
        } else {
            let inner = merge_patch(all.get(key).unwrap_or(&Value::Null), value);
            all.insert(key.clone(), inner);
        }
    }
    Value::Object(all)
}

/// As a merge patch, but lists by their keys, with `$patch: delete` for items.
pub fn strategic(node: &Value, target: &Value, patch: &Value) -> Value {
    match (target, patch) {
        (_, Value::Object(changes)) => {
            let mut all: Map<String, Value> = target.as_object().cloned().unwrap_or_default();
            for (key, value) in changes {
                let inner = NEWEST.property(node, key).unwrap_or(&Value::Null);
                if value.is_null() {
                    all.remove(key);
                } else if key != "$patch" {
                    let value = strategic(inner, all.get(key).unwrap_or(&Value::Null), value);
                    all.insert(key.clone(), value);
                }
            }
            Value::Object(all)
        }
        (Value::Array(old), Value::Array(new)) => {
            let ListKind::Map(keys) = NEWEST.list_kind(node) else { return patch.clone() };
            let mut all = old.clone();
            for item in new {
                let step = fields::step(&keys, item);
                let at = all.iter().position(|before| fields::step(&keys, before) == step);
                match (at, item["$patch"] == "delete") {
                    (Some(at), true) => drop(all.remove(at)),
                    (Some(at), false) => all[at] = strategic(NEWEST.items(node), &all[at], item),
                    (None, false) => all.push(item.clone()),
                    (None, true) => {}
                }
            }
            Value::Array(all)
        }
        _ => patch.clone(),
    }
}
