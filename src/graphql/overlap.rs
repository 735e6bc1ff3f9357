//! What stands under one key has to be one field ("Field Selection Merging").

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{ExecutableDocument, Field, Selection, SelectionSet};
use async_graphql::{Name, Positioned, ServerError};
use async_graphql_value::Value;

/// Whether two fields that stand under one key are the same, with the same arguments.
///
/// # Errors
/// What is not the same, as the library says it.
pub fn agree(one: &Positioned<Field>, other: &Positioned<Field>) -> Result<(), ServerError> {
    let (a, b) = (&one.node, &other.node);
    if std::ptr::eq(a, b) {
        return Ok(());
    }
    let why = if a.name.node != b.name.node {
        format!("\"{}\" and \"{}\" are different fields", a.name.node, b.name.node)
    } else if !is_given_the_same(a, b) {
        "they have differing arguments".to_owned()
    } else {
        return Ok(());
    };
    let key = &a.response_key().node;
    let mut error = ServerError::new(
        format!("Fields \"{key}\" conflict because {why}. Use different aliases on the fields to fetch both."),
        Some(one.pos),
    );
    error.locations.push(other.pos);
    Err(error)
}

fn is_given_the_same(a: &Field, b: &Field) -> bool {
    fn by_name(field: &Field) -> Vec<(&Name, &Value)> {
        let mut all: Vec<_> = field.arguments.iter().map(|(name, value)| (&name.node, &value.node)).collect();
        all.sort_by_key(|(name, _)| *name);
        all
    }
    let in_order = || a.arguments.iter().zip(&b.arguments).all(|(a, b)| a.0.node == b.0.node && a.1.node == b.1.node);
    a.arguments.len() == b.arguments.len() && (in_order() || by_name(a) == by_name(b))
}

/// The first conflict that the library's validation would find, by its own rule: in each set of selections by itself, and
/// between fragments that name the same type. It would go on and tell of every argument of every field, in every set around.
#[must_use]
pub fn first_conflict(document: &ExecutableDocument) -> Option<ServerError> {
    let operations = document.operations.iter().map(|(_, operation)| (None, &operation.node.selection_set.node));
    let fragments = document.fragments.values().map(|fragment| &fragment.node);
    let fragments = fragments.map(|one| (Some(&one.type_condition.node.on.node), &one.selection_set.node));
    operations.chain(fragments).find_map(|(on, set)| within(document, on, set).err())
}

fn within(document: &ExecutableDocument, on: Option<&Name>, set: &SelectionSet) -> Result<(), ServerError> {
    Seen { document, fields: HashMap::new(), fragments: HashSet::new() }.look_at(on, set)?;
    for item in &set.items {
        match &item.node {
            Selection::Field(field) => within(document, None, &field.node.selection_set.node)?,
            Selection::InlineFragment(inline) => {
                let on = inline.node.type_condition.as_ref().map(|on| &on.node.on.node);
                within(document, on, &inline.node.selection_set.node)?;
            }
            Selection::FragmentSpread(_) => {}
        }
    }
    Ok(())
}

struct Seen<'a> {
    document: &'a ExecutableDocument,
    fields: HashMap<(Option<&'a Name>, &'a Name), &'a Positioned<Field>>,
    fragments: HashSet<&'a Name>,
}

impl<'a> Seen<'a> {
    fn look_at(&mut self, on: Option<&'a Name>, set: &'a SelectionSet) -> Result<(), ServerError> {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    let first = *self.fields.entry((on, &field.node.response_key().node)).or_insert(field);
                    agree(first, field)?;
                }
                Selection::InlineFragment(inline) => {
                    let on = inline.node.type_condition.as_ref().map(|on| &on.node.on.node);
                    self.look_at(on, &inline.node.selection_set.node)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = self.document.fragments.get(name)
                        && self.fragments.insert(name)
                    {
                        let on = Some(&fragment.node.type_condition.node.on.node);
                        self.look_at(on, &fragment.node.selection_set.node)?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::parse_query;

    #[test]
    fn the_first_of_many_conflicts_is_told() {
        let arguments: String = (0..600).map(|n| format!("a{n}: 1 ")).collect();
        for (document, is_found) in [
            ("{ a { id id(x: 1) } }".to_owned(), true),
            ("{ a { id: name ...F } } fragment F on A { b: c b: d }".to_owned(), true),
            ("{ a } fragment F on A { ... on B { x: id } ... { ... on B { x: name } } }".to_owned(), true),
            (
                format!(
                    "{{ nothing a {{ {} id({arguments}) {} {} }} }}",
                    "... {".repeat(30),
                    "id ".repeat(1_900),
                    "}".repeat(30)
                ),
                true,
            ),
            ("{ a(x: 1, y: 2) a(y: 2, x: 1) ... on A { a } ...F } fragment F on A { a }".to_owned(), false),
            ("query A { a(x: 1) } query B { a(x: 2) }".to_owned(), false),
        ] {
            let document = parse_query(&document).expect("it is a document");
            assert_eq!(first_conflict(&document).is_some(), is_found, "{document:?}");
        }
    }
}
