//! Clusters as runtimes: registering them, and what is planned for them. What is on a cluster is a double's here.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod planning;
mod registering;

use std::sync::Arc;

use async_graphql::Response;
use kiops::app::Actor;
use serde_json::{Value, json};

use crate::support::app::{TestApp, settings};
use crate::support::fakes::FakeRuntimes;
use crate::support::shop::mutate;

/// The address of the double's cluster.
const SERVER: &str = "https://192.0.2.20:6443";
/// The token of its kubeconfig.
const TOKEN: &str = "a-token-of-the-cluster-9431";

/// A kubeconfig for an address.
fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: main\ncontexts:\n- name: main\n  context: {{ cluster: c, user: u }}\n\
         clusters:\n- name: c\n  cluster: {{ server: \"{server}\" }}\nusers:\n- name: u\n  user: {{ token: {TOKEN} }}\n"
    )
}

/// An organization with a cluster to register.
struct Place {
    test: TestApp,
    admin: Actor,
    cluster: Arc<FakeRuntimes>,
}

impl Place {
    async fn new() -> Self {
        let test = TestApp::with(settings()).await;
        test.registries.push("nginx:1.27", 1);
        let admin = test.organization("acme").await;
        let cluster = test.runtimes.another(SERVER);
        Self { test, admin, cluster }
    }

    /// The cluster as a runtime.
    async fn register(&self) -> String {
        let input = json!({ "name": "cluster", "kubernetes": { "kubeconfig": kubeconfig(SERVER) } });
        mutate(&self.test, &self.admin, "registerRuntime", input).await
    }

    async fn ask(&self, document: &str, variables: Value) -> Response {
        self.test.run(Some(&self.admin), document, variables).await
    }

    async fn try_to_register(&self, input: Value) -> Response {
        let document = "mutation($i: RegisterRuntimeInput!) { registerRuntime(input: $i) { runtime { id kind endpoint \
            status statusMessage version ingressClass storageClass exposure missingPermissions grantManifest } } }";
        self.ask(document, json!({ "i": input })).await
    }
}

/// Code, reason and field of the first error.
fn refusal(answer: &Response) -> (String, Option<String>, Option<String>) {
    let error = answer.errors.first().unwrap_or_else(|| panic!("{:?}", answer.data));
    let extensions = serde_json::to_value(error.extensions.as_ref().unwrap()).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let field = text(&extensions["violations"][0]["field"]).or_else(|| text(&extensions["field"]));
    (text(&extensions["code"]).unwrap(), text(&extensions["reason"]), field)
}
