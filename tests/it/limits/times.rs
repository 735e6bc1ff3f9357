//! How long work may take.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::client::{Answer, Socket, post};
use crate::support::server::Server;

/// What is tripped here.
pub const KEYS: [&str; 2] = ["query_timeout", "mutation_timeout"];

/// Another server, which takes its time where it is asked for something slow.
fn other(runtime: &Runtime) -> MockServer {
    let server = runtime.block_on(MockServer::start());
    let answer = || ResponseTemplate::new(200).set_body_json(json!({ "count": 0, "results": [] }));
    let is_slow = |request: &Request| request.url.as_str().contains("slow");
    let slow = Mock::given(is_slow).respond_with(answer().set_delay(Duration::from_secs(6)));
    let fast = Mock::given(move |request: &Request| !is_slow(request)).respond_with(answer());
    runtime.block_on(async {
        slow.mount(&server).await;
        fast.mount(&server).await;
    });
    server
}

fn gave_up(body: &Value, what: &str) -> bool {
    let error = &body["errors"][0];
    error["extensions"]["code"] == "INTERNAL"
        && error["message"].as_str().unwrap_or_default().contains(&format!("The {what} took longer than 2s"))
}

#[test]
fn queries_and_mutations() {
    let runtime = Runtime::new().unwrap();
    let other = other(&runtime);
    let search = |what: &str| json!({ "query": format!("{{imageRepositories(search:\"{what}\"){{name}}}}") });
    let save = |path: &str| {
        let address = format!("{}/{path}", other.uri());
        json!({ "query": format!("mutation{{saveGitlabSettings(input:{{baseUrl:\"{address}\",token:\"t\"}}){{gitSettings{{id}}}}}}") })
    };
    for (key, slow, fast, what) in [
        ("LIMITS__QUERY_TIMEOUT", search("slow"), search("fast"), "query"),
        ("LIMITS__MUTATION_TIMEOUT", save("slow"), save("fast"), "mutation"),
    ] {
        let server = Server::start_with(&[(key, "2s"), ("DOCKER_HUB__API_URL", &other.uri())]);
        let ask = |request: &Value| -> Answer { post(&server, &server.token, &request.to_string()) };
        let answer = ask(&slow);
        assert!(answer.status == 500 && gave_up(&answer.body, what), "{key}: {} {}", answer.status, answer.body);
        let answer = ask(&fast);
        assert!(answer.status == 200 && !gave_up(&answer.body, what), "{key}: {}", answer.body);
        let mut socket = Socket::open(&server).unwrap();
        assert_eq!(socket.code("1", &slow).as_deref(), Some("INTERNAL"), "{key}");
        assert_ne!(socket.code("2", &fast).as_deref(), Some("INTERNAL"), "{key}");
    }
}
