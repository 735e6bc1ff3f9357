//! Hostile documents, each refused quickly and briefly, and honest ones beside them.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::{Duration, Instant};

use super::*;

fn refused(query: &str) -> String {
    let begun = Instant::now();
    let refusal = admit(query, None, &Limits::default()).unwrap_err();
    assert!(begun.elapsed() < Duration::from_millis(if cfg!(debug_assertions) { 400 } else { 10 }), "{refusal}");
    assert!(refusal.message.len() < 1_000);
    refusal.message
}

fn fan_out(width: usize, levels: usize) -> String {
    let mut text = "{...F0}".to_owned();
    for level in 0..levels {
        text += &format!(" fragment F{level} on Q{{{}}}", format!("...F{} ", level + 1).repeat(width));
    }
    text + &format!(" fragment F{levels} on Q{{a}}")
}

#[test]
fn hostile_documents_are_refused() {
    let named = |count: usize| (0..count).map(|n| format!("query Q{n}{{a}} ")).collect::<String>();
    let aliases = |count: usize| (0..count).map(|n| format!("a{n}:a ")).collect::<String>();
    for (query, word) in [
        (format!("{{{}}}", aliases(1_000)), "root fields"),
        (format!("{{b{{{}}}}}", aliases(101)), "aliases"),
        (format!("mutation{{{}}}", "login(input:{}){a} ".repeat(2)), "one login"),
        ("mutation{...L ...L} fragment L on M{login{a}}".to_owned(), "one login"),
        (fan_out(2, 20), "over the limit"),
        (fan_out(2, 28), "over the limit"),
        (fan_out(5, 10), "over the limit"),
        (fan_out(100, 10), "over the limit"),
        (fan_out(2, 28).replace("on Q{a}", "on Q{...Unknown}"), "over the limit"),
        (format!("{{a}} {}", fan_out(2, 28).replace("{...F0}", "")), "over the limit"),
        ("{...A} fragment A on Q{...B} fragment B on Q{...A}".to_owned(), "circle"),
        ("{a} fragment A on Q{b{...A}}".to_owned(), "circle"),
        (format!("{{a {}}}", "@skip(if:true)".repeat(10_000)), "over the limit"),
        (format!("{{a {}}}", "@x ".repeat(101)), "directives"),
        (format!("{{{}}}", "a ".repeat(100_000)), "over the limit"),
        (format!("{{{}}}", "a ".repeat(5_000)), "words"),
        (format!("{{{}}}", "a ".repeat(60)), "root fields"),
        (format!("{{b{{{}}}}}", "a ".repeat(2_001)), "fields"),
        (format!("{}a{}", "{a".repeat(10_000), "}".repeat(10_000)), "nesting"),
        (format!("{}a{}", "{a".repeat(20), "}".repeat(20)), "depth"),
        (format!("{{a(b:{}1{})}}", "[".repeat(10_000), "]".repeat(10_000)), "nesting"),
        (format!("{{a(b:[\"\"\" x\" {}", "{a:".repeat(10_000)), "block string"),
        (format!("{{#\r{}", "{a".repeat(10_000)), "nesting"),
        (format!("{{a(b:\"\\\"\" c:{}", "[".repeat(10_000)), "nesting"),
        (named(20_000), "over the limit"),
        (named(11), "operations"),
        (format!("{{a {}", "#\n".repeat(3_000)), "lines"),
        (format!("{{a(b:\"{}\")}}", "x".repeat(300_000)), "size"),
        (format!("{{{}}}", "x".repeat(257)), "length of a word"),
        (format!("{{ a(b: \"{}\") !", "ä".repeat(20_000)), "Syntax error: "),
        (format!("{{__schema{}{{a{}", "{a".repeat(25), "}".repeat(27)), "introspection"),
        (
            format!("{{__type(name:\"Node\"){}name{}}}", "{possibleTypes{interfaces".repeat(5) + "{", "}".repeat(11)),
            "what its introspection",
        ),
        (
            format!("{{__schema{}name{}}}", "{types".to_owned() + &"{fields{type".repeat(3) + "{", "}".repeat(8)),
            "introspection",
        ),
        (format!("{{__schema{{types{{fields{{args{{{}}}}}}}}}}}", "description ".repeat(1_000)), "introspection"),
        (format!("{{...F}} fragment F on Q{}", "{a".repeat(14) + &"}".repeat(14)), "depth"),
        (format!("{{a}} fragment F on Q{}", "{a".repeat(21) + &"}".repeat(21)), "depth"),
        (format!("{{a{}b{}}}", "{...".repeat(33), "}".repeat(33)), "nesting of selections"),
        (format!("{{...F}} fragment F on Q{}b{}", "{...".repeat(33) + "{", "}".repeat(34)), "nesting of selections"),
    ] {
        let message = refused(&query);
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[test]
fn honest_documents_are_admitted() {
    let admitted = admit("query A{a} mutation B{b}", Some("B"), &Limits::default()).unwrap();
    assert_eq!(admitted.kind, Some(OperationType::Mutation));
    assert_eq!(admitted.operation.as_deref(), Some("B"));
    assert_eq!(admit("query A{a} query B{b}", None, &Limits::default()).unwrap().kind, None);
    assert_eq!(admit("query A{a} query B{b}", Some("C"), &Limits::default()).unwrap().kind, None);
    let standard =
        "query IntrospectionQuery{__schema{queryType{name} types{...FullType} directives{name args{...InputValue}}}} \
        fragment FullType on __Type{kind fields(includeDeprecated:true){name args{...InputValue} type{...TypeRef}} \
        inputFields{...InputValue} interfaces{...TypeRef} possibleTypes{...TypeRef}} \
        fragment InputValue on __InputValue{name type{...TypeRef} defaultValue} fragment TypeRef on __Type{kind "
            .to_owned()
            + &"ofType{kind name ".repeat(14)
            + &"}".repeat(15);
    assert_eq!(admit(&standard, None, &Limits::default()).err(), None);
    let introspection = format!("{{__schema{}name{}}}", "{ofType".repeat(14) + "{", "}".repeat(15));
    assert!(admit(&introspection, None, &Limits::default()).is_ok());
    assert!(admit("{a(b:\"\"\"{{{{ \\\"\"\" [[[\"\"\") # {{{\n}", None, &Limits::default()).is_ok());
    assert!(admit(&format!("{{a{}b{}}}", "{...".repeat(31) + "{", "}".repeat(32)), None, &Limits::default()).is_ok());
    assert!(admit(&fan_out(2, 8), None, &Limits { root_fields: 500, ..Limits::default() }).is_ok());
}

#[test]
fn deep_variables_are_refused() {
    let limits = Limits::default();
    let nested = |levels: usize| (0..levels).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    assert!(admit_variables(&nested(32), &limits).is_ok());
    assert!(admit_variables(&nested(33), &limits).is_err());
    assert!(admit_variables(&serde_json::Value::Null, &limits).is_ok());
}
