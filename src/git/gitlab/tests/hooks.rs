//! Webhooks and the status of commits.

use super::double::faults::{Fault, How};
use super::double::state::{Hook, Signing};
use super::*;
use crate::domain::names::CommitHash;
use crate::domain::webhook::new_secret;
use crate::git::{CommitState, CommitStatus, GitHooks as _, HookEvents, NewHook};

const URL: &str = "https://kiops.example/webhooks/gitlab/s1";
const ALL: HookEvents = HookEvents { push: true, merge_requests: true, tags: true };

fn hook(events: HookEvents, known_id: Option<&str>) -> NewHook {
    NewHook {
        url: URL.to_owned(),
        secret: new_secret(Provider::Gitlab, [7; 32]),
        events,
        known_id: known_id.map(str::to_owned),
    }
}

fn secret() -> String {
    use crate::domain::secret::ExposeSecret as _;
    new_secret(Provider::Gitlab, [7; 32]).expose_secret().to_owned()
}

async fn bench(signing: Signing) -> (Bench, ProjectRef) {
    let bench = Bench::new().await;
    bench.double.state().signing = signing;
    let id = bench.double.state().project("ada/shop", "main");
    (bench, known(id, "ada/shop"))
}

impl Bench {
    fn hooks(&self) -> Vec<Hook> {
        self.double.state().hooks.values().cloned().collect()
    }
}

#[tokio::test]
async fn a_server_that_signs_is_given_nothing_to_send_along() {
    let (bench, shop) = bench(Signing::On).await;
    let made = bench.gitlab.save_hook(&shop, &hook(ALL, None)).await.unwrap();
    assert!(made.signing);
    let [there] = &bench.hooks()[..] else { panic!() };
    assert_eq!((there.id.to_string(), there.url.as_str()), (made.id.clone(), URL));
    assert_eq!((there.signing_token.as_str(), there.token.as_str()), (secret().as_str(), ""));
    assert!(there.push_events && there.tag_push_events && there.merge_requests_events);
    assert!(there.enable_ssl_verification);
    // Once more, with other events: it stays the one that it is.
    let push = HookEvents { push: true, merge_requests: false, tags: false };
    for known_id in [None, Some(made.id.as_str()), Some("999"), Some("../1")] {
        assert_eq!(bench.gitlab.save_hook(&shop, &hook(push, known_id)).await.unwrap(), made);
    }
    let [there] = &bench.hooks()[..] else { panic!() };
    assert!(there.push_events && !there.tag_push_events && !there.merge_requests_events);
}

#[tokio::test]
async fn a_server_that_does_not_sign_sends_the_secret_along() {
    for signing in [Signing::Off, Signing::Unknown] {
        let (bench, shop) = bench(signing).await;
        for _ in 0..2 {
            let made = bench.gitlab.save_hook(&shop, &hook(ALL, None)).await.unwrap();
            assert!(!made.signing, "{signing:?}");
            let [there] = &bench.hooks()[..] else { panic!() };
            assert_eq!((there.token.as_str(), there.signing_token.as_str()), (secret().as_str(), ""), "{signing:?}");
        }
        // It is brought up to date and signs from now on: the secret is no longer sent along.
        bench.double.state().signing = Signing::On;
        assert!(bench.gitlab.save_hook(&shop, &hook(ALL, None)).await.unwrap().signing, "{signing:?}");
        let [there] = &bench.hooks()[..] else { panic!() };
        assert_eq!((there.token.as_str(), there.signing_token.as_str()), ("", secret().as_str()), "{signing:?}");
    }
}

#[tokio::test]
async fn what_was_there_is_brought_to_one_webhook() {
    let (bench, shop) = bench(Signing::On).await;
    let made = bench.gitlab.save_hook(&shop, &hook(ALL, None)).await.unwrap();
    let again = |id: u64, url: &str, alert_status| {
        let twin = Hook { id, url: url.to_owned(), alert_status, ..bench.hooks()[0].clone() };
        bench.double.state().hooks.insert(id, twin);
    };
    again(1000, URL, "executable");
    again(1001, URL, "executable");
    again(1002, "https://kiops.example/webhooks/gitlab/s2", "executable");
    {
        let mut state = bench.double.state();
        state.hooks.get_mut(&1000).unwrap().push_events_branch_filter = "main".to_owned();
    }
    let ids = || bench.hooks().iter().map(|hook| hook.id).collect::<Vec<_>>();
    // The known one stays, whatever its address was, and another service's is left alone.
    let saved = bench.gitlab.save_hook(&shop, &hook(ALL, Some("1000"))).await.unwrap();
    assert_eq!((saved.id.as_str(), ids()), ("1000", vec![1000, 1002]));
    assert_eq!(bench.hooks()[0].push_events_branch_filter, "");
    bench.double.state().hooks.get_mut(&1000).unwrap().url = "https://kiops.old/webhooks/gitlab/s1".to_owned();
    assert_eq!(bench.gitlab.save_hook(&shop, &hook(ALL, Some("1000"))).await.unwrap(), saved);
    assert_eq!(bench.hooks()[0].url, URL);
    // One that the server has switched off is made anew.
    bench.double.state().hooks.get_mut(&1000).unwrap().alert_status = "disabled";
    let saved = bench.gitlab.save_hook(&shop, &hook(ALL, Some("1000"))).await.unwrap();
    assert!(saved.id != "1000" && saved.id != made.id && ids().len() == 2, "{saved:?}");
    bench.gitlab.remove_hook(&shop, Some(&saved.id), "https://elsewhere.example").await.unwrap();
    assert_eq!(ids(), [1002]);
    bench.gitlab.remove_hook(&shop, None, "https://kiops.example/webhooks/gitlab/s2").await.unwrap();
    assert!(ids().is_empty());
    // Gone is no error, nor is a project that is gone.
    bench.gitlab.remove_hook(&shop, Some("1002"), URL).await.unwrap();
    bench.gitlab.remove_hook(&known(4711, "ada/gone"), None, URL).await.unwrap();
}

#[tokio::test]
async fn a_failure_in_the_middle_is_mended_by_the_next_time() {
    let (bench, shop) = bench(Signing::Unknown).await;
    bench.double.fail(Fault::once("PUT", How::Answer(502, Vec::new(), String::new())));
    let error = bench.gitlab.save_hook(&shop, &hook(ALL, None)).await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable(_)), "{error}");
    assert_eq!(bench.hooks()[0].token, "");
    let saved = bench.gitlab.save_hook(&shop, &hook(ALL, None)).await.unwrap();
    let [there] = &bench.hooks()[..] else { panic!() };
    assert_eq!((there.id.to_string(), there.token.clone()), (saved.id, secret()));
    // It is removed between the look and the change.
    let gone = "{\"message\": \"404 Hook Not Found\"}".to_owned();
    bench.double.fail(Fault::once("PUT", How::Answer(404, Vec::new(), gone)));
    bench.double.state().hooks.clear();
    let id = bench.gitlab.save_hook(&shop, &hook(ALL, None)).await.unwrap().id;
    assert!(bench.hooks().iter().any(|hook| hook.id.to_string() == id && hook.token == secret()));
}

#[tokio::test]
async fn who_may_not_manage_webhooks_is_told() {
    let (bench, shop) = bench(Signing::On).await;
    let bob = bench.double.state().person("bob");
    let ada = bench.me;
    bench.double.state().group("acme", ada, 50);
    let id = bench.double.state().project("acme/shop", "main");
    bench.double.state().groups.last_mut().unwrap().members.insert(bob, 30);
    let developer = bench.with("glpat-bob", bob, &["api"]);
    let error = developer.save_hook(&known(id, "acme/shop"), &hook(ALL, None)).await.unwrap_err();
    assert!(matches!(error, GitError::Forbidden(_)), "{error}");
    let error = developer.save_hook(&shop, &hook(ALL, None)).await.unwrap_err();
    assert!(matches!(error, GitError::NotFound(_)), "{error}");
    let reader = bench.with("glpat-read", ada, &["read_api"]);
    let error = reader.save_hook(&shop, &hook(ALL, None)).await.unwrap_err();
    assert!(matches!(error, GitError::Forbidden(_)), "{error}");
    let local = NewHook { url: "ftp://kiops".to_owned(), ..hook(ALL, None) };
    let error = bench.gitlab.save_hook(&shop, &local).await.unwrap_err();
    assert!(matches!(&error, GitError::Invalid(said) if said.contains("Only allowed schemes")), "{error}");
}

#[tokio::test]
async fn a_former_path_leads_to_the_project() {
    let (bench, _) = bench(Signing::On).await;
    let id = bench.double.state().project("ada/old", "main");
    bench.double.state().transfer(id, "ada/new");
    bench.gitlab.save_hook(&path("ada/old"), &hook(ALL, None)).await.unwrap();
    assert_eq!(bench.hooks()[0].project, id);
    bench.gitlab.remove_hook(&path("ada/old"), None, URL).await.unwrap();
    assert!(bench.hooks().is_empty());
}

#[tokio::test]
async fn a_secret_that_is_echoed_is_hidden() {
    let (bench, shop) = bench(Signing::On).await;
    let key = secret().trim_start_matches("whsec_").to_owned();
    for echoed in [secret(), key, TOKEN.to_owned()] {
        let body = serde_json::json!({ "message": format!("what is {echoed}?") }).to_string();
        bench.double.fail(Fault::once("POST", How::Answer(400, Vec::new(), body)));
        let error = bench.gitlab.save_hook(&shop, &hook(ALL, None)).await.unwrap_err().to_string();
        assert!(error.contains("what is ") && error.contains("***") && !error.contains(&echoed), "{error}");
        assert!(!error.contains(secret().trim_start_matches("whsec_")), "{error}");
    }
}

fn status(state: CommitState) -> CommitStatus {
    CommitStatus {
        state,
        context: "kiops/shop".to_owned(),
        description: "Building".to_owned(),
        target_url: Some("https://kiops.example/logs/1".to_owned()),
    }
}

#[tokio::test]
async fn the_status_of_a_commit_goes_on_and_is_said_twice_without_harm() {
    use CommitState::{Canceled, Failure, Pending, Running, Success};
    let (bench, shop) = bench(Signing::On).await;
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    let said = |state| {
        let (gitlab, shop, commit) = (&bench.gitlab, &shop, &commit);
        async move { gitlab.report_status(shop, commit, &status(state)).await.unwrap() }
    };
    let there = || bench.double.state().statuses.iter().map(|s| s.state.clone()).collect::<Vec<_>>().join(" ");
    for (state, expected) in [
        (Pending, "pending"),
        (Pending, "pending"),
        (Running, "running"),
        (Running, "running"),
        // Late, and no longer so.
        (Pending, "running"),
        (Failure, "failed"),
        // Another run of the same commit.
        (Pending, "failed pending"),
        (Running, "failed running"),
        (Canceled, "failed canceled"),
        (Running, "failed canceled running"),
        (Success, "failed canceled success"),
    ] {
        said(state).await;
        assert_eq!(there(), expected, "{state:?}");
    }
    let last = bench.double.state().statuses.last().cloned().unwrap();
    assert_eq!((last.sha.as_str(), last.name.as_str()), (commit.as_str(), "kiops/shop"));
    assert_eq!(last.description.as_deref(), Some("Building"));
    assert_eq!(last.target_url.as_deref(), Some("https://kiops.example/logs/1"));
    let error = bench.gitlab.report_status(&known(4711, "ada/gone"), &commit, &status(Pending)).await.unwrap_err();
    assert!(matches!(error, GitError::NotFound(_)), "{error}");
    bench.double.fail(Fault::once("statuses", How::Answer(400, Vec::new(), "{\"message\": \"other\"}".to_owned())));
    let error = bench.gitlab.report_status(&shop, &commit, &status(Pending)).await.unwrap_err();
    assert!(matches!(error, GitError::Invalid(_)), "{error}");
}

#[tokio::test]
async fn what_is_in_no_list_makes_no_list_be_asked_for_again() {
    let (bench, shop) = bench(Signing::On).await;
    bench.gitlab.projects(&first(5)).await.unwrap();
    bench.asked();
    let commit = CommitHash::parse(&"ab".repeat(20)).unwrap();
    bench.gitlab.report_status(&shop, &commit, &status(CommitState::Pending)).await.unwrap();
    bench.gitlab.save_hook(&shop, &hook(ALL, None)).await.unwrap();
    bench.gitlab.projects(&first(5)).await.unwrap();
    assert!(!bench.asked().iter().any(|asked| asked.contains("/projects?")));
}

#[tokio::test]
async fn the_source_is_below_the_servers_pages() {
    let (bench, _) = bench(Signing::On).await;
    let source = bench.gitlab.source(&ProjectPath::parse("acme/tools/shop").unwrap());
    assert_eq!(source.url, format!("{}/acme/tools/shop.git", bench.double.url));
    assert_eq!((source.username.as_str(), source.trusted), ("oauth2", false));
}
