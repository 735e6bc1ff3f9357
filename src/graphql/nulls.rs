//! What fails where null is not allowed makes null of what it belongs to, as far up as null is allowed (GraphQL, "Handling
//! Execution Errors"). The library leaves such a field out, so that an answer would have less than its type says.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{BaseType, Type};
use async_graphql::{Name, PathSegment, Response, ServerError, Value};

use super::order::{Order, Place};
use super::outline::{TYPES, Types};

/// Makes null of what can't be without that which failed.
pub fn propagate(response: &mut Response, order: &Order) {
    let Response { data, errors, .. } = response;
    let failed: Vec<_> =
        errors.iter().filter_map(|error| Some((root_of(error, order)?, error.path.as_slice()))).collect();
    // All that failed is there as null before any of it goes up: an object of which all failed is a null of the library's.
    for (_, path) in &failed {
        mark(data, path, order);
    }
    for (root, path) in &failed {
        go_up(&TYPES, data, root, path, order);
    }
}

/// The type of the data, by the field at which an error's path begins; none for an error that has no path.
fn root_of(error: &ServerError, order: &Order) -> Option<Type> {
    let PathSegment::Field(key) = error.path.first()? else { return None };
    let (field, _) = &order.at(key)?.field;
    let root = ["Query", "Mutation", "Subscription"].into_iter().find(|root| TYPES.field(root, field).is_some())?;
    Some(named(root))
}

fn named(name: &str) -> Type {
    Type { base: BaseType::Named(Name::new(name)), nullable: true }
}

/// Has null stand where something failed, in objects of which nothing came if need be.
fn mark(value: &mut Value, path: &[PathSegment], order: &Order) {
    match path {
        [] => *value = Value::Null,
        [PathSegment::Field(key), rest @ ..] => {
            let Some(place) = order.at(key) else { return };
            if *value == Value::Null {
                *value = Value::Object(IndexMap::new());
            }
            if let Value::Object(fields) = value {
                mark(fields.entry(Name::new(key)).or_insert(Value::Null), rest, &place.below);
            }
        }
        // A list that failed with one of its items is not there at all.
        [PathSegment::Index(at), rest @ ..] => {
            if let Value::List(items) = value
                && let Some(item) = items.get_mut(*at)
            {
                mark(item, rest, order);
            }
        }
    }
}

/// True when the value would have to be null and may not be.
fn go_up(types: &Types, value: &mut Value, kind: &Type, path: &[PathSegment], order: &Order) -> bool {
    let is_broken = match (&mut *value, path.split_first(), &kind.base) {
        (Value::Null, ..) => true,
        (Value::Object(fields), Some((PathSegment::Field(key), rest)), BaseType::Named(name)) => {
            let Some(Place { field: (field, on), below, .. }) = order.at(key) else { return false };
            let Some(kind) = types.field(on.as_ref().unwrap_or(name), field) else { return false };
            fields.get_mut(key.as_str()).is_some_and(|value| go_up(types, value, kind, rest, below))
        }
        (Value::List(items), Some((PathSegment::Index(at), rest)), BaseType::List(kind)) => {
            items.get_mut(*at).is_some_and(|item| go_up(types, item, kind, rest, order))
        }
        _ => false,
    };
    if is_broken && kind.nullable {
        *value = Value::Null;
        return false;
    }
    is_broken
}

#[cfg(test)]
mod tests {
    use async_graphql::Request;
    use serde_json::json;

    use super::*;

    const SDL: &str = "type Query { a: A list: [A!]! some: [A] maybe: [A!] node: N } interface N { id: ID! } \
                       type A implements N { id: ID! text: String! b: A c: A! all: [A!]! } type Z implements N { id: ID! c: Z b: Z! }";

    fn mended(document: &str, data: serde_json::Value, paths: &[serde_json::Value]) -> serde_json::Value {
        let order = Order::of(&mut Request::new(document));
        let segment = |one: &serde_json::Value| match one.as_u64() {
            Some(at) => PathSegment::Index(usize::try_from(at).expect("small")),
            None => PathSegment::Field(one.as_str().expect("a key").to_owned()),
        };
        let path = |path: &serde_json::Value| path.as_array().expect("a path").iter().map(segment).collect();
        let paths: Vec<Vec<PathSegment>> = paths.iter().map(path).collect();
        let mut data = Value::from_json(data).expect("it is an answer");
        paths.iter().for_each(|path| mark(&mut data, path, &order));
        let types = Types::of(SDL);
        for path in &paths {
            go_up(&types, &mut data, &named("Query"), path, &order);
        }
        order.apply(&mut data);
        data.into_json().expect("it is JSON")
    }

    #[test]
    fn what_is_missing_makes_null_of_what_it_belongs_to() {
        let document = "{ x: a { id text } list { id } }";
        let data = json!({ "x": { "id": "1" }, "list": [] });
        assert_eq!(mended(document, data, &[json!(["x", "text"])]), json!({ "x": null, "list": [] }));
    }

    #[test]
    fn null_goes_up_as_far_as_it_is_allowed() {
        let document = "{ a { b { c { all { t: text } } } } }";
        let data = json!({ "a": { "b": { "c": { "all": [{ "t": "x" }, {}] } } } });
        let path = json!(["a", "b", "c", "all", 1, "t"]);
        assert_eq!(mended(document, data, &[path]), json!({ "a": { "b": null } }));
    }

    #[test]
    fn lists_are_null_in_whole_or_in_part() {
        let without = json!([{ "text": "x" }, null]);
        for (field, after) in [
            ("some", json!({ "some": [{ "text": "x" }, null] })),
            ("maybe", json!({ "maybe": null })),
            ("list", serde_json::Value::Null),
        ] {
            let document = format!("{{ {field} {{ text }} }}");
            let data = json!({ field: without });
            assert_eq!(mended(&document, data, &[json!([field, 1, "text"])]), after, "{field}");
        }
        // All of a list failed with its field.
        assert_eq!(
            mended("{ list { id } a { id } }", json!({ "a": null }), &[json!(["list"])]),
            serde_json::Value::Null
        );
    }

    #[test]
    fn what_may_be_null_is_left_as_it_is() {
        let data = json!({ "a": { "id": "1", "b": null } });
        assert_eq!(mended("{ a { id b { id } } }", data.clone(), &[json!(["a", "b"])]), data);
    }

    #[test]
    fn what_is_known_by_its_interface_is_found() {
        let document = "{ node { id ... on A { text } } }";
        assert_eq!(
            mended(document, json!({ "node": { "id": "1" } }), &[json!(["node", "text"])]),
            json!({ "node": null })
        );
    }

    #[test]
    fn an_object_of_which_all_failed_is_there_where_it_may_be() {
        let data = json!({ "list": [null, { "b": { "id": "1" } }] });
        let failed = [json!(["list", 0, "b"])];
        let expected = json!({ "list": [{ "b": null }, { "b": { "id": "1" } }] });
        assert_eq!(mended("{ list { b { id } } }", data, &failed), expected);
        // One of its fields must be there: the second error does not bring back what the first one took away.
        let failed = [json!(["some", 0, "text"]), json!(["some", 0, "b"])];
        assert_eq!(mended("{ some { b { id } text } }", json!({ "some": [null] }), &failed), json!({ "some": [null] }));
    }

    #[test]
    fn below_an_interface_it_is_the_type_of_the_fragment() {
        let document =
            "{ node { id ... on Z { c { id } } ... on A { c { id } } } other: node { ... on A { c { id } } } }";
        let data = json!({ "node": { "id": "1" }, "other": null });
        let failed = [json!(["node", "c"]), json!(["other", "c"])];
        assert_eq!(mended(document, data, &failed), json!({ "node": { "id": "1", "c": null }, "other": null }));
    }
}
