//! From the API to the wire and back: the real clients against a GitLab and a GitHub of one's own.

use std::sync::Arc;
use std::time::Duration;

use entity::Role;
use kiops::app::Actor;
use kiops::boot::SystemClock;
use kiops::git::{GitClientSettings, GitClients};
use kiops::net::{Outbound, Policy, Timeouts};
use serde_json::{Value, json};

use super::{data, fault};
use crate::support::app::{TestApp, settings};
use crate::support::git::FakeGits;
use crate::support::github_double::{GithubDouble, Trouble};
use crate::support::gitlab_double::GitlabDouble;
use crate::support::gitlab_double::faults::{Fault, How};
use crate::support::shop::mutate;

pub const GITLAB_TOKEN: &str = "glpat-marker-of-the-gitlab-token";
pub const GITHUB_TOKEN: &str = "ghp_markerOfTheGithubToken0123456789";

/// An organization whose providers are doubles on loopback.
struct Wired {
    test: TestApp,
    admin: Actor,
    member: Actor,
    gitlab: GitlabDouble,
    github: GithubDouble,
}

/// Clients that reach what `allow` lists.
pub fn clients(allow: &[&str], github: &str) -> GitClients {
    let allow: Vec<String> = allow.iter().map(|a| (*a).to_owned()).collect();
    let timeouts = Timeouts { connect: Duration::from_secs(2), request: Duration::from_secs(10) };
    let outbound = Outbound::new(Policy::new(&allow, &[], None, timeouts).unwrap()).unwrap();
    let settings = GitClientSettings { github_api_url: github.to_owned() };
    GitClients::new(outbound, &settings, Arc::new(SystemClock)).unwrap()
}

impl Wired {
    /// Doubles with a token of an administrator each; nothing is set up.
    async fn bare(allow: &[&str]) -> Self {
        let gitlab = GitlabDouble::start("/tools/gitlab").await;
        let me = gitlab.state().person("bot");
        gitlab.state().account(me).is_admin = true;
        gitlab.state().token(GITLAB_TOKEN, me, &["api"]);
        let github = GithubDouble::start().await;
        github.with(|state| {
            state.classic(GITHUB_TOKEN, "bot", "repo, read:org");
            state.member("bot", "acme", "admin");
        });
        let clients = Arc::new(clients(allow, &github.url()));
        let test = TestApp::with_gits(settings(), clients, Arc::new(FakeGits::default())).await;
        let admin = test.organization("acme").await;
        let member = test.member(&admin, "ada@acme.example").await;
        gitlab.state().group("acme", me, 50);
        Self { test, admin, member, gitlab, github }
    }

    async fn new() -> Self {
        let wired = Self::bare(&["127.0.0.0/8"]).await;
        let gitlab = json!({ "baseUrl": format!("{}/", wired.gitlab.url), "token": GITLAB_TOKEN });
        mutate(&wired.test, &wired.admin, "saveGitlabSettings", gitlab).await;
        mutate(&wired.test, &wired.admin, "saveGithubSettings", json!({ "token": GITHUB_TOKEN })).await;
        wired.gitlab.asked();
        wired.github.take_asked();
        wired
    }

    async fn ask(&self, document: &str, variables: Value) -> async_graphql::Response {
        self.test.run(Some(&self.member), document, variables).await
    }
}

#[tokio::test]
async fn a_member_picks_from_lists_and_registers_on_both() {
    let wired = Wired::new().await;
    let names = ["main", "feature/ä", "fix/#12", "release/1.0+rc", "a/b/c/d"];
    {
        let mut state = wired.gitlab.state();
        let id = state.project("acme/shop", "main");
        let project = state.projects.get_mut(&id).unwrap();
        project.branches.extend(names.iter().map(|name| ((*name).to_owned(), false)));
    }
    wired.github.with(|state| {
        let repository = state.repository("acme/shop");
        for (seed, name) in names.iter().enumerate() {
            let branch = crate::support::github_double::Branch::new(seed as u64 + 1);
            repository.branches.insert((*name).to_owned(), branch);
        }
    });
    let document = "query($p: GitProvider!) { gitProjects(provider: $p) { nodes { path defaultBranch private \
        branches { nodes { name isDefault commit { sha } } } services { name } } } \
        gitNamespaces(provider: $p) { nodes { path kind } } }";
    for provider in ["GITLAB", "GITHUB"] {
        let found = data(wired.ask(document, json!({ "p": provider })).await);
        let project = &found["gitProjects"]["nodes"][0];
        assert_eq!((&project["path"], &project["private"]), (&json!("acme/shop"), &json!(true)), "{provider}");
        let branches = project["branches"]["nodes"].as_array().unwrap();
        assert_eq!((&branches[0]["name"], &branches[0]["isDefault"]), (&json!("main"), &json!(true)), "{provider}");
        let listed: Vec<&str> = branches.iter().map(|b| b["name"].as_str().unwrap()).collect();
        for name in names {
            assert_eq!(listed.iter().filter(|listed| **listed == name).count(), 1, "{provider} {name}: {listed:?}");
        }
        let namespaces = json!([{ "path": "bot", "kind": "USER" }, { "path": "acme", "kind": "GROUP" }]);
        assert_eq!(found["gitNamespaces"]["nodes"], namespaces, "{provider}");
        for (n, branch) in names.iter().enumerate() {
            let name = format!("shop-{}-{n}", provider.to_lowercase());
            let input = json!({ "provider": provider, "project": "acme/shop", "branch": branch, "name": name });
            mutate(&wired.test, &wired.member, "registerGitProject", input).await;
        }
        let made = json!({ "provider": provider, "projectName": "made", "gitNamespace": "acme", "branch": "trunk/1",
            "name": format!("made-{}", provider.to_lowercase()) });
        mutate(&wired.test, &wired.member, "createGitProject", made).await;
    }
    let made = wired.github.with(|s| s.repositories.values().find(|r| r.name == "made").cloned()).unwrap();
    assert_eq!((made.default_branch.as_str(), made.private), ("trunk/1", true));
    let state = wired.gitlab.state();
    let made = state.projects.values().find(|p| p.path == "acme/made").unwrap();
    assert_eq!((made.default_branch.as_str(), made.visibility.as_str()), ("trunk/1", "private"));
}

#[tokio::test]
async fn a_long_list_costs_one_request_a_page() {
    let wired = Wired::new().await;
    {
        let mut state = wired.gitlab.state();
        for n in 0..250 {
            state.project(&format!("acme/p{n:04}"), "main");
        }
    }
    wired.github.with(|state| {
        for n in 0..250 {
            state.repository(&format!("acme/p{n:04}"));
        }
    });
    let document = "query($p: GitProvider!, $first: Int, $after: String) { gitProjects(provider: $p, first: $first, after: $after) { \
        nodes { path } pageInfo { hasNextPage endCursor } } }";
    for provider in ["GITLAB", "GITHUB"] {
        let asked = || match provider {
            "GITLAB" => wired.gitlab.asked().len(),
            _ => wired.github.take_asked().len(),
        };
        data(wired.ask(document, json!({ "p": provider, "first": 20 })).await);
        assert_eq!(asked(), 1, "{provider}");
        // Asked again at once, it is remembered.
        data(wired.ask(document, json!({ "p": provider, "first": 20 })).await);
        assert_eq!(asked(), 0, "{provider}");
        let (mut after, mut seen, mut pages) = (Value::Null, Vec::new(), 0);
        loop {
            let found = data(wired.ask(document, json!({ "p": provider, "first": 50, "after": after })).await);
            let list = &found["gitProjects"];
            seen.extend(list["nodes"].as_array().unwrap().iter().map(|n| n["path"].as_str().unwrap().to_owned()));
            pages += 1;
            if list["pageInfo"]["hasNextPage"] == false {
                break;
            }
            after = list["pageInfo"]["endCursor"].clone();
        }
        assert!(asked() <= pages, "{provider}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 250, "{provider}");
    }
}

#[tokio::test]
async fn accounts_are_made_by_the_server_which_mails_the_link() {
    let wired = Wired::new().await;
    for n in 0..5 {
        wired.test.user(&wired.admin, &format!("p{n}@acme.example"), Role::Member).await;
    }
    let document =
        "mutation { createGitlabAccounts(input: {}) { results { user { email } outcome username message } } }";
    let results = async || data(wired.test.run(Some(&wired.admin), document, Value::Null).await);
    let outcomes = |answer: &Value| {
        let results = answer["createGitlabAccounts"]["results"].as_array().unwrap().clone();
        results.iter().map(|r| r["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(&results().await), ["CREATED"; 7]);
    let created: Vec<_> =
        wired.gitlab.asked().into_iter().filter(|s| s.method == "POST" && s.address.contains("/users")).collect();
    assert_eq!(created.len(), 7);
    for request in created {
        assert_eq!(request.body["reset_password"], true, "{}", request.body);
        assert_eq!(request.body["password"], Value::Null, "no password passes through here");
    }
    assert_eq!(outcomes(&results().await), ["EXISTS"; 7]);
}

#[tokio::test]
async fn what_a_person_reads_when_a_provider_fails() {
    let html = "<html><body>Welcome to the proxy</body></html>";
    let answer = |status, body: &str| {
        How::Answer(status, vec![("content-type", "application/json".to_owned())], body.to_owned())
    };
    let limited = |name: &'static str, value: &str| How::Answer(429, vec![(name, value.to_owned())], "{}".to_owned());
    for (how, words) in [
        (limited("retry-after", "120"), "limits requests; try again at"),
        (limited("ratelimit-reset", "253402300799"), "limits requests; try again at"),
        (answer(500, "{\"message\": \"500 Internal Server Error\"}"), "answered with HTTP status 500"),
        (answer(502, html), "answered with HTTP status 502"),
        (answer(200, html), "answered something other than what its API promises"),
        (answer(200, "{}"), "answered something other than what its API promises"),
        (
            answer(403, "{\"error\": \"insufficient_scope\", \"scope\": \"api {token}\"}"),
            "ask your admin to complete \"GitLab Settings\"",
        ),
        (How::Half, "GitLab at http://127.0.0.1"),
        (
            How::Answer(302, vec![("location", "http://169.254.169.254/".to_owned())], String::new()),
            "redirects to another address",
        ),
    ] {
        let wired = Wired::new().await;
        wired.gitlab.fail(Fault::always("GET /api/v4/projects", how.clone()));
        let document = "{ gitlab: gitProjects(provider: GITLAB) { nodes { path } } github: gitProjects(provider: GITHUB) { nodes { path } } }";
        let answer = wired.ask(document, Value::Null).await;
        let (code, _, _, message) = fault(&answer);
        assert!(["UPSTREAM_ERROR", "FAILED_PRECONDITION"].contains(&code.as_str()), "{code} {message}");
        assert!(message.contains(words), "{how:?}: {message}");
        assert!(!message.contains(GITLAB_TOKEN), "{message}");
        assert_eq!(answer.errors.len(), 1);
        assert_eq!(answer.data.into_json().unwrap()["github"]["nodes"], json!([]));
    }
    let wired = Wired::new().await;
    for (trouble, words) in [
        (Trouble::Half, "GitHub at http://127.0.0.1"),
        (Trouble::Answer { status: 502, headers: Vec::new(), body: html.to_owned() }, "answered with HTTP status 502"),
        (
            Trouble::Answer { status: 200, headers: Vec::new(), body: "[{}]".to_owned() },
            "something other than what its API promises",
        ),
    ] {
        wired.github.fail("GET /user/repos", 3, trouble);
        let (code, _, _, message) =
            fault(&wired.ask("{ gitProjects(provider: GITHUB) { nodes { path } } }", Value::Null).await);
        assert_eq!(code, "UPSTREAM_ERROR");
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn addresses_that_are_not_let_through_are_asked_nothing() {
    let wired = Wired::bare(&[]).await;
    let port = wired.gitlab.url.rsplit(':').next().unwrap().to_owned();
    for host in [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "127.1",
        "0",
        "0.0.0.0",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "metadata.google.internal",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "[fe80::1]",
        "[fc00::1]",
    ] {
        for scheme in ["http", "https"] {
            let save = json!({ "input": { "baseUrl": format!("{scheme}://{host}:{port}"), "token": GITLAB_TOKEN } });
            let document = "mutation($input: SaveGitlabSettingsInput!) { saveGitlabSettings(input: $input) { gitSettings { id } } }";
            let answer = wired.test.run(Some(&wired.admin), document, save).await;
            let (code, _, field, message) = fault(&answer);
            assert_eq!(
                (code.as_str(), field.as_str()),
                ("BAD_USER_INPUT", "input.baseUrl"),
                "{scheme}://{host}: {message}"
            );
            assert!(!message.contains(GITLAB_TOKEN), "{message}");
        }
    }
    assert_eq!(wired.gitlab.asked().len(), 0, "nothing was sent");
    assert_eq!(wired.test.rows().await["git_settings"].len(), 0);
    // The operator's own GitHub address passes no filter; an Enterprise server that somebody names does not.
    mutate(&wired.test, &wired.admin, "saveGithubSettings", json!({ "token": GITHUB_TOKEN })).await;
    let document =
        "mutation($input: SaveGithubSettingsInput!) { saveGithubSettings(input: $input) { gitSettings { id } } }";
    let save = json!({ "input": { "baseUrl": format!("http://127.0.0.1:{port}"), "token": GITHUB_TOKEN } });
    assert_eq!(fault(&wired.test.run(Some(&wired.admin), document, save).await).2, "input.baseUrl");
}
