//! Answers that are given again while nothing has changed: never when something has, and to nobody else.

use entity::{RuntimeKind, RuntimeStatus, organization, runtime, service};
use sea_orm::sea_query::Expr;
use sea_orm::{EntityTrait as _, Set};
use serde_json::{Value, json};

use crate::support::server::{Server, talk};

const LIST: &str =
    "query List { services { totalCount nodes { id name status runtime { name } } } runtimes { nodes { name } } }";

/// How many answers of before were given again so far.
fn given_again(server: &Server) -> u32 {
    let text = talk(&server.address, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let line = text.lines().find(|line| line.starts_with("kiops_graphql_answers_given_again_total"));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

fn register(server: &Server, name: &str) -> Value {
    let runtime = &server.data("{ runtimes { nodes { id } } }", json!({}))["runtimes"]["nodes"][0]["id"];
    let input =
        json!({ "name": name, "runtimeId": runtime, "containers": [{ "name": "web", "image": "nginx", "port": 80 }] });
    let document =
        "mutation($i: RegisterDockerHubServiceInput!) { registerDockerHubService(input: $i) { service { id } } }";
    server.data(document, json!({ "i": input }))["registerDockerHubService"]["service"]["id"].clone()
}

/// With an engine that nobody has to reach.
fn with_a_runtime() -> Server {
    let server = Server::start();
    server.with_database(async |db| {
        let organization = organization::Entity::find().one(db.read()).await.unwrap().unwrap();
        let row = runtime::ActiveModel {
            id: Set("01990000-0000-7000-8000-000000000001".to_owned()),
            organization_id: Set(organization.id),
            name: Set("engine".to_owned()),
            kind: Set(RuntimeKind::Docker),
            endpoint: Set("tcp://192.0.2.1:2375".to_owned()),
            status: Set(RuntimeStatus::Ready),
            declared: Set(false),
            created_at: Set(organization.created_at),
            ..Default::default()
        };
        runtime::Entity::insert(row).exec(db.read_write()).await.unwrap();
    });
    server
}

/// Asks until the answer is one of before. Something of the server's own may be written in between, a check of a runtime
/// say, so that it can take more than three times.
fn ask_again(server: &Server) -> Value {
    let before = given_again(server);
    for _ in 0..50 {
        let answer = server.data(LIST, json!({}));
        if given_again(server) > before {
            return answer;
        }
    }
    panic!("no answer was ever given again");
}

#[test]
fn what_has_changed_is_seen_by_the_next_who_asks() {
    let server = with_a_runtime();
    assert_eq!(ask_again(&server)["services"]["totalCount"], 0);
    for n in 1..=20 {
        let name = format!("shop-{n}");
        register(&server, &name);
        let fresh = server.data(LIST, json!({}));
        assert_eq!(fresh["services"]["totalCount"], n, "{fresh}");
        let again = ask_again(&server);
        assert_eq!(again, server.data(LIST, json!({})));
        assert!(again["services"]["nodes"].as_array().unwrap().iter().any(|node| node["name"] == *name), "{again}");
    }
}

#[test]
fn what_another_program_writes_is_seen_too() {
    let server = with_a_runtime();
    let id = register(&server, "shop");
    assert_eq!(ask_again(&server)["services"]["nodes"][0]["id"], id);
    server.with_database(async |db| {
        let renamed = service::Entity::update_many().col_expr(service::Column::Name, Expr::value("other"));
        renamed.exec(db.read_write()).await.unwrap();
    });
    assert_eq!(server.data(LIST, json!({}))["services"]["nodes"][0]["name"], "other");
}

#[test]
fn whoever_is_let_in_no_more_gets_no_answer_of_before() {
    let mut server = with_a_runtime();
    let document = "mutation($i: CreateApiTokenInput!) { createApiToken(input: $i) { token apiToken { id } } }";
    let made = server.data(document, json!({ "i": { "name": "script" } }))["createApiToken"].clone();
    let admin = std::mem::replace(&mut server.token, made["token"].as_str().unwrap().to_owned());
    ask_again(&server);
    let script = std::mem::replace(&mut server.token, admin);
    let revoke = "mutation($id: ID!) { revokeApiToken(input: {id: $id}) { id } }";
    server.ask(revoke, json!({ "id": made["apiToken"]["id"] }));
    // Another's answer is not theirs either, though they ask the same.
    ask_again(&server);
    server.token = script;
    assert_eq!(server.post(LIST, json!({})).0, 401);
    server.token = "made up".to_owned();
    assert_eq!(server.post(LIST, json!({})).0, 401);
}

#[test]
fn none_is_kept_where_none_shall_be() {
    let server = Server::start_with(&[("SERVER__KEPT_ANSWERS", "0")]);
    for _ in 0..5 {
        server.data(LIST, json!({}));
    }
    assert_eq!(given_again(&server), 0);
}
