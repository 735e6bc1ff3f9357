//! Every kind of request that is sent, against GitHub's OpenAPI description; and the double's answers too.

use std::collections::BTreeSet;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::github_double::Asked;
use super::openapi::Description;
use super::*;
use crate::domain::names::CommitHash;
use crate::git::{CommitState, CommitStatus, GitHooks as _, HookEvents, NewHook, NewProject, Visibility};

/// Everything that can be asked, of an account with few repositories and of one with many.
async fn everything(bench: &Bench) {
    bench.double.with(|state| {
        state.member("ada", "acme", "admin");
        state.member("ada", "globex", "member");
        for n in 0..620 {
            state.repository(&format!("acme/shop-{n}"));
        }
        for name in ["feature/ä", "fix/#12", "release/1.0+rc", "a/b/c/d"] {
            let shop = state.at("acme/shop-1").unwrap();
            shop.branches.insert(name.to_owned(), github_double::Branch::new(7));
        }
        state.fine_grained("github_pat_0123456789abcdefghij", "ada", &["metadata=read", "members=read"]);
    });
    let github = &bench.github;
    github.identify().await.unwrap();
    let fine = connect(&bench.double.url(), "github_pat_0123456789abcdefghij", &bench.clock);
    fine.identify().await.unwrap();
    github.projects(&page(20, None, None)).await.unwrap();
    github.projects(&page(20, None, Some("shop"))).await.unwrap();
    github.projects(&page(20, None, Some("acme/shop-1"))).await.unwrap();
    github.projects(&page(20, None, Some("nothing like it"))).await.unwrap();
    github.project(&at("acme/shop-1")).await.unwrap().unwrap();
    github.branches(&at("acme/shop-1"), &page(20, None, None)).await.unwrap().unwrap();
    github.branches(&at("acme/shop-1"), &page(20, None, Some("a/b/c/d"))).await.unwrap().unwrap();
    for name in ["feature/ä", "fix/#12", "release/1.0+rc", "a/b/c/d"] {
        assert_eq!(github.branch(&at("acme/shop-1"), &branch(name)).await.unwrap().unwrap().name, branch(name));
    }
    github.namespaces(&page(20, None, None)).await.unwrap();
    let shop = at("acme/shop-1");
    for (push, merge_requests, tags) in [(true, false, false), (true, true, true), (false, true, false)] {
        let hook = NewHook {
            url: "https://kiops.example/webhooks/github/1".to_owned(),
            secret: SecretString::from("hunter2-hunter2"),
            events: HookEvents { push, merge_requests, tags },
            known_id: None,
        };
        github.save_hook(&shop, &hook).await.unwrap();
    }
    github.remove_hook(&shop, None, "https://kiops.example/webhooks/github/1").await.unwrap();
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    for state in
        [CommitState::Pending, CommitState::Running, CommitState::Success, CommitState::Failure, CommitState::Canceled]
    {
        let (context, description) = ("kiops/shop".to_owned(), "x".repeat(200));
        let target_url = (state != CommitState::Pending).then(|| "https://kiops.example/pipelines/1".to_owned());
        let status = CommitStatus { state, context, description, target_url };
        github.report_status(&shop, &commit, &status).await.unwrap();
    }
    for (namespace, visibility) in [(None, Visibility::Private), (Some("acme"), Visibility::Public)] {
        let namespace = namespace.map(str::to_owned);
        let new = NewProject { namespace, name: "fresh".to_owned(), branch: branch("trunk/1"), visibility };
        let made = github.create_project(&new).await.unwrap();
        github.first_branch(&made, &new.branch).await.unwrap();
    }
}

#[tokio::test]
async fn every_request_is_one_that_github_describes() {
    let (bench, description) = (Bench::new().await, Description::read());
    everything(&bench).await;
    let mut seen = BTreeSet::new();
    for asked in bench.double.asked() {
        let what = format!("{} {}?{:?}", asked.method, asked.path, asked.query);
        seen.insert(description.check_request(&asked).unwrap_or_else(|faults| panic!("{what}: {faults:#?}")));
        let header = |name: &str| asked.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("accept").unwrap(), "application/vnd.github+json, application/json;q=0.9");
        assert_eq!(header("x-github-api-version").unwrap(), "2022-11-28");
        assert!(header("authorization").unwrap().starts_with("Bearer g"));
        assert!(header("user-agent").unwrap().starts_with("kiops/"));
        let faults = description.check_answer(&asked);
        assert!(faults.is_empty(), "the double's answer to {what}, {}: {faults:#?}", asked.status);
    }
    // The cut has what is asked, and nothing else.
    assert_eq!(seen, description.operations().into_iter().collect());
}

fn asked(method: &str, path: &str, query: &[(&str, &str)], body: Value) -> Asked {
    let query = query.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    let (method, path) = (method.to_owned(), path.to_owned());
    Asked { method, path, query, headers, body, status: 200, answer: Value::Null }
}

#[test]
fn the_check_finds_what_is_wrong() {
    let description = Description::read();
    let bad = [
        (asked("GET", "/user/repos", &[("sort", "newest")], Value::Null), "sort"),
        (asked("GET", "/user/repos", &[("per_page", "many")], Value::Null), "per_page"),
        (asked("GET", "/user/repos", &[("search", "x")], Value::Null), "search is not declared"),
        (asked("GET", "/search/repositories", &[], Value::Null), "q is required"),
        (asked("GET", "/repositories/1", &[], Value::Null), "no operation"),
        (asked("GET", "/repos/a/b/branches/c/d", &[], Value::Null), "no operation"),
        (asked("DELETE", "/repos/a/b", &[], Value::Null), "no operation"),
        (asked("DELETE", "/repos/a/b/hooks/1", &[], json!({})), "there is a body"),
        (asked("POST", "/repos/a/b/statuses/c", &[], json!({ "state": "running" })), "state"),
        (asked("POST", "/repos/a/b/hooks", &[], json!({ "secret": "x" })), "secret is not declared"),
        (asked("GET", "/user", &[], json!({})), "there is a body"),
        (asked("POST", "/user/repos", &[], json!({})), "body.name is missing"),
        (asked("POST", "/user/repos", &[], json!({ "name": 1 })), "body.name is no \"string\""),
        (asked("POST", "/orgs/a/repos", &[], json!({ "name": "x", "private": "yes" })), "body.private"),
        (asked("POST", "/orgs/a/repos", &[], json!({ "name": "x", "visibility": "secret" })), "visibility"),
        (asked("POST", "/user/repos", &[], json!({ "name": "x", "first_branch": "y" })), "first_branch"),
        (asked("POST", "/repos/a/b/branches/c/rename", &[], json!({ "name": "x" })), "new_name is missing"),
    ];
    for (request, why) in bad {
        let faults = description.check_request(&request).expect_err(why).join("; ");
        assert!(faults.contains(why), "{faults}");
    }
    let mut answered = asked("GET", "/user/repos", &[], Value::Null);
    answered.answer = json!([{ "id": "1" }]);
    let faults = description.check_answer(&answered).join("; ");
    assert!(faults.contains("[0].full_name is missing") && faults.contains("[0].id is no"), "{faults}");
}

/// By hand, with a mock that somebody else wrote: tests/fixtures/github/README.md says how.
#[tokio::test]
#[ignore = "needs the mock that tests/fixtures/github/README.md tells of"]
async fn every_request_is_taken_by_a_mock() {
    let Some(mock) = option_env!("KIOPS_TEST_PRISM") else { panic!("KIOPS_TEST_PRISM says where the mock is") };
    let bench = Bench::new().await;
    everything(&bench).await;
    let policy = Policy::new(&["127.0.0.1".to_owned()], &[], None, Timeouts::default()).unwrap();
    let outbound = Outbound::new(policy).unwrap();
    let mut taken = BTreeSet::new();
    for asked in bench.double.asked() {
        let mut url = reqwest::Url::parse(&format!("{mock}{}", asked.path)).unwrap();
        if !asked.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&asked.query);
        }
        let what = format!("{} {}", asked.method, url.as_str().trim_start_matches(mock));
        if !taken.insert(what.clone()) {
            continue;
        }
        let method = asked.method.parse().unwrap();
        let mut request = crate::net::Request::new(method, url, Trust::User);
        if !asked.body.is_null() {
            request = request.json(&asked.body).unwrap();
        }
        for name in ["accept", "authorization", "x-github-api-version"] {
            let value = asked.headers.get(name).unwrap().clone();
            request = request.header(name.parse().unwrap(), value);
        }
        let answer = outbound.send(request).await.unwrap();
        assert!(answer.status.is_success(), "{what}: {} {:?}", answer.status, answer.body);
        // What the mock finds wrong and lets pass all the same; its own answers are not ours to mend.
        let violations = answer.header("sl-violations").unwrap_or_default();
        assert!(!violations.contains(r#"["request""#), "{what}: {violations}");
        println!("{} {what}", answer.status.as_u16());
    }
}
