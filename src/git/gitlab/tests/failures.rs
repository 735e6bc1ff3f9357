use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::double::faults::{Fault, How};
use super::*;
use crate::git::{GitAccounts as _, NewProject, Visibility};

fn answers(status: u16, body: &str) -> How {
    How::Answer(status, vec![("content-type", "application/json".to_owned())], body.to_owned())
}

fn limited(status: u16, headers: &[(&'static str, &str)]) -> How {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    How::Answer(status, headers, "{\"message\": \"Retry later\"}".to_owned())
}

#[tokio::test]
async fn every_failure_is_said_in_words() {
    let cases = [
        (
            answers(500, "{\"message\": \"500 Internal Server Error\"}"),
            3,
            "answered with HTTP status 500: 500 Internal",
        ),
        (answers(502, "<html>GitLab is not responding</html>"), 3, "answered with HTTP status 502"),
        (answers(200, "garbage"), 1, "answered something other than what its API promises"),
        (answers(200, "{}"), 1, "answered something other than what its API promises"),
        (answers(200, "<!DOCTYPE html><html></html>"), 1, "answered something other than what its API promises"),
        (answers(200, "[{\"id\": 1}]"), 1, "answered something other than what its API promises"),
        (How::Half, 3, "cannot be reached"),
        (answers(401, "{\"message\": \"401 Unauthorized\"}"), 1, "does not take the token: 401 Unauthorized"),
        (answers(403, "{\"message\": \"403 Forbidden\"}"), 1, "does not let the token do this: 403 Forbidden"),
        (answers(404, "<html>"), 1, "knows no such thing"),
        (answers(302, ""), 1, "redirects to another address, which is not followed"),
        (limited(429, &[("retry-after", "60")]), 1, "limits requests; try again at 03:05:05 UTC"),
        (limited(429, &[]), 1, "limits requests"),
        (limited(403, &[("ratelimit-remaining", "0")]), 1, "limits requests"),
        // A reset in the year 9999 is believed for an hour.
        (limited(429, &[("ratelimit-reset", "253402300799")]), 1, "limits requests; try again at 04:04:05 UTC"),
    ];
    for (how, sent, expected) in cases {
        let bench = Bench::new().await;
        bench.double.fail(Fault::always("/projects?", how.clone()));
        let error = bench.gitlab.projects(&first(5)).await.unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("GitLab at http://127.0.0.1:") && message.contains(expected), "{how:?}: {message}");
        assert_eq!(bench.asked().len(), sent, "{how:?}");
        bench.double.mend();
        bench.clock.wait(TimeDelta::minutes(61));
        assert!(bench.gitlab.projects(&first(5)).await.is_ok(), "{how:?}: failures are not remembered");
    }
}

#[tokio::test]
async fn a_hiccup_is_not_noticed_and_what_changes_something_is_sent_once() {
    let bench = Bench::new().await;
    bench.double.state().project("ada/shop", "main");
    for on in ["/projects?", "/branches/main", "graphql", "/api/v4/user", "tokens/self"] {
        bench.double.fail(Fault::once(on, How::Half));
        bench.double.fail(Fault::once(on, answers(503, "")));
    }
    assert_eq!(bench.gitlab.projects(&first(5)).await.unwrap().items.len(), 1);
    assert!(bench.gitlab.branch(&path("ada/shop"), &branch("main")).await.unwrap().is_some());
    assert_eq!(bench.gitlab.namespaces(&first(5)).await.unwrap().items.len(), 1);
    assert!(bench.gitlab.identify().await.is_ok());
    bench.asked();
    let new =
        NewProject { namespace: None, name: "new".to_owned(), branch: branch("main"), visibility: Visibility::Private };
    for how in [How::Half, answers(502, ""), answers(201, "{}")] {
        bench.double.fail(Fault::once("POST", how));
        let error = bench.gitlab.create_project(&new).await.unwrap_err();
        assert!(matches!(error, GitError::Unreachable(_)), "{error}");
        assert_eq!(bench.asked().len(), 1);
    }
}

#[tokio::test]
async fn while_a_limit_is_spent_nothing_is_sent() {
    let bench = Bench::new().await;
    let last = vec![("ratelimit-remaining", "0".to_owned()), ("ratelimit-reset", "1767323105".to_owned())];
    bench.double.fail(Fault::once("/projects?", How::Answer(200, last, "[]".to_owned())));
    assert!(bench.gitlab.projects(&first(5)).await.is_ok());
    bench.asked();
    let error = bench.gitlab.identify().await.unwrap_err();
    let until = Utc.with_ymd_and_hms(2026, 1, 2, 3, 5, 5).unwrap();
    assert!(matches!(error, GitError::Limited { retry_at: Some(at), .. } if at == until), "{error:?}");
    assert!(bench.gitlab.is_free("x").await.is_err());
    assert!(bench.asked().is_empty());
    bench.clock.wait(TimeDelta::seconds(61));
    assert!(bench.gitlab.identify().await.is_ok());
}

#[tokio::test]
async fn a_limit_of_one_endpoint_keeps_nobody_from_the_others() {
    let bench = Bench::new().await;
    bench.double.state().project("ada/shop", "main");
    let left = [("retry-after", "60"), ("ratelimit-remaining", "1990"), ("ratelimit-reset", "1767323105")];
    for headers in [&left[..1], &left[1..]] {
        bench.double.fail(Fault::once("/projects/ada%2Fshop", limited(429, headers)));
        for _ in 0..2 {
            let error = bench.gitlab.project(&path("ada/shop")).await.unwrap_err();
            assert!(matches!(error, GitError::Limited { .. }), "{error}");
        }
        // Whichever project it is, the endpoint is the same.
        assert!(bench.gitlab.project(&path("ada/other")).await.is_err());
        assert_eq!(bench.asked(), ["GET /api/v4/projects/ada%2Fshop"]);
        assert!(bench.gitlab.identify().await.is_ok());
        assert_eq!(bench.gitlab.projects(&first(5)).await.unwrap().items.len(), 1);
        bench.clock.wait(TimeDelta::seconds(61));
        assert!(bench.gitlab.project(&path("ada/shop")).await.unwrap().is_some());
        bench.asked();
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up_in_ten_seconds_whatever_the_call() {
    let bench = Bench::new().await;
    bench.double.state().project("ada/shop", "main");
    bench.double.fail(Fault::always("branches", How::Silence));
    let start = Instant::now();
    let error = bench.gitlab.branches(&path("ada/shop"), &first(5)).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(matches!(&error, GitError::Unreachable(said) if said.contains("did not answer within")), "{error}");
}

#[tokio::test]
async fn a_list_that_never_ends_is_left_after_a_hundred_pages() {
    let bench = Bench::new().await;
    let id = bench.double.state().project("ada/shop", "main");
    // A page of names that Git refuses, again and again.
    let refused = "{\"name\": \"-x\", \"commit\": {\"id\": \"1\"}},".repeat(100);
    let body = format!("[{}]", refused.trim_end_matches(','));
    bench.double.fail(Fault::always("/branches?", answers(200, &body)));
    let page = bench.gitlab.branches(&known(id, "ada/shop"), &first(5)).await.unwrap().unwrap();
    assert_eq!((page.items.len(), page.has_next), (1, true));
    assert_eq!(bench.asked().len(), 102);
    let row = "{\"id\": 7, \"name\": \"x\", \"path_with_namespace\": \"-/x\", \"web_url\": \"\"},".repeat(6);
    let body = format!("[{}]", row.trim_end_matches(','));
    bench.double.fail(Fault::always("/projects?", answers(200, &body)));
    let page = bench.gitlab.projects(&first(5)).await.unwrap();
    assert_eq!((page.items.len(), page.has_next), (0, true));
}

#[tokio::test]
async fn pages_elsewhere_are_never_asked() {
    let bench = Bench::new().await;
    let elsewhere = GitlabDouble::start("").await;
    let next = format!("<{}/api/v4/projects?page=2>; rel=\"next\"", elsewhere.url);
    bench.double.fail(Fault::once("/projects?", How::Answer(200, vec![("link", next)], "[]".to_owned())));
    assert!(bench.gitlab.projects(&first(5)).await.unwrap().items.is_empty());
    let moved = vec![("location", format!("{}/api/v4/projects", elsewhere.url))];
    bench.double.fail(Fault::always("/projects/", How::Answer(301, moved, String::new())));
    let error = bench.gitlab.project(&path("ada/shop")).await.unwrap_err();
    assert!(error.to_string().contains("redirects to another address"), "{error}");
    assert!(elsewhere.asked().is_empty());
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_token_is_in_no_log_no_error_and_no_address() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let bench = Bench::new().await;
    bench.double.state().project("ada/shop", "main");
    let mut said = Vec::new();
    for echo in [
        answers(401, "{\"message\": \"bad token {token}\"}"),
        answers(403, "{\"error\": \"x\", \"error_description\": \"{token}\"}"),
        answers(400, "{\"message\": {\"token\": [\"{token}\"]}}"),
        answers(500, "{\"error\": \"{token} {token}\"}"),
        answers(200, "{token}"),
    ] {
        bench.double.fail(Fault::always("/api", echo));
        said.push(bench.gitlab.projects(&first(5)).await.unwrap_err().to_string());
        said.push(format!("{:?}", bench.gitlab.identify().await));
        said.push(bench.gitlab.find_by_email("x@example.com").await.unwrap_err().to_string());
        bench.double.mend();
    }
    assert!(said.iter().any(|said| said.contains("bad token ***")), "{said:#?}");
    assert!(bench.gitlab.projects(&first(5)).await.is_ok());
    assert!(bench.gitlab.namespaces(&first(5)).await.is_ok());
    drop(guard);
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("127.0.0.1"), "something was logged: {log}");
    for text in said.iter().chain([&log]).chain(&bench.asked()) {
        assert!(!text.contains(TOKEN), "{text}");
    }
}

#[tokio::test]
async fn addresses_that_are_not_to_be_asked_are_refused() {
    for url in ["http://169.254.169.254", "http://10.0.0.1:8080/gitlab", "http://[::1]:1"] {
        let error = client(url, TOKEN).0.identify().await.unwrap_err();
        assert!(matches!(&error, GitError::Refused(said) if said.contains("net.allow")), "{url}: {error}");
    }
    let (gone, _) = client("http://127.0.0.1:1", TOKEN);
    let error = gone.projects(&first(5)).await.unwrap_err();
    assert!(matches!(&error, GitError::Unreachable(said) if said.contains("cannot be reached")), "{error}");
    let spoilt = GitAccess {
        provider: Provider::Gitlab,
        base_url: "http://127.0.0.1".to_owned(),
        token: SecretString::from("a\nb"),
        organization_id: "acme".to_owned(),
        trusted: false,
    };
    let clock = Arc::new(Hands(Mutex::new(Utc.timestamp_opt(1_750_000_000, 0).unwrap())));
    let outbound = Outbound::new(Policy::new(&[], &[], None, Timeouts::default()).unwrap()).unwrap();
    assert!(matches!(Gitlab::new(&Shared::new(outbound, clock), &spoilt, Trust::User), Err(GitError::Refused(_))));
}
