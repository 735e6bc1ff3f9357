//! The route: what is answered to whom, over a real connection.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kiops::app::webhooks::intake::Intake;
use kiops::domain::git::Provider;
use kiops::http::webhooks::{WebhookSettings, routes};
use kiops::http::{HttpSettings, Origins, serve};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Mill;
use crate::support::hooks::Delivery;
use crate::support::server::talk;

/// Where the mill's deliveries are taken, until the runtime of the test ends.
async fn served(mill: &Mill) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let origins = Origins::new("http://127.0.0.1:8080", &[]);
    let http = HttpSettings::new(origins, Arc::new(|| "id".to_owned()), CancellationToken::new());
    let settings = WebhookSettings { body_bytes: 26_214_400, read_timeout: Duration::from_secs(1) };
    let router = routes(Intake::start(&mill.test.app, &mill.tasks), settings);
    tokio::spawn(serve(listener, router, http));
    address
}

/// The status and the whole answer.
async fn ask(address: &str, request: String) -> (u16, String) {
    let address = address.to_owned();
    let answer = tokio::task::spawn_blocking(move || talk(&address, &request)).await.unwrap().unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_accepted_and_all_else_is_alike() {
    let mill = Mill::new(Provider::Github).await;
    let address = served(&mill).await;
    let path = format!("/webhooks/github/{}", mill.service);
    let good = mill.push("d-1", "main", 1);
    let (status, answer) = ask(&address, good.request(&path)).await;
    assert_eq!(status, 202, "{answer}");
    let never = kiops::graphql::ids::NodeKind::Service.id("01900000-0000-7000-8000-ffffffffffff");
    let user = kiops::graphql::ids::NodeKind::User.id(&mill.admin.user_id);
    let bad = good.clone().with("x-hub-signature-256", None);
    let twice =
        good.request(&path).replacen("x-github-event: push", "x-github-event: push\r\nx-hub-signature-256: x", 1);
    let mut refusals = vec![ask(&address, bad.request(&path)).await, ask(&address, twice).await];
    for id in [never.as_str(), user.as_str(), "garbage", "%00", "..%2f..", &"x".repeat(3_000)] {
        refusals.push(ask(&address, good.request(&format!("/webhooks/github/{id}"))).await);
    }
    refusals.push(ask(&address, good.request(&format!("/webhooks/gitlab/{}", mill.service))).await);
    let body = |answer: &str| answer.split("\r\n\r\n").nth(1).unwrap().to_owned();
    for (status, answer) in &refusals {
        assert_eq!((*status, body(answer)), (401, body(&refusals[0].1)), "{answer}");
    }
    let expected = [
        (format!("GET {path} HTTP/1.0\r\n\r\n"), 405),
        (format!("PUT {path} HTTP/1.0\r\ncontent-length: 0\r\n\r\n"), 405),
        (good.request(&format!("{path}/")), 404),
        (good.request("/webhooks/bitbucket/x"), 404),
        (good.request(&path).replace("application/json", "application/x-www-form-urlencoded"), 415),
        (good.request(&path).replace("content-type: application/json\r\n", ""), 415),
    ];
    for (request, status) in expected {
        let (is, answer) = ask(&address, request).await;
        assert_eq!(is, status, "{answer}");
        assert!(!answer.to_lowercase().contains("\r\nlocation:"), "{answer}");
    }
    mill.settle().await;
    assert_eq!(mill.pipelines().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_ones_are_taken_and_larger_ones_are_not() {
    let mill = Mill::new(Provider::Github).await;
    let address = served(&mill).await;
    let path = format!("/webhooks/github/{}", mill.service);
    let large = mill.delivery("push", "large", &json!({ "x": "y".repeat(20 << 20) }));
    assert_eq!(ask(&address, large.request(&path)).await.0, 202);
    mill.settle().await;
    assert!(mill.deliveries().await[0]["reason"].as_str().unwrap().contains("can't be read"));
    let larger = Delivery::github("push", "larger", &mill.secret(), " ".repeat(26 << 20).as_bytes());
    let (status, answer) = ask(&address, larger.request(&path)).await;
    assert_eq!(status, 413, "{answer}");
    // The same without a length that gives it away.
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    let answer = tokio::task::spawn_blocking(move || {
        stream.write_all(head.as_bytes()).unwrap();
        let piece = format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20));
        for _ in 0..26 {
            stream.write_all(piece.as_bytes()).unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_not_waited_for() {
    let mill = Mill::new(Provider::Github).await;
    let address = served(&mill).await;
    let head = format!(
        "POST /webhooks/github/{} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        mill.service
    );
    let begun = Instant::now();
    let (status, answer) = ask(&address, head).await;
    assert_eq!(status, 408, "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}
