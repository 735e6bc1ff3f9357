//! The tests' own Kubernetes cluster refuses what a real one refuses, and does by itself what a real one does.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod objects;
mod rollouts;
mod server;

use std::time::Duration;

use reqwest::{Certificate, Client, Method};
use serde_json::{Value, json};

use crate::support::cluster::{ADMIN, Behaviour, ClusterDouble};

/// Plain HTTP to a double.
struct Http {
    double: ClusterDouble,
    client: Client,
    token: String,
}

impl Http {
    fn new() -> Self {
        let double = ClusterDouble::start();
        Self { client: client(&double), token: ADMIN.to_owned(), double }
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: String) -> (u16, Value) {
        let url = format!("{}{path}", self.double.url());
        let request = self.client.request(method, url).bearer_auth(&self.token).header("Content-Type", kind).body(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, "", String::new()).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::POST, path, "application/json", body.to_string()).await
    }

    async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::PUT, path, "application/json", body.to_string()).await
    }

    async fn delete(&self, path: &str) -> (u16, Value) {
        self.send(Method::DELETE, path, "application/json", String::new()).await
    }

    async fn merge(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::PATCH, path, "application/merge-patch+json", body.to_string()).await
    }

    /// Server-side apply with these parameters.
    async fn apply(&self, path: &str, query: &str, body: &Value) -> (u16, Value) {
        self.send(Method::PATCH, &format!("{path}?{query}"), "application/apply-patch+yaml", body.to_string()).await
    }

    /// Applies as KIOPS does; it has to be taken.
    async fn applied(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.apply(path, STRICT, body).await;
        assert!(status < 300, "{answer}");
        answer
    }

    async fn namespace(&self, name: &str) {
        let (status, answer) = self.post("/api/v1/namespaces", &namespace(name)).await;
        assert_eq!(status, 201, "{answer}");
    }
}

fn client(double: &ClusterDouble) -> Client {
    // Another part of the tests may have installed the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    #[expect(clippy::disallowed_methods, reason = "a test's own client, which goes to loopback")]
    let builder = Client::builder();
    let ca = Certificate::from_pem(double.ca().as_bytes()).unwrap();
    builder.tls_certs_only([ca]).no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

const STRICT: &str = "fieldManager=kiops&force=true&fieldValidation=Strict";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";

fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

fn deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "shop" },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": "web" } }, "progressDeadlineSeconds": 10,
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{
                    "name": "web", "image": image, "ports": [{ "containerPort": 80 }],
                    "env": [{ "name": "MODE", "value": "a" }],
                }] },
            },
        },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
    })
}

/// A shop with two images that run.
async fn shop() -> Http {
    let http = Http::new();
    http.namespace("shop").await;
    http.double.image("registry.test/web:1", Behaviour::runs());
    http.double.image("registry.test/web:2", Behaviour::runs());
    http
}

/// Waits until something is so; twenty seconds at most.
async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..400 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

fn message(answer: &(u16, Value)) -> &str {
    answer.1["message"].as_str().unwrap_or_default()
}
