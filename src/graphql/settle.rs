//! What a request means before the library sees it, where the library takes it otherwise than the specification.

use std::borrow::Cow;
use std::collections::HashSet;

use async_graphql::parser::types::{
    BaseType, Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Pos, Positioned, Request, ServerError, Variables};
use async_graphql_value::{ConstValue, Value};

use super::asked::Asked;
use super::limits::chosen;
use super::meant::{alone, check, fragment, has_fragments, operations_mut, typed};
use super::merge::merge;
use super::overlap::first_conflict;
use crate::domain::policy::Standing;

/// A key that no answer has: under it stands what keeps an object from being nothing, see [`settle`].
pub const HIDDEN: &str = "__present";

/// Puts right, for the operation that is meant:
///
/// - It is [alone](alone), so that no other operation is weighed, or told that it lacks variables.
/// - What stands under one key in several places is [merged](merge).
/// - A variable without a value and a default is nothing where an argument or a field of an input has it alone ("Coercing Field
///   Arguments Values", "Input Objects"): the library would make null of it, and null takes away what is stored.
/// - The default of a variable holds for `@skip` and `@include`, of which the library forgets it.
/// - An object of which no field is left, or has one, is an empty object: the library would make null of it. It is asked for its
///   type, under a key that [`Order::apply`](super::order::Order::apply) takes away.
/// - Directives of `__typename` stand around it: the library would not find the variables that they use.
/// - What fragments ask for is weighed, and held together, by [their own types](typed).
///
/// # Errors
/// What can't be merged, and what the library [does not look at](check). The request has lost its variables then.
pub fn settle(request: &mut Request, standing: Standing) -> Result<(), ServerError> {
    let (name, mut variables) = (request.operation_name.clone(), std::mem::take(&mut request.variables));
    // What can't be read is for the library to say.
    if let Ok(sent) = request.parsed_query()
        && let Some(other) = rewritten(sent, name.as_deref(), &mut variables, standing)?
    {
        request.set_parsed_query(other);
    }
    request.variables = variables;
    Ok(())
}

/// What is put into the place of the document that was sent, if it is to be another.
fn rewritten(
    sent: &ExecutableDocument,
    name: Option<&str>,
    variables: &mut Variables,
    standing: Standing,
) -> Result<Option<ExecutableDocument>, ServerError> {
    let mut document = Cow::Borrowed(sent);
    put(&mut document, alone(sent, name));
    if let Some((_, operation)) = chosen(&document, name) {
        fill_in(operation, variables);
    }
    check(&Asked { document: &document, variables }, name, standing)?;
    let merged = merge(&document, name, variables, standing)?;
    put(&mut document, merged);
    if let Some((_, operation)) = chosen(&document, name) {
        let (ty, absent) = (operation.ty, absent(operation, variables));
        if !absent.is_empty() {
            take_out(document.to_mut(), &absent);
        }
        if lacks(&document, ty) {
            complete(document.to_mut(), ty);
        }
    }
    if has_fragments(&document) {
        typed(document.to_mut(), standing);
    }
    if let Some(conflict) = first_conflict(&document) {
        return Err(conflict);
    }
    Ok(match document {
        Cow::Owned(document) => Some(document),
        Cow::Borrowed(_) => None,
    })
}

fn put(document: &mut Cow<'_, ExecutableDocument>, other: Option<ExecutableDocument>) {
    if let Some(other) = other {
        *document = Cow::Owned(other);
    }
}

/// Only those that directives can name: the library looks at values of others, even for operations that are not meant.
fn fill_in(operation: &OperationDefinition, variables: &mut Variables) {
    for definition in operation.variable_definitions.iter().map(|definition| &definition.node) {
        if let Some(ConstValue::Boolean(default)) = definition.default_value.as_ref().map(|default| &default.node)
            && matches!(&definition.var_type.node.base, BaseType::Named(name) if name == "Boolean")
        {
            variables.entry(definition.name.node.clone()).or_insert(ConstValue::Boolean(*default));
        }
    }
}

fn absent(operation: &OperationDefinition, variables: &Variables) -> HashSet<Name> {
    let definitions = operation.variable_definitions.iter().map(|definition| &definition.node);
    let absent = definitions.filter(|one| one.default_value.is_none() && !variables.contains_key(&one.name.node));
    absent.map(|one| one.name.node.clone()).collect()
}

/// Takes variables out of the places where they stand alone, and their definitions where they stand nowhere else.
fn take_out(document: &mut ExecutableDocument, absent: &HashSet<Name>) {
    let mut seen = Seen { absent, taken: HashSet::new(), left: HashSet::new() };
    for_each_set(document, &mut |set| seen.look_at(set));
    for operation in operations_mut(document) {
        for directive in &operation.directives {
            seen.directive(&directive.node);
        }
        operation.variable_definitions.retain(|definition| {
            let name = &definition.node.name.node;
            !seen.taken.contains(name) || seen.left.contains(name)
        });
    }
}

/// Which of the absent variables were taken out somewhere, and which are left somewhere.
struct Seen<'a> {
    absent: &'a HashSet<Name>,
    taken: HashSet<Name>,
    left: HashSet<Name>,
}

impl Seen<'_> {
    /// At the selections of a set itself.
    fn look_at(&mut self, set: &mut SelectionSet) {
        for item in &mut set.items {
            let directives = match &mut item.node {
                Selection::Field(field) => {
                    let arguments = std::mem::take(&mut field.node.arguments);
                    let kept = arguments
                        .into_iter()
                        .filter_map(|(name, mut value)| (!self.takes(&mut value.node)).then_some((name, value)));
                    field.node.arguments = kept.collect();
                    &field.node.directives
                }
                Selection::FragmentSpread(spread) => &spread.node.directives,
                Selection::InlineFragment(inline) => &inline.node.directives,
            };
            directives.iter().for_each(|directive| self.directive(&directive.node));
        }
    }

    /// Directives want their values, and are told what they lack by validation.
    fn directive(&mut self, directive: &Directive) {
        for (_, value) in &directive.arguments {
            if let Value::Variable(name) = &value.node {
                self.left.insert(name.clone());
            }
        }
    }

    /// Whether it is an absent variable alone. Out of an object those are taken.
    fn takes(&mut self, value: &mut Value) -> bool {
        match value {
            Value::Variable(name) if self.absent.contains(name) => {
                self.taken.insert(name.clone());
                return true;
            }
            Value::Object(fields) => fields.retain(|_, value| !self.takes(value)),
            // In a list it is null.
            Value::List(items) => {
                for item in items {
                    match item {
                        Value::Variable(name) => {
                            self.left.insert(name.clone());
                        }
                        other => {
                            self.takes(other);
                        }
                    }
                }
            }
            _ => {}
        }
        false
    }
}

/// Whether a set has no field of its own that is there in any case.
fn is_bare(set: &SelectionSet) -> bool {
    let is_there = |field: &Field| field.directives.is_empty();
    !set.items.is_empty()
        && !set.items.iter().any(|item| matches!(&item.node, Selection::Field(field) if is_there(&field.node)))
}

/// Whether [`complete`] has something to do for an operation of this type.
fn lacks(document: &ExecutableDocument, ty: OperationType) -> bool {
    fn below(set: &SelectionSet, ty: OperationType) -> bool {
        set.items.iter().any(|item| match &item.node {
            Selection::Field(field) => {
                let set = &field.node.selection_set.node;
                is_unseen(&item.node) || may_lack(set, ty) || below(set, ty)
            }
            Selection::InlineFragment(inline) => below(&inline.node.selection_set.node, ty),
            Selection::FragmentSpread(_) => false,
        })
    }
    let operations = document.operations.iter().map(|(_, operation)| &operation.node.selection_set.node);
    let fragments = document.fragments.values().map(|fragment| &fragment.node.selection_set.node);
    operations.clone().any(|set| may_lack(set, ty)) || operations.chain(fragments).any(|set| below(set, ty))
}

/// What a subscription tells is there in any case.
fn may_lack(set: &SelectionSet, ty: OperationType) -> bool {
    ty != OperationType::Subscription && is_bare(set)
}

fn complete(document: &mut ExecutableDocument, ty: OperationType) {
    for operation in operations_mut(document) {
        if may_lack(&operation.selection_set.node, operation.ty) {
            operation.selection_set.node.items.push(present());
        }
    }
    for_each_set(document, &mut |set| {
        for item in &mut set.items {
            if is_unseen(&item.node) {
                show(item);
            } else if let Selection::Field(field) = &mut item.node
                && may_lack(&field.node.selection_set.node, ty)
            {
                field.node.selection_set.node.items.push(present());
            }
        }
    });
}

/// The library does not look at the directives of these.
fn is_unseen(selection: &Selection) -> bool {
    matches!(selection, Selection::Field(field) if field.node.name.node == "__typename" && !field.node.directives.is_empty())
}

/// Puts the directives of a field on a fragment around it.
fn show(item: &mut Positioned<Selection>) {
    let Selection::Field(field) = &mut item.node else { return };
    let directives = std::mem::take(&mut field.node.directives);
    *item = fragment((None, directives, item.pos), item.clone());
}

/// Asks for the type, under the hidden key.
fn present() -> Positioned<Selection> {
    let at = |name| Positioned::new(Name::new(name), Pos::default());
    let field = Field {
        alias: Some(at(HIDDEN)),
        name: at("__typename"),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::new(SelectionSet::default(), Pos::default()),
    };
    Positioned::new(Selection::Field(Positioned::new(field, Pos::default())), Pos::default())
}

/// Every set of selections, of operations and fragments, and those below.
fn for_each_set(document: &mut ExecutableDocument, look: &mut impl FnMut(&mut SelectionSet)) {
    fn below(set: &mut SelectionSet, look: &mut impl FnMut(&mut SelectionSet)) {
        look(set);
        for item in &mut set.items {
            match &mut item.node {
                Selection::Field(field) => below(&mut field.node.selection_set.node, look),
                Selection::InlineFragment(inline) => below(&mut inline.node.selection_set.node, look),
                Selection::FragmentSpread(_) => {}
            }
        }
    }
    for operation in operations_mut(document) {
        below(&mut operation.selection_set.node, look);
    }
    for fragment in document.fragments.values_mut() {
        below(&mut fragment.node.selection_set.node, look);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settled(document: &str, operation: &str, variables: serde_json::Value) -> Request {
        let mut request = Request::new(document).variables(Variables::from_json(variables)).operation_name(operation);
        settle(&mut request, Standing::Admin).expect("it can be merged");
        request
    }

    /// The variables that are defined and the names of arguments of the first field, with those of objects in them.
    fn left(request: &mut Request, operation: &str) -> (Vec<String>, String) {
        let document = request.parsed_query().expect("it is a document");
        let (_, operation) = chosen(document, Some(operation)).expect("it is there");
        let defined = operation.variable_definitions.iter().map(|one| one.node.name.node.to_string()).collect();
        let Selection::Field(field) = &operation.selection_set.node.items[0].node else {
            panic!("a field comes first")
        };
        let arguments: Vec<_> =
            field.node.arguments.iter().map(|(name, value)| format!("{}: {}", name.node, value.node)).collect();
        (defined, arguments.join(", "))
    }

    #[test]
    fn a_variable_without_a_value_is_nothing_and_not_null() {
        let document = "query Q($a: Int, $b: Int, $c: In, $d: Int = 1) { f(a: $a, b: $b, c: $c, o: { a: $a, in: [{ b: $b }], d: $d }) }";
        let mut request = settled(document, "Q", json!({ "b": null }));
        let (defined, arguments) = left(&mut request, "Q");
        assert_eq!(defined, ["b", "d"]);
        assert_eq!(arguments, "b: $b, o: {in: [{b: $b}], d: $d}");
        assert!(!request.variables.contains_key("d"), "the library fills it in");
    }

    #[test]
    fn what_stands_elsewhere_too_stays_defined() {
        let document = "query Q($a: Int, $b: Int, $never: Int) { f(a: $a, l: [$a], b: $b) @include(if: $b) }";
        let (defined, arguments) = left(&mut settled(document, "Q", json!({})), "Q");
        // What is used nowhere is told by validation.
        assert_eq!((defined.as_slice(), arguments.as_str()), (&["a", "b", "never"].map(str::to_owned)[..], "l: [$a]"));
    }

    #[test]
    fn operations_beside_are_not_looked_at() {
        let document = "query A($x: Int) { f(x: $x) ...F } query B($x: Int!) { f(x: $x) g(x: $x) ...F } \
                        fragment F on Query { g(x: $x) }";
        let mut request = settled(document, "A", json!({}));
        assert_eq!(left(&mut request, "A"), (vec![], String::new()));
        assert_eq!(request.parsed_query().expect("it is a document").operations.iter().len(), 1);
    }

    #[test]
    fn defaults_hold_for_directives() {
        let document = "query Q($no: Boolean = true, $yes: Boolean! = false, $n: Int = 1) { f(n: $n) @skip(if: $no) }";
        let request = settled(document, "Q", json!({ "yes": true }));
        let filled: Vec<_> = request.variables.keys().map(Name::as_str).collect();
        assert_eq!(filled, ["no", "yes"]);
        assert_eq!(request.variables["yes"], async_graphql::Value::Boolean(true));
    }

    #[test]
    fn only_sets_without_a_field_of_their_own_are_asked_for_more() {
        let hidden = |document: &str| {
            let mut request = settled(document, "Q", json!({}));
            format!("{:?}", request.parsed_query().expect("it is a document")).matches(HIDDEN).count()
        };
        assert_eq!(hidden("query Q { a { id } }"), 0);
        assert_eq!(hidden("query Q { a { ...F } } fragment F on A { id }"), 1);
        assert_eq!(hidden("query Q { a { ... on A { b { c @skip(if: true) } } } }"), 2);
        assert_eq!(hidden("query Q { ...F } fragment F on Query { a { ... { id } } }"), 2);
        assert_eq!(hidden("subscription Q { ...F } fragment F on Subscription { a { ... { id } } }"), 0);
    }

    #[test]
    fn directives_of_typename_stand_around_it() {
        let mut request =
            settled("query Q($a: Boolean!) { x { __typename @skip(if: $a) id } }", "Q", json!({ "a": true }));
        let document = request.parsed_query().expect("it is a document");
        let (_, operation) = chosen(document, Some("Q")).expect("it is there");
        let Selection::Field(x) = &operation.selection_set.node.items[0].node else { panic!("a field comes first") };
        let Selection::InlineFragment(around) = &x.node.selection_set.node.items[0].node else { panic!("around it") };
        assert_eq!(around.node.directives[0].node.name.node, "skip");
        assert!(around.node.selection_set.node.items[0].node.directives().is_empty());
    }
}
