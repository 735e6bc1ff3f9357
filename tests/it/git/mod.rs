//! GitLab and GitHub as sources, through the API and against providers that keep state and can be told to fail.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod accounts;
mod creating;
mod lists;
mod menus;
mod registering;
mod secrecy;
mod settings;
pub mod wire;

use async_graphql::Response;
use entity::Role;
use kiops::app::Actor;
use kiops::domain::git::Provider;
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::git::GOOD_TOKEN;
use crate::support::shop::{mutate, shared_engine};

/// An organization with both providers set up, its admin and a member.
struct House {
    test: TestApp,
    admin: Actor,
    member: Actor,
}

impl House {
    /// One in which nothing is set up.
    async fn bare() -> Self {
        let test = TestApp::with(shared_engine(&["acme"])).await;
        let admin = test.organization("acme").await;
        let member = test.member(&admin, "ada@acme.example").await;
        Self { test, admin, member }
    }

    async fn new() -> Self {
        let house = Self::bare().await;
        house.set_up().await;
        house
    }

    async fn set_up(&self) {
        let gitlab = json!({ "baseUrl": "https://gitlab.example/", "token": GOOD_TOKEN });
        mutate(&self.test, &self.admin, "saveGitlabSettings", gitlab).await;
        mutate(&self.test, &self.admin, "saveGithubSettings", json!({ "token": GOOD_TOKEN })).await;
    }

    /// From now on there is such a project on both providers.
    fn project(&self, path: &str, branches: &[&str]) {
        for provider in Provider::ALL {
            self.test.gits.of(provider).add(path, branches);
        }
    }

    async fn ask(&self, actor: &Actor, field: &str, input: Value) -> Response {
        let ty = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
        let document = format!(
            "mutation($input: {ty}!) {{ {field}(input: $input) {{ service {{ id name namespace source status \
             git {{ provider projectPath webUrl branch contextPath }} containers {{ name image tag port }} \
             actions {{ action enabled reason }} }} }} }}"
        );
        self.test.run(Some(actor), &document, json!({ "input": input })).await
    }

    async fn somebody(&self, email: &str) -> String {
        self.test.user(&self.admin, email, Role::Member).await.id
    }
}

/// Code, reason, field and message of the first error.
fn fault(answer: &Response) -> (String, String, String, String) {
    let error = answer.errors.first().unwrap_or_else(|| panic!("no error: {}", answer.data));
    let word = |name: &str| {
        let value = error.extensions.as_ref().and_then(|e| e.get(name)).cloned();
        value.map(|v| v.into_json().unwrap().as_str().unwrap().to_owned()).unwrap_or_default()
    };
    (word("code"), word("reason"), word("field"), error.message.clone())
}

fn data(answer: Response) -> Value {
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    answer.data.into_json().unwrap()
}
