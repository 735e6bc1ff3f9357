//! That the server does what it is there for. Clients of other people's making are content with it too.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::GitlabDouble;
use super::faults::{Fault, How};
use super::state::{BranchPages, Signing};

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

#[tokio::test]
async fn it_limits_and_hides_as_gitlab_does() {
    let double = server().await;
    for number in 0..20 {
        let (head, body) = get(&double, &format!("/git/api/v4/namespaces/free-{number}/exists")).await;
        assert!(head.contains(" 200 ") && body["exists"] == false, "{head}");
    }
    let (head, body) = get(&double, "/git/api/v4/namespaces/ada/exists").await;
    assert!(head.contains(" 429 ") && body["message"]["error"].is_string(), "{head} {body}");
    let bob = double.state().person("bob");
    double.state().token("glpat-bob", bob, &["api"]);
    let (_, body) = ask(&double, "GET /git/api/v4/namespaces/acme/exists", "glpat-bob", &Value::Null).await;
    assert_eq!(body["exists"], true, "the limit is each user's own");
    for (line, token, expected) in [
        ("GET /git/api/v4/namespaces/ACME", TOKEN, " 200 "),
        ("GET /git/api/v4/namespaces/bob", TOKEN, " 200 "),
        ("GET /git/api/v4/namespaces/acme", "glpat-bob", " 404 "),
        ("GET /git/api/v4/namespaces/ada", "glpat-bob", " 404 "),
        ("GET /git/api/v4/namespaces/bob", "glpat-bob", " 200 "),
    ] {
        let (head, _) = ask(&double, line, token, &Value::Null).await;
        assert!(head.contains(expected), "{line} {token}: {head}");
    }
}

#[tokio::test]
async fn it_pages_branches_as_its_releases_do() {
    let double = server().await;
    let id = double.state().project("ada/many", "main");
    double
        .state()
        .projects
        .get_mut(&id)
        .expect("a project")
        .branches
        .extend((0..250).map(|number| (format!("b{number:03}"), false)));
    let list = format!("/git/api/v4/projects/{id}/repository/branches?per_page=100");
    let cases: [(BranchPages, &str, usize, &str); 11] = [
        (BranchPages::Gitaly, "&pagination=keyset", 100, "page_token=b099"),
        (BranchPages::Gitaly, "&pagination=keyset&page_token=b199", 51, ""),
        (BranchPages::Gitaly, "&pagination=keyset&search=b", 250, ""),
        (BranchPages::Gitaly, "&search=b", 250, "x-next-page: 2"),
        (BranchPages::Gitaly, "&search=b&page=2", 100, "x-next-page: 3"),
        (BranchPages::Gitaly, "&page=2", 100, "x-next-page: 3"),
        (BranchPages::Refs, "&pagination=keyset&search=b", 100, "page_token=refs%2Fheads%2Fb099"),
        (BranchPages::Refs, "", 100, "x-next-page: 2"),
        (BranchPages::Refs, "&page=2", 0, "x-next-page: 3"),
        (BranchPages::Numbered, "&pagination=keyset&page_token=b099", 100, "x-next-page: 2"),
        (BranchPages::Numbered, "&page=3", 51, "x-total: 251"),
    ];
    for (pages, query, expected, header) in cases {
        double.state().branch_pages = pages;
        let (head, body) = get(&double, &format!("{list}{query}")).await;
        assert_eq!(body.as_array().map(Vec::len), Some(expected), "{pages:?} {query}: {head}");
        assert!(head.contains(header), "{pages:?} {query}: {head}");
    }
    for (pages, expected) in [(BranchPages::Gitaly, " 500 "), (BranchPages::Refs, " 422 ")] {
        double.state().branch_pages = pages;
        let (head, _) = get(&double, &format!("{list}&pagination=keyset&page_token=gone")).await;
        assert!(head.contains(expected), "{pages:?}: {head}");
    }
}

#[tokio::test]
async fn it_does_not_send_again_what_is_known() {
    let double = server().await;
    let (head, _) = get(&double, "/git/api/v4/user").await;
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an etag").to_owned();
    // One more header, after the token's.
    let token = format!("{TOKEN}\r\nif-none-match: {etag}");
    let (head, body) = ask(&double, "GET /git/api/v4/user", &token, &Value::Null).await;
    assert!(head.contains(" 304 ") && body == Value::Null, "{head} {body}");
    let known: Vec<Option<String>> = double.asked().into_iter().map(|seen| seen.known).collect();
    assert_eq!(known, [None, Some(etag.clone())]);
    double.state().accounts[0].name = "Ada".to_owned();
    let (head, body) = ask(&double, "GET /git/api/v4/user", &token, &Value::Null).await;
    assert!(head.contains(" 200 ") && body["name"] == "Ada", "{head} {body}");
}

#[tokio::test]
async fn it_keeps_webhooks_and_statuses() {
    let double = server().await;
    let id = double.state().project("ada/hooked", "main");
    let at = format!("/git/api/v4/projects/{id}");
    let signing = format!("whsec_{}=", "A".repeat(43));
    let new = json!({ "url": "https://x.example", "token": "t", "signing_token": signing, "tag_push_events": true });
    let (head, made) = ask(&double, &format!("POST {at}/hooks"), TOKEN, &new).await;
    assert!(head.contains(" 201 ") && made["signing_token_present"] == true && made["token_present"] == true, "{made}");
    assert!(made.get("token").is_none() && made.get("signing_token").is_none() && made["tag_push_events"] == true);
    let one = format!("{at}/hooks/{}", made["id"]);
    let short = json!({ "url": "https://x.example", "signing_token": "whsec_AAAA" });
    assert!(ask(&double, &format!("PUT {one}"), TOKEN, &short).await.0.contains(" 422 "));
    double.state().signing = Signing::Off;
    let other = json!({ "url": "https://y.example", "signing_token": signing });
    let (_, other) = ask(&double, &format!("POST {at}/hooks"), TOKEN, &other).await;
    assert_eq!((&other["signing_token_present"], &other["token_present"]), (&json!(false), &json!(false)));
    double.state().signing = Signing::Unknown;
    let (_, rows) = get(&double, &format!("{at}/hooks")).await;
    assert!(rows[0]["id"] == made["id"] && rows[0].get("signing_token_present").is_none(), "{rows}");
    assert!(ask(&double, &format!("DELETE {one}"), TOKEN, &Value::Null).await.0.contains(" 204 "));
    assert!(get(&double, &one).await.0.contains(" 404 "));
    let sha = "ab".repeat(20);
    let say = async |state: &str| {
        let body = json!({ "state": state, "name": "kiops" });
        ask(&double, &format!("POST {at}/statuses/{sha}"), TOKEN, &body).await
    };
    assert!(say("pending").await.0.contains(" 201 "));
    let (head, refused) = say("pending").await;
    let expected =
        "Cannot transition status via :enqueue from :pending (Reason(s): Status cannot transition via \"enqueue\")";
    assert!(head.contains(" 400 ") && refused["message"] == expected, "{refused}");
    assert!(say("success").await.0.contains(" 201 ") && say("queued").await.0.contains(" 400 "));
}
