//! GraphQL over HTTP, health, pages, and what surrounds them.

use std::{sync::atomic::Ordering, time::Duration};

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::Server;

const NEWER: &str = "application/graphql-response+json";

#[expect(clippy::disallowed_methods, reason = "a test asks as an outsider would")]
fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

fn post(server: &Server, query: &str) -> RequestBuilder {
    client().post(server.url("/graphql")).json(&json!({"query": query}))
}

async fn told(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

fn code(body: &Value) -> &str {
    body["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn offers_of_another_protocol_are_ignored() {
    let server = Server::start(|_| ()).await;
    let ask = |upgrade: &'static str| {
        let request = client().get(server.url("/graphql?query=%7Bhello%7D")).header("accept", NEWER);
        request.header("connection", "Upgrade").header("upgrade", upgrade).send()
    };
    assert_eq!(ask("h2c").await.unwrap().status(), 200);
    assert_eq!(ask("h2c, WebSocket").await.unwrap().status(), 400, "it is no whole handshake");
}

#[tokio::test]
async fn answers_in_the_type_that_is_asked_for() {
    let server = Server::start(|_| ()).await;
    for (accept, status, content_type) in [
        (None, 200, "application/json; charset=utf-8"),
        (Some("*/*"), 200, "application/json; charset=utf-8"),
        (Some("application/json"), 200, "application/json; charset=utf-8"),
        (Some(NEWER), 200, "application/graphql-response+json; charset=utf-8"),
        (
            Some("application/json;q=0.5, application/graphql-response+json"),
            200,
            "application/graphql-response+json; charset=utf-8",
        ),
        (Some("application/graphql-response+json;q=0.5, application/json"), 200, "application/json; charset=utf-8"),
        (Some("application/json;q=0, */*"), 200, "application/graphql-response+json; charset=utf-8"),
        (Some("text/plain"), 406, "application/json; charset=utf-8"),
        (Some("application/*;q=0, */*"), 406, "application/json; charset=utf-8"),
        (Some("*/*;q=0"), 406, "application/json; charset=utf-8"),
    ] {
        let request = post(&server, "{hello}");
        let request = if let Some(accept) = accept { request.header("accept", accept) } else { request };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{accept:?}");
        assert_eq!(response.headers()["content-type"], content_type, "{accept:?}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(response.headers()["x-request-id"].to_str().unwrap().starts_with("id-"));
    }
}

#[tokio::test]
async fn request_errors_have_no_data() {
    let server = Server::start(|_| ()).await;
    for query in
        ["{", "{unknown}", "query($a:Int!){hello}", "{hello{a}}", "{a:hello ...{hello}} fragment X on Query{...X}"]
    {
        let (status, body) = told(post(&server, query).header("accept", NEWER)).await;
        assert_eq!(status, 400, "{query} {body}");
        assert!(body.get("data").is_none() && body["errors"].is_array(), "{query}");
        let (status, body) = told(post(&server, query)).await;
        assert_eq!(status, 200, "{query} {body}");
        assert!(body.get("data").is_none());
    }
    let (status, body) = told(post(&server, "{failing}").header("accept", NEWER)).await;
    assert_eq!((status.as_u16(), &body["data"]), (200, &Value::Null));
    // A variable that must have a value, before anything is executed: wherever it is used, and in a mutation too.
    for (query, variables, has_value) in [
        ("query($n:String!){hello(name:$n)}", json!({}), false),
        ("query($n:String!){hello(name:$n)}", json!({"n": null}), false),
        ("query($n:String!=\"x\"){hello(name:$n)}", json!({"n": null}), false),
        ("query A($n:String!){hello(name:$n)} query B{hello}", json!({}), true),
        ("query($n:String!=\"x\"){hello(name:$n)}", json!({}), true),
        ("query($n:String){hello(name:$n)}", json!({}), true),
        ("query($n:String!){hello(name:$n)}", json!({"n": "x"}), true),
    ] {
        let name = query.contains("query B").then_some("B");
        let body = json!({"query": query, "variables": variables, "operationName": name});
        let request = client().post(server.url("/graphql")).json(&body).header("accept", NEWER);
        let (status, body) = told(request).await;
        assert_eq!(status, if has_value { 200 } else { 400 }, "{query} {variables} {body}");
        assert_eq!(body.get("data").is_some(), has_value, "{query} {variables} {body}");
        assert_eq!(code(&body), if has_value { "" } else { "BAD_USER_INPUT" }, "{query}");
    }
    let (_, body) = told(post(&server, &format!("{{ hello(name: \"{}\") !", "ä".repeat(20_000)))).await;
    assert!(body["errors"][0]["message"].as_str().unwrap().chars().count() < 230);
}

#[tokio::test]
async fn only_plain_json_is_taken() {
    let server = Server::start(|_| ()).await;
    let url = server.url("/graphql");
    let body = r#"{"query":"{hello}"}"#;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin1",
        "",
    ] {
        let request = client().post(&url).body(body);
        let request = if content_type.is_empty() { request } else { request.header("content-type", content_type) };
        assert_eq!(told(request).await.0, 415, "{content_type}");
    }
    let json = || client().post(&url).header("content-type", "application/json");
    assert_eq!(told(json().header("content-encoding", "gzip").body(body)).await.0, 415);
    let (status, answer) = told(json().body("[{\"query\":\"{hello}\"}]")).await;
    assert_eq!(status, 400);
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("batching"));
    let deep =
        format!("{{\"query\":\"{{hello}}\",\"variables\":{{\"a\":{}1{}}}}}", "[".repeat(10_000), "]".repeat(10_000));
    for bad in [
        "",
        "{",
        "{}",
        "1",
        r#"{"query":1}"#,
        r#"{"query":""}"#,
        r#"{"query":"{hello}","variables":[]}"#,
        r#"{"query":"{hello}","operationName":1}"#,
        r#"{"query":"{hello}","extensions":1}"#,
        r#"{"query":"{hello}","variables":{"a":NaN}}"#,
        r#"{"query":"\ud800"}"#,
        &deep,
    ] {
        let (status, answer) = told(json().body(bad.to_owned())).await;
        assert_eq!(status, 400, "{:.60}", bad);
        assert!(answer["errors"].is_array());
    }
    for odd in [
        r#"{"query":"{hello}","variables":{"__proto__":9007199254740993}}"#,
        r#"{"query":"query($n:String){hello(name:$n)}","variables":{"n":"\u0000"}}"#,
    ] {
        assert_eq!(told(json().body(odd)).await.0, 200, "{odd}");
    }
}

#[tokio::test]
async fn large_and_slow_bodies_are_cut_off() {
    let server = Server::start(|settings| settings.read_timeout = Duration::from_secs(3)).await;
    let (status, _) = told(
        client().post(server.url("/graphql")).header("content-type", "application/json").body(vec![b' '; 60_000_000]),
    )
    .await;
    assert_eq!(status, 413);
    let chunked = futures_util::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100_000])));
    let request = client().post(server.url("/graphql")).header("content-type", "application/json");
    assert_eq!(told(request.body(reqwest::Body::wrap_stream(chunked))).await.0, 413);

    let server = Server::start(|_| ()).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(
        b"POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{",
    )
    .await
    .unwrap();
    let mut answer = [0; 12];
    timeout(Duration::from_secs(3), slow.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    for half in ["GET /graphql HTTP/1.1\r\nhost:", ""] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let _ = timeout(Duration::from_secs(3), stream.read_to_end(&mut rest)).await.expect("it is closed");
    }
}

#[tokio::test]
async fn get_runs_queries_alone() {
    let server = Server::start(|_| ()).await;
    let get = |query: &[(&str, &str)]| client().get(server.url("/graphql")).query(query).header("accept", NEWER);
    let (status, body) = told(get(&[
        ("query", "query A{hello} query B($n:String){hello(name:$n)}"),
        ("operationName", "B"),
        ("variables", "{\"n\":\"x\"}"),
    ]))
    .await;
    assert_eq!((status.as_u16(), &body["data"]["hello"]), (200, &json!("hello x")));
    assert_eq!(told(get(&[("query", "query A{hello} mutation B{login}"), ("operationName", "A")])).await.0, 200);
    let response = get(&[("query", "mutation{login}")]).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["allow"]), (405, &"POST".parse().unwrap()));
    assert!(!response.headers().contains_key("set-cookie"));
    for bad in [
        vec![],
        vec![("query", "")],
        vec![("query", "{hello}"), ("variables", "{")],
        vec![("query", "subscription{count(to:1)}")],
        vec![("query", "{hello}"), ("query", "{hello}")],
    ] {
        assert_eq!(told(get(&bad)).await.0, 400, "{bad:?}");
    }
    assert_eq!(client().put(server.url("/graphql")).send().await.unwrap().status(), 405);
    assert_eq!(told(post(&server, "subscription{count(to:1)}")).await.0, 400);
}

#[tokio::test]
async fn tokens_and_cookies() {
    let server = Server::start(|_| ()).await;
    let ask = || post(&server, "{caller}");
    let (status, body) = told(ask().bearer_auth("good")).await;
    assert_eq!((status.as_u16(), &body["data"]["caller"]), (200, &json!("good")));
    for header in ["Bearer bad", "Bearer", "Basic Zm9v", "good"] {
        let (status, body) = told(ask().header("authorization", header)).await;
        assert_eq!((status.as_u16(), code(&body)), (401, "UNAUTHENTICATED"), "{header}");
    }
    let response = ask().bearer_auth("often").send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"7".parse().unwrap()));
    let response = post(&server, "mutation{login}").send().await.unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let cookie = || ask().header("cookie", "a=b; kiops_session=good");
    assert_eq!(told(cookie()).await.1["data"]["caller"], "good");
    assert_eq!(told(cookie().header("origin", server.own_origin())).await.0, 200);
    assert_eq!(told(cookie().header("origin", "https://kiops.example")).await.0, 200);
    assert_eq!(told(cookie().header("sec-fetch-site", "same-origin")).await.0, 200);
    for origin in ["https://evil.example", "null", "https://app.example", "http://127.0.0.1:1", "x"] {
        let (status, body) = told(cookie().header("origin", origin)).await;
        assert_eq!((status.as_u16(), code(&body)), (403, "FORBIDDEN"), "{origin}");
    }
    assert_eq!(told(cookie().header("sec-fetch-site", "same-site")).await.0, 403);
    assert_eq!(told(cookie().header("origin", "https://app.example").bearer_auth("good")).await.0, 200);
}

#[tokio::test]
async fn cors_lets_in_who_is_named() {
    let server = Server::start(|_| ()).await;
    let preflight = |origin: &str| {
        client()
            .request(reqwest::Method::OPTIONS, server.url("/graphql"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
    };
    let response = preflight("https://app.example").send().await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "https://app.example");
    assert!(response.headers()["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap().to_owned();
    for header in ["x-request-id", "retry-after", "ratelimit", "ratelimit-policy"] {
        assert!(exposed.split(", ").any(|name| name == header), "{exposed}");
    }
    assert!(!response.headers().contains_key("access-control-allow-credentials"));
    for origin in ["https://evil.example", "null", "https://app.example.evil"] {
        let response = preflight(origin).send().await.unwrap();
        assert!(!response.headers().keys().any(|name| name.as_str().starts_with("access-control")), "{origin}");
    }
}

#[tokio::test]
async fn faults_and_limits_of_execution() {
    let server = Server::start(|settings| settings.requests_per_minute = 3).await;
    let (status, body) = told(post(&server, "{broken}").bearer_auth("good-1")).await;
    assert_eq!((status.as_u16(), code(&body)), (500, "INTERNAL"));
    assert!(body["errors"][0]["extensions"]["id"].is_string() && !body.to_string().contains("secret"));
    let (_, body) = told(post(&server, "{slow}").bearer_auth("good-1")).await;
    assert_eq!(code(&body), "INTERNAL");
    assert!(body["errors"][0]["message"].as_str().unwrap().contains("longer than 400ms"));
    assert_eq!(told(post(&server, "{hello}").bearer_auth("good-1")).await.0, 200);
    let response = post(&server, "{hello}").bearer_auth("good-1").send().await.unwrap();
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(told(post(&server, "{hello}").bearer_auth("good-2")).await.0, 200);
    let (status, body) =
        told(post(&server, "{a:hello b:hello ...F} fragment F on Query{...F}").header("accept", NEWER)).await;
    assert_eq!((status.as_u16(), code(&body)), (400, "BAD_USER_INPUT"));
}

/// What is small to send and large to hold is not read.
#[tokio::test]
async fn bodies_of_very_many_values_are_refused() {
    let server = Server::start(|_| ()).await;
    let ask = async |variables: Value| {
        let body = json!({ "query": "{hello}", "variables": { "v": variables } });
        let request = client().post(server.url("/graphql")).header("content-type", "application/json");
        told(request.body(body.to_string())).await
    };
    let (status, body) = ask(json!(vec![0; 60_000])).await;
    assert_eq!((status.as_u16(), code(&body)), (400, "BAD_USER_INPUT"));
    assert!(body["errors"][0]["message"].as_str().unwrap().contains("50000 values"), "{body}");
    for few in [json!(vec![0; 40_000]), json!(",[{\\\"".repeat(30_000))] {
        assert_eq!(ask(few).await.0, 200);
    }
}

/// Another wrong token each time is still the same address.
#[tokio::test]
async fn wrong_tokens_are_counted_for_their_address() {
    let server = Server::start(|settings| settings.requests_per_minute = 3).await;
    for n in 0..3 {
        let response = post(&server, "{hello}").bearer_auth(format!("wrong-{n}")).send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["ratelimit-policy"], "\"requests\";q=3;w=60");
    }
    let response = post(&server, "{hello}").bearer_auth("wrong-3").send().await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(told(post(&server, "{hello}")).await.0, 429);
    assert_eq!(told(post(&server, "{hello}").bearer_auth("good-1")).await.0, 200);
}

#[tokio::test]
async fn every_answer_is_guarded_against_being_framed_sniffed_and_kept() {
    let server = Server::start(|_| ()).await;
    let get = |path: &str| client().get(server.url(path)).header("accept", "text/html");
    for (request, policy, caching) in [
        (post(&server, "{hello}"), "default-src 'none'; frame-ancestors 'none'", "no-store"),
        (get("/graphql"), "script-src 'self'", "no-store"),
        (get("/graphiql/graphiql.js"), "default-src 'none'", "immutable"),
        (get("/healthz"), "default-src 'none'", "no-store"),
        (get("/nothing"), "default-src 'none'", "no-store"),
    ] {
        let response = request.send().await.unwrap();
        let of = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let policies = of("content-security-policy");
        assert!(policies.contains(policy) && policies.contains("frame-ancestors 'none'"), "{policies}");
        assert!(
            !policies.contains("unsafe-eval") && !policies.contains("script-src 'self' 'unsafe-inline'"),
            "{policies}"
        );
        assert!(of("cache-control").contains(caching), "{}", of("cache-control"));
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(of(name), value);
        }
        // Whoever ends TLS says that there is nothing else.
        assert!(!response.headers().contains_key("strict-transport-security"));
    }
}

#[tokio::test]
async fn documents_are_named_by_their_hash() {
    let server = Server::start(|_| ()).await;
    let extensions = |hash: &str| json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    let hash_of = |query: &str| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(query));
    let ask = |token: &'static str, body: Value| client().post(server.url("/graphql")).bearer_auth(token).json(&body);
    let hash = hash_of("{hello}");
    let named = || json!({ "extensions": extensions(&hash) });
    let not_found = |(status, body): (StatusCode, Value), expected: u16| {
        assert_eq!((status.as_u16(), code(&body)), (expected, "PERSISTED_QUERY_NOT_FOUND"), "{body}");
        assert_eq!(body["errors"][0]["message"], "PersistedQueryNotFound");
        assert!(body.get("data").is_none());
    };
    not_found(told(ask("good-1", named())).await, 200);
    not_found(told(ask("good-1", named()).header("accept", NEWER)).await, 400);

    let sent = json!({ "query": "{hello}", "extensions": extensions(&hash) });
    assert_eq!(told(ask("good-1", sent.clone())).await.1["data"]["hello"], "hello you");
    assert_eq!(told(ask("good-1", named())).await.1["data"]["hello"], "hello you");
    let get = |token: &'static str| {
        let query = [("extensions", extensions(&hash).to_string())];
        client().get(server.url("/graphql")).query(&query).bearer_auth(token).header("accept", NEWER)
    };
    assert_eq!(told(get("good-1")).await.1["data"]["hello"], "hello you");
    not_found(told(get("good-2")).await, 400);
    // A stranger's is executed, and not kept.
    assert_eq!(told(client().post(server.url("/graphql")).json(&sent)).await.1["data"]["hello"], "hello you");
    not_found(told(client().post(server.url("/graphql")).json(&named())).await, 200);

    // With variables, and one of several operations.
    let two = "query A($n:String){hello(name:$n)} mutation B{login}";
    let with = |name: &str| json!({ "extensions": extensions(&hash_of(two)), "operationName": name, "variables": { "n": "x" } });
    let mut whole = with("A");
    whole["query"] = two.into();
    assert_eq!(told(ask("good-1", whole)).await.1["data"]["hello"], "hello x");
    assert_eq!(told(ask("good-1", with("A"))).await.1["data"]["hello"], "hello x");
    let mutation = [("extensions", extensions(&hash_of(two)).to_string()), ("operationName", "B".to_owned())];
    let by_get = client().get(server.url("/graphql")).query(&mutation).bearer_auth("good-1");
    assert_eq!(told(by_get).await.0, 405);

    // What is over a limit or can't be read is not kept.
    for bad in ["{", &format!("{{{}}}", "a:hello ".repeat(101))] {
        let body = json!({ "query": bad, "extensions": extensions(&hash_of(bad)) });
        assert_eq!(code(&told(ask("good-1", body)).await.1), "BAD_USER_INPUT");
        not_found(told(ask("good-1", json!({ "extensions": extensions(&hash_of(bad)) }))).await, 200);
    }
    for bad in [
        json!({ "query": "{hello}", "extensions": extensions(&hash_of("{caller}")) }),
        json!({ "query": "{hello}", "extensions": extensions("abc") }),
        json!({ "extensions": { "persistedQuery": { "version": 2, "sha256Hash": hash } } }),
        json!({ "extensions": { "persistedQuery": 1 } }),
        json!({ "extensions": {} }),
        json!({ "query": "", "extensions": {} }),
    ] {
        let (status, body) = told(ask("good-1", bad.clone())).await;
        assert_eq!((status.as_u16(), code(&body)), (400, "BAD_USER_INPUT"), "{bad}");
    }
}

#[tokio::test]
async fn pages_and_health() {
    let server = Server::start(|_| ()).await;
    let response = client().get(server.url("/graphql")).header("accept", "text/html,*/*;q=0.8").send().await.unwrap();
    assert!(response.headers()["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
    let page = response.text().await.unwrap();
    assert!(page.contains("/graphiql/graphiql.js?v=") && !page.contains("{version}") && !page.contains("//cdn"));
    let script = client().get(server.url("/graphiql/graphiql.js")).send().await.unwrap();
    assert!(script.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    let tag = script.headers()["etag"].clone();
    let again = client().get(server.url("/graphiql/graphiql.js")).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    assert_eq!(client().get(server.url("/graphiql/other")).send().await.unwrap().status(), 404);
    assert_eq!(client().get(server.url("/healthz")).send().await.unwrap().status(), 200);
    assert_eq!(client().get(server.url("/readyz")).send().await.unwrap().status(), 200);
    server.backend.ready.store(false, Ordering::SeqCst);
    let response = client().get(server.url("/readyz")).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.text().await.unwrap().contains("database"));

    let server = Server::start(|settings| settings.graphiql = false).await;
    let response = client().get(server.url("/graphql")).header("accept", "text/html").send().await.unwrap();
    assert_eq!(response.status(), 406);
    assert_eq!(client().get(server.url("/graphiql/graphiql.js")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn shutdown_lets_requests_end() {
    let mut server = Server::start(|settings| settings.query_timeout = Duration::from_millis(300)).await;
    let request = tokio::spawn(told(post(&server, "{slow}")));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    server.shutdown.cancel();
    timeout(Duration::from_secs(3), &mut server.served).await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(code(&request.await.unwrap().1), "INTERNAL");
}
