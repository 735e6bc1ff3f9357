//! What a document may cost, and what is in its pages.

use serde_json::{Value, json};

use super::client::{Socket, post};
use crate::support::engine;
use crate::support::server::Server;
use crate::support::shop::web;

/// What is tripped here.
pub const KEYS: [&str; 15] = [
    "query_depth",
    "introspection_depth",
    "query_complexity",
    "query_fields",
    "query_root_fields",
    "query_aliases",
    "query_directives",
    "query_fragments",
    "query_operations",
    "variables_depth",
    "document_bytes",
    "document_tokens",
    "page_default",
    "page_max",
    "log_page_max",
];

const LIMITS: [(&str, &str); 15] = [
    ("LIMITS__QUERY_DEPTH", "4"),
    ("LIMITS__INTROSPECTION_DEPTH", "5"),
    ("LIMITS__QUERY_COMPLEXITY", "65"),
    ("LIMITS__QUERY_FIELDS", "20"),
    ("LIMITS__QUERY_ROOT_FIELDS", "6"),
    ("LIMITS__QUERY_ALIASES", "3"),
    ("LIMITS__QUERY_DIRECTIVES", "2"),
    ("LIMITS__QUERY_FRAGMENTS", "2"),
    ("LIMITS__QUERY_OPERATIONS", "2"),
    ("LIMITS__VARIABLES_DEPTH", "4"),
    ("LIMITS__DOCUMENT_BYTES", "600"),
    ("LIMITS__DOCUMENT_TOKENS", "120"),
    ("LIMITS__PAGE_DEFAULT", "3"),
    ("LIMITS__PAGE_MAX", "7"),
    ("LIMITS__LOG_PAGE_MAX", "9"),
];

/// A key, a request that is just under it, one that is over it, and a word of what is said of that.
type Row = (&'static str, Value, Value, &'static str);

fn document(text: impl Into<String>) -> Value {
    json!({ "query": text.into() })
}

fn rows(deployment: &Value) -> Vec<Row> {
    let services =
        |first: usize, fields: &str| document(format!("{{services(first:{first}){{edges{{node{{{fields}}}}}}}}}"));
    let wrapped =
        |of: &str, field: &str, count: usize| document(format!("{of}{{{}}}", format!("{field} ").repeat(count)));
    let viewer = |count: usize| document(format!("{{viewer{{{}}}}}", "role ".repeat(count)));
    let aliases =
        |count: usize| document(format!("{{{}}}", (0..count).map(|n| format!("a{n}:__typename ")).collect::<String>()));
    let fragments = |count: usize| {
        let spread: String = (0..count).map(|n| format!("...F{n} ")).collect();
        let made: String = (0..count).map(|n| format!("fragment F{n} on Query{{__typename}}")).collect();
        document(format!("{{{spread}}}{made}"))
    };
    let operations = |count: usize| {
        let text: String = (0..count).map(|n| format!("query Q{n}{{__typename}}")).collect();
        json!({ "query": text, "operationName": "Q0" })
    };
    let nested = |variables: Value| json!({ "query": "{__typename}", "variables": variables });
    let padded = |bytes: usize| document(format!("{{__typename}}{}", " ".repeat(bytes - 12)));
    let tokens = |head: &str| document(format!("{head}{{viewer{{{}}}}}", "...{role} ".repeat(19)));
    let log = |lines: usize| {
        let query =
            format!("query($id:ID!){{node(id:$id){{...on Deployment{{log(first:{lines}){{nodes{{text}}}}}}}}}}");
        json!({ "query": query, "variables": { "id": deployment } })
    };
    let seven = "id name source namespace registryUsername status statusMessage";
    vec![
        ("query_depth", services(1, "id"), services(1, "runtime{id}"), "its depth"),
        (
            "introspection_depth",
            document("{__schema{types{fields{type{name}}}}}"),
            document("{__schema{types{fields{type{ofType{name}}}}}}"),
            "its depth of introspection",
        ),
        ("query_complexity", services(7, seven), services(7, &format!("{seven} createdAt")), "complex"),
        ("query_fields", viewer(19), viewer(20), "its number of fields"),
        ("query_root_fields", wrapped("", "__typename", 6), wrapped("", "__typename", 7), "its number of root fields"),
        ("query_aliases", aliases(3), aliases(4), "its number of aliases"),
        (
            "query_directives",
            wrapped("", "__typename @skip(if:false)", 2),
            wrapped("", "__typename @skip(if:false)", 3),
            "its number of directives",
        ),
        ("query_fragments", fragments(2), fragments(3), "its number of fragments"),
        ("query_operations", operations(2), operations(3), "its number of operations"),
        (
            "variables_depth",
            nested(json!({"a": {"b": {"c": {"d": 1}}}})),
            nested(json!({"a": {"b": {"c": {"d": {"e": 1}}}}})),
            "deeper than 4 levels",
        ),
        ("document_bytes", padded(600), padded(601), "its size in bytes"),
        ("document_tokens", tokens("query"), tokens("query Q"), "its number of words"),
        ("page_max", services(7, "id"), services(8, "id"), "7"),
        ("log_page_max", log(9), log(10), "9"),
        // No limit of its own, and there in any configuration.
        (
            "a circle of fragments",
            document("{...A} fragment A on Query{...B} fragment B on Query{__typename}"),
            document("{...A} fragment A on Query{...B} fragment B on Query{...A}"),
            "circle",
        ),
    ]
}

/// A deployment whose log can be asked for; nothing comes of it.
fn deployment(server: &Server) -> Value {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hollow = runtime.block_on(engine::hollow());
    let text = "mutation($h:String!){registerRuntime(input:{name:\"hollow\",docker:{host:$h}}){runtime{id}}}";
    let host = format!("tcp://{}", hollow.address());
    let runtime = server.data(text, json!({ "h": host }))["registerRuntime"]["runtime"]["id"].take();
    let text = "mutation($i:RegisterDockerHubServiceInput!){registerDockerHubService(input:$i){service{id}}}";
    let input = json!({ "name": "shop", "runtimeId": runtime, "containers": [web()] });
    let service = server.data(text, json!({ "i": input }));
    let id = &service["registerDockerHubService"]["service"]["id"];
    let text = format!("mutation{{deployService(input:{{serviceId:{id}}}){{deployment{{id}}}}}}");
    server.data(&text, json!({}))["deployService"]["deployment"]["id"].take()
}

#[test]
fn each_is_tripped_and_passed_just_under() {
    let server = Server::start_with(&LIMITS);
    let of_log = deployment(&server);
    let mut socket = Socket::open(&server).unwrap();
    for (n, (key, under, over, word)) in rows(&of_log).into_iter().enumerate() {
        let answer = post(&server, &server.token, &under.to_string());
        assert_eq!((answer.status, answer.code()), (200, None), "{key}: {under} {}", answer.body);
        let answer = post(&server, &server.token, &over.to_string());
        assert_eq!((answer.status, answer.code()), (200, Some("BAD_USER_INPUT")), "{key}: {over} {}", answer.body);
        let message = answer.body["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(word), "{key}: {message}");
        assert_eq!(socket.code(&format!("u{n}"), &under), None, "{key} {under}");
        assert_eq!(socket.code(&format!("o{n}"), &over).as_deref(), Some("BAD_USER_INPUT"), "{key} {over}");
    }
}

#[test]
fn a_page_has_as_many_rows_as_nobody_says() {
    let server = Server::start_with(&LIMITS);
    for n in 0..3 {
        let password = "a long enough password";
        let text = format!(
            "mutation{{createUser(input:{{email:\"u{n}@acme.example\",name:\"U\",password:\"{password}\",role:MEMBER}}){{user{{id}}}}}}"
        );
        server.data(&text, json!({}));
    }
    let count = |list: &str| {
        let data = server.data(&format!("{{users{list}{{edges{{node{{id}}}}}}}}"), json!({}));
        data["users"]["edges"].as_array().unwrap().len()
    };
    assert_eq!((count(""), count("(first:4)")), (3, 4));
}

#[test]
fn introspection_can_be_switched_off() {
    for (introspection, code) in [("true", None), ("false", Some("BAD_USER_INPUT"))] {
        let server = Server::start_with(&[("SERVER__INTROSPECTION", introspection)]);
        for query in ["{__schema{queryType{name}}}", "{...F} fragment F on Query{a:__type(name:\"Query\"){name}}"] {
            let answer = post(&server, &server.token, &document(query).to_string());
            assert_eq!(answer.code(), code, "{query}: {}", answer.body);
            let mut socket = Socket::open(&server).unwrap();
            assert_eq!(socket.code("1", &document(query)).as_deref(), code, "{query}");
        }
        assert_eq!(post(&server, &server.token, &document("{__typename}").to_string()).code(), None);
    }
}
