//! The double itself, over plain sockets: what stands on it must be able to rely on it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Branch, GithubDouble, Trouble};

/// Status, head and JSON of an answer; status 0 where the line was cut before its end.
async fn ask(double: &GithubDouble, what: &str, token: &str, more: &str) -> (u16, String, Value) {
    let url = url::Url::parse(&double.url()).expect("an address");
    let (method, rest) = what.split_once(' ').expect("a method and a path");
    let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
    let host = format!("127.0.0.1:{}", url.port().expect("a port"));
    let prefix = url.path().trim_end_matches('/');
    let request = format!(
        "{method} {prefix}{path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: test\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{more}\r\n{body}",
        body.len()
    );
    let mut line = tokio::net::TcpStream::connect(&host).await.expect("it listens");
    line.write_all(request.as_bytes()).await.expect("it reads");
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), line.read_to_end(&mut bytes)).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let whole = !head.contains("chunked") || body.ends_with("0\r\n\r\n");
    let status = if read.is_ok() && whole { status } else { 0 };
    (status, head.to_lowercase(), serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn it_keeps_what_it_is_told() {
    for double in [GithubDouble::start().await, GithubDouble::below("/api/v3").await] {
        let id = double.with(|state| {
            state.classic("t", "ada", "repo, read:org");
            state.fine_grained("f", "ada", &["metadata=read"]);
            state.user("ada").name = Some("Ada".to_owned());
            state.member("ada", "acme", "member");
            state.organization("acme").members_can_create = Some(false);
            (state.slow_index, state.slow_readme, state.slow_rename) = (true, 0, 0);
            state.add("acme/shop");
            state.repository("ada/tool").branches.insert("a/b".to_owned(), Branch::new(7));
            state.at("ADA/tool").expect("it was made").id
        });
        assert_eq!(ask(&double, "GET /user", "t", "").await.2["name"], "Ada");
        assert_eq!(ask(&double, "GET /user", "x", "").await.0, 401);
        let (_, head, rows) = ask(&double, "GET /user/repos?per_page=1&sort=created", "t", "").await;
        assert_eq!(rows[0]["full_name"], "ada/tool");
        assert!(head.contains("per_page=1&sort=created&page=2>; rel=\"next\""), "{head}");
        assert!(head.contains("x-oauth-scopes: repo, read:org"), "{head}");
        let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an etag").replace("w/", "W/");
        let known = format!("if-none-match: {etag}\r\n");
        assert_eq!(ask(&double, "GET /user/repos?per_page=1&sort=created", "t", &known).await.0, 304);
        for path in ["/repos/ada/tool/branches/a%2Fb", "/repos/ada/tool/branches/a/b"] {
            assert_eq!(ask(&double, &format!("GET {path}"), "t", "").await.2["name"], "a/b");
            assert_eq!(ask(&double, &format!("GET {path}"), "f", "").await.0, 403);
        }
        let search = "GET /search/repositories?q=tool+user:ada";
        assert_eq!(ask(&double, search, "t", "").await.2["total_count"], 0);
        double.with(|state| state.index());
        assert_eq!(ask(&double, search, "t", "").await.2["total_count"], 1);
        double.with(|state| state.move_to("ada/tool", "acme/tool"));
        let (status, head, _) = ask(&double, "GET /repos/ada/tool", "t", "").await;
        assert!(status == 301 && head.contains(&format!("location: {}/repositories/{id}", double.url())), "{head}");
        assert_eq!(ask(&double, r#"POST /orgs/acme/repos {"name":"x"}"#, "t", "").await.0, 403);
        assert_eq!(ask(&double, r#"POST /user/repos {"name":"x","auto_init":true}"#, "t", "").await.0, 201);
        assert_eq!(ask(&double, r#"POST /user/repos {"name":"X"}"#, "t", "").await.0, 422);
        let asked = double.asked().pop().expect("a request");
        assert_eq!((asked.method.as_str(), asked.path.as_str(), asked.status), ("POST", "/user/repos", 422));
        assert_eq!((asked.body, asked.query.len()), (json!({ "name": "X" }), 0));
        assert_eq!(asked.headers["authorization"], "Bearer t");
        assert_eq!(asked.answer["errors"][0]["message"], "name already exists on this account");
    }
}

#[tokio::test]
async fn it_fails_when_told() {
    let double = GithubDouble::start().await;
    double.with(|state| {
        state.classic("t", "ada", "repo");
        (state.left, state.searches_left, state.reset) = (Some(100), Some(0), 1_750_000_000);
        state.tokens.get_mut("t").expect("it was made").expires = Some("2027-03-31 00:00:00 UTC".to_owned());
    });
    let (status, head, _) = ask(&double, "GET /search/repositories?q=x", "t", "").await;
    assert!(status == 403 && head.contains("x-ratelimit-resource: search"), "{head}");
    assert!(head.contains("x-ratelimit-remaining: 0") && head.contains("x-ratelimit-reset: 1750000000"), "{head}");
    let (_, head, _) = ask(&double, "GET /user", "t", "").await;
    assert!(head.contains("x-ratelimit-remaining: 99") && head.contains("2027-03-31"), "{head}");
    double.fail_with("GET /user", 1, 502, "Server Error");
    let headers = vec![("retry-after", "60".to_owned())];
    double.fail("GET /user", 1, Trouble::Answer { status: 429, headers, body: "busy".to_owned() });
    double.fail("GET /user", 1, Trouble::Half);
    double.fail("GET /user", 1, Trouble::Silence(Duration::from_millis(50)));
    for expected in [502, 429, 0, 504, 200] {
        assert_eq!(ask(&double, "GET /user", "t", "").await.0, expected);
    }
    assert_eq!(double.take_asked().len(), 7);
    assert!(double.take_asked().is_empty());
}

#[tokio::test]
async fn a_slow_answer_is_the_same_answer() {
    let double = GithubDouble::start().await;
    double.with(|state| state.classic("t", "ada", "repo"));
    let quick = ask(&double, "GET /user", "t", "").await;
    double.fail("GET /user", 1, Trouble::Slow(Duration::from_millis(300)));
    let began = std::time::Instant::now();
    let slow = ask(&double, "GET /user", "t", "").await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!((slow.0, slow.2), (quick.0, quick.2));
}
