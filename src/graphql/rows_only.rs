//! Which queries are made of rows alone: for them the same database gives the same answer. Others ask a registry, a runtime or
//! the clock, or write before they read.

use async_graphql::Request;
use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet};

use super::limits::chosen;

/// Fields of a type that are made of rows alone, and the types of those that have fields themselves.
type Fields = &'static [(&'static str, &'static str)];

/// A field that has no fields.
const LEAF: &str = "";

/// What is not here is taken to be more than rows. A field that is added here must read nothing but the database and the
/// configuration, whatever its arguments.
const ROWS: &[(&str, Fields)] = &[
    ("Query", &[("services", "ServiceConnection"), ("service", "Service"), ("runtimes", "RuntimeConnection")]),
    (
        "ServiceConnection",
        &[("nodes", "Service"), ("edges", "ServiceEdge"), ("pageInfo", "PageInfo"), ("totalCount", LEAF)],
    ),
    ("ServiceEdge", &[("node", "Service"), ("cursor", LEAF)]),
    (
        "RuntimeConnection",
        &[("nodes", "Runtime"), ("edges", "RuntimeEdge"), ("pageInfo", "PageInfo"), ("totalCount", LEAF)],
    ),
    ("RuntimeEdge", &[("node", "Runtime"), ("cursor", LEAF)]),
    ("PageInfo", &[("hasPreviousPage", LEAF), ("hasNextPage", LEAF), ("startCursor", LEAF), ("endCursor", LEAF)]),
    (
        "Service",
        &[
            ("id", LEAF),
            ("name", LEAF),
            ("source", LEAF),
            ("namespace", LEAF),
            ("registryUsername", LEAF),
            ("status", LEAF),
            ("statusMessage", LEAF),
            ("createdAt", LEAF),
            ("createdBy", "User"),
            ("runtime", "Runtime"),
            ("currentDeployment", "Deployment"),
            ("latestDeployment", "Deployment"),
            ("latestPipeline", "Pipeline"),
        ],
    ),
    ("User", &[("id", LEAF), ("name", LEAF), ("email", LEAF)]),
    (
        "Runtime",
        &[
            ("id", LEAF),
            ("name", LEAF),
            ("kind", LEAF),
            ("endpoint", LEAF),
            ("status", LEAF),
            ("statusMessage", LEAF),
            ("version", LEAF),
            ("checkedAt", LEAF),
        ],
    ),
    (
        "Deployment",
        &[
            ("id", LEAF),
            ("revision", LEAF),
            ("trigger", LEAF),
            ("triggeredBy", "User"),
            ("status", LEAF),
            ("message", LEAF),
            ("createdAt", LEAF),
            ("startedAt", LEAF),
            ("finishedAt", LEAF),
        ],
    ),
    (
        "Pipeline",
        &[
            ("id", LEAF),
            ("number", LEAF),
            ("trigger", LEAF),
            ("triggeredBy", "User"),
            ("ref", LEAF),
            ("status", LEAF),
            ("createdAt", LEAF),
            ("startedAt", LEAF),
            ("finishedAt", LEAF),
        ],
    ),
];

/// Arguments with which a field does more: waivers that have run out are opened before risks are looked at.
const MORE: &[(&str, &str)] = &[("services", "risk")];

/// Whether the operation of this request is a query that is made of rows alone.
#[must_use]
pub fn rows_only(request: &mut Request) -> bool {
    let name = request.operation_name.clone();
    let Ok(document) = request.parsed_query() else { return false };
    chosen(document, name.as_deref()).is_some_and(|(_, operation)| {
        operation.ty == OperationType::Query && are_rows(document, "Query", &operation.selection_set.node)
    })
}

/// A circle of fragments is refused before; so is what unfolds to too much.
fn are_rows(document: &ExecutableDocument, of: &str, set: &SelectionSet) -> bool {
    let Some((_, fields)) = ROWS.iter().find(|(name, _)| *name == of) else { return false };
    set.items.iter().all(|selection| match &selection.node {
        Selection::Field(field) => {
            let name = field.node.name.node.as_str();
            let found = fields.iter().find(|(own, _)| *own == name);
            let more = |(argument, _): &(_, _)| is_more(name, argument);
            name == "__typename"
                || found.is_some_and(|(_, below)| {
                    !field.node.arguments.iter().any(more)
                        && (*below == LEAF || are_rows(document, below, &field.node.selection_set.node))
                })
        }
        Selection::InlineFragment(inline) => are_rows(document, of, &inline.node.selection_set.node),
        Selection::FragmentSpread(spread) => document
            .fragments
            .get(&spread.node.fragment_name.node)
            .is_some_and(|fragment| are_rows(document, of, &fragment.node.selection_set.node)),
    })
}

fn is_more(field: &str, argument: &async_graphql::Positioned<async_graphql::Name>) -> bool {
    MORE.iter().any(|(own, with)| *own == field && argument.node == *with)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use async_graphql::parser::parse_schema;
    use async_graphql::parser::types::{BaseType, TypeKind, TypeSystemDefinition};

    use super::*;

    fn is(document: &str) -> bool {
        rows_only(&mut Request::new(document))
    }

    #[test]
    fn a_list_with_its_rows_is() {
        assert!(is("{ services(first: 100) { nodes { id name latestPipeline { id status } ...F } totalCount } } \
             fragment F on Service { __typename runtime { ... on Runtime { name } } }"));
        assert!(is("query A { runtimes { nodes { id } } }"));
    }

    #[test]
    fn what_asks_others_writes_or_changes_is_not() {
        for document in [
            "{ services(risk: HIGH) { nodes { id } } }",
            "{ services { nodes { id risk } } }",
            "{ services { nodes { ...F } } } fragment F on Service { environments { instances { name } } }",
            "{ services { nodes { id } } imageTags(image: \"x\") { name } }",
            "mutation { removeService(input: {id: \"x\"}) { service { id } } }",
            "subscription { serviceChanged { id } }",
            "{ services { nodes { ...Unknown } } }",
            "{ __schema { types { name } } }",
        ] {
            assert!(!is(document), "{document}");
        }
    }

    #[test]
    fn every_field_of_the_table_is_in_the_schema() {
        let schema = parse_schema(crate::graphql::sdl()).expect("it is a schema");
        let types: HashMap<String, Vec<(String, String)>> =
            schema.definitions.into_iter().filter_map(fields_of).collect();
        for (of, fields) in ROWS {
            for (field, target) in *fields {
                let found = types[*of].iter().find(|(own, _)| own == field);
                let (_, kind) = found.unwrap_or_else(|| panic!("no {of}.{field}"));
                assert_eq!(if types.contains_key(kind) { kind } else { LEAF }, *target, "{of}.{field}");
            }
        }
    }

    /// An object's fields, and the types behind their lists.
    fn fields_of(definition: TypeSystemDefinition) -> Option<(String, Vec<(String, String)>)> {
        let TypeSystemDefinition::Type(definition) = definition else { return None };
        let TypeKind::Object(object) = definition.node.kind else { return None };
        let fields = object.fields.into_iter().map(|field| {
            let mut base = field.node.ty.node.base;
            while let BaseType::List(inner) = base {
                base = inner.base;
            }
            (field.node.name.node.to_string(), base.to_string())
        });
        Some((definition.node.name.node.to_string(), fields.collect()))
    }
}
