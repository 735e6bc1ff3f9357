//! The schema against the contract that clients are written against: what is in both must be the same in both.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::collections::BTreeMap;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{InputValueDefinition, TypeKind, TypeSystemDefinition};
use async_graphql::{Positioned, Value};
use kiops::graphql::schemas;

/// What a client can rely on: a line for each path, like `Query.users(first)` or `User.email`.
type Promises = BTreeMap<String, String>;

const BUILT_IN: [&str; 5] = ["Boolean", "Float", "ID", "Int", "String"];

fn inputs(of: &str, all: &[Positioned<InputValueDefinition>], into: &mut Promises) {
    for input in all.iter().map(|i| &i.node) {
        let default = input.default_value.as_ref().map(|d| &d.node).filter(|d| **d != Value::Null);
        let default = default.map_or_else(String::new, |d| format!(" = {d}"));
        into.insert(format!("{of}({})", input.name.node), format!("{}{default}", input.ty.node));
    }
}

fn promises(sdl: &str) -> Promises {
    let mut all = Promises::new();
    for definition in parse_schema(sdl).unwrap().definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let name = definition.node.name.node.as_str();
        let (kind, fields) = match &definition.node.kind {
            TypeKind::Object(o) => {
                let interfaces: Vec<_> = o.implements.iter().map(|i| i.node.as_str()).collect();
                (format!("type {}", interfaces.join(" ")), &o.fields[..])
            }
            TypeKind::Interface(i) => ("interface".to_owned(), &i.fields[..]),
            TypeKind::InputObject(input) => {
                inputs(name, &input.fields, &mut all);
                ("input".to_owned(), &[][..])
            }
            TypeKind::Enum(e) => {
                for value in &e.values {
                    all.insert(format!("{name}.{}", value.node.value.node), "value".to_owned());
                }
                ("enum".to_owned(), &[][..])
            }
            TypeKind::Scalar => ("scalar".to_owned(), &[][..]),
            TypeKind::Union(_) => ("union".to_owned(), &[][..]),
        };
        all.insert(name.to_owned(), kind);
        for field in fields.iter().map(|f| &f.node) {
            let path = format!("{name}.{}", field.name.node);
            inputs(&path, &field.arguments, &mut all);
            all.insert(path, field.ty.node.to_string());
        }
    }
    all
}

#[test]
fn what_is_in_both_is_the_same_in_both() {
    let contract = promises(include_str!("../fixtures/contract.graphql"));
    let ours = promises(&schemas(None).full.sdl());
    let mut faults = Vec::new();
    for (path, is) in &ours {
        match contract.get(path) {
            Some(promised) if promised == is => {}
            Some(promised) => faults.push(format!("{path}: {is} instead of {promised}")),
            // An argument or input field of ours alone must not be needed by a client that does not know it.
            None if path.ends_with(')') && is.ends_with('!') => faults.push(format!("{path}: {is} is needed")),
            None => {}
        }
    }
    for (path, promised) in contract.iter().filter(|(path, _)| path.ends_with(')')) {
        let owner = path.split('(').next().unwrap_or_default();
        let is_field = owner.contains('.');
        // An argument of a type that is not there yet (a severity, before there are scans) comes with its type.
        let ty = promised.split(" = ").next().unwrap_or_default().trim_matches(['[', ']', '!']);
        let in_reach = ours.contains_key(ty) || BUILT_IN.contains(&ty);
        if is_field && in_reach && ours.contains_key(owner) && !ours.contains_key(path) {
            faults.push(format!("{path}: {promised} is missing"));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}
