#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use chrono::{TimeZone, Utc};
use serde_json::{Value, json};
use wiremock::matchers::{any, header, header_exists, method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::domain::secret::SecretString;
use crate::net::{Outbound, Policy, Timeouts};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const SECRET: &str = "dckr_pat_hunter2";

struct Bench {
    server: MockServer,
    client: RegistryClient,
}

impl Bench {
    async fn new() -> Self {
        let server = MockServer::start().await;
        let client = client(&server.uri(), &["127.0.0.1"]);
        Self { server, client }
    }

    /// A repository of the mock registry.
    fn app(&self) -> Repository {
        Repository::parse(&format!("{}/team/app", self.server.address())).unwrap()
    }

    async fn on(&self, at: &str, answer: ResponseTemplate) {
        Mock::given(path(at)).respond_with(answer).mount(&self.server).await;
    }
}

/// A client for which Docker Hub is at `hub`.
fn client(hub: &str, allow: &[&str]) -> RegistryClient {
    let allow: Vec<String> = allow.iter().map(|s| (*s).to_owned()).collect();
    let outbound = Outbound::new(Policy::new(&allow, &[], None, Timeouts::default()).unwrap()).unwrap();
    let settings = RegistrySettings {
        hub_api_url: hub.to_owned(),
        hub_registry_url: hub.to_owned(),
        hub_auth_url: hub.to_owned(),
    };
    let clock: Clock = Arc::new(|| Utc.timestamp_opt(1_750_000_000, 0).unwrap());
    RegistryClient::new(outbound, &settings, Vec::new(), clock).unwrap()
}

fn login(secret: &str) -> RegistryLogin {
    RegistryLogin { username: "ada".to_owned(), token: SecretString::from(secret), trusted: false }
}

fn first(first: u32) -> TagRequest {
    TagRequest { first, after: None }
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn names(page: &TagPage) -> Vec<&str> {
    page.tags.iter().map(|tag| tag.name.as_str()).collect()
}

#[tokio::test]
async fn the_hub_is_searched_and_remembered() {
    let bench = Bench::new().await;
    let found = json!({ "count": 2, "results": [
        { "repo_name": "nginx", "short_description": "Web\nserver", "is_official": true, "star_count": 20000, "pull_count": 12_000_000_000_i64 },
        { "repo_name": "../evil", "star_count": 1 },
        { "repo_name": "bitnami/nginx", "short_description": "", "pull_count": 5 },
    ]});
    Mock::given(path("/v2/search/repositories/"))
        .and(query_param("query", "a&b=c"))
        .respond_with(ok(found))
        .expect(1)
        .mount(&bench.server)
        .await;
    let list = bench.client.search("a&b=c", 25).await.unwrap();
    assert_eq!(list, bench.client.search(" a&b=c ", 25).await.unwrap());
    assert_eq!(list.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["nginx", "bitnami/nginx"]);
    assert_eq!((list[0].description.as_deref(), list[0].official), (Some("Web server"), true));
    assert!(list[0].pulls > 1e10 && list[1].description.is_none());
    assert!(bench.client.search("", 25).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_hub_lists_tags_with_what_it_knows_of_them() {
    let bench = Bench::new().await;
    let at = "/v2/namespaces/library/repositories/nginx/tags";
    let page = |number: &str, name: &str, next: Value| {
        let tag = json!({ "name": name, "digest": DIGEST, "full_size": 1000, "tag_last_pushed": "2025-01-02T03:04:05.6Z",
            "images": [ { "os": "linux", "architecture": "arm64", "variant": "v8" }, { "os": "unknown", "architecture": "unknown" } ] });
        Mock::given(path(at))
            .and(query_param("page", number))
            .and(query_param("page_size", "1"))
            .respond_with(ok(json!({ "count": 2, "next": next, "results": [tag] })))
    };
    page("1", "alpine", json!("http://169.254.169.254/")).mount(&bench.server).await;
    page("2", "latest", Value::Null).mount(&bench.server).await;
    let nginx = Repository::parse("nginx").unwrap();
    let one = bench.client.tags(&nginx, None, first(1), None).await.unwrap();
    assert_eq!((names(&one), one.total), (vec!["alpine"], Some(2)));
    assert_eq!(one.tags[0].platforms, ["linux/arm64/v8"]);
    assert!(one.tags[0].digest.is_some() && one.tags[0].pushed_at.is_some());
    let two = bench.client.tags(&nginx, None, TagRequest { first: 1, after: one.next }, None).await.unwrap();
    assert_eq!((names(&two), two.next.as_deref()), (vec!["latest"], None));
    for forged in ["99999999999", "-1", "x", "\0", "5", "http://169.254.169.254/"] {
        let page = TagRequest { first: 1, after: Some(forged.to_owned()) };
        let _ = bench.client.tags(&nginx, None, page, None).await.unwrap();
    }
    let missing = bench.client.tags(&Repository::parse("acme/none").unwrap(), None, first(1), None).await;
    assert!(matches!(missing, Err(RegistryError::NotFound(_))));
}

#[tokio::test]
async fn a_private_repository_on_the_hub_is_seen_with_its_login_alone() {
    let bench = Bench::new().await;
    Mock::given(path("/v2/auth/token"))
        .and(wiremock::matchers::body_json(json!({ "identifier": "ada", "secret": SECRET })))
        .respond_with(ok(json!({ "access_token": "short" })))
        .expect(1)
        .mount(&bench.server)
        .await;
    bench.on("/v2/auth/token", ResponseTemplate::new(401).set_body_string(SECRET)).await;
    Mock::given(path("/v2/namespaces/acme/repositories/app/tags"))
        .and(header("authorization", "Bearer short"))
        .respond_with(ok(json!({ "count": 1, "results": [{ "name": "v1" }] })))
        .mount(&bench.server)
        .await;
    let app = Repository::parse("acme/app").unwrap();
    let own = login(SECRET);
    assert_eq!(names(&bench.client.tags(&app, None, first(5), Some(&own)).await.unwrap()), ["v1"]);
    assert_eq!(names(&bench.client.tags(&app, Some("v"), first(5), Some(&own)).await.unwrap()), ["v1"]);
    assert!(matches!(bench.client.tags(&app, None, first(5), None).await, Err(RegistryError::NotFound(_))));
    let other = bench.client.tags(&app, None, first(5), Some(&login("other"))).await.unwrap_err();
    assert!(matches!(other, RegistryError::Unauthorized(_)) && !other.to_string().contains(SECRET), "{other}");
}

#[tokio::test]
async fn a_digest_comes_from_the_head_or_from_the_manifest() {
    let bench = Bench::new().await;
    let tag = |name: &str| Tag::parse(name).unwrap();
    let at = |name: &str| format!("/v2/team/app/manifests/{name}");
    let body = r#"{"schemaVersion":2}"#;
    let digest = "sha256:32225f5d3d3bd6b5f09bbc0dff5b4d1d4fa4dbbb1e7d3f0a5a7b0b1e0f3c2d1e";
    bench.on(&at("head"), ResponseTemplate::new(200).insert_header("docker-content-digest", DIGEST)).await;
    Mock::given(method("HEAD"))
        .and(path(at("old")))
        .respond_with(ResponseTemplate::new(405))
        .mount(&bench.server)
        .await;
    bench.on(&at("old"), ResponseTemplate::new(200).set_body_string(body)).await;
    bench.on(&at("html"), ResponseTemplate::new(200).set_body_string("<html>")).await;
    bench.on(&at("empty"), ok(json!({}))).await;
    bench.on(&at("v1"), ok(json!({ "schemaVersion": 1 }))).await;
    Mock::given(method("HEAD"))
        .and(path(at("lie")))
        .respond_with(ResponseTemplate::new(405))
        .mount(&bench.server)
        .await;
    let lie = ResponseTemplate::new(200).insert_header("docker-content-digest", digest).set_body_string(body);
    bench.on(&at("lie"), lie).await;
    bench.on(&at("bad"), ResponseTemplate::new(500)).await;
    let (client, app) = (&bench.client, bench.app());
    assert_eq!(client.resolve(&app, &tag("head"), None).await.unwrap().as_str(), DIGEST);
    let from_body = client.resolve(&app, &tag("old"), None).await.unwrap();
    assert_eq!(from_body.as_str(), format!("sha256:{}", hex::encode(<sha2::Sha256 as sha2::Digest>::digest(body))));
    for name in ["html", "empty", "v1", "lie", "bad"] {
        let error = client.resolve(&app, &tag(name), None).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unreachable(_)) && error.to_string().contains("team/app"), "{error}");
    }
    let error = client.resolve(&app, &tag("missing"), None).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound(_)) && error.to_string().contains("team/app:missing"), "{error}");
}

#[tokio::test]
async fn a_login_is_exchanged_for_a_token() {
    let bench = Bench::new().await;
    let realm =
        format!(r#"Bearer realm="{}/token",service="reg",scope="repository:team/app:pull""#, bench.server.uri());
    let basic = "Basic YWRhOmRja3JfcGF0X2h1bnRlcjI=";
    Mock::given(path("/token"))
        .and(header("authorization", basic))
        .and(query_param("service", "reg"))
        .respond_with(ok(json!({ "token": "short" })))
        .mount(&bench.server)
        .await;
    bench.on("/token", ResponseTemplate::new(401).set_body_string(SECRET)).await;
    for at in ["/v2/", "/v2/team/app/manifests/v1"] {
        let granted = ResponseTemplate::new(200).insert_header("docker-content-digest", DIGEST);
        Mock::given(path(at))
            .and(header("authorization", "Bearer short"))
            .respond_with(granted)
            .mount(&bench.server)
            .await;
    }
    Mock::given(any())
        .respond_with(ResponseTemplate::new(401).insert_header("www-authenticate", realm.as_str()))
        .with_priority(9)
        .mount(&bench.server)
        .await;
    let (app, v1, own) = (bench.app(), Tag::parse("v1").unwrap(), login(SECRET));
    assert_eq!(bench.client.resolve(&app, &v1, Some(&own)).await.unwrap().as_str(), DIGEST);
    let host = bench.server.address().to_string();
    bench.client.check_login(&host, &own).await.unwrap();
    for answer in [
        bench.client.resolve(&app, &v1, None).await.unwrap_err(),
        bench.client.resolve(&app, &v1, Some(&login("wrong"))).await.unwrap_err(),
        bench.client.check_login(&host, &login("wrong")).await.unwrap_err(),
    ] {
        assert!(matches!(answer, RegistryError::Unauthorized(_)), "{answer:?}");
        assert!(!format!("{answer:?}").contains(SECRET) && !format!("{answer:?}").contains("wrong"), "{answer:?}");
    }
    let unseen = bench.client.resolve(&app, &Tag::parse("v2").unwrap(), Some(&own)).await.unwrap_err();
    assert!(matches!(unseen, RegistryError::NotFound(_)), "{unseen:?}");
}

#[tokio::test]
async fn a_realm_gets_no_login_unless_it_may_be_talked_to() {
    for (realm, refused) in [
        ("http://169.254.169.254/token", true),
        ("https://169.254.169.254/token", true),
        ("https://10.0.0.1/token", true),
        ("http://evil.example/token", true),
        ("ftp://evil.example/", true),
        ("/token", false),
        ("", false),
    ] {
        let bench = Bench::new().await;
        let challenge = format!("Bearer realm=\"{realm}\"");
        bench.on("/v2/", ResponseTemplate::new(401).insert_header("www-authenticate", challenge.as_str())).await;
        let host = bench.server.address().to_string();
        let error = bench.client.check_login(&host, &login(SECRET)).await.unwrap_err();
        assert_eq!(matches!(error, RegistryError::Refused(_)), refused, "{realm}: {error:?}");
    }
}

#[tokio::test]
async fn basic_is_sent_when_it_is_asked_for() {
    let bench = Bench::new().await;
    Mock::given(path("/v2/"))
        .and(header("authorization", "Basic YWRhOmRja3JfcGF0X2h1bnRlcjI="))
        .respond_with(ok(json!({})))
        .mount(&bench.server)
        .await;
    bench.on("/v2/", ResponseTemplate::new(401).insert_header("www-authenticate", "Basic realm=\"x\"")).await;
    let host = bench.server.address().to_string();
    bench.client.check_login(&host, &login(SECRET)).await.unwrap();
    assert!(matches!(bench.client.check_login(&host, &login("no")).await, Err(RegistryError::Unauthorized(_))));
    for bad in ["nginx", "evil/x", "a b", "user@host.example", "", "host.example:0", "host.example/v2?x="] {
        assert!(matches!(bench.client.check_login(bad, &login("no")).await, Err(RegistryError::Refused(_))), "{bad}");
    }
}

#[tokio::test]
async fn docker_hubs_login_goes_to_the_operators_address() {
    let bench = Bench::new().await;
    let elsewhere = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).expect(0).mount(&elsewhere).await;
    Mock::given(path("/token"))
        .and(header_exists("authorization"))
        .respond_with(ok(json!({ "token": "t" })))
        .mount(&bench.server)
        .await;
    bench.client.check_login("index.docker.io", &login(SECRET)).await.unwrap();
    let manifest = "/v2/acme/app/manifests/v1";
    let granted = ResponseTemplate::new(200).insert_header("docker-content-digest", DIGEST);
    Mock::given(path(manifest))
        .and(header("authorization", "Bearer t"))
        .respond_with(granted)
        .mount(&bench.server)
        .await;
    let realm = format!("Bearer realm=\"{}/token\"", elsewhere.uri());
    bench.on(manifest, ResponseTemplate::new(401).insert_header("www-authenticate", realm.as_str())).await;
    let app = Repository::parse("acme/app").unwrap();
    let digest = bench.client.resolve(&app, &Tag::parse("v1").unwrap(), Some(&login(SECRET))).await.unwrap();
    assert_eq!(digest.as_str(), DIGEST);
}

#[tokio::test]
async fn an_oci_registry_lists_names_over_its_pages() {
    let bench = Bench::new().await;
    let at = "/v2/team/app/tags/list";
    let link = "</v2/team/app/tags/list?last=b&n=1000>; rel=\"next\"";
    let one = ok(json!({ "tags": ["b", "a", "-bad"] })).insert_header("link", link);
    Mock::given(path(at)).and(query_param_is_missing("last")).respond_with(one).expect(1).mount(&bench.server).await;
    let away = "<http://169.254.169.254/v2/x>; rel=\"next\"";
    let two = ok(json!({ "tags": ["c", "ca"] })).insert_header("link", away);
    Mock::given(path(at)).and(query_param("last", "b")).respond_with(two).expect(1).mount(&bench.server).await;
    let (client, app) = (&bench.client, bench.app());
    let page = client.tags(&app, None, first(3), None).await.unwrap();
    assert_eq!((names(&page), page.next.as_deref(), page.total), (vec!["a", "b", "c"], Some("c"), Some(4)));
    let rest = client.tags(&app, None, TagRequest { first: 3, after: page.next }, None).await.unwrap();
    assert_eq!((names(&rest), rest.next.as_deref()), (vec!["ca"], None));
    let found = client.tags(&app, Some("c"), first(0), None).await.unwrap();
    assert_eq!((names(&found), found.total), (vec!["c"], Some(2)));
    let forged = TagRequest { first: 9, after: Some("\u{10ffff}".to_owned()) };
    assert!(client.tags(&app, None, forged, None).await.unwrap().tags.is_empty());
}

#[tokio::test]
async fn a_listing_without_end_ends() {
    let bench = Bench::new().await;
    let link = "</v2/team/app/tags/list?last=a>; rel=next";
    bench.on("/v2/team/app/tags/list", ok(json!({ "tags": ["a"] })).insert_header("link", link)).await;
    let page = bench.client.tags(&bench.app(), None, first(5), None).await.unwrap();
    assert_eq!(names(&page), ["a"]);
    assert!(bench.server.received_requests().await.unwrap().len() <= 100);
}

#[tokio::test]
async fn rubbish_and_limits_are_said_plainly() {
    for body in ["<html>sorry</html>", "{}", "", "[1]", "\u{0}\u{1}", r#"{"results":7,"tags":7}"#] {
        let bench = Bench::new().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_string(body)).mount(&bench.server).await;
        let errors = [
            bench.client.search("x", 5).await.unwrap_err(),
            bench.client.tags(&Repository::parse("nginx").unwrap(), None, first(5), None).await.unwrap_err(),
            bench.client.tags(&bench.app(), None, first(5), None).await.unwrap_err(),
            bench.client.resolve(&bench.app(), &Tag::parse("x").unwrap(), None).await.unwrap_err(),
            bench.client.check_login("docker.io", &login(SECRET)).await.unwrap_err(),
        ];
        assert!(errors.iter().all(|e| matches!(e, RegistryError::Unreachable(_))), "{body}: {errors:?}");
    }
    let bench = Bench::new().await;
    let limited = ResponseTemplate::new(429).insert_header("x-ratelimit-reset", "253402300799");
    Mock::given(any()).respond_with(limited).mount(&bench.server).await;
    let error = bench.client.search("x", 5).await.unwrap_err();
    let RegistryError::Limited { retry_at, .. } = error else { panic!("{error:?}") };
    assert_eq!(retry_at.unwrap().timestamp(), 1_750_003_600);
}

#[tokio::test]
async fn closed_addresses_are_refused_by_name() {
    let closed = client("http://127.0.0.1:1", &[]);
    for host in [
        "127.0.0.1:5000",
        "localhost:5000",
        "127.1",
        "169.254.169.254",
        "10.0.0.1",
        "metadata.google.internal",
        "0x7f.1",
    ] {
        let image = Repository::parse(&format!("{host}/x/y")).unwrap();
        let error = closed.resolve(&image, &Tag::parse("latest").unwrap(), Some(&login(SECRET))).await.unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, RegistryError::Refused(_)), "{host}: {message}");
        assert!(message.contains("net.allow") && !message.contains(SECRET), "{message}");
    }
}
