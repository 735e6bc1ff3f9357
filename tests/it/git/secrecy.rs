//! A token is stored, used in every way, refused and echoed, and is then found nowhere.

use std::sync::Arc;

use serde_json::{Value, json};

use super::wire::{GITHUB_TOKEN, GITLAB_TOKEN, clients};
use crate::secrets::{Captured, holds, stored};
use crate::support::app::{TestApp, settings};
use crate::support::git::FakeGits;
use crate::support::github_double::{GithubDouble, Trouble};
use crate::support::gitlab_double::GitlabDouble;
use crate::support::gitlab_double::faults::{Fault, How};

/// A token that is refused.
const STOLEN: &str = "glpat-marker-that-nobody-knows";

const QUERIES: &str = "{ gitSettings { provider baseUrl tokenHint account scopes statusMessage missingScopes { scope } } \
    a: gitProjects(provider: GITLAB) { nodes { path branches { nodes { name } } } } \
    b: gitProjects(provider: GITHUB) { nodes { path branches { nodes { name } } } } \
    c: gitNamespaces(provider: GITLAB) { nodes { path } } d: gitNamespaces(provider: GITHUB) { nodes { path } } \
    registrationMenus { items { disabledReason } } auditEvents(first: 100) { nodes { action detail subjectName } } }";

/// Both providers, in a thread of their own, so that their log is not ours.
fn doubles() -> (GitlabDouble, GithubDouble) {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let gitlab = GitlabDouble::start("").await;
            let github = GithubDouble::start().await;
            let me = gitlab.state().person("bot");
            gitlab.state().account(me).is_admin = true;
            gitlab.state().token(GITLAB_TOKEN, me, &["api"]);
            gitlab.state().group("acme", me, 50);
            gitlab.state().project("acme/shop", "main");
            github.with(|state| {
                state.classic(GITHUB_TOKEN, "bot", "repo, read:org");
                state.member("bot", "acme", "admin");
                state.repository("acme/shop");
            });
            send.send((gitlab, github)).unwrap();
            std::future::pending::<()>().await;
        });
    });
    receive.recv().unwrap()
}

async fn use_it(test: &TestApp, gitlab: &GitlabDouble, github: &GithubDouble) -> String {
    let admin = test.organization("acme").await;
    let mut said = String::new();
    let mut ask = async |document: &str, variables: Value| {
        let answer = test.run(Some(&admin), document, variables).await;
        said.push_str(&format!("{answer:?}\n{}\n", serde_json::to_string(&answer).unwrap()));
    };
    let save_gitlab =
        "mutation($i: SaveGitlabSettingsInput!) { saveGitlabSettings(input: $i) { gitSettings { tokenHint } } }";
    let save_github =
        "mutation($i: SaveGithubSettingsInput!) { saveGithubSettings(input: $i) { gitSettings { tokenHint } } }";
    let register =
        "mutation($i: RegisterGitProjectInput!) { registerGitProject(input: $i) { service { name git { webUrl } } } }";
    let create =
        "mutation($i: CreateGitProjectInput!) { createGitProject(input: $i) { service { name git { webUrl } } } }";
    ask(save_gitlab, json!({ "i": { "baseUrl": gitlab.url, "token": STOLEN } })).await;
    ask(save_gitlab, json!({ "i": { "baseUrl": format!("http://{STOLEN}@127.0.0.1"), "token": STOLEN } })).await;
    ask(save_gitlab, json!({ "i": { "baseUrl": gitlab.url, "token": GITLAB_TOKEN } })).await;
    ask(save_github, json!({ "i": { "token": GITHUB_TOKEN } })).await;
    ask(QUERIES, Value::Null).await;
    for provider in ["GITLAB", "GITHUB"] {
        let name = |what: &str| format!("{what}-{}", provider.to_lowercase());
        let project = json!({ "provider": provider, "project": "acme/shop", "branch": "main", "name": name("shop") });
        ask(register, json!({ "i": project })).await;
        ask(create, json!({ "i": { "provider": provider, "projectName": "made", "name": name("made") } })).await;
    }
    ask("mutation { createGitlabAccounts(input: {}) { results { outcome message } } }", Value::Null).await;
    // A provider that echoes what it was sent.
    let echo = "{\"message\": \"the token {token} is not one that I like\", \"error\": \"{token}\"}";
    for status in [400, 401, 403, 404, 422, 500] {
        gitlab.fail(Fault::always("/api/", How::Answer(status, Vec::new(), echo.to_owned())));
        let body = format!("{{\"message\": \"what is {GITHUB_TOKEN}?\"}}");
        github.fail("", 20, Trouble::Answer { status, headers: Vec::new(), body });
        ask(save_gitlab, json!({ "i": { "baseUrl": gitlab.url, "token": GITLAB_TOKEN } })).await;
        ask(save_github, json!({ "i": { "token": GITHUB_TOKEN } })).await;
        test.clock.advance(chrono::TimeDelta::minutes(5));
        ask(QUERIES, Value::Null).await;
        ask(create, json!({ "i": { "provider": "GITLAB", "projectName": format!("made{status}"), "name": "x" } }))
            .await;
        gitlab.mend();
    }
    ask(QUERIES, Value::Null).await;
    ask("mutation { deleteGitSettings(input: { provider: GITHUB }) { provider } }", Value::Null).await;
    said
}

#[test]
fn a_git_token_is_nowhere_but_sealed() {
    let (gitlab, github) = doubles();
    let log = Captured::default();
    log.hear(async {
        let clients = Arc::new(clients(&["127.0.0.0/8"], &github.url()));
        let test = TestApp::with_gits(settings(), clients, Arc::new(FakeGits::default())).await;
        let said = use_it(&test, &gitlab, &github).await;
        let (stored, log) = (stored(&test).await, log.taken());
        assert!(said.contains("the token *** is not one that I like"), "{said}");
        assert!(
            said.contains("shop-github") && said.contains("CREATED") && said.contains("git_settings.saved"),
            "{said}"
        );
        assert!(holds(&log, "hyper_util"), "what the client's own library says is heard");
        for secret in [GITLAB_TOKEN, GITHUB_TOKEN, STOLEN] {
            for (place, text) in [("an answer", said.as_bytes()), ("the database", &stored), ("the log", &log)] {
                assert!(!holds(text, secret), "{secret} is in {place}");
            }
        }
    });
}
