//! What the usual wiring of a GraphQL server gets wrong, where no other test holds it.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::path::{Path, PathBuf};

use async_graphql::{Request, Variables};
use futures_util::StreamExt as _;
use kiops::app::Actor;
use kiops::graphql::limits::{Limits, admit};
use sea_orm::{ActiveModelTrait as _, IntoActiveModel as _, Set};
use serde_json::{Value, json};
use syn::visit::Visit;

use crate::support::app::{TestApp, caller, code};
use crate::support::shop::{Shop, mutate, shared_engine};

/// An answer without data: nothing was executed.
fn is_refused(answer: &async_graphql::Response) -> bool {
    answer.is_err() && answer.data == async_graphql::Value::Null
}

/// Complexity counts the rows that a list may have, and lists within lists.
#[tokio::test]
async fn lists_cost_as_many_rows_as_they_may_have() {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    // Six lists in a list of five rows each are 5^7 rows.
    let nested = |levels: usize| {
        let inner = (0..levels)
            .fold("id".to_owned(), |inner, _| format!("deployments(first: 5) {{ nodes {{ service {{ {inner} }} }} }}"));
        format!("{{ services(first: 5) {{ nodes {{ {inner} }} }} }}")
    };
    let of_a_service = |levels: usize| {
        (0..levels).fold("id".to_owned(), |inner, _| {
            format!("deployments(first: 100) {{ nodes {{ service {{ {inner} }} }} }}")
        })
    };
    for (document, is_cheap) in [
        ("{ services(first: 100) { nodes { deployments(first: 100) { nodes { id } } } } }".to_owned(), false),
        ("{ services(first: 40) { nodes { deployments(first: 40) { nodes { id } } } } }".to_owned(), true),
        (nested(6), false),
        (nested(2), true),
        // What a runtime is asked.
        (
            "{ services { nodes { environments { name latestDeployment { revision } instances { name } } } } }"
                .to_owned(),
            true,
        ),
        ("{ services(first: 100) { nodes { environments { instances { name } } } } }".to_owned(), false),
        ("{ services(first: 40) { nodes { environments { logTail(lines: 1000) { text } } } } }".to_owned(), false),
        ("{ services(first: 80) { nodes { environments { logTail(lines: null) { text } } } } }".to_owned(), false),
        // The library sees what is spread on an interface as fields that it does not know.
        (
            format!(
                "query($id: ID!) {{ node(id: $id) {{ ...F }} }} fragment F on Service {{ {below} }}",
                below = of_a_service(3)
            ),
            false,
        ),
        (
            format!(
                "query($id: ID!) {{ node(id: $id) {{ ...F }} }} fragment F on Service {{ {below} }}",
                below = of_a_service(1)
            ),
            true,
        ),
        (
            format!(
                "query($id: ID!) {{ ...N }} fragment N on Query {{ node(id: $id) {{ ... {{ ...F }} }} }} fragment F on Service {{ ...G }} fragment G on Service {{ {below} }}",
                below = of_a_service(3)
            ),
            false,
        ),
    ] {
        let answer = test.run(Some(&shop.admin), &document, json!({ "id": shop.service })).await;
        assert_eq!(is_refused(&answer), !is_cheap, "{document} {:?}", answer.errors);
        assert!(is_cheap || answer.errors[0].message.contains("too complex"), "{:?}", answer.errors);
    }
}

/// Lists that come whole lead back to themselves, so what they come to depends on what is there.
#[tokio::test]
async fn lists_that_come_whole_do_not_multiply_without_end() {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    mutate(&test, &shop.admin, "deployService", json!({ "serviceId": shop.service })).await;
    let db = &test.app.db;
    let production = shop.admin.scope.environments().one(db.read()).await.unwrap().unwrap();
    for n in 1..30 {
        let mut made = production.clone().into_active_model();
        made.id = Set(format!("{}-{n}", production.id));
        made.name = Set(format!("environment-{n}"));
        made.insert(db.read_write()).await.unwrap();
    }
    let document = |levels: usize| {
        let below = (0..levels).fold("id".to_owned(), |below, level| {
            let back = if level == 0 { below } else { format!("latestDeployment {{ service {{ {below} }} }}") };
            format!("environments {{ {back} }}")
        });
        format!("query($id: ID!) {{ node(id: $id) {{ ... on Service {{ {below} }} }} }}")
    };
    let answer = test.run(Some(&shop.admin), &document(2), json!({ "id": shop.service })).await;
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    let rows = answer.data.to_string().matches("id:").count();
    assert_eq!(rows, 30 * 30, "{}", answer.data);
    // 27,000 of them.
    let answer = test.run(Some(&shop.admin), &document(3), json!({ "id": shop.service })).await;
    assert_eq!(code(&answer).as_deref(), Some("BAD_USER_INPUT"));
    assert!(answer.errors[0].message.contains("20000 rows"), "{:?}", answer.errors);
    assert!(answer.data.to_string().matches("id:").count() <= 20_000);
}

/// A page of a log may have a thousand lines, with all that is to be known of them and of the page.
#[tokio::test]
async fn a_thousand_lines_are_a_page() {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    let page = |kind: &str, first: i32| {
        format!(
            "query($id: ID!) {{ node(id: $id) {{ ... on {kind} {{ log(first: {first}) {{
                nodes {{ cursor at stage stream text }} edges {{ cursor node {{ cursor at stage stream text }} }}
                pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }} }}"
        )
    };
    let id = json!({ "id": shop.deployment });
    for kind in ["Pipeline", "Deployment"] {
        let answer = test.run(Some(&shop.admin), &page(kind, 1000), id.clone()).await;
        assert!(answer.errors.is_empty(), "{kind} {:?}", answer.errors);
    }
    let over = test.run(Some(&shop.admin), &page("Deployment", 1001), id).await;
    assert_eq!(code(&over).as_deref(), Some("BAD_USER_INPUT"), "{:?}", over.errors);
    assert!(over.errors[0].message.contains("1000"), "{:?}", over.errors);
}

/// With introspection turned off its depth is nothing. A refusal says so; `__typename` is no introspection.
#[test]
fn introspection_can_be_turned_off() {
    let off = Limits { introspection_depth: 0, ..Limits::default() };
    for document in [
        "{ __schema { queryType { name } } }",
        "{ __type(name: \"Service\") { name } }",
        "query A { a: __schema { types { name } } } query B { viewer { role } }",
        "{ ...F } fragment F on Query { ... on Query { __schema { types { name } } } }",
    ] {
        assert!(admit(document, Some("A"), &Limits::default()).is_ok(), "{document}");
        let refusal = admit(document, Some("A"), &off).unwrap_err();
        assert!(refusal.message.contains("introspection"), "{document}: {refusal}");
    }
    assert!(admit("{ __typename viewer { __typename } }", None, &off).is_ok());
}

/// Two callers ask for the same key at once: what one may see is never the other's.
#[tokio::test]
async fn callers_share_no_loader() {
    let test = TestApp::with(shared_engine(&["acme", "other"])).await;
    let (acme, other) = (Shop::open(&test, "acme").await, Shop::open(&test, "other").await);
    let document = "query($a: ID!, $b: ID!) {
        a: node(id: $a) { ... on Deployment { service { name runtime { id } } } }
        b: node(id: $b) { ... on Deployment { service { name runtime { id } } } } }";
    let both = json!({ "a": acme.deployment, "b": other.deployment });
    let ask = async |actor: &Actor| test.run(Some(actor), document, both.clone()).await;
    for _ in 0..20 {
        let asked = [ask(&acme.admin), ask(&other.admin), ask(&acme.admin), ask(&other.admin)];
        let answers = futures_util::future::join_all(asked).await;
        for (answer, (own, foreign), runtime) in [
            (&answers[0], ("a", "b"), &acme.runtime),
            (&answers[1], ("b", "a"), &other.runtime),
            (&answers[2], ("a", "b"), &acme.runtime),
            (&answers[3], ("b", "a"), &other.runtime),
        ] {
            let data = answer.data.clone().into_json().unwrap();
            assert_eq!(data[own]["service"]["runtime"]["id"], json!(runtime), "{data}");
            assert_eq!(data[foreign], Value::Null, "{data}");
        }
    }
}

/// A variable that is left out is not null, which would take away what is stored.
#[tokio::test]
async fn a_variable_that_is_left_out_changes_nothing() {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    let save = "mutation($s: ID!, $r: Int, $e: [EnvVarInput!]) {
        saveEnvironment(input: { serviceId: $s, name: \"production\", replicas: $r, env: $e }) {
            environment { env { name value } } } }";
    let env = json!([{ "name": "GREETING", "value": "hello" }]);
    let saved = async |variables: Value| {
        let mut variables = variables;
        variables["s"] = json!(shop.service);
        test.data(&shop.admin, save, variables).await["saveEnvironment"]["environment"]["env"].clone()
    };
    assert_eq!(saved(json!({ "r": 1, "e": env })).await, env);
    assert_eq!(saved(json!({})).await, env);
    assert_eq!(saved(json!({ "r": 1 })).await, env);
    assert_eq!(saved(json!({ "e": null })).await, json!([]));
    // What is used nowhere is said.
    let refused = test.run(Some(&shop.admin), "query($n: Int) { viewer { role } }", json!({})).await;
    assert!(refused.errors[0].message.contains("is not used"), "{:?}", refused.errors);
}

/// An object of which nothing is asked, or only what another type has, is there all the same, and merged with what else is asked.
#[tokio::test]
async fn an_object_is_never_nothing() {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    let id = json!({ "id": shop.service });
    for (document, answer) in [
        ("query($id: ID!) { node(id: $id) { ... on Pipeline { status } } }", json!({ "node": {} })),
        (
            "query($id: ID!) { ...A ...B } fragment A on Query { node(id: $id) { ... on Pipeline { status } } }
             fragment B on Query { node(id: $id) { ... on Service { name } } }",
            json!({ "node": { "name": "acme-shop" } }),
        ),
        (
            "query($id: ID!, $no: Boolean = true) { service(id: $id) { name @skip(if: $no) runtime { id @skip(if: $no) } } }",
            json!({ "service": { "runtime": {} } }),
        ),
        ("query($id: ID!) { service(id: $id) @skip(if: true) { name } }", json!({})),
        (
            "query($id: ID!) { services(search: \"acme-shop\") { nodes { ... on Node { ... on Pipeline { id } } } } node(id: $id) { id } }",
            json!({ "services": { "nodes": [{}] }, "node": id }),
        ),
        (
            "query($id: ID!, $yes: Boolean = false) { node(id: $id) { ... on Service { ... @include(if: $yes) { a: name } } ... on User { ... @include(if: $yes) { a: email } } } }",
            json!({ "node": {} }),
        ),
        (
            "query($id: ID!, $yes: Boolean = true) { node(id: $id) { ... on Service { ... @include(if: $yes) { a: name } } ... on User { ... @include(if: $yes) { a: email } } } }",
            json!({ "node": { "a": "acme-shop" } }),
        ),
    ] {
        assert_eq!(test.data(&shop.admin, document, id.clone()).await, answer, "{document}");
    }
}

/// What is asked for under one key in several places is one field: it is done once, and fails once.
#[tokio::test]
async fn a_key_is_one_field_wherever_it_stands() {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    let tokens = async || {
        let document = "{ apiTokens { id } }";
        test.data(&shop.admin, document, Value::Null).await["apiTokens"].as_array().unwrap().len()
    };
    let before = tokens().await;
    let made = test
        .data(
            &shop.admin,
            "mutation { createApiToken(input: { name: \"once\" }) { token } ...F ... { createApiToken(input: { name: \"once\" }) { apiToken { id } } } }
             fragment F on Mutation { createApiToken(input: { name: \"once\" }) { apiToken { name } } }",
            Value::Null,
        )
        .await;
    let made = &made["createApiToken"];
    assert_eq!((&made["apiToken"]["name"], made["apiToken"]["id"].is_string()), (&json!("once"), true), "{made}");
    assert_eq!((made["token"].is_string(), tokens().await), (true, before + 1));

    // Whatever fails in a list.
    let log = "latestDeployment { log(first: 1001) { nodes { text } } }";
    let at_once = format!("{{ services {{ nodes {{ name {log} id }} }} }}");
    let in_places = format!(
        "{{ services {{ ...F nodes {{ id }} }} ...Q }} fragment F on ServiceConnection {{ nodes {{ ... on Node {{ ... on Service {{ name }} }} }} }}
         fragment Q on Query {{ services {{ nodes {{ {log} }} }} }}"
    );
    let mut answers = Vec::new();
    for document in [at_once, in_places] {
        let answer = test.run(Some(&shop.admin), &document, Value::Null).await;
        assert!(!answer.errors.is_empty(), "{document}");
        let paths: Vec<_> = answer.errors.iter().map(|error| format!("{:?}", error.path)).collect();
        answers.push((answer.data.into_json().unwrap(), paths));
    }
    assert_eq!(answers[0], answers[1]);
}

/// What can't be one field is refused before anything is done.
#[tokio::test]
async fn two_fields_of_one_key_are_refused() {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    for (document, key) in [
        ("{ services(first: 1) { nodes { id } } ...F } fragment F on Query { services { nodes { id } } }", "services"),
        ("{ services { nodes { id ... on Node { ... on Service { id: name } } } } }", "id"),
        ("{ services { nodes { d: latestDeployment { id } ... { d: currentDeployment { id } } } } }", "d"),
        (
            "{ services { nodes { latestDeployment { id } } ... { nodes { latestDeployment(environment: \"a\") { id } } } } }",
            "latestDeployment",
        ),
        (
            "mutation { a: logout { ok } ... on Mutation { a: revokeApiToken(input: { id: \"x\" }) { __typename } } }",
            "a",
        ),
    ] {
        let answer = test.run(Some(&shop.admin), document, Value::Null).await;
        assert!(
            is_refused(&answer) && code(&answer).as_deref() == Some("BAD_USER_INPUT"),
            "{document} {:?}",
            answer.errors
        );
        assert!(answer.errors[0].message.contains(&format!("Fields \"{key}\" conflict")), "{:?}", answer.errors);
        assert_eq!(answer.errors[0].locations.len(), 2);
    }
}

/// Nor does a member learn of what there is not for them.
#[tokio::test]
async fn what_is_hidden_conflicts_with_nothing() {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    let member = test.member(&shop.admin, "mem@acme.example").await;
    let ask = async |actor: &Actor, field: &str| {
        let document =
            format!("{{ x: {field} {{ totalCount }} ...F }} fragment F on Query {{ x: services {{ totalCount }} }}");
        let answer = test.run(Some(actor), &document, Value::Null).await;
        assert!(is_refused(&answer), "{document}");
        answer.errors.iter().map(|error| error.message.replace(field, "FIELD")).collect::<Vec<_>>()
    };
    assert_eq!(ask(&member, "auditEvents").await, ask(&member, "nothing").await);
    assert!(ask(&shop.admin, "auditEvents").await[0].contains("conflict"));
}

/// A subscription is what it is in a fragment, too.
#[tokio::test]
async fn subscriptions_may_stand_in_fragments() {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    let all = async |document: &str| {
        let variables = Variables::from_json(json!({ "id": shop.deployment, "yes": true, "no": false }));
        let request = Request::new(document).variables(variables);
        let answers = test.schemas.execute_stream(request, caller(Some(&shop.admin)));
        let answers: Vec<_> = answers.map(|answer| serde_json::to_string(&answer).unwrap()).collect().await;
        assert!(!answers.is_empty() && !answers.join("").contains("errors"), "{document} {answers:?}");
        answers
    };
    for (plain, several) in [
        (
            "subscription($id: ID!) { deployment(id: $id) { id status service { id name } } }",
            "subscription($id: ID!, $yes: Boolean!, $no: Boolean!) { ... @include(if: $yes) { ...F } deployment(id: $id) { service { name __typename @include(if: $no) } } }
             fragment F on Subscription { deployment(id: $id) { id status status @skip(if: $no) service { id } } }",
        ),
        (
            "subscription($id: ID!) { deploymentLog(id: $id) { text at } }",
            "subscription($id: ID!, $yes: Boolean!) { ...F } fragment F on Subscription { deploymentLog(id: $id) { text text @include(if: $yes) at } }",
        ),
    ] {
        assert_eq!(all(plain).await, all(several).await);
    }
}

/// A document may hold operations beside the one that is meant, whose variables are not given and whose price nobody pays.
#[tokio::test]
async fn operations_beside_the_one_that_is_meant_are_not_weighed() {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    let document = "
        query Mine($id: ID!, $name: String) { service(id: $id) { name currentDeployment(environment: $name) { id } ...S } }
        query Other($id: ID!, $name: String!, $first: Int!) {
            service(id: $id) { environment(name: $name) { id } ...S ...T } services(first: $first) { totalCount }
        }
        query Dear { services(first: 100) { nodes { deployments(first: 100) { nodes { id } } } } }
        fragment S on Service { id } fragment T on Service { description }";
    let run = async |document: &str, name: &str| {
        let request =
            Request::new(document).operation_name(name).variables(Variables::from_json(json!({ "id": shop.service })));
        test.schemas.execute(request, caller(Some(&shop.admin))).await
    };
    let answer = run(document, "Mine").await;
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    assert!(run(document, "Dear").await.errors[0].message.contains("too complex"));
    // What is in no operation is a fault still.
    let answer = run(&format!("{document} fragment Never on Service {{ id }}"), "Mine").await;
    assert!(is_refused(&answer) && answer.errors[0].message.contains("Never"), "{:?}", answer.errors);
    let answer =
        run("subscription S($id: ID!) { a: deployment(id: $id) { id } b: deployment(id: $id) { id } }", "S").await;
    assert!(answer.errors[0].message.contains("only one top level field"), "{:?}", answer.errors);
}

/// The library falls over a default whose type is a list of what does not exist.
#[tokio::test]
async fn a_default_of_any_type_is_no_fault_of_the_server() {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    let member = test.member(&shop.admin, "nobody-else@acme.example").await;
    let sdl = kiops::graphql::sdl();
    let words = sdl.lines().filter_map(|line| {
        let mut words = line.split([' ', '{', '(']);
        let kind = words.next().filter(|word| ["type", "input", "enum", "scalar", "interface", "union"].contains(word));
        kind.and_then(|_| words.next())
    });
    let names: Vec<&str> = words.chain(["Nope", "Int", "Float", "__Type", "__TypeKind"]).collect();
    assert!(names.len() > 100, "{names:?}");
    for name in names {
        for actor in [Some(&shop.admin), Some(&member), None] {
            for kind in [format!("[{name}]"), format!("[[{name}!]]!"), name.to_owned()] {
                let document = format!("query($a: {kind} = [1]) {{ server {{ version }} }}");
                let answer = test.run(actor, &document, Value::Null).await;
                assert_eq!(code(&answer).as_deref(), Some("BAD_USER_INPUT"), "{document} {:?}", answer.errors);
            }
        }
    }
}

/// GraphQL's Int has 32 bits. Rust's other whole numbers are shown as Int all the same, and then break at a client or in
/// the middle of an execution.
#[test]
fn whole_numbers_have_32_bits() {
    let mut seen = Numbers::default();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/graphql")) {
        seen.file = file.clone();
        seen.visit_file(&syn::parse_file(&std::fs::read_to_string(&file).unwrap()).unwrap());
    }
    assert!(seen.looked_at > 300, "only {} resolvers and inputs were found", seen.looked_at);
    assert_eq!(seen.wide, Vec::<String>::new());
}

const WIDE: [&str; 8] = ["u32", "i64", "u64", "i128", "u128", "isize", "usize", "NonZeroU32"];

#[derive(Default)]
struct Numbers {
    file: PathBuf,
    looked_at: usize,
    wide: Vec<String>,
}

impl Numbers {
    /// Looks at the types of a resolver's arguments and answer, or of an input's field.
    fn look(&mut self, what: &syn::Ident, types: &[&syn::Type]) {
        self.looked_at += 1;
        let mut words = Words::default();
        types.iter().for_each(|ty| words.visit_type(ty));
        let wide = words.0.iter().filter(|word| WIDE.contains(&word.as_str()));
        self.wide.extend(wide.map(|word| format!("{}: {what} is {word}", self.file.display())));
    }
}

impl<'ast> Visit<'ast> for Numbers {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if !has(&item.attrs, &["Object", "Subscription", "ComplexObject"]) {
            return;
        }
        for item in &item.items {
            let syn::ImplItem::Fn(function) = item else { continue };
            let mut types = Vec::new();
            for input in &function.sig.inputs {
                if let syn::FnArg::Typed(argument) = input {
                    types.push(&*argument.ty);
                }
            }
            if let syn::ReturnType::Type(_, answer) = &function.sig.output {
                types.push(answer);
            }
            self.look(&function.sig.ident, &types);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        let derived = item.attrs.iter().filter(|attribute| attribute.path().is_ident("derive"));
        let is_graphql = derived.into_iter().any(|attribute| {
            let text = match &attribute.meta {
                syn::Meta::List(list) => list.tokens.to_string(),
                _ => String::new(),
            };
            text.contains("InputObject") || text.contains("SimpleObject")
        });
        if !is_graphql {
            return;
        }
        for field in &item.fields {
            self.look(field.ident.as_ref().unwrap_or(&item.ident), &[&field.ty]);
        }
    }
}

#[derive(Default)]
struct Words(Vec<String>);

impl<'ast> Visit<'ast> for Words {
    fn visit_ident(&mut self, word: &'ast syn::Ident) {
        self.0.push(word.to_string());
    }
}

fn has(attributes: &[syn::Attribute], names: &[&str]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().segments.last().is_some_and(|last| names.iter().any(|name| last.ident == name))
    })
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
