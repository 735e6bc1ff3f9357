//! The operation that is meant, as the library weighs and validates it rightly.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    Directive, DocumentOperations, ExecutableDocument, FragmentDefinition, InlineFragment, OperationDefinition,
    OperationType, Selection, SelectionSet, TypeCondition,
};
use async_graphql::{Name, Pos, Positioned, ServerError};

use super::asked::Asked;
use super::limits::chosen;
use super::outline::{MEMBER_TYPES, TYPES, Types, base};
use crate::domain::policy::Standing;

/// The document without the operations beside the one that is meant, and without the fragments that those alone spread; none
/// where there is no other. The library looks at values of all operations' variables, of which only those of one are given, and
/// adds up what all of them cost.
pub fn alone(document: &ExecutableDocument, name: Option<&str>) -> Option<ExecutableDocument> {
    let (name, _) = chosen(document, name).filter(|_| document.operations.iter().len() > 1)?;
    let is_meant = |own: Option<&Name>| own == name;
    let operations = || document.operations.iter();
    let used = spread(document, operations().filter(|(own, _)| is_meant(*own)).map(|(_, one)| &one.node));
    let others = spread(document, operations().filter(|(own, _)| !is_meant(*own)).map(|(_, one)| &one.node));
    let mut document = document.clone();
    if let DocumentOperations::Multiple(operations) = &mut document.operations {
        operations.retain(|own, _| is_meant(Some(own)));
    }
    document.fragments.retain(|name, _| used.contains(name) || !others.contains(name));
    Some(document)
}

/// The fragments that stand in operations, in whichever depth.
pub fn spread<'a>(
    document: &ExecutableDocument,
    operations: impl Iterator<Item = &'a OperationDefinition>,
) -> HashSet<Name> {
    fn below(document: &ExecutableDocument, set: &SelectionSet, used: &mut HashSet<Name>) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => below(document, &field.node.selection_set.node, used),
                Selection::InlineFragment(inline) => below(document, &inline.node.selection_set.node, used),
                Selection::FragmentSpread(found) => {
                    let name = &found.node.fragment_name.node;
                    if let Some(fragment) = document.fragments.get(name)
                        && used.insert(name.clone())
                    {
                        below(document, &fragment.node.selection_set.node, used);
                    }
                }
            }
        }
    }
    let mut used = HashSet::new();
    operations.for_each(|operation| below(document, &operation.selection_set.node, &mut used));
    used
}

/// Refuses what the library does not look at, or falls over.
///
/// # Errors
/// A subscription has several fields ("Single Root Field"). The type of a variable with a default does not exist.
pub fn check(asked: &Asked<'_>, name: Option<&str>, standing: Standing) -> Result<(), ServerError> {
    for (_, operation) in asked.document.operations.iter() {
        for variable in &operation.node.variable_definitions {
            let kind = base(&variable.node.var_type.node);
            if variable.node.default_value.is_some() && !types_of(standing).is_there(kind) {
                return Err(ServerError::new(format!("Unknown type \"{kind}\""), Some(variable.node.var_type.pos)));
            }
        }
    }
    let Some((name, operation)) = chosen(asked.document, name) else { return Ok(()) };
    if operation.ty == OperationType::Subscription {
        let keys = asked.keys(&[&operation.selection_set.node]);
        if let Some(second) = keys.get(1) {
            let which =
                name.map_or_else(|| "Anonymous Subscription".to_owned(), |name| format!("Subscription \"{name}\""));
            let message = format!("{which} must select only one top level field.");
            return Err(ServerError::new(message, Some(second.fields[0].0.pos)));
        }
    }
    Ok(())
}

/// Says the type of each fragment: around where it is spread, where that is another than the type around, because the library
/// weighs what is in it as if it were asked of the latter, of which it knows no such fields, nor what they cost; and of one that
/// names none within one that does, because the library's rule of what can be merged forgets what was named around.
pub fn typed(document: &mut ExecutableDocument, standing: Standing) {
    let on = |fragment: &Positioned<FragmentDefinition>| fragment.node.type_condition.node.on.node.clone();
    let fragments = document.fragments.iter().map(|(name, fragment)| (name.clone(), on(fragment))).collect();
    let typing = Typing { types: types_of(standing), fragments };
    for operation in operations_mut(document) {
        typing.put((Some(root(operation.ty)), None), &mut operation.selection_set.node);
    }
    for fragment in document.fragments.values_mut().map(|fragment| &mut fragment.node) {
        let on = Some(fragment.type_condition.node.on.node.as_str());
        typing.put((on, on), &mut fragment.selection_set.node);
    }
}

/// Whether [`typed`] may have something to say.
pub fn has_fragments(document: &ExecutableDocument) -> bool {
    fn has_inline(set: &SelectionSet) -> bool {
        set.items.iter().any(|item| match &item.node {
            Selection::Field(field) => has_inline(&field.node.selection_set.node),
            Selection::InlineFragment(_) | Selection::FragmentSpread(_) => true,
        })
    }
    document.operations.iter().any(|(_, operation)| has_inline(&operation.node.selection_set.node))
}

/// The types that are there for who asks: how a document is taken may depend on no other.
fn types_of(standing: Standing) -> &'static Types {
    if standing >= Standing::Admin { &TYPES } else { &MEMBER_TYPES }
}

/// The types that are known, and those of fragments, by name.
struct Typing {
    types: &'static Types,
    fragments: HashMap<Name, Name>,
}

impl Typing {
    /// Says them in a set that is asked of a type, if that is known, in a fragment that names one, if it is in any.
    fn put(&self, (of, named): (Option<&str>, Option<&str>), set: &mut SelectionSet) {
        for item in &mut set.items {
            match &mut item.node {
                Selection::Field(field) => {
                    let below = of.and_then(|of| self.types.field(of, &field.node.name.node)).map(base);
                    self.put((below.map(Name::as_str), None), &mut field.node.selection_set.node);
                }
                Selection::InlineFragment(inline) => {
                    let inline = &mut inline.node;
                    if let (None, Some(named)) = (&inline.type_condition, named) {
                        inline.type_condition = Some(condition(Name::new(named), item.pos));
                    }
                    let on = inline.type_condition.as_ref().map(|on| on.node.on.node.as_str());
                    self.put((on.or(of), on), &mut inline.selection_set.node);
                }
                Selection::FragmentSpread(spread) => {
                    let on = self.fragments.get(&spread.node.fragment_name.node);
                    if let Some(on) = on.filter(|on| of != Some(on.as_str())) {
                        *item = fragment((Some(on.clone()), Vec::new(), item.pos), item.clone());
                    }
                }
            }
        }
    }
}

fn condition(on: Name, pos: Pos) -> Positioned<TypeCondition> {
    Positioned::new(TypeCondition { on: Positioned::new(on, pos) }, pos)
}

/// A selection in a fragment on a type, if one is named, with directives and its place in what was sent.
pub fn fragment(
    (on, directives, pos): (Option<Name>, Vec<Positioned<Directive>>, Pos),
    selection: Positioned<Selection>,
) -> Positioned<Selection> {
    let fragment = InlineFragment {
        type_condition: on.map(|on| condition(on, pos)),
        directives,
        selection_set: Positioned::new(SelectionSet { items: vec![selection] }, pos),
    };
    Positioned::new(Selection::InlineFragment(Positioned::new(fragment, pos)), pos)
}

/// The type of which an operation asks.
pub fn root(ty: OperationType) -> &'static str {
    match ty {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    }
}

/// The operations of a document, to be changed.
pub fn operations_mut(document: &mut ExecutableDocument) -> impl Iterator<Item = &mut OperationDefinition> {
    let (one, many) = match &mut document.operations {
        DocumentOperations::Single(operation) => (Some(operation), None),
        DocumentOperations::Multiple(operations) => (None, Some(operations.values_mut())),
    };
    one.into_iter().chain(many.into_iter().flatten()).map(|operation| &mut operation.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::Variables;
    use async_graphql::parser::parse_query;

    #[test]
    fn what_is_not_meant_is_left_out_with_its_fragments() {
        let document = "query A { ...X } query B($n: Int!) { services(first: $n) { ...Y } ...X } \
                        fragment X on Query { ...Z } fragment Y on S { id } fragment Z on Query { a } fragment Never on Query { b }";
        let document = parse_query(document).expect("it is a document");
        let left = alone(&document, Some("A")).expect("there is another");
        assert_eq!(left.operations.iter().len(), 1);
        let mut fragments: Vec<_> = left.fragments.keys().map(Name::as_str).collect();
        fragments.sort_unstable();
        assert_eq!(fragments, ["Never", "X", "Z"], "validation has something to say of what nobody spreads");
        for name in [None, Some("C")] {
            assert!(alone(&document, name).is_none());
        }
        assert!(alone(&left, Some("A")).is_none());
    }

    #[test]
    fn only_what_another_type_is_around_is_put_into_its_own() {
        let fragments = |document: &str| {
            let mut document = parse_query(document).expect("it is a document");
            typed(&mut document, Standing::Member);
            format!("{document:?}").matches("InlineFragment {").count()
        };
        assert_eq!(fragments("{ services { nodes { ...S } } } fragment S on Service { id }"), 0);
        assert_eq!(fragments("{ node(id: 1) { ...S } } fragment S on Service { id }"), 1);
        let nested = "{ node(id: 1) { ... on Service { ...S } } } fragment S on Service { ...N } fragment N on Node { ...S2 } \
                      fragment S2 on Service { id }";
        assert_eq!(fragments(nested), 3);
        assert_eq!(
            fragments("{ nothing { ...S } } fragment S on Service { id }"),
            1,
            "of what is not known nothing is"
        );
    }

    #[test]
    fn a_fragment_that_names_no_type_is_on_what_was_named_around_it() {
        let unnamed = |document: &str| {
            let mut document = parse_query(document).expect("it is a document");
            assert!(has_fragments(&document));
            typed(&mut document, Standing::Member);
            format!("{document:?}").matches("type_condition: None").count()
        };
        assert_eq!(unnamed("{ node(id: 1) { ... on Service { ... @skip(if: false) { ... { id } } } } }"), 0);
        assert_eq!(unnamed("{ node(id: 1) { ...S } } fragment S on Service { ... { id } runtime { ... { id } } }"), 1);
        assert_eq!(unnamed("{ ... @include(if: true) { node(id: 1) { ... { id } } } }"), 2);
    }

    #[test]
    fn members_are_not_told_the_types_of_what_is_hidden() {
        let fragments = |field: &str, standing| {
            let document = format!("{{ {field} {{ ...F }} }} fragment F on AuditEventConnection {{ totalCount }}");
            let mut document = parse_query(document).expect("it is a document");
            typed(&mut document, standing);
            format!("{document:?}").matches("InlineFragment {").count()
        };
        assert_eq!(fragments("auditEvents", Standing::Admin), 0);
        assert_eq!(fragments("auditEvents", Standing::Member), fragments("nothing", Standing::Member));
    }

    #[test]
    fn a_subscription_has_one_field_and_defaults_have_types() {
        let checked = |document: &str| {
            let document = parse_query(document).expect("it is a document");
            let asked = Asked { document: &document, variables: &Variables::default() };
            check(&asked, None, Standing::Member).map_err(|error| error.message)
        };
        for one in [
            "subscription { a: deployment(id: 1) { id } ...F } fragment F on Subscription { a: deployment(id: 1) { id } }",
            "subscription { a b @skip(if: true) }",
            "query($a: [String!] = [1], $b: Nope) { a b }",
            "query($a: [Service] = [1]) { a }",
        ] {
            assert_eq!(checked(one), Ok(()), "{one}");
        }
        for several in ["subscription { a b }", "subscription { a: b ...F } fragment F on Subscription { b }"] {
            let refused = Err("Anonymous Subscription must select only one top level field.".to_owned());
            assert_eq!(checked(several), refused, "{several}");
        }
        for unknown in ["Nope", "AuditEvent"] {
            let document = format!("query($a: [[{unknown}]!] = [1]) {{ a }}");
            assert_eq!(checked(&document), Err(format!("Unknown type \"{unknown}\"")), "members do not have it");
        }
    }
}
