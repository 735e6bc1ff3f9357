//! How much the arguments of a request are, each as often as it stands in its document, with the variables in them. The library
//! copies them whole wherever they stand, in validation already: a list of a million numbers that stands in a list a thousand
//! times is a billion.

use std::collections::HashMap;

use async_graphql::parser::types::{Directive, ExecutableDocument, Selection, SelectionSet};
use async_graphql::{Name, Positioned};
use async_graphql_value::Value;
use serde_json::Value as Json;

use super::limits::Refusal;

/// What all copies together may take, in mebibytes.
const LIMIT: u64 = 32;
/// The largest argument of a field that is not at the root, in bytes. It is copied for each object of which the field is asked;
/// texts and files are for mutations, which have no objects around them.
const NESTED: u64 = 16 << 10;
/// What a value takes beside its text, in bytes.
const VALUE: u64 = 64;

/// Refuses arguments and variables that would be copied too often. The document has no circle of fragments.
///
/// # Errors
/// One sentence that names the limit.
pub fn admit_uses(document: &ExecutableDocument, variables: &Json) -> Result<(), Refusal> {
    // Whether an operation defines them is not asked: the library copies first.
    let given = variables.as_object().into_iter().flatten();
    let mut sizes: HashMap<_, _> = given.map(|(name, value)| (name.as_str(), size(value))).collect();
    let operations = || document.operations.iter().map(|(_, operation)| &operation.node);
    for definition in operations().flat_map(|operation| &operation.variable_definitions).map(|one| &one.node) {
        if let Some(default) = &definition.default_value {
            let known = sizes.entry(&definition.name.node).or_default();
            let default = default.node.clone().into_json().expect("what stands in a document is no bytes");
            *known = size(&default).max(*known);
        }
    }
    let mut uses = Uses { document, sizes, fragments: HashMap::new(), largest: 0 };
    let mut sum = 0_u64;
    for operation in operations() {
        let below =
            uses.directives(&operation.directives).saturating_add(uses.set(&operation.selection_set.node, Place::Root));
        sum = sum.saturating_add(below);
    }
    // What nothing spreads is validated, too.
    for (name, fragment) in &document.fragments {
        let below = uses.directives(&fragment.node.directives).saturating_add(uses.fragment(name));
        sum = sum.saturating_add(below);
    }
    if uses.largest > NESTED {
        return Err(Refusal::over("the size of an argument of a field below the root, in bytes,", NESTED));
    }
    match sum > LIMIT << 20 {
        true => Err(Refusal::over("the size of its arguments, each as often as it stands in it, in MiB,", LIMIT)),
        false => Ok(()),
    }
}

fn size(value: &Json) -> u64 {
    let within = match value {
        Json::String(text) => text.len() as u64,
        Json::Array(items) => items.iter().map(size).sum(),
        Json::Object(fields) => fields.iter().map(|(name, value)| name.len() as u64 + size(value)).sum(),
        _ => 0,
    };
    VALUE + within
}

struct Uses<'a> {
    document: &'a ExecutableDocument,
    sizes: HashMap<&'a str, u64>,
    fragments: HashMap<&'a Name, u64>,
    /// The largest arguments of a field that is not at the root.
    largest: u64,
}

/// Where a set of selections is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Below,
}

impl<'a> Uses<'a> {
    fn set(&mut self, set: &'a SelectionSet, place: Place) -> u64 {
        let mut sum = 0_u64;
        for item in &set.items {
            let below = match &item.node {
                Selection::Field(field) => {
                    let own = self.arguments(&field.node.arguments);
                    if place == Place::Below {
                        self.largest = self.largest.max(own);
                    }
                    own.saturating_add(self.set(&field.node.selection_set.node, Place::Below))
                }
                Selection::InlineFragment(inline) => self.set(&inline.node.selection_set.node, place),
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node),
            };
            sum = sum.saturating_add(below).saturating_add(self.directives(item.node.directives()));
        }
        sum
    }

    /// Each is looked at once, and counts wherever it is spread.
    fn fragment(&mut self, name: &Name) -> u64 {
        let Some((name, fragment)) = self.document.fragments.get_key_value(name) else { return 0 };
        if let Some(known) = self.fragments.get(name) {
            return *known;
        }
        let place = match fragment.node.type_condition.node.on.node.as_str() {
            "Query" | "Mutation" | "Subscription" => Place::Root,
            _ => Place::Below,
        };
        let sum = self.set(&fragment.node.selection_set.node, place);
        self.fragments.insert(name, sum);
        sum
    }

    fn directives(&self, directives: &[Positioned<Directive>]) -> u64 {
        let all = directives.iter().map(|directive| self.arguments(&directive.node.arguments));
        all.fold(0, u64::saturating_add)
    }

    fn arguments(&self, arguments: &[(Positioned<Name>, Positioned<Value>)]) -> u64 {
        let all = arguments.iter().map(|(name, value)| name.node.len() as u64 + self.value(&value.node));
        all.fold(0, u64::saturating_add)
    }

    fn value(&self, value: &Value) -> u64 {
        let within = match value {
            Value::Variable(name) => self.sizes.get(name.as_str()).copied().unwrap_or(0),
            Value::String(text) => text.len() as u64,
            Value::List(items) => items.iter().map(|item| self.value(item)).fold(0, u64::saturating_add),
            Value::Object(fields) => {
                let all = fields.iter().map(|(name, value)| name.len() as u64 + self.value(value));
                all.fold(0, u64::saturating_add)
            }
            _ => 0,
        };
        VALUE.saturating_add(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::parse_query;
    use serde_json::json;

    fn is_admitted(document: &str, variables: &Json) -> bool {
        admit_uses(&parse_query(document).expect("it is a document"), variables).is_ok()
    }

    #[test]
    fn a_large_value_may_be_used_and_not_often() {
        let large = json!({ "v": "x".repeat(2 << 20) });
        assert!(is_admitted("query($v: String) { a(x: $v) b(x: { y: [$v] }) }", &large));
        for often in [
            format!("query($v: String) {{ a(x: [{}]) }}", "$v ".repeat(20)),
            format!("query($v: String) {{ {} }}", "a(x: $v) ".repeat(20)),
            format!("query($v: Boolean) {{ {} }}", "a @skip(if: $v) ".repeat(20)),
            // Nobody spreads it, or defined the variable.
            format!("{{ b }} fragment F on Query {{ {} }}", "a(x: $v) ".repeat(20)),
            format!("{{ ...F }} fragment F on Q @skip(if: [{}]) {{ b }}", "$v ".repeat(20)),
            format!("{{ {} }}", "a(x: $v) ".repeat(20)),
            format!(
                "query($v: Boolean) {{ {} }} fragment F on Query {{ {} }}",
                "...F ".repeat(5),
                "a(x: { y: $v }) ".repeat(5)
            ),
        ] {
            assert!(!is_admitted(&often, &large), "{often}");
            assert!(is_admitted(&often, &json!({ "v": "x".repeat(1 << 10) })), "{often}");
        }
    }

    #[test]
    fn what_is_copied_for_each_object_is_small() {
        let value = |bytes: usize| json!({ "v": "x".repeat(bytes) });
        for below in [
            "query($v: String) { a { b(x: $v) } }",
            "query($v: String) { a { ... { b(x: { y: [$v] }) } } }",
            "query($v: String) { ...F } fragment F on Query { a { ...G } } fragment G on A { b(x: $v) }",
        ] {
            assert!(is_admitted(below, &value(15 << 10)), "{below}");
            assert!(!is_admitted(below, &value(17 << 10)), "{below}");
        }
        for root in
            ["mutation($v: String) { a(x: $v) { b } }", "query($v: String) { ...F } fragment F on Query { a(x: $v) }"]
        {
            assert!(is_admitted(root, &value(1 << 20)), "{root}");
        }
    }

    #[test]
    fn many_values_are_large_and_so_is_a_default() {
        let many = json!({ "v": vec![0; 1_000_000] });
        assert!(!is_admitted("query($v: Boolean!) { a @skip(if: $v) }", &many));
        assert!(is_admitted("query($v: Boolean!) { a }", &many));
        let default = format!("query($v: [Int] = [{}]) {{ a(x: [{}]) }}", "0 ".repeat(2_000), "$v ".repeat(1_000));
        assert!(!is_admitted(&default, &Json::Null));
    }

    #[test]
    fn what_is_written_out_counts_where_its_fragment_is_spread() {
        let arguments: String = (0..900).map(|n| format!("a{n}: 1 ")).collect();
        let document = |spread: usize| {
            format!(
                "{{ {} }} fragment A on Query {{ {} }} fragment B on Query {{ id({arguments}) }}",
                "...A ".repeat(spread),
                "...B ".repeat(spread)
            )
        };
        assert!(!is_admitted(&document(40), &Json::Null));
        assert!(is_admitted(&document(4), &Json::Null));
    }
}
