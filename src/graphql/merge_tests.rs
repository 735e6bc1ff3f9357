use super::*;
use serde_json::json;

const SDL: &str = "type Query { a(x: Int): A! as: [A!]! node: N maybe: A } type Mutation { do(x: Int): A! }
    type Subscription { s: A! }
    interface N { id: ID! } type A implements N { id: ID! text: String! b(x: Int): B all: [B!] }
    type B implements N { id: ID! text: String! b: B a: A! }";

/// The operation after merging, in words.
fn after(document: &str, variables: serde_json::Value) -> Result<String, String> {
    let document = async_graphql::parser::parse_query(document).expect("it is a document");
    let variables = Variables::from_json(variables);
    let asked = Asked { document: &document, variables: &variables };
    let types = Types::of(SDL);
    let (_, operation) = chosen(&document, None).expect("there is one");
    let (set, unfolded) =
        Merge::new(&types, asked, Standing::Admin).operation(operation).map_err(|stop| match stop {
            Stop::Refused(error) => error.message,
            Stop::Invalid => "invalid".to_owned(),
        })?;
    let mut text = words(&set);
    let mut merged = document.clone();
    chosen_mut(&mut merged, None).expect("there is one").selection_set.node = set;
    forget(&mut merged, &unfolded);
    let mut left: Vec<_> = merged.fragments.keys().map(|name| format!(" {name}")).collect();
    left.sort();
    text.extend(left);
    Ok(text)
}

fn words(set: &SelectionSet) -> String {
    let told = |directives: &[Positioned<Directive>]| -> String {
        let told = directives.iter().map(|one| &one.node);
        told.map(|one| format!("@{}({}) ", one.name.node, one.arguments[0].1.node)).collect()
    };
    let word = |item: &Positioned<Selection>| match &item.node {
        Selection::Field(field) => {
            let field = &field.node;
            let alias = field.alias.as_ref().map(|alias| format!("{}: ", alias.node)).unwrap_or_default();
            let below = words(&field.selection_set.node);
            format!("{alias}{} {}{below}", field.name.node, told(&field.directives))
        }
        Selection::InlineFragment(inline) => {
            let inline = &inline.node;
            let on = inline.type_condition.as_ref().map(|on| format!("on {} ", on.node.on.node));
            let below = words(&inline.selection_set.node);
            format!("... {}{}{below}", on.unwrap_or_default(), told(&inline.directives))
        }
        Selection::FragmentSpread(spread) => format!("...{} ", spread.node.fragment_name.node),
    };
    if set.items.is_empty() {
        return String::new();
    }
    format!("{{ {}}} ", set.items.iter().map(word).collect::<String>())
}

fn merged_to(document: &str, expected: &str) {
    assert_eq!(after(document, json!({ "yes": true, "no": false })).as_deref().map(str::trim_end), Ok(expected));
}

#[test]
fn one_key_is_one_field() {
    merged_to(
        "{ a { id } x: a { id } a { text id b { id } } a { b { text } } }",
        "{ a { id text b { id text } } x: a { id } }",
    );
    merged_to(
        "mutation { do { id } do(x: 1) @skip(if: true) { text } do { text } }",
        "{ do { id text } do @skip(true) { text } }",
    );
    merged_to("{ __typename a { id } __typename }", "{ __typename a { id } }");
}

#[test]
fn fragments_are_unfolded_and_forgotten_where_nothing_spreads_them() {
    merged_to(
        "{ ...F a { text } } fragment F on Query { a { ...G } maybe { id } } fragment G on A { id ... on N { id ... on A { b { id } } } }",
        "{ a { id b { id } text } maybe { id } }",
    );
    // What nothing spread before is named by validation.
    merged_to("{ a { ...G } a { id } } fragment G on A { id } fragment H on A { id }", "{ a { id } }  H");
}

#[test]
fn what_may_be_another_type_stays_by_itself() {
    merged_to(
        "{ node { id ... on A { b { id } id } ... on B { b { id } } ... on N { ... on A { b { text } id } } } }",
        "{ node { id ... on A { b { id text } } ... on A { id } ... on B { b { id } } } }",
    );
    merged_to(
        "{ a { ... on N { ... on B { b { id } } } b { text } b { id } } }",
        "{ a { ... on N { ... on B { b { id } } } b { text id } } }",
    );
}

#[test]
fn directives_stay_with_what_they_are_about() {
    let ask = "query($yes: Boolean!, $no: Boolean!) ";
    for (document, expected) in [
        (
            "{ a { id } ... @include(if: $yes) { a @skip(if: $no) { text } } }",
            "{ a { id ... on A @include($yes) { ... on A @skip($no) { text } } } }",
        ),
        ("{ a @include(if: $yes) { id } a { text } }", "{ a @include($yes) { id text } }"),
        ("{ a @include(if: $no) { id } a { text } a { id } }", "{ a @include($no) { id } a { text id } }"),
        (
            "{ a { id ... on N @skip(if: $no) { ... on A { text } ... on N { id } } } }",
            "{ a { id ... on A @skip($no) { text } ... on A @skip($no) { id } } }",
        ),
        ("{ a { id text id @include(if: $yes) } }", "{ a { id text id @include($yes) } }"),
    ] {
        merged_to(&format!("{ask}{document}"), expected);
    }
}

#[test]
fn what_is_not_the_same_is_refused() {
    for (document, why) in [
        ("{ a { id } ...F } fragment F on Query { a: maybe { id } }", "different fields"),
        ("{ a(x: 1) { id } ... on Query { a(x: 2) { id } } }", "differing arguments"),
        ("{ a { b { id } } a { b(x: 1) { id } } }", "differing arguments"),
        ("{ node { id ... on A { id: text } } }", "different fields"),
    ] {
        let refused = after(document, json!({})).expect_err(document);
        assert!(refused.contains(why), "{document}: {refused}");
    }
    // No object is both.
    merged_to(
        "{ node { ... on A { x: id } ... on B { x: text } } }",
        "{ node { ... on A { x: id } ... on B { x: text } } }",
    );
}

#[test]
fn what_validation_has_to_name_is_left() {
    for document in [
        "{ nothing { id } nothing { text } }",
        "{ a a { id } }",
        "{ a { id { text } id } }",
        "{ a { id id ... on Nothing { id } } }",
        "{ a { id id ... on B { id } } }",
        "{ a { id id ...Nothing } }",
        "{ a { id id ... on N { text } } }",
        "{ a { id @skip(if: \"x\") id } }",
        "{ a { id @skip(if: true) @skip(if: true) id } }",
        "{ a { id @other(if: true) id } }",
        "{ a { id id(x: 1) @skip(if: true) } }",
        "{ a { id id } maybe @skip(if: true) { nothing } }",
        "{ a { id id ... on N { ... on B { nothing } } } }",
    ] {
        assert_eq!(after(document, json!({})).as_deref(), Err(&"invalid".to_owned()), "{document}");
    }
    merged_to(
        "{ __schema { types } __schema { kind } a { id id } }",
        "{ __schema { types } __schema { kind } a { id } }",
    );
}

#[test]
fn a_subscription_stands_in_no_fragment() {
    let ask = "subscription($yes: Boolean!) { ... @include(if: $yes) { ...F } s { text text @include(if: $yes) } } fragment F on Subscription { s { id } }";
    merged_to(ask, "{ s { id text text @include($yes) } ... on Subscription @include($yes) { s { id } } }");
    merged_to("subscription { ...F } fragment F on Subscription { s { id } }", "{ s { id } }");
}

/// What changes something is merged, since it gives an object, in whatever way it is asked for.
#[test]
fn every_mutation_and_subscription_gives_an_object() {
    for root in ["Mutation", "Subscription"] {
        let fields = TYPES.fields_of(root);
        assert!(fields.len() > 5);
        assert!(fields.iter().all(|kind| TYPES.is_composite(base(kind))), "{fields:?}");
    }
}
