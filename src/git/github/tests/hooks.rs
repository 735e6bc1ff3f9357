//! Webhooks and the status of commits.

use super::github_double::Trouble;
use super::github_double::state::Hook;
use super::*;
use crate::domain::names::CommitHash;
use crate::git::{CommitState, CommitStatus, GitError, GitHooks as _, HookEvents, NewHook};

const URL: &str = "https://kiops.example/webhooks/github/s1";
const SECRET: &str = "hunter2-hunter2-hunter2";
const ALL: HookEvents = HookEvents { push: true, merge_requests: true, tags: true };

fn hook(events: HookEvents, known_id: Option<&str>) -> NewHook {
    let known_id = known_id.map(str::to_owned);
    NewHook { url: URL.to_owned(), secret: SecretString::from(SECRET), events, known_id }
}

fn hooks(bench: &Bench) -> Vec<Hook> {
    bench.double.with(|state| state.hooks.values().cloned().collect())
}

async fn bench() -> (Bench, ProjectRef) {
    let bench = Bench::new().await;
    let id = bench.double.with(|state| state.repository("ada/shop").id);
    (bench, known(id, "ada/shop"))
}

#[tokio::test]
async fn a_webhook_is_made_once_and_brought_to_what_is_wanted() {
    let (bench, shop) = bench().await;
    let cases = [
        (ALL, &["push", "pull_request", "create"][..]),
        (HookEvents { push: true, merge_requests: false, tags: false }, &["push"]),
        (HookEvents { push: false, merge_requests: true, tags: false }, &["pull_request"]),
        (HookEvents { push: false, merge_requests: false, tags: true }, &["push", "create"]),
    ];
    let mut ids = Vec::new();
    for (events, expected) in cases {
        bench.double.with(|state| state.hooks.values_mut().for_each(|hook| hook.active = false));
        let saved = bench.github.save_hook(&shop, &hook(events, None)).await.unwrap();
        assert!(saved.signing);
        ids.push(saved.id);
        let [there] = &hooks(&bench)[..] else { panic!() };
        assert!(there.active);
        assert_eq!(there.events, expected);
        assert_eq!((there.url.as_str(), there.secret.as_str()), (URL, SECRET));
        assert_eq!((there.content_type.as_str(), there.insecure_ssl.as_str()), ("json", "0"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn what_was_there_is_brought_to_one_webhook() {
    let (bench, shop) = bench().await;
    bench.github.save_hook(&shop, &hook(ALL, None)).await.unwrap();
    let twin = |id: u64, url: &str| {
        let twin = Hook { id, url: url.to_owned(), ..hooks(&bench)[0].clone() };
        bench.double.with(|state| state.hooks.insert(id, twin));
    };
    twin(1000, URL);
    twin(1001, URL);
    twin(1002, "https://kiops.example/webhooks/github/s2");
    let ids = || hooks(&bench).iter().map(|hook| hook.id).collect::<Vec<_>>();
    let saved = bench.github.save_hook(&shop, &hook(ALL, Some("1001"))).await.unwrap();
    assert_eq!((saved.id.as_str(), ids()), ("1001", vec![1001, 1002]));
    bench.double.with(|state| state.hooks.get_mut(&1001).unwrap().url = "https://kiops.old/webhooks".to_owned());
    assert_eq!(bench.github.save_hook(&shop, &hook(ALL, Some("1001"))).await.unwrap(), saved);
    assert_eq!(hooks(&bench)[0].url, URL);
    // Somebody removes it between the look and the change.
    let gone = r#"{"message":"Not Found"}"#.to_owned();
    bench.double.fail("PATCH", 1, Trouble::Answer { status: 404, headers: Vec::new(), body: gone });
    bench.double.with(|state| state.hooks.get_mut(&1001).unwrap().url = "https://kiops.old/webhooks".to_owned());
    let saved = bench.github.save_hook(&shop, &hook(ALL, Some("1001"))).await.unwrap();
    assert_ne!(saved.id, "1001");
    bench.github.remove_hook(&shop, Some("1001"), URL).await.unwrap();
    assert_eq!(ids(), [1002]);
    bench.github.remove_hook(&shop, Some("1001"), URL).await.unwrap();
    bench.github.remove_hook(&known(4711, "ada/gone"), None, URL).await.unwrap();
    let error = bench.github.save_hook(&known(4711, "ada/gone"), &hook(ALL, None)).await.unwrap_err();
    assert!(matches!(error, GitError::NotFound(_)), "{error}");
}

#[tokio::test]
async fn a_renamed_repository_is_found() {
    let (bench, shop) = bench().await;
    bench.double.with(|state| state.move_to("ada/shop", "ada/store"));
    bench.github.save_hook(&shop, &hook(ALL, None)).await.unwrap();
    let asked = bench.double.take_asked();
    assert!(asked.contains(&"POST /repos/ada/store/hooks".to_owned()), "{asked:?}");
    assert_eq!(hooks(&bench).len(), 1);
}

#[tokio::test]
async fn who_may_not_manage_webhooks_is_told_what_it_takes() {
    let (bench, shop) = bench().await;
    bench.double.with(|state| {
        state.classic("ghp_only_public_things_0000", "ada", "public_repo, repo:status");
        state.fine_grained(
            "github_pat_reads_only",
            "ada",
            &["metadata=read", "contents=read", "repository_hooks=read"],
        );
        state.at("ada/shop").unwrap().private = false;
        state.member("ada", "acme", "member");
        state.repository("acme/tool");
    });
    for (token, project) in
        [("ghp_only_public_things_0000", &shop), ("github_pat_reads_only", &shop), (TOKEN, &at("acme/tool"))]
    {
        let github = connect(&bench.double.url(), token, &bench.clock);
        let error = github.save_hook(project, &hook(ALL, None)).await.unwrap_err();
        assert!(matches!(error, GitError::Forbidden(_)), "{token}: {error}");
    }
    let github = connect(&bench.double.url(), "ghp_only_public_things_0000", &bench.clock);
    let error = github.save_hook(&shop, &hook(ALL, None)).await.unwrap_err().to_string();
    assert!(error.contains("admin:repo_hook") && error.contains("ada/shop"), "{error}");
}

#[tokio::test]
async fn a_secret_that_is_echoed_is_hidden() {
    let (bench, shop) = bench().await;
    for echoed in [SECRET, TOKEN] {
        let body = serde_json::json!({ "message": format!("what is {echoed}?") }).to_string();
        bench.double.fail("POST", 1, Trouble::Answer { status: 422, headers: Vec::new(), body });
        let error = bench.github.save_hook(&shop, &hook(ALL, None)).await.unwrap_err().to_string();
        assert!(error.contains("what is ***?"), "{error}");
    }
}

#[tokio::test]
async fn the_status_of_a_commit_is_said_in_githubs_words() {
    use CommitState::{Canceled, Failure, Pending, Running, Success};
    let (bench, shop) = bench().await;
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    for (state, expected) in
        [(Pending, "pending"), (Running, "pending"), (Success, "success"), (Failure, "failure"), (Canceled, "error")]
    {
        let target_url = Some("https://kiops.example/logs/1".to_owned());
        let (context, description) = ("kiops/shop".to_owned(), "ä".repeat(200));
        let status = CommitStatus { state, context, description, target_url };
        bench.github.report_status(&shop, &commit, &status).await.unwrap();
        let said = bench.double.with(|state| state.statuses.last().cloned()).unwrap();
        assert_eq!(
            (said.state.as_str(), said.context.as_str(), said.sha.as_str()),
            (expected, "kiops/shop", commit.as_str())
        );
        assert_eq!(said.description.unwrap().chars().count(), 140);
        assert_eq!(said.target_url, status.target_url);
    }
    let status =
        CommitStatus { state: Pending, context: "kiops/shop".to_owned(), description: String::new(), target_url: None };
    let unknown = CommitHash::parse(&"ab".repeat(32)).unwrap();
    let error = bench.github.report_status(&shop, &unknown, &status).await.unwrap_err();
    assert!(matches!(&error, GitError::NotFound(said) if said.contains("No commit found")), "{error}");
    bench.double.with(|state| state.classic("ghp_hooks_alone_0123456789", "ada", "admin:repo_hook"));
    bench.double.with(|state| state.at("ada/shop").unwrap().private = false);
    let github = connect(&bench.double.url(), "ghp_hooks_alone_0123456789", &bench.clock);
    let error = github.report_status(&shop, &commit, &status).await.unwrap_err();
    assert!(matches!(&error, GitError::Forbidden(said) if said.contains("repo:status")), "{error}");
}

#[tokio::test]
async fn the_source_is_where_the_pages_are() {
    let bench = Bench::new().await;
    let clock = &bench.clock;
    for (api, expected) in [
        ("https://api.github.com", "https://github.com/acme/shop.git"),
        ("https://api.octocorp.ghe.com", "https://octocorp.ghe.com/acme/shop.git"),
        ("https://ghe.example.com/api/v3", "https://ghe.example.com/acme/shop.git"),
        ("http://127.0.0.1:4010", "http://127.0.0.1:4010/acme/shop.git"),
    ] {
        let source = connect(api, TOKEN, clock).source(&path("acme/shop"));
        assert_eq!((source.url.as_str(), source.username.as_str()), (expected, "x-access-token"));
        assert!(!source.trusted, "the address is a user's");
    }
    let access = GitAccess {
        provider: Provider::Github,
        base_url: "https://api.github.com".to_owned(),
        token: SecretString::from(TOKEN),
        organization_id: "o1".to_owned(),
        trusted: false,
    };
    let own = Github::new(&shared(clock), &access, Trust::Operator).unwrap();
    assert!(own.source(&path("acme/shop")).trusted);
}
