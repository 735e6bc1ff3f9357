//! Services in lists: what is made of their columns alone is word for word what their resolvers say, and what is read of the
//! database is not more for many than for few.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::collections::BTreeMap;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, TypeKind, TypeSystemDefinition};
use entity::{environment, organization, runtime, service};
use kiops::app::Actor;
use kiops::graphql::ids::NodeKind;
use kiops::graphql::sdl;
use sea_orm::{
    ActiveEnum, ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, Iterable,
    QueryFilter as _, Set,
};
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::server::Server;
use crate::support::shop::{Shop, scanning_engine, text, web};

/// Organizations with services of every kind: deployed, built, with no environment, with one that is not production, with two
/// of which none is.
async fn world(test: &TestApp) -> (Shop, Shop) {
    let mut acme = Shop::open(test, "acme").await;
    acme.build(test, "built").await;
    let other = Shop::open(test, "other").await;
    let db = &test.app.db;
    let deployed = acme.admin.scope.environments().one(db.read()).await.unwrap().unwrap();
    let of = service::Entity::find_by_id(&deployed.service_id).one(db.read()).await.unwrap().unwrap();
    for (name, environments) in
        [("no-environment", vec![]), ("one-other", vec!["staging"]), ("two-others", vec!["a", "b"])]
    {
        let id = format!("{name}-id");
        let mut made = of.clone().into_active_model();
        made.id = Set(id.clone());
        made.name = Set(name.to_owned());
        made.registry_secret_id = Set(None);
        made.insert(db.read_write()).await.unwrap();
        for environment in environments {
            let mut made = deployed.clone().into_active_model();
            made.id = Set(format!("{id}-{environment}"));
            made.service_id = Set(id.clone());
            made.name = Set(environment.to_owned());
            made.insert(db.read_write()).await.unwrap();
        }
    }
    (acme, other)
}

/// The answer, as text, to what is asked with `fields` of each service: asked for as it is, and with a field beside it that no
/// column is.
async fn both(test: &TestApp, actor: &Actor, list: &str, fields: &str) -> (String, String) {
    let ask = async |fields: &str| {
        let document = format!("{{ {} }}", list.replace("FIELDS", fields));
        let answer = test.run(Some(actor), &document, serde_json::Value::Null).await;
        assert!(answer.errors.is_empty(), "{document}: {:?}", answer.errors);
        answer.data
    };
    let brief = ask(fields).await;
    let mut whole = ask(&format!("{fields} more: containers {{ name }}")).await;
    without_more(&mut whole);
    (serde_json::to_string(&brief).unwrap(), serde_json::to_string(&whole).unwrap())
}

fn without_more(value: &mut async_graphql::Value) {
    match value {
        async_graphql::Value::Object(fields) => {
            fields.shift_remove("more");
            fields.values_mut().for_each(without_more);
        }
        async_graphql::Value::List(items) => items.iter_mut().for_each(without_more),
        _ => {}
    }
}

/// The types of the schema, by name.
fn types() -> BTreeMap<String, TypeKind> {
    let definitions = parse_schema(sdl()).unwrap().definitions.into_iter();
    let types = definitions.filter_map(|definition| match definition {
        TypeSystemDefinition::Type(found) => Some((found.node.name.node.to_string(), found.node.kind)),
        _ => None,
    });
    types.collect()
}

/// The fields of a type that are a scalar or a word and take no arguments.
fn leaves(kind: &str) -> Vec<String> {
    let types = types();
    let is_leaf = |name: &str| match types.get(name) {
        Some(found) => matches!(found, TypeKind::Scalar | TypeKind::Enum(_)),
        None => true,
    };
    let TypeKind::Object(object) = &types[kind] else { panic!("{kind}") };
    let fields = object.fields.iter().map(|field| &field.node);
    let leaves = fields.filter(|field| {
        matches!(&field.ty.node.base, BaseType::Named(name) if is_leaf(name)) && field.arguments.is_empty()
    });
    leaves.map(|field| field.name.node.to_string()).collect()
}

#[tokio::test]
async fn every_field_is_what_its_resolver_says() {
    let test = TestApp::with(scanning_engine(&["acme", "other"])).await;
    let (acme, _other) = world(&test).await;
    let list = "services { totalCount nodes { FIELDS } }";
    let mut seen = 0;
    for (path, kind) in [
        ("", "Service"),
        ("latestPipeline", "Pipeline"),
        ("latestDeployment", "Deployment"),
        ("currentDeployment", "Deployment"),
        ("runtime", "Runtime"),
    ] {
        for field in leaves(kind).into_iter().chain(["__typename".to_owned()]) {
            let fields = if path.is_empty() { field.clone() } else { format!("{path} {{ {field} }}") };
            let (brief, whole) = both(&test, &acme.admin, list, &fields).await;
            assert_eq!(brief, whole, "{fields}");
            assert!(brief.contains("\"totalCount\":5"), "{brief}");
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[tokio::test]
async fn selections_are_merged_and_shown_in_the_order_asked_for() {
    let test = TestApp::with(scanning_engine(&["acme", "other"])).await;
    let (acme, _other) = world(&test).await;
    let member = test.member(&acme.admin, "mem@acme.example").await;
    for list in [
        "services(first: 3) { nodes { FIELDS } pageInfo { hasNextPage endCursor startCursor } }",
        "services(last: 2) { edges { cursor node { FIELDS } } pageInfo { hasPreviousPage } }",
        "services(orderBy: NEWEST, first: 2) { edges { cursor node { FIELDS } } totalCount }",
        "services(orderBy: LAST_CHANGED, last: 4) { edges { cursor node { FIELDS } } }",
        "a: services(search: \"o\") { nodes { FIELDS } } b: services(source: [GITLAB]) { nodes { FIELDS name } }",
        "services(risk: [CRITICAL, HIGH, MEDIUM, LOW, INFO]) { totalCount edges { node { FIELDS } } }",
        "runtimes { nodes { services(first: 4) { nodes { FIELDS } pageInfo { endCursor } } } }",
        // Asked for in two places: neither is the other's.
        "services { nodes { FIELDS } edges { node { name FIELDS } } }",
        "services { ...L } } fragment L on ServiceConnection { edges { ... on ServiceEdge { node { FIELDS } } }",
        "services { a: nodes { FIELDS } b: nodes { name } }",
    ] {
        for fields in [
            "name id",
            "z: name __typename a: id id name",
            "runtime { id } id runtime { name again: name id } r: runtime { status }",
            "... on Service { name latestPipeline { ... { id } } } ... on Node { id } latestPipeline { status id }",
            "name @skip(if: true) status @include(if: true) ... @include(if: false) { id } source",
            "latestDeployment { id status revision createdAt } currentDeployment { finishedAt id }",
            // What is of another type is nothing of a service, and one key may stand in several places.
            "name ... on Node { ... on Pipeline { status createdAt } } runtime { ... on Node { ... on Service { name } id } }",
            "d: latestDeployment { id } ... on Service { name d: latestDeployment { finishedAt } }",
            "latestDeployment(environment: \"staging\") { id } ... { latestDeployment(environment: \"staging\") { revision } }",
        ] {
            for actor in [&acme.admin, &member] {
                let (brief, whole) = both(&test, actor, list, fields).await;
                assert_eq!(brief, whole, "{list} {fields}");
            }
        }
    }
    // What comes after a page is found from either.
    let next = "query($after: String) { services(orderBy: LAST_CHANGED, first: 2, after: $after) { nodes { name } pageInfo { endCursor } } }";
    let mut names = Vec::new();
    let mut after = Value::Null;
    for _ in 0..3 {
        let page = test.data(&acme.admin, next, json!({ "after": after })).await;
        names.extend(page["services"]["nodes"].as_array().unwrap().iter().map(|node| node["name"].to_string()));
        after = page["services"]["pageInfo"]["endCursor"].clone();
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 5, "{names:?}");
}

/// Nothing is asked of the services themselves.
#[tokio::test]
async fn a_list_may_be_asked_for_what_is_about_it() {
    let test = TestApp::with(scanning_engine(&["acme", "other"])).await;
    let (acme, _other) = world(&test).await;
    let ask = "{ a: services { totalCount } b: services(first: 2) { edges { cursor } pageInfo { hasNextPage endCursor } } \
               c: services(first: 2) { edges { cursor node { name } } pageInfo { endCursor hasNextPage } } }";
    let found = test.data(&acme.admin, ask, Value::Null).await;
    assert_eq!(found["a"], json!({ "totalCount": 5 }));
    assert_eq!(found["b"]["pageInfo"], found["c"]["pageInfo"]);
    assert_eq!(found["b"]["edges"][1]["cursor"], found["c"]["edges"][1]["cursor"]);
}

#[tokio::test]
async fn nobody_sees_another_organizations() {
    let test = TestApp::with(scanning_engine(&["acme", "other"])).await;
    let (acme, other) = world(&test).await;
    let names = async |actor: &Actor| {
        let found = test
            .data(actor, "{ services { nodes { name runtime { id } latestDeployment { id } } } }", Value::Null)
            .await;
        found["services"]["nodes"].as_array().unwrap().clone()
    };
    assert_eq!(names(&other.admin).await.len(), 1);
    // Not even where a row of theirs points at one of another organization.
    let theirs = acme.admin.scope.environments().one(test.app.db.read()).await.unwrap().unwrap();
    let own = other.admin.scope.environments();
    let own = own.filter(environment::Column::Name.eq("production")).one(test.app.db.read()).await.unwrap().unwrap();
    let mut own = own.into_active_model();
    own.latest_deployment_id = Set(theirs.latest_deployment_id);
    own.runtime_id = Set(theirs.runtime_id);
    own.update(test.app.db.read_write()).await.unwrap();
    let seen = names(&other.admin).await;
    assert_eq!((&seen[0]["latestDeployment"], &seen[0]["runtime"]), (&Value::Null, &Value::Null));
}

/// The words that are stored are those that are shown.
#[test]
fn words_are_stored_as_they_are_shown() {
    let types = types();
    let words = |name: &str| {
        let TypeKind::Enum(found) = &types[name] else { panic!("{name}") };
        let mut words: Vec<String> = found.values.iter().map(|word| word.node.value.node.to_string()).collect();
        words.sort();
        words
    };
    fn stored<E: Iterable + ActiveEnum<Value = String>>() -> Vec<String> {
        let mut words: Vec<String> = E::iter().map(|word| word.to_value()).collect();
        words.sort();
        words
    }
    assert_eq!(words("SourceKind"), stored::<entity::SourceKind>());
    assert_eq!(words("ServiceStatus"), stored::<entity::ServiceStatus>());
    assert_eq!(words("PipelineTrigger"), stored::<entity::PipelineTrigger>());
    assert_eq!(words("DeploymentTrigger"), stored::<entity::DeploymentTrigger>());
    assert_eq!(words("RunStatus"), stored::<entity::RunStatus>());
    assert_eq!(words("RuntimeKind"), stored::<entity::RuntimeKind>());
    assert_eq!(words("RuntimeStatus"), stored::<entity::RuntimeStatus>());
    assert_eq!(words("ServiceExposure"), stored::<entity::ServiceExposure>());
}

/// A page of 10 services takes as many statements as one of 100 among 10,000.
#[test]
fn a_page_takes_as_many_statements_however_many_services_there_are() {
    // Without workers, which look for work by the clock.
    let settings = [
        ("TELEMETRY__SLOW_QUERY", "1ns"),
        ("TELEMETRY__FORMAT", "json"),
        ("SERVER__KEPT_ANSWERS", "0"),
        ("RUNTIMES__CHECK_EVERY", "1h"),
    ];
    let server = Server::start_as(&["serve", "--no-workers"], &settings);
    let runtime = server.with_database(async |db| a_runtime(&db).await);
    let input = json!({ "i": { "name": "first", "runtimeId": runtime, "containers": [web()] } });
    server.data(
        "mutation($i: RegisterDockerHubServiceInput!) { registerDockerHubService(input: $i) { service { id } } }",
        input,
    );

    let brief = "id name status latestPipeline { id status } latestDeployment { id status } runtime { id name }";
    let rich = format!(
        "{brief} risk findingCounts {{ critical }} createdBy {{ name }} git {{ projectPath }} securityGate {{ enabled }}"
    );
    // Rows that have to wait for two things wake themselves in between.
    let waking = "id name risk findingCounts { critical }";
    // What is asked by the clock comes between: of some tries, those that each of them took are the question's.
    let statements = |fields: &str| {
        let document = format!("{{ services(first: 100) {{ nodes {{ {fields} }} }} }}");
        let tries: Vec<_> = (0..5).map(|_| statements_of(&server, &document)).collect();
        tries.iter().skip(1).fold(tries[0].clone(), |mut common, other| {
            common.retain(|text, times| {
                *times = (*times).min(other.get(text).copied().unwrap_or(0));
                *times > 0
            });
            common
        })
    };
    let seen: Vec<_> = [10, 100, 1_000, 10_000]
        .into_iter()
        .map(|size| {
            server.with_database(async |db| multiply(&db, size).await);
            [statements(brief), statements(&rich), statements(waking)]
        })
        .collect();
    let counts = |page: &[BTreeMap<String, usize>; 3]| page.each_ref().map(|all| all.values().sum::<usize>());
    println!("statements a page, plain, rich and waking: {:?}", seen.iter().map(counts).collect::<Vec<_>>());
    for page in &seen {
        assert_eq!(page, &seen[0]);
    }
    assert!(counts(&seen[0])[0] <= 4, "with the token's: {:#?}", seen[0][0]);
}

/// The statements that an answer took, and others of that time, with the lists of their values shortened: text and times.
fn statements_of(server: &Server, document: &str) -> BTreeMap<String, usize> {
    let before = server.log().lines().count();
    server.data(document, Value::Null);
    let mut found = BTreeMap::new();
    for line in server.log().lines().skip(before).filter(|line| line.contains("db.statement")) {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = text(&line["db.statement"]);
        if let Some(select) = text.trim().strip_prefix("SELECT") {
            // One for each row: how many there are is no matter, nor what number comes after them.
            let (head, rest) = select.split_once(" IN (").unwrap_or((select, ""));
            let rest = rest.split_once(')').map_or("", |(_, rest)| rest);
            let mut parts = rest.split('$');
            let first = parts.next().unwrap_or_default().to_owned();
            let rest =
                parts.fold(first, |text, part| text + "$" + part.trim_start_matches(|c: char| c.is_ascii_digit()));
            *found.entry(format!("{head} IN … {rest}")).or_default() += 1;
        }
    }
    found
}

/// The id of a place that nobody asks.
async fn a_runtime(db: &entity::Db) -> async_graphql::ID {
    let organization = organization::Entity::find().one(db.read()).await.unwrap().unwrap();
    let row = runtime::ActiveModel {
        id: Set("00000000-0000-7000-8000-000000000000".to_owned()),
        organization_id: Set(organization.id),
        name: Set("local".to_owned()),
        kind: Set(entity::RuntimeKind::Docker),
        endpoint: Set("unix:///nowhere".to_owned()),
        status: Set(entity::RuntimeStatus::Ready),
        checked_at: Set(Some(organization.created_at)),
        declared: Set(false),
        created_at: Set(organization.created_at),
        ..Default::default()
    };
    NodeKind::Runtime.id(&row.insert(db.read_write()).await.unwrap().id)
}

/// Copies the first service until there are so many.
async fn multiply(db: &entity::Db, size: usize) {
    let all = service::Entity::find().all(db.read()).await.unwrap();
    let tx = db.begin().await.unwrap();
    let copies: Vec<_> = (all.len()..size)
        .map(|n| {
            let mut made = all[0].clone().into_active_model();
            made.id = Set(format!("{n:08}-0000-7000-8000-000000000000"));
            made.name = Set(format!("copy-{n}"));
            made
        })
        .collect();
    for some in copies.chunks(500) {
        service::Entity::insert_many(some.to_vec()).exec(&tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}
