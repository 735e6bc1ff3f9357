//! Fields of an answer in the order in which they were asked for, as the specification wants them ("Serialized Map
//! Ordering"): the library puts them in the order in which they were ready.

use async_graphql::parser::types::SelectionSet;
use async_graphql::{Name, Request, Value};

use super::asked::{Asked, Key};
use super::limits::chosen;
use super::settle::HIDDEN;

/// What was asked for, by response key, each key once, where it first stands.
#[derive(Debug, Default)]
pub struct Order(Vec<Place>);

/// What was asked for under a key.
#[derive(Debug)]
pub struct Place {
    key: Name,
    /// The field, and the type of which it is where a fragment said one.
    pub field: (Name, Option<Name>),
    /// What was asked for below it.
    pub below: Order,
}

impl Order {
    /// What this request's operation asks for. A document that can't be read, or an operation that can't be chosen, has
    /// no answer that could be out of order.
    #[must_use]
    pub fn of(request: &mut Request) -> Self {
        let (name, variables) = (request.operation_name.clone(), std::mem::take(&mut request.variables));
        let order = request.parsed_query().ok().and_then(|document| {
            let (_, operation) = chosen(document, name.as_deref())?;
            let asked = Asked { document, variables: &variables };
            Some(Self::below(&asked, &[&operation.selection_set.node]))
        });
        request.variables = variables;
        order.unwrap_or_default()
    }

    fn below(asked: &Asked<'_>, sets: &[&SelectionSet]) -> Self {
        let place = |key: Key<'_>| {
            let (field, on) = key.fields[0];
            let field = (field.node.name.node.clone(), on.cloned());
            Place { key: key.name.clone(), field, below: Self::below(asked, &key.below()) }
        };
        Self(asked.keys(sets).into_iter().map(place).collect())
    }

    /// What was asked for under this key.
    #[must_use]
    pub fn at(&self, key: &str) -> Option<&Place> {
        self.0.iter().find(|place| place.key == key)
    }

    /// Puts the fields of an answer in order, and takes away what was asked beside them. Of several types' fields, those of the
    /// fragment that stands first come first, whichever type it is.
    pub fn apply(&self, value: &mut Value) {
        match value {
            Value::List(items) => items.iter_mut().for_each(|item| self.apply(item)),
            Value::Object(fields) if !self.0.is_empty() => {
                if self.at(HIDDEN).is_some() {
                    fields.shift_remove(HIDDEN);
                }
                let mut asked = self.0.iter();
                if !fields.keys().all(|key| asked.any(|place| place.key == *key)) {
                    let place = |key: &Name| self.0.iter().position(|place| place.key == *key);
                    fields.sort_by_cached_key(|key, _| place(key));
                }
                // Both are in the same order now; of several types' fields some may be missing.
                let mut asked = self.0.iter();
                for (key, below) in fields {
                    if let Some(place) = asked.find(|place| place.key == *key) {
                        place.below.apply(below);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::settle::settle;
    use super::*;

    fn ordered(document: &str, answer: serde_json::Value) -> String {
        let mut request = Request::new(document);
        settle(&mut request, crate::domain::policy::Standing::Admin).expect("it can be merged");
        let mut value = Value::from_json(answer).expect("it is an answer");
        Order::of(&mut request).apply(&mut value);
        serde_json::to_string(&value).expect("an answer is JSON")
    }

    #[test]
    fn fields_come_as_they_were_asked_for() {
        let two = json!([{ "b": 2, "a": 1 }, { "a": 1, "b": 2 }]);
        assert_eq!(
            ordered("{ x: other list { b a } }", json!({ "x": null, "list": two })),
            r#"{"x":null,"list":[{"b":2,"a":1},{"b":2,"a":1}]}"#
        );
    }

    #[test]
    fn fragments_stand_where_they_are_spread_and_a_key_where_it_is_first() {
        let answer = json!({ "thing": { "a": 1, "b": 2, "c": { "x": 2, "y": 1 }, "d": 4 } });
        let document = "query Q { thing { d ...F ... on T { a } c { x } } } fragment F on U { c { y } b }";
        assert_eq!(ordered(document, answer), r#"{"thing":{"d":4,"c":{"y":1,"x":2},"b":2,"a":1}}"#);
    }

    #[test]
    fn what_is_skipped_has_no_place() {
        let answer = json!({ "b": 2, "a": 1, "c": 3 });
        let document = "query($no: Boolean = false) { c @include(if: $no) a @skip(if: true) b a c }";
        assert_eq!(ordered(document, answer), r#"{"b":2,"a":1,"c":3}"#);
    }

    #[test]
    fn what_is_missing_or_a_map_of_its_own_is_left_as_it_is() {
        let answer = json!({ "map": { "a": 2, "z": 1 }, "thing": { "a": 1, "c": 3 } });
        assert_eq!(ordered("{ thing { c b a } map }", answer), r#"{"thing":{"c":3,"a":1},"map":{"a":2,"z":1}}"#);
    }
}
