//! Two organizations, and every id of the one given to every field by the other: nothing is said and nothing happens.
//!
//! Where ids are taken is read from the schema. A field that [`calls`] does not know fails here.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::collections::BTreeMap;
use std::time::Duration;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::{ID, Positioned, Request, Response, Variables};
use entity::Role;
use futures_util::StreamExt as _;
use kiops::app::Actor;
use kiops::app::identity::{sessions, tokens, users};
use kiops::domain::git::Provider;
use kiops::domain::policy::{self, Standing};
use kiops::domain::secret::ExposeSecret as _;
use kiops::graphql::ids::{KINDS, NodeKind, decode};
use kiops::graphql::schemas;
use serde_json::{Value, json};

use crate::support::app::{TestApp, caller, code};
use crate::support::shop::{Shop, scanning_engine, web};

/// How each root field that takes an id is called, with one's own ids. Those that take something away come last.
fn calls(own: &Shop) -> Vec<(&'static str, Value)> {
    let deploy = json!({ "input": { "serviceId": own.service } });
    let deploy_built = json!({ "input": { "serviceId": own.built, "pipelineId": own.pipeline } });
    let on_service = json!({ "input": { "id": own.service } });
    vec![
        ("Query.node", json!({ "id": own.service })),
        ("Query.service", json!({ "id": own.service })),
        ("Query.services", json!({ "runtimeId": own.runtime })),
        ("Query.runtime", json!({ "id": own.runtime })),
        ("Query.auditEvents", json!({ "actorId": NodeKind::User.id(&own.admin.user_id), "subjectId": own.service })),
        ("Query.exportService", json!({ "id": own.service, "format": "COMPOSE" })),
        ("Query.deploymentPreview", deploy_built.clone()),
        ("Query.rollbackPreview", deploy.clone()),
        ("Subscription.pipeline", json!({ "id": own.pipeline })),
        ("Subscription.pipelineLog", json!({ "id": own.pipeline })),
        ("Subscription.scan", json!({ "id": own.scan })),
        ("Query.findings", json!({ "serviceId": own.built })),
        ("Query.securityGate", json!({ "serviceId": own.built })),
        ("Subscription.deployment", json!({ "id": own.deployment })),
        ("Subscription.deploymentLog", json!({ "id": own.deployment })),
        ("Subscription.serviceChanged", json!({ "id": own.service })),
        ("Subscription.instanceLog", json!({ "serviceId": own.service })),
        ("Mutation.checkRuntime", json!({ "input": { "id": own.runtime } })),
        ("Mutation.updateRuntime", json!({ "input": { "id": own.runtime, "name": "renamed" } })),
        (
            "Mutation.registerDockerHubService",
            json!({ "input": { "name": "second", "runtimeId": own.runtime, "containers": [web()] } }),
        ),
        (
            "Mutation.registerGitProject",
            json!({ "input": {
                "provider": "GITLAB", "project": "group/shop", "branch": "main", "name": "third", "runtimeId": own.runtime,
            } }),
        ),
        (
            "Mutation.createGitProject",
            json!({ "input": {
                "provider": "GITLAB", "projectName": "made", "name": "fourth", "runtimeId": own.runtime,
            } }),
        ),
        ("Mutation.createGitlabAccounts", json!({ "input": { "userIds": [own.user] } })),
        (
            "Mutation.updateService",
            json!({ "input": { "id": own.service, "runtimeId": own.runtime, "containers": [web()] } }),
        ),
        (
            "Mutation.saveEnvironment",
            json!({ "input": { "serviceId": own.service, "name": "staging", "runtimeId": own.runtime } }),
        ),
        ("Mutation.saveBuildSettings", json!({ "input": { "serviceId": own.built, "target": "x" } })),
        ("Mutation.saveAutoCi", json!({ "input": { "serviceId": own.built, "enabled": true } })),
        ("Mutation.replayWebhookDelivery", json!({ "input": { "id": own.delivery } })),
        ("Mutation.startPipeline", json!({ "input": { "serviceId": own.built } })),
        ("Mutation.retryPipeline", json!({ "input": { "id": own.pipeline } })),
        ("Mutation.cancelPipeline", json!({ "input": { "id": own.queued } })),
        (
            "Mutation.saveSecurityGate",
            json!({ "input": { "serviceId": own.built, "enabled": true, "mode": "WARN", "rules": [] } }),
        ),
        ("Mutation.removeSecurityGate", json!({ "input": { "serviceId": own.built } })),
        ("Mutation.startScan", json!({ "input": { "serviceId": own.built, "kind": "SAST" } })),
        ("Mutation.setFindingState", json!({ "input": { "id": own.finding, "state": "IGNORED", "reason": "x" } })),
        ("Mutation.rollbackService", deploy.clone()),
        ("Mutation.deployService", deploy_built),
        ("Mutation.resolveApproval", json!({ "input": { "id": own.waiting, "approve": true } })),
        ("Mutation.stopService", deploy.clone()),
        ("Mutation.restartService", deploy),
        ("Mutation.revokeApiToken", json!({ "input": { "id": own.token } })),
        ("Mutation.setUserRole", json!({ "input": { "userId": own.user, "role": "ADMIN" } })),
        ("Mutation.removeUser", json!({ "input": { "userId": own.user } })),
        ("Mutation.removeEnvironment", json!({ "input": { "id": own.environment } })),
        ("Mutation.removeService", on_service),
        ("Mutation.removeRuntime", json!({ "input": { "id": own.runtime } })),
    ]
}

/// What a field answers to an id that is none of the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// NOT_FOUND.
    NotFound,
    /// Null without an error.
    Null,
    /// An empty list.
    Empty,
}

fn silence(field: &str) -> Silence {
    match field {
        "Query.node" | "Query.service" | "Query.runtime" => Silence::Null,
        "Query.services" | "Query.auditEvents" | "Query.findings" => Silence::Empty,
        _ => Silence::NotFound,
    }
}

/// The schema that an admin sees.
struct Sdl(BTreeMap<String, TypeKind>);

impl Sdl {
    fn read() -> Self {
        let document = parse_schema(schemas(None).full.sdl()).unwrap();
        let types = document.definitions.into_iter().filter_map(|definition| match definition {
            TypeSystemDefinition::Type(t) => Some((t.node.name.node.to_string(), t.node.kind)),
            TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
        });
        Self(types.collect())
    }

    fn fields(&self, of: &str) -> &[Positioned<FieldDefinition>] {
        match self.0.get(of) {
            Some(TypeKind::Object(object)) => &object.fields,
            Some(TypeKind::Interface(interface)) => &interface.fields,
            _ => &[],
        }
    }

    fn field(&self, path: &str) -> Option<&FieldDefinition> {
        let (of, name) = path.split_once('.').unwrap();
        self.fields(of).iter().map(|f| &f.node).find(|f| f.name.node == name)
    }

    /// Pointers into the arguments, to everything of type ID, however deep.
    fn ids(&self, arguments: &[Positioned<InputValueDefinition>], at: &str, within: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for argument in arguments.iter().map(|a| &a.node) {
            let mut pointer = format!("{at}/{}", argument.name.node);
            let mut ty = &argument.ty.node;
            while let BaseType::List(inner) = &ty.base {
                pointer.push_str("/0");
                ty = inner;
            }
            let name = named(ty);
            match self.0.get(name) {
                Some(TypeKind::InputObject(input)) if !within.contains(&name) => {
                    let deeper: Vec<&str> = within.iter().copied().chain([name]).collect();
                    found.extend(self.ids(&input.fields, &pointer, &deeper));
                }
                _ if name == "ID" => found.push(pointer),
                _ => {}
            }
        }
        found
    }

    /// Every root field that takes an id, and where.
    fn takers(&self) -> Vec<(String, Vec<String>)> {
        let roots = policy::ROOTS.iter().flat_map(|root| self.fields(root).iter().map(move |f| (*root, &f.node)));
        let takers = roots.map(|(root, f)| (format!("{root}.{}", f.name.node), self.ids(&f.arguments, "", &[])));
        takers.filter(|(_, ids)| !ids.is_empty()).collect()
    }

    /// A document that asks the field with these arguments as variables.
    fn document(&self, path: &str, arguments: &Value) -> String {
        let field = self.field(path).unwrap();
        let given = field.arguments.iter().map(|a| &a.node);
        let given: Vec<_> = given.filter(|a| arguments.get(a.name.node.as_str()).is_some()).collect();
        let variables: Vec<_> = given.iter().map(|a| format!("${}: {}", a.name.node, a.ty.node)).collect();
        let passed: Vec<_> = given.iter().map(|a| format!("{0}: ${0}", a.name.node)).collect();
        let returned = named(&field.ty.node);
        let selection = match self.0.get(returned) {
            Some(TypeKind::Object(_)) if returned.ends_with("Connection") => "{ nodes { id } }",
            Some(TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_)) => "{ __typename }",
            _ => "",
        };
        let root = path.split('.').next().unwrap().to_lowercase();
        let name = &field.name.node;
        format!("{root}({}) {{ {name}({}) {selection} }}", variables.join(", "), passed.join(", "))
    }
}

fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name.as_str(),
        BaseType::List(inner) => named(inner),
    }
}

/// Asks; of a subscription the first answer, none when there is none soon.
async fn ask(test: &TestApp, actor: &Actor, document: &str, arguments: &Value) -> Option<Response> {
    if !document.starts_with("subscription") {
        return Some(test.run(Some(actor), document, arguments.clone()).await);
    }
    let request = Request::new(document).variables(Variables::from_json(arguments.clone()));
    let mut answers = test.schemas.execute_stream(request, caller(Some(actor)));
    tokio::time::timeout(Duration::from_millis(500), answers.next()).await.ok().flatten()
}

/// The id of the same kind that the other organization has, and one that never was.
fn foreign(own: &str, theirs: &Shop) -> (String, String) {
    let (kind, _) = decode(&ID(own.to_owned())).unwrap();
    let id = match kind {
        NodeKind::User => &theirs.user,
        NodeKind::Organization => &theirs.organization,
        NodeKind::ApiToken => &theirs.token,
        NodeKind::AuditEvent => &theirs.event,
        NodeKind::GitSettings => &theirs.git_settings,
        NodeKind::Registry => &theirs.registry,
        NodeKind::Runtime => &theirs.runtime,
        NodeKind::Service => &theirs.service,
        NodeKind::Environment => &theirs.environment,
        NodeKind::Deployment => &theirs.deployment,
        NodeKind::Pipeline => &theirs.pipeline,
        NodeKind::WebhookDelivery => &theirs.delivery,
        NodeKind::Scan => &theirs.scan,
        NodeKind::Finding => &theirs.finding,
    };
    (id.clone(), kind.id("01900000-0000-7000-8000-ffffffffffff").to_string())
}

async fn two() -> (TestApp, Shop, Shop) {
    let test = TestApp::with(scanning_engine(&["acme", "other"])).await;
    let theirs = Shop::open(&test, "acme").await;
    let own = Shop::open(&test, "other").await;
    test.gits.of(Provider::Gitlab).add("group/shop", &["main"]);
    (test, theirs, own)
}

/// As [`two`], and both have built something.
async fn two_that_build() -> (TestApp, Shop, Shop) {
    let (test, mut theirs, mut own) = two().await;
    theirs.build(&test, "acme-built").await;
    own.build(&test, "other-built").await;
    (test, theirs, own)
}

#[test]
fn every_id_that_the_api_takes_is_tried_here() {
    let sdl = Sdl::read();
    // The ids do not matter here.
    let known: BTreeMap<_, _> = calls(&Shop::nowhere()).into_iter().collect();
    for (field, ids) in sdl.takers() {
        let call = known.get(field.as_str());
        let call = call.unwrap_or_else(|| panic!("{field} takes an id and is not tried: add it to calls()"));
        for id in ids {
            assert!(call.pointer(&id).is_some(), "{field} takes an id at {id} and it is not tried: add it to calls()");
        }
    }
    for (name, kind) in sdl.0.iter().filter(|(name, _)| !policy::ROOTS.contains(&name.as_str())) {
        for field in sdl.fields(name) {
            let ids = sdl.ids(&field.node.arguments, "", &[]);
            assert!(ids.is_empty(), "{name}.{} takes an id below the root: try it here", field.node.name.node);
        }
        assert!(!matches!(kind, TypeKind::Union(_)), "{name}");
    }
}

#[tokio::test]
async fn anothers_id_is_as_good_as_none() {
    let (test, theirs, own) = two_that_build().await;
    let sdl = Sdl::read();
    let before = test.rows().await;
    let mut tried = 0;
    for (path, arguments) in calls(&own) {
        let Some(field) = sdl.field(path) else { continue };
        let document = sdl.document(path, &arguments);
        for pointer in sdl.ids(&field.arguments, "", &[]) {
            let mine = arguments.pointer(&pointer).unwrap().as_str().unwrap();
            let (stranger, never) = foreign(mine, &theirs);
            let mut answers = Vec::new();
            for id in [stranger, never] {
                let mut arguments = arguments.clone();
                *arguments.pointer_mut(&pointer).unwrap() = json!(id);
                let answer = ask(&test, &own.admin, &document, &arguments).await.unwrap();
                let name = path.split('.').nth(1).unwrap();
                let data = answer.data.clone().into_json().unwrap();
                match silence(path) {
                    Silence::NotFound => assert_eq!(code(&answer).as_deref(), Some("NOT_FOUND"), "{path} {pointer}"),
                    Silence::Null => assert_eq!((data[name].clone(), answer.errors.len()), (Value::Null, 0), "{path}"),
                    Silence::Empty => assert_eq!(data[name]["nodes"], json!([]), "{path} {pointer}"),
                }
                let text = serde_json::to_string(&answer).unwrap();
                assert!(!text.contains("acme"), "{path}: {text}");
                answers.push(text.replace(&id, ""));
                tried += 1;
            }
            assert_eq!(answers[0], answers[1], "{path} {pointer}");
        }
    }
    assert!(tried > 50, "{tried}");
    assert_eq!(test.rows().await, before);
}

/// Without this the test above could be content with calls that never work.
#[tokio::test]
async fn ones_own_ids_are_found() {
    let (test, _, own) = two_that_build().await;
    let sdl = Sdl::read();
    for (path, arguments) in calls(&own) {
        if sdl.field(path).is_none() {
            continue;
        }
        let answer = ask(&test, &own.admin, &sdl.document(path, &arguments), &arguments).await;
        let errors = answer.map(|a| a.errors).unwrap_or_default();
        // What was asked before is still queued.
        let late = ["Mutation.removeRuntime"].contains(&path);
        assert!(errors.is_empty() || late, "{path}: {errors:?}");
    }
}

#[tokio::test]
async fn every_kind_of_node_is_its_organizations() {
    let (test, theirs, own) = two_that_build().await;
    let document = "query($id: ID!) { node(id: $id) { __typename id } }";
    let sdl = Sdl::read();
    for kind in KINDS.into_iter().filter(|kind| sdl.0.contains_key(kind.name())) {
        let (id, never) = foreign(kind.id("0").as_str(), &theirs);
        // Both at once: a loader must not mix up who asks.
        let (seen, hidden, nothing) = tokio::join!(
            test.data(&theirs.admin, document, json!({ "id": id })),
            test.data(&own.admin, document, json!({ "id": id })),
            test.data(&own.admin, document, json!({ "id": never })),
        );
        assert_eq!(seen["node"]["__typename"], kind.name());
        assert_eq!(hidden, nothing, "{kind:?}");
        // An id is of one kind: under another's name it is none.
        let (_, row) = decode(&ID(id.clone())).unwrap();
        for other in KINDS.into_iter().filter(|k| *k != kind) {
            let id = other.id(&row).to_string();
            let asked = test.data(&theirs.admin, document, json!({ "id": id })).await;
            assert_eq!(asked["node"], Value::Null, "{kind:?} as {other:?}");
        }
    }
}

#[tokio::test]
async fn lists_hold_ones_own_alone() {
    let (test, theirs, own) = two().await;
    let everything = "{ viewer { user { name email } organization { slug } }
        services { totalCount nodes { name runtime { name } environments { name } \
            deployments { nodes { revision triggeredBy { email } } } createdBy { email } } }
        runtimes { totalCount nodes { name services { nodes { name } } } } registries { username }
        deployments { totalCount nodes { service { name } } }
        users { totalCount nodes { email } } apiTokens { name user { email } }
        auditEvents(first: 100) { nodes { action actor { email } subject { id } } } }";
    let answer = test.data(&own.admin, everything, Value::Null).await;
    let text = answer.to_string();
    assert!(text.contains("other-shop") && text.contains("other-engine") && !text.contains("acme"), "{text}");
    assert_eq!((&answer["services"]["totalCount"], &answer["runtimes"]["totalCount"]), (&json!(1), &json!(1)));
    assert_eq!((&answer["deployments"]["totalCount"], &answer["users"]["totalCount"]), (&json!(2), &json!(2)));
    // A cursor of theirs leads to nothing but one's own.
    let cursors = "{ services { pageInfo { endCursor } } deployments { pageInfo { endCursor } } }";
    let cursors = test.data(&theirs.admin, cursors, Value::Null).await;
    let after = |list: &str| cursors[list]["pageInfo"]["endCursor"].clone();
    let document = "query($s: String, $d: String) { services(after: $s) { nodes { name } } \
        deployments(after: $d) { nodes { service { name } } } }";
    let variables = json!({ "s": after("services"), "d": after("deployments") });
    let answer = test.data(&own.admin, document, variables).await;
    assert!(!answer.to_string().contains("acme"), "{answer}");
}

#[tokio::test]
async fn what_is_for_admins_does_not_exist_for_members() {
    let (test, _, own) = two().await;
    let member = test.member(&own.admin, "ada@other.example").await;
    let sdl = Sdl::read();
    let said = async |document: &str| {
        let answer = test.run(Some(&member), document, Value::Null).await;
        assert_eq!(answer.data, async_graphql::Value::Null, "{document}");
        answer.errors.into_iter().map(|e| e.message).collect::<Vec<_>>()
    };
    for root in ["Query", "Mutation"] {
        for field in sdl.fields(root).iter().map(|f| f.node.name.node.as_str()) {
            if policy::root_field(root, field) != Some(Standing::Admin) {
                continue;
            }
            let operation = root.to_lowercase();
            for document in [
                format!("{operation} {{ FIELD }}"),
                format!("{operation} {{ x: FIELD }}"),
                format!("{operation} {{ x: __typename ... {{ FIELD }} }}"),
                format!("{operation} {{ ... on {root} {{ FIELD }} }}"),
                format!("{operation} {{ ...f }} fragment f on {root} {{ ...g }} fragment g on {root} {{ x: FIELD }}"),
                format!("{operation} {{ FIELD @skip(if: true) __typename }}"),
                format!("{operation} {{ FIELD(input: {{ id: \"x\" }}) {{ nodes {{ id }} }} }}"),
            ] {
                let hidden = said(&document.replace("FIELD", field)).await;
                let never = said(&document.replace("FIELD", "neverWas")).await;
                let hidden: Vec<_> = hidden.iter().map(|m| m.replace(field, "neverWas")).collect();
                assert_eq!(hidden, never, "{document}");
                assert!(!hidden.is_empty(), "{document}");
            }
        }
    }
    let document = "query($id: ID!) { node(id: $id) { __typename } }";
    for id in [&own.event, &own.token] {
        assert_eq!(test.data(&member, document, json!({ "id": id })).await["node"], Value::Null);
    }
    let document = "mutation($id: ID!) { revokeApiToken(input: { id: $id }) { id } }";
    let answer = test.run(Some(&member), document, json!({ "id": own.token })).await;
    assert_eq!(code(&answer).as_deref(), Some("NOT_FOUND"));
}

#[tokio::test]
async fn tokens_stop_with_the_membership() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    for removed in [true, false] {
        let email = format!("ada{removed}@acme.example");
        test.user(&admin, &email, Role::Admin).await;
        let session = test.login(&email, None).await.unwrap();
        let (api, _) = tokens::create(&test.app, &session.actor, "ci", None, None).await.unwrap();
        let (weak, _) = tokens::create(&test.app, &session.actor, "ci", Some(Role::Member), None).await.unwrap();
        let speaks = async |secret| sessions::authenticate(&test.app, secret, None).await.unwrap();
        let actors = [
            speaks(session.token.expose_secret()).await.unwrap(),
            speaks(api.expose_secret()).await.unwrap(),
            speaks(weak.expose_secret()).await.unwrap(),
        ];
        for actor in &actors {
            assert!(sessions::still_valid(&test.app, actor).await.unwrap());
        }
        if removed {
            users::remove(&test.app, &admin, &session.actor.user_id).await.unwrap();
        } else {
            users::set_role(&test.app, &admin, &session.actor.user_id, Role::Member).await.unwrap();
        }
        let roles = [
            speaks(session.token.expose_secret()).await.map(|a| a.role),
            speaks(api.expose_secret()).await.map(|a| a.role),
            speaks(weak.expose_secret()).await.map(|a| a.role),
        ];
        let member = (!removed).then_some(Role::Member);
        assert_eq!(roles, [member, None, member], "removed: {removed}");
        for actor in &actors {
            let stays = !removed && actor.role == Role::Member;
            assert_eq!(sessions::still_valid(&test.app, actor).await.unwrap(), stays);
        }
    }
}
