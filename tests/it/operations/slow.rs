//! What is slow is said in the log, and what it was about is not.

use serde_json::json;

use crate::support::server::Server;

fn use_it(server: &Server) {
    let create = "mutation Slowest($i: CreateUserInput!) { createUser(input: $i) { user { id } } }";
    let user = json!({ "email": "slowpoke@acme.example", "name": "Molasses", "role": "MEMBER", "password": "treacle treacle treacle" });
    server.data(create, json!({ "i": user }));
    server.data("query Slow { users(first: 5) { edges { node { name } } } }", json!({}));
}

#[test]
fn slow_statements_and_operations_are_said_without_values() {
    let server = Server::start_with(&[
        ("TELEMETRY__SLOW_QUERY", "1ns"),
        ("TELEMETRY__SLOW_OPERATION", "1ns"),
        ("TELEMETRY__LOG", "info"),
        ("TELEMETRY__FORMAT", "json"),
    ]);
    use_it(&server);
    let log = server.log();
    let statements: Vec<serde_json::Value> = log
        .lines()
        .filter(|line| line.contains("slow statement"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let insert = statements.iter().find(|line| line["db.statement"].as_str().unwrap().contains("INSERT INTO \"user\""));
    let insert = insert.unwrap_or_else(|| panic!("no insert: {log}"));
    assert_eq!((&insert["level"], &insert["target"]), (&json!("WARN"), &json!("sqlx::query")));
    assert!(insert["elapsed_secs"].is_number() && insert["rows_affected"].is_number(), "{insert}");
    let text = insert["db.statement"].as_str().unwrap();
    assert!(text.contains("VALUES (?") || text.contains("VALUES ($1"), "{text}");
    for line in &statements {
        let line = line.to_string();
        for value in ["slowpoke", "Molasses", "treacle", "admin@localhost", "correct horse", server.token.as_str()] {
            assert!(!line.contains(value), "{value}: {line}");
        }
    }
    let slow: Vec<&str> = log.lines().filter(|line| line.contains("slow operation")).collect();
    let of = |name: &str| slow.iter().find(|line| line.contains(&format!("\"operation\":\"{name}\"")));
    let line = of("Slowest").unwrap_or_else(|| panic!("{slow:?}"));
    assert!(line.contains("\"type\":\"mutation\"") && line.contains("\"milliseconds\":"), "{line}");
    assert!(of("Slow").is_some() && !log.contains("createUser(input"), "a document is known by its hash");

    let quiet = Server::start_with(&[("TELEMETRY__SLOW_QUERY", "0s"), ("TELEMETRY__SLOW_OPERATION", "0s")]);
    use_it(&quiet);
    assert!(!quiet.log().contains("slow "), "{}", quiet.log());
}
