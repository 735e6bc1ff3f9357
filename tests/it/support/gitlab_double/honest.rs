//! That the server does what it is there for. Clients of other people's making are content with it too.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::GitlabDouble;
use super::faults::{Fault, How};

const TOKEN: &str = "glpat-double";

/// A server with ada, her group, and three projects.
async fn server() -> GitlabDouble {
    let double = GitlabDouble::start("/git").await;
    {
        let mut state = double.state();
        let ada = state.person("ada");
        state.token(TOKEN, ada, &["api"]);
        state.account(ada).is_admin = true;
        state.group("acme", ada, 40);
        let id = state.project("acme/old", "main");
        state.transfer(id, "acme/shop");
        state.project("ada/one", "main");
        state.project("ada/two", "main");
    }
    double
}

/// Asks, and gives the head and the body of the answer.
async fn ask(double: &GitlabDouble, line: &str, token: &str, body: &Value) -> (String, Value) {
    let authority = double.url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let body = body.to_string();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {authority}\r\nprivate-token: {token}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(authority).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), serde_json::from_str(body).unwrap_or_default())
}

async fn get(double: &GitlabDouble, address: &str) -> (String, Value) {
    ask(double, &format!("GET {address}"), TOKEN, &Value::Null).await
}

#[tokio::test]
async fn it_answers_as_gitlab_is_documented_to() {
    let double = server().await;
    let (head, page) = get(&double, "/git/api/v4/projects?membership=true&per_page=2").await;
    assert!(head.contains("x-total: 3") && head.contains("x-next-page: 2"), "{head}");
    assert_eq!(page[0]["path_with_namespace"], "ada/two");
    let (head, _) = get(&double, "/git/api/v4/projects?pagination=keyset&order_by=id&per_page=2").await;
    assert!(head.contains("id_before=") && head.contains("rel=\"next\"") && !head.contains("x-total"), "{head}");
    let (head, _) = get(&double, "/git/api/v4/projects/acme%2Fold").await;
    assert!(head.starts_with("HTTP/1.1 301") && head.contains("/git/api/v4/projects/"), "{head}");
    let (head, _) = get(&double, "/api/v4/projects").await;
    assert!(head.starts_with("HTTP/1.1 404") && head.contains("text/html"), "{head}");
    let (head, _) = ask(&double, "GET /git/api/v4/user", "other", &Value::Null).await;
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    let asked = double.asked();
    assert_eq!((asked.len(), asked[0].method.as_str(), asked[3].body.clone()), (4, "GET", Value::Null));
    assert_eq!(asked[2].address, "/api/v4/projects/acme%2Fold");
}

#[tokio::test]
async fn its_graphql_refuses_what_is_not_in_the_schema() {
    let double = server().await;
    let query = |text: &str| json!({ "query": text });
    let line = "POST /git/api/graphql";
    let good = query("{ currentUser { username groups(permissionScope: CREATE_PROJECTS) { nodes { fullPath } } } }");
    let (_, answer) = ask(&double, line, TOKEN, &good).await;
    assert_eq!(answer["data"]["currentUser"]["groups"]["nodes"], json!([{ "fullPath": "acme" }]));
    let (_, answer) =
        ask(&double, line, TOKEN, &query("{ currentUser { groups(scope: 1) { nodes { path } } } }")).await;
    assert!(answer["errors"].is_array(), "{answer}");
}

#[tokio::test]
async fn it_fails_when_told_and_as_often() {
    let double = server().await;
    let answer = How::Answer(429, vec![("retry-after", "7".to_owned())], "{\"message\": \"{token}\"}".to_owned());
    double.fail(Fault::once("GET /api/v4/user", answer));
    let (head, body) = get(&double, "/git/api/v4/user").await;
    assert!(head.contains(" 429 ") && head.contains("retry-after: 7") && body["message"] == TOKEN, "{head} {body}");
    let (head, body) = get(&double, "/git/api/v4/user").await;
    assert!(head.contains(" 200 ") && body["is_admin"] == true, "{head} {body}");
    double.fail(Fault::always("/user", How::Half));
    double.fail(Fault::always("/projects", How::Silence));
    assert_eq!(get(&double, "/git/api/v4/user").await.1, Value::Null);
    let silent = tokio::time::timeout(std::time::Duration::from_millis(100), get(&double, "/git/api/v4/projects"));
    assert!(silent.await.is_err());
    double.mend();
    assert_eq!(get(&double, "/git/api/v4/user").await.1["username"], "ada");
}
