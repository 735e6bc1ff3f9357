//! What selections ask for under each response key ("Field Collection").

use std::collections::HashMap;

use async_graphql::parser::types::{Directive, ExecutableDocument, Field, Selection, SelectionSet};
use async_graphql::{Name, Positioned, Variables};
use async_graphql_value::{ConstValue, Value};

/// A document, with the variables of the operation that is meant.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// What was sent.
    pub document: &'a ExecutableDocument,
    /// With the defaults of those that directives may name.
    pub variables: &'a Variables,
}

/// What is asked for under a key.
pub struct Key<'a> {
    /// The key.
    pub name: &'a Name,
    /// The fields that are to stand there, with the type that a fragment about them names. One at least.
    pub fields: Vec<(&'a Positioned<Field>, Option<&'a Name>)>,
}

impl<'a> Key<'a> {
    /// What is asked for below the key.
    pub fn below(&self) -> Vec<&'a SelectionSet> {
        self.fields.iter().map(|(field, _)| &field.node.selection_set.node).collect()
    }
}

impl<'a> Asked<'a> {
    /// Whether `@skip` or `@include` takes a selection away.
    pub fn is_skipped(&self, directives: &[Positioned<Directive>]) -> bool {
        directives.iter().any(|directive| {
            let unless = match directive.node.name.node.as_str() {
                "skip" => true,
                "include" => false,
                _ => return false,
            };
            match directive.node.get_argument("if").map(|value| &value.node) {
                Some(Value::Boolean(given)) => *given == unless,
                Some(Value::Variable(name)) => self.variables.get(name) == Some(&ConstValue::Boolean(unless)),
                _ => false,
            }
        })
    }

    /// The keys of these selections, each where it first stands. Fragments on other types are taken as if they were about the
    /// same object. A circle of fragments is refused before; so is what unfolds to too much.
    pub fn keys(&self, sets: &[&'a SelectionSet]) -> Vec<Key<'a>> {
        let mut found = Found::default();
        sets.iter().for_each(|set| found.collect(self, set, None));
        found.keys
    }
}

#[derive(Default)]
struct Found<'a> {
    keys: Vec<Key<'a>>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Found<'a> {
    fn collect(&mut self, asked: &Asked<'a>, set: &'a SelectionSet, on: Option<&'a Name>) {
        for selection in &set.items {
            if asked.is_skipped(selection.node.directives()) {
                continue;
            }
            match &selection.node {
                Selection::Field(field) => {
                    let name = &field.node.response_key().node;
                    let place = *self.places.entry(name).or_insert_with(|| {
                        self.keys.push(Key { name, fields: Vec::new() });
                        self.keys.len() - 1
                    });
                    self.keys[place].fields.push((field, on));
                }
                Selection::InlineFragment(inline) => {
                    let on = inline.node.type_condition.as_ref().map(|on| &on.node.on.node).or(on);
                    self.collect(asked, &inline.node.selection_set.node, on);
                }
                Selection::FragmentSpread(spread) => {
                    // An unknown one is named by validation.
                    if let Some(fragment) = asked.document.fragments.get(&spread.node.fragment_name.node) {
                        let on = Some(&fragment.node.type_condition.node.on.node);
                        self.collect(asked, &fragment.node.selection_set.node, on);
                    }
                }
            }
        }
    }
}
