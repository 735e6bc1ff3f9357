//! Reading YAML that a stranger wrote: bounded in depth and in what its aliases unfold to.

use std::cell::Cell;
use std::fmt;

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_norway::{Mapping, Value};

/// The most bytes that a file may have.
const MAX_BYTES: usize = 256 * 1024;

/// The most that it may be once every alias is replaced by what it stands for: texts' bytes, and a price for
/// each node.
const MAX_UNFOLDED: usize = 4 * 1024 * 1024;
const NODE: usize = 32;

/// No file that is read here nests brackets like this; the scanner takes the square of it.
const MAX_OPEN_BRACKETS: usize = 100;

/// The one document of a file, its merge keys resolved.
///
/// # Errors
/// In words that quote keys at most, never a value.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let bad = |message: &str| Err(message.to_owned());
    if text.len() > MAX_BYTES {
        return bad("the file has more than 256 KiB");
    }
    if open_brackets(text) > MAX_OPEN_BRACKETS {
        return bad("the file has too many brackets in each other");
    }
    let budget = Cell::new(MAX_UNFOLDED);
    let mut documents = serde_norway::Deserializer::from_str(text);
    let Some(first) = documents.next() else { return bad("the file is empty") };
    let value = Node(&budget).deserialize(first).map_err(|e| e.to_string())?;
    if let Some(second) = documents.next() {
        serde::de::IgnoredAny::deserialize(second).map_err(|e| e.to_string())?;
        return bad("the file holds more than one YAML document");
    }
    Ok(value)
}

fn open_brackets(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// Reads any node, as long as the budget lasts.
struct Node<'a>(&'a Cell<usize>);

impl Node<'_> {
    fn spend<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.0.get().checked_sub(bytes.saturating_add(NODE));
        self.0.set(left.unwrap_or_default());
        left.map(|_| ()).ok_or_else(|| E::custom("the file's aliases unfold to too much"))
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.spend(0).map(|()| Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.spend(0).map(|()| Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.spend(0).map(|()| Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.spend(0).map(|()| Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.spend(0).map(|()| Value::from(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.spend(text.len()).map(|()| Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.spend(0)?;
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(Node(self.0))? {
            all.push(item);
        }
        Ok(Value::Sequence(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.spend(0)?;
        let mut all = Mapping::new();
        let mut merged = Vec::new();
        while let Some(key) = entries.next_key_seed(Node(self.0))? {
            let value = entries.next_value_seed(Node(self.0))?;
            if key.as_str() == Some("<<") {
                merged.push(value);
                continue;
            }
            if all.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {} stands twice in one mapping", show(&key))));
            }
            all.insert(key, value);
        }
        for value in merged {
            merge(&mut all, value)?;
        }
        Ok(Value::Mapping(all))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(A::Error::custom("YAML tags (words that start with !) are not read"))
    }
}

/// A scalar as text, for paths and values.
pub(super) fn show(value: &Value) -> String {
    text(value).unwrap_or_else(|| "?".to_owned())
}

/// A scalar as text; none of anything else.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => None,
    }
}

/// What stands in the mapping itself wins, then what was merged first.
fn merge<E: Error>(into: &mut Mapping, value: Value) -> Result<(), E> {
    match value {
        Value::Mapping(entries) => {
            for (key, value) in entries {
                into.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Sequence(items) => items.into_iter().try_for_each(|item| match item {
            Value::Mapping(_) => merge(into, item),
            _ => Err(E::custom("a merge key (<<) takes mappings only")),
        }),
        _ => Err(E::custom("a merge key (<<) takes mappings only")),
    }
}
