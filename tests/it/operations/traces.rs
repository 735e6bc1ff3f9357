//! Spans of the real program, as a collector receives them.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::limits::client::Socket;
use crate::support::engine;
use crate::support::server::{PASSWORD, Server, talk, until};
use crate::support::shop::web;

/// Keeps what is posted to it.
struct Collector {
    runtime: Runtime,
    server: MockServer,
}

impl Collector {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(MockServer::start());
        let taken = Mock::given(method("POST"))
            .and(path("/v1/traces"))
            .and(header("content-type", "application/x-protobuf"))
            .respond_with(ResponseTemplate::new(200));
        runtime.block_on(taken.mount(&server));
        Self { runtime, server }
    }

    fn bodies(&self) -> Vec<Vec<u8>> {
        let received = self.runtime.block_on(self.server.received_requests()).unwrap();
        received.into_iter().map(|request| request.body).collect()
    }

    fn resources(&self) -> Vec<ResourceSpans> {
        let decoded = |body: Vec<u8>| ExportTraceServiceRequest::decode(body.as_slice()).unwrap().resource_spans;
        self.bodies().into_iter().flat_map(decoded).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let scopes = self.resources().into_iter().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    fn find(&self, what: &str, is: impl Fn(&Span) -> bool) -> Span {
        until(what, 20, || self.spans().into_iter().find(|span| is(span)))
    }
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some(text.clone()),
        Any::IntValue(number) => Some(number.to_string()),
        other => panic!("{key}: {other:?}"),
    }
}

fn is_operation(span: &Span, name: &str) -> bool {
    attribute(span, "graphql.operation.name").as_deref() == Some(name)
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == i32::from(StatusCode::Error))
}

fn ask(server: &Server, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    let request = format!(
        "POST /graphql HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        server.address,
        server.token,
        body.len()
    );
    talk(&server.address, &request).unwrap()
}

#[test]
fn requests_jobs_and_what_goes_out_are_traced_and_nothing_secret_is() {
    let collector = Collector::start();
    let mut server = Server::start_with(&[("TELEMETRY__OTLP_ENDPOINT", &collector.server.uri())]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traced = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    ask(&server, &traced, &json!({ "query": "query Mine { viewer { role } }" }));
    let mine = collector.find("a request's span", |span| is_operation(span, "Mine"));
    assert_eq!(
        (hex::encode(&mine.trace_id), hex::encode(&mine.parent_span_id)),
        (trace.into(), "00f067aa0ba902b7".into())
    );
    assert_eq!((mine.name.as_str(), mine.kind), ("POST /graphql", i32::from(SpanKind::Server)));
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/graphql"),
        ("http.response.status_code", "200"),
        ("graphql.operation.type", "query"),
    ] {
        assert_eq!(attribute(&mine, key).as_deref(), Some(value), "{key}");
    }
    assert!(attribute(&mine, "kiops.request_id").is_some_and(|id| id.len() == 36));
    assert!(
        attribute(&mine, "kiops.code").is_none()
            && !is_error(&mine)
            && mine.end_time_unix_nano > mine.start_time_unix_nano
    );

    ask(&server, "traceparent: nonsense\r\n", &json!({ "query": "query Wrong { nothing }" }));
    let wrong = collector.find("a refused operation", |span| is_operation(span, "Wrong"));
    assert_eq!(attribute(&wrong, "kiops.code").as_deref(), Some("BAD_USER_INPUT"));
    assert!(wrong.parent_span_id.is_empty());

    // A socket outlives its operations: each is a trace of its own.
    assert_eq!(
        Socket::open(&server).unwrap().code("1", &json!({ "query": "query Socketed { viewer { role } }" })),
        None
    );
    let over = collector.find("an operation over a socket", |span| is_operation(span, "Socketed"));
    assert_eq!((over.name.as_str(), over.kind), ("graphql query", i32::from(SpanKind::Server)));
    assert!(over.parent_span_id.is_empty());

    // Nobody answers there, which is a child of the request.
    let git = json!({ "baseUrl": "http://127.0.0.1:1", "token": "glpat-the-hush-token" });
    let save = "mutation Save($i: SaveGitlabSettingsInput!) { saveGitlabSettings(input: $i) { gitSettings { id } } }";
    ask(&server, "", &json!({ "query": save, "variables": { "i": git } }));
    let save = collector.find("a mutation", |span| is_operation(span, "Save"));
    let out = collector.find("what went out", |span| span.parent_span_id == save.span_id);
    assert_eq!((&out.trace_id, out.kind), (&save.trace_id, i32::from(SpanKind::Client)));
    assert_eq!(attribute(&out, "server.address").as_deref(), Some("127.0.0.1"));
    assert_eq!(attribute(&out, "server.port").as_deref(), Some("1"));
    assert!(attribute(&out, "error.type").is_some());

    let hollow = collector.runtime.block_on(engine::hollow());
    let host = format!("tcp://{}", hollow.address());
    let register = "mutation($host: String!) { registerRuntime(input: {name: \"hollow\", docker: {host: $host}}) { runtime { id } } }";
    let runtime = server.data(register, json!({ "host": host }))["registerRuntime"]["runtime"]["id"].clone();
    let register =
        "mutation($i: RegisterDockerHubServiceInput!) { registerDockerHubService(input: $i) { service { id } } }";
    let input = json!({ "name": "shop", "runtimeId": runtime, "containers": [web()] });
    let service = server.data(register, json!({ "i": input }))["registerDockerHubService"]["service"]["id"].clone();
    let deploy = "mutation($i: DeployServiceInput!) { deployService(input: $i) { deployment { id } } }";
    server.data(deploy, json!({ "i": { "serviceId": service } }));
    let job = collector.find("a job", |span| span.name == "job deployment");
    assert!(job.parent_span_id.is_empty() && attribute(&job, "kiops.job.attempt").as_deref() == Some("1"));
    assert!(attribute(&job, "kiops.outcome").is_some());
    let stage = collector.find("a phase", |span| span.parent_span_id == job.span_id);
    assert_eq!(
        (stage.name.as_str(), attribute(&stage, "kiops.stage.of").as_deref()),
        ("deployment PREPARE", Some("deployment"))
    );
    assert!(attribute(&stage, "kiops.outcome").is_some());

    // What waits is sent before the end.
    ask(&server, "", &json!({ "query": "query Last { viewer { role } }" }));
    server.stop();
    assert!(collector.spans().iter().any(|span| is_operation(span, "Last")));
    let resource = collector.resources().remove(0).resource.unwrap();
    let named = |key: &str| resource.attributes.iter().any(|attribute| attribute.key == key);
    assert!(named("service.name") && named("service.version") && named("service.instance.id"), "{resource:?}");
    for body in collector.bodies() {
        let text = String::from_utf8_lossy(&body).into_owned();
        for hush in [server.token.as_str(), PASSWORD, "glpat-the-hush-token", "viewer", "saveGitlabSettings", "shop"] {
            assert!(!text.contains(hush), "{hush}");
        }
    }
    assert!(!server.log().contains("traces are dropped"), "{}", server.log());
}

#[test]
fn a_collector_that_is_away_costs_a_line() {
    let mut server =
        Server::start_with(&[("TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:1"), ("TELEMETRY__LOG", "info")]);
    for _ in 0..4 {
        server.data("query Mine { viewer { role } }", json!({}));
        std::thread::sleep(Duration::from_millis(1_500));
    }
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(server.log().matches("traces are dropped").count(), 1, "{}", server.log());
}

#[test]
fn a_collector_that_never_answers_holds_nothing_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut server = Server::start_with(&[("TELEMETRY__OTLP_ENDPOINT", &endpoint)]);
    for _ in 0..3 {
        let begun = Instant::now();
        server.data("query Mine { viewer { role } }", json!({}));
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        std::thread::sleep(Duration::from_secs(1));
    }
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}
