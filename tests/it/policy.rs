//! The schema against the policy table, with every kind of caller. A field without an entry fails here.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::collections::BTreeSet;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{FieldDefinition, InputValueDefinition, TypeKind, TypeSystemDefinition};
use entity::Role;
use kiops::app::Actor;
use kiops::app::identity::{sessions, tokens, users};
use kiops::domain::policy::{self, Standing};
use kiops::domain::secret::ExposeSecret as _;
use kiops::graphql::ids::KINDS;
use kiops::graphql::schemas;
use serde_json::{Value, json};

use crate::support::app::{PASSWORD, TestApp, code};

/// Types with their fields (and inputs' fields), arguments, and what they implement.
struct Sdl {
    types: Vec<(String, TypeKind, Option<String>)>,
}

impl Sdl {
    fn parse(text: &str) -> Self {
        let document = parse_schema(text).unwrap();
        let types = document.definitions.into_iter().filter_map(|definition| match definition {
            TypeSystemDefinition::Type(t) => {
                let description = t.node.description.map(|d| d.node);
                Some((t.node.name.node.to_string(), t.node.kind, description))
            }
            TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
        });
        Self { types: types.collect() }
    }

    fn names(&self) -> BTreeSet<&str> {
        self.types.iter().map(|(name, ..)| name.as_str()).collect()
    }

    fn fields(&self, of: &str) -> Vec<&FieldDefinition> {
        let found = self.types.iter().find(|(name, ..)| name == of);
        match found.map(|(_, kind, _)| kind) {
            Some(TypeKind::Object(o)) => o.fields.iter().map(|f| &f.node).collect(),
            Some(TypeKind::Interface(i)) => i.fields.iter().map(|f| &f.node).collect(),
            _ => Vec::new(),
        }
    }

    fn roots(&self) -> impl Iterator<Item = (&'static str, &FieldDefinition)> {
        policy::ROOTS.into_iter().flat_map(|root| self.fields(root).into_iter().map(move |f| (root, f)))
    }

    fn nodes(&self) -> BTreeSet<&str> {
        let implements = |kind: &TypeKind| match kind {
            TypeKind::Object(o) => o.implements.iter().any(|i| i.node == "Node"),
            _ => false,
        };
        self.types.iter().filter(|(_, kind, _)| implements(kind)).map(|(name, ..)| name.as_str()).collect()
    }
}

fn full() -> Sdl {
    Sdl::parse(&schemas(None).full.sdl())
}

fn member() -> Sdl {
    Sdl::parse(&schemas(None).member.sdl())
}

#[test]
fn every_root_field_and_every_node_has_an_entry() {
    let sdl = full();
    for (root, field) in sdl.roots() {
        assert!(policy::root_field(root, &field.name.node).is_some(), "{root}.{} has no entry", field.name.node);
    }
    for name in sdl.nodes() {
        assert!(policy::node(name).is_some(), "{name} has no entry");
    }
    for kind in KINDS {
        assert!(policy::node(kind.name()).is_some(), "{} has no entry", kind.name());
    }
}

#[test]
fn what_the_contract_marks_is_for_admins_and_nothing_else() {
    for (root, field) in full().roots() {
        let marked = field.description.as_ref().is_some_and(|d| d.node.starts_with("[admin]"));
        let admin = policy::root_field(root, &field.name.node) == Some(Standing::Admin);
        assert_eq!(marked, admin, "{root}.{}", field.name.node);
    }
}

#[test]
fn a_members_schema_lacks_what_is_for_admins() {
    let (full, member) = (full(), member());
    for (root, field) in full.roots() {
        let needs = policy::root_field(root, &field.name.node).unwrap();
        let shown = member.fields(root).iter().any(|f| f.name == field.name);
        assert_eq!(shown, needs <= Standing::Member, "{root}.{}", field.name.node);
    }
    for (kind, needs) in policy::NODES.iter().filter(|(_, needs)| *needs == Standing::Admin) {
        assert!(!member.names().contains(kind), "{kind} needs {needs:?}");
    }
    for gone in ["AuditEvent", "AuditEventConnection", "UserConnection", "CreateUserInput", "RemoveUserPayload"] {
        assert!(full.names().contains(gone), "{gone}");
        assert!(!member.names().contains(gone), "{gone}");
    }
    assert!(!schemas(None).member.sdl().contains("[admin]"));
}

#[test]
fn root_fields_are_nullable_but_for_the_contracts_two() {
    for (root, field) in full().roots().filter(|(root, _)| *root != "Subscription") {
        let name = field.name.node.as_str();
        assert_eq!(field.ty.node.nullable, !["viewer", "server"].contains(&name), "{root}.{name}");
    }
}

#[test]
fn everything_is_described() {
    let sdl = full();
    let mut bare = Vec::new();
    let inputs = |bare: &mut Vec<String>, of: &str, all: &[async_graphql::Positioned<InputValueDefinition>]| {
        for input in all.iter().filter(|i| i.node.description.is_none()) {
            bare.push(format!("{of}.{}", input.node.name.node));
        }
    };
    for (name, kind, description) in &sdl.types {
        if description.is_none() {
            bare.push(name.clone());
        }
        for field in sdl.fields(name) {
            let path = format!("{name}.{}", field.name.node);
            inputs(&mut bare, &path, &field.arguments);
            if field.description.is_none() {
                bare.push(path);
            }
        }
        match kind {
            TypeKind::InputObject(input) => inputs(&mut bare, name, &input.fields),
            TypeKind::Enum(e) => {
                let values = e.values.iter().filter(|v| v.node.description.is_none());
                bare.extend(values.map(|v| format!("{name}.{}", v.node.value.node)));
            }
            _ => {}
        }
    }
    assert_eq!(bare, Vec::<String>::new());
}

/// A document that asks one root field, with inputs that fit its types.
fn document(sdl: &Sdl, root: &str, field: &FieldDefinition) -> String {
    let needed = field.arguments.iter().map(|a| &a.node).filter(|a| !a.ty.node.nullable && a.default_value.is_none());
    let arguments: Vec<String> =
        needed.map(|a| format!("{}: {}", a.name.node, literal(sdl, &a.ty.node.to_string()))).collect();
    let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
    let name = field.ty.node.to_string().replace(['[', ']', '!'], "");
    let leaf = !sdl.types.iter().any(|(n, kind, _)| {
        *n == name && matches!(kind, TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_))
    });
    let selection = if leaf { "" } else { " { __typename }" };
    format!("{} {{ {}{arguments}{selection} }}", root.to_lowercase(), field.name.node)
}

fn literal(sdl: &Sdl, ty: &str) -> String {
    let name = ty.replace(['[', ']', '!'], "");
    let kind = sdl.types.iter().find(|(n, ..)| *n == name).map(|(_, kind, _)| kind);
    let one = match kind {
        Some(TypeKind::Enum(e)) => e.values[0].node.value.node.to_string(),
        Some(TypeKind::InputObject(input)) => {
            let needed = input.fields.iter().map(|f| &f.node);
            let needed = needed.filter(|f| !f.ty.node.nullable && f.default_value.is_none());
            let fields: Vec<_> =
                needed.map(|f| format!("{}: {}", f.name.node, literal(sdl, &f.ty.node.to_string()))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        _ => match name.as_str() {
            "Int" | "Float" => "1".to_owned(),
            "Boolean" => "true".to_owned(),
            "DateTime" => "\"2026-01-01T00:00:00Z\"".to_owned(),
            _ => "\"x\"".to_owned(),
        },
    };
    if ty.starts_with('[') { format!("[{one}]") } else { one }
}

async fn ask(test: &TestApp, actor: Option<&Actor>, root: &str, document: &str) -> async_graphql::Response {
    if root != "Subscription" {
        return test.run(actor, document, Value::Null).await;
    }
    use futures_util::StreamExt as _;
    let request = async_graphql::Request::new(document);
    let mut answers = test.schemas.execute_stream(request, crate::support::app::caller(actor));
    let first = tokio::time::timeout(std::time::Duration::from_millis(200), answers.next()).await;
    first.ok().flatten().unwrap_or_default()
}

#[tokio::test]
async fn every_caller_gets_what_the_table_says() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    let other = test.organization("other").await;
    let member = test.member(&admin, "ada@acme.example").await;
    let (secret, token) = tokens::create(&test.app, &member, "ci", None, None).await.unwrap();
    tokens::revoke(&test.app, &member, &token.id).await.unwrap();
    let revoked = sessions::authenticate(&test.app, secret.expose_secret(), None).await.unwrap();
    assert_eq!(revoked, None);

    let sdl = full();
    for (root, field) in sdl.roots() {
        let name = field.name.node.as_str();
        let document = document(&sdl, root, field);
        let needs = policy::root_field(root, name).unwrap();
        // Ends the session: asked by nobody alone.
        let callers =
            [("nobody", None), ("revoked", revoked.as_ref()), ("member", Some(&member)), ("other", Some(&other))];
        for (who, actor) in callers {
            if name == "logout" && actor.is_some() {
                continue;
            }
            let response = ask(&test, actor, root, &document).await;
            let said = response.errors.first().map(|e| e.message.clone()).unwrap_or_default();
            let unknown = format!("Unknown field \"{name}\" on type \"{root}\".");
            match (needs, actor.map_or(Standing::Nobody, Actor::standing)) {
                (Standing::Admin, Standing::Nobody | Standing::Member) => {
                    assert_eq!(said, unknown, "{who}: {document}");
                }
                (Standing::Member, Standing::Nobody) => {
                    assert_eq!(code(&response).as_deref(), Some("UNAUTHENTICATED"), "{who}: {document}");
                }
                _ => assert_ne!(said, unknown, "{who}: {document}"),
            }
            if actor.is_some() && needs != Standing::Nobody && said != unknown {
                assert_ne!(code(&response).as_deref(), Some("UNAUTHENTICATED"), "{who}: {document}");
                assert_ne!(code(&response).as_deref(), Some("INTERNAL"), "{who}: {document}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_hidden_reads_like_what_never_was() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    let member = test.member(&admin, "ada@acme.example").await;
    let said = async |document: &str| {
        let response = test.run(Some(&member), document, Value::Null).await;
        (response.errors[0].message.clone(), code(&response))
    };
    let bad_input = Some("BAD_USER_INPUT".to_owned());
    let hidden = said("{ auditEvents { nodes { id } } }").await;
    assert_eq!(hidden, ("Unknown field \"auditEvents\" on type \"Query\".".to_owned(), bad_input.clone()));
    assert_eq!(said("{ auditEvent }").await.0, hidden.0.replace("auditEvents", "auditEvent"));
    let spread = said("{ node(id: \"x\") { ... on AuditEvent { id } } }").await.0;
    let never = said("{ node(id: \"x\") { ... on NeverWas { id } } }").await.0;
    assert_eq!(spread.replace("AuditEvent", "NeverWas"), never);
    let introspected = test
        .data(
            &member,
            "{ a: __type(name: \"AuditEvent\") { name } b: __type(name: \"CreateUserInput\") { name } \
            n: __type(name: \"Node\") { possibleTypes { name } } }",
            Value::Null,
        )
        .await;
    assert_eq!((&introspected["a"], &introspected["b"]), (&Value::Null, &Value::Null));
    assert!(!introspected["n"].to_string().contains("AuditEvent"));
    let all = "{ __typename all: __schema { ...T } } fragment T on __Schema { types { name fields { name } } }";
    let nobody = test.run(None, all, Value::Null).await;
    assert!(nobody.errors.is_empty(), "{:?}", nobody.errors);
    let nobody = nobody.data.into_json().unwrap();
    assert_eq!(nobody, test.data(&member, all, Value::Null).await);
    assert_ne!(nobody, test.data(&admin, all, Value::Null).await);
}

#[tokio::test]
async fn nodes_are_seen_within_the_organization() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    let other = test.organization("other").await;
    let member = test.member(&admin, "ada@acme.example").await;
    let (_, token) = tokens::create(&test.app, &admin, "ci", Some(Role::Member), None).await.unwrap();
    let events =
        test.data(&admin, "{ auditEvents(first: 1) { nodes { id subject { __typename id } } } }", Value::Null).await;
    let event = events["auditEvents"]["nodes"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(events["auditEvents"]["nodes"][0]["subject"]["__typename"], "ApiToken");
    let me = test.data(&member, "{ viewer { user { id } organization { id } } }", Value::Null).await;
    let user = me["viewer"]["user"]["id"].as_str().unwrap().to_owned();
    let organization = me["viewer"]["organization"]["id"].as_str().unwrap().to_owned();
    let token = kiops::graphql::ids::NodeKind::ApiToken.id(&token.id).to_string();

    let node = async |actor: &Actor, id: &str| {
        let answer = test.data(actor, "query($id: ID!) { node(id: $id) { __typename id } }", json!({ "id": id })).await;
        answer["node"]["__typename"].as_str().map(str::to_owned)
    };
    for (id, kind, for_member) in [
        (&user, "User", true),
        (&organization, "Organization", true),
        (&token, "ApiToken", false),
        (&event, "AuditEvent", false),
    ] {
        assert_eq!(node(&admin, id).await.as_deref(), Some(kind));
        assert_eq!(node(&member, id).await.is_some(), for_member, "{kind}");
        assert_eq!(node(&other, id).await, None, "{kind}");
    }
    for id in ["", "x", "VXNlcjp4", "VXNlcjow", &"A".repeat(10_000)] {
        assert_eq!(node(&admin, id).await, None);
    }
}

#[tokio::test]
async fn errors_carry_codes_and_null_their_field_alone() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    let answer = test.run(Some(&admin), "{ server { version } users(first: 101) { nodes { id } } }", Value::Null).await;
    assert_eq!(answer.errors.len(), 1);
    assert_eq!(code(&answer).as_deref(), Some("BAD_USER_INPUT"));
    let data = answer.data.into_json().unwrap();
    assert_eq!(data, json!({ "server": { "version": "0.0.0" }, "users": null }));

    for first in [-1, 101, i32::MAX] {
        let document = format!("{{ users(first: {first}) {{ nodes {{ id email name role createdAt declared }} }} }}");
        let answer = test.run(Some(&admin), &document, Value::Null).await;
        let extensions = answer.errors[0].extensions.as_ref().unwrap();
        assert_eq!(extensions.get("field"), Some(&"first".into()), "{first}");
    }

    let two = "mutation($i: LoginInput!) { a: login(input: $i) { token } b: login(input: $i) { token } }";
    let input = json!({ "i": { "email": "admin@acme.example", "password": PASSWORD } });
    let answer = test.run(None, two, input).await;
    assert_eq!(code(&answer).as_deref(), Some("BAD_USER_INPUT"));
    let data = answer.data.into_json().unwrap();
    assert!(data["a"]["token"].as_str().unwrap().starts_with("kiops_s_"));
    assert_eq!(data["b"], Value::Null);
    let cookie = answer.http_headers.get("set-cookie").unwrap().to_str().unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Lax; Max-Age=86400"), "{cookie}");

    users::remove(&test.app, &admin, "x").await.unwrap_err();
    let lists = "{ users(search: \"ADMIN\", role: ADMIN) { totalCount edges { cursor node { email role declared } } \
        pageInfo { hasNextPage endCursor } } apiTokens { user { email } } }";
    let data = test.data(&admin, lists, Value::Null).await;
    assert_eq!(data["users"]["totalCount"], 1);
    assert_eq!(data["users"]["edges"][0]["node"]["email"], "admin@acme.example");
}
