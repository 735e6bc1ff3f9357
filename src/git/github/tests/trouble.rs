//! What a person reads when GitHub does not do as its API promises.

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use super::github_double::Trouble;
use super::*;
use crate::git::GitError;

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Trouble {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Trouble::Answer { status, headers, body: body.to_owned() }
}

/// What is read, and how often GitHub was asked for it.
async fn told(trouble: Trouble) -> (GitError, usize) {
    let bench = Bench::new().await;
    bench.double.fail("GET /user/repos", 100, trouble);
    let error = bench.github.projects(&page(20, None, None)).await.unwrap_err();
    assert!(error.to_string().contains(&format!("GitHub at {}", bench.double.url())), "{error}");
    (error, bench.double.take_asked().len())
}

#[tokio::test]
async fn each_failure_has_its_words() {
    let html = "<html><body>Unicorn!</body></html>";
    let cases = [
        (answer(500, &[], "{}"), "answered with HTTP status 500", 3),
        (answer(502, &[], html), "answered with HTTP status 502", 3),
        (answer(503, &[], r#"{"message":"down"}"#), "answered with HTTP status 503: down", 3),
        (answer(200, &[], html), "something other than what its API promises", 1),
        (answer(200, &[], "{}"), "something other than what its API promises", 1),
        (answer(200, &[], "[{}]"), "something other than what its API promises", 1),
        (answer(200, &[], ""), "something other than what its API promises", 1),
        (answer(200, &[], "[{\"id\": 1,"), "something other than what its API promises", 1),
        (answer(302, &[("location", "https://elsewhere.example/")], ""), "another address", 1),
        (Trouble::Half, "GitHub at", 3),
        // What a repetition can't mend is sent once.
        (answer(405, &[], "{}"), "answered with HTTP status 405", 1),
        (answer(451, &[], r#"{"message":"Repository access blocked"}"#), "451: Repository access blocked", 1),
        (answer(200, &[], &"x".repeat(11 * 1024 * 1024)), "answered more than 10485760 bytes", 1),
    ];
    for (trouble, words, times) in cases {
        let name: String = format!("{trouble:?}").chars().take(200).collect();
        let (error, asked) = told(trouble).await;
        assert!(matches!(&error, GitError::Unreachable(said) if said.contains(words)), "{name}: {error}");
        assert_eq!(asked, times, "{name}");
    }
    let (error, _) =
        told(answer(403, &[], r#"{"message":"Resource protected by organization SAML enforcement."}"#)).await;
    assert!(matches!(&error, GitError::Forbidden(said) if said.contains("SAML")), "{error}");
    let (error, _) = told(answer(401, &[], r#"{"message":"Bad credentials"}"#)).await;
    assert!(matches!(error, GitError::Unauthorized(_)), "{error}");
}

#[tokio::test]
async fn limits_say_until_when() {
    let cases = [
        // The primary limit, the secondary one, and both as 429.
        (answer(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1750000600")], "{}"), Some(600)),
        (answer(403, &[("retry-after", "60")], r#"{"message":"You have exceeded a secondary rate limit."}"#), Some(60)),
        (answer(429, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1750000600")], "{}"), Some(600)),
        (answer(429, &[("retry-after", "30")], ""), Some(30)),
        // It does not say until when: a minute is what GitHub asks for.
        (answer(429, &[], ""), Some(60)),
        (answer(403, &[], r#"{"message":"You have exceeded a secondary rate limit. Please wait."}"#), Some(60)),
        // The reset is of the hourly budget, of which much is left.
        (answer(429, &[("x-ratelimit-remaining", "4990"), ("x-ratelimit-reset", "1750003300")], ""), Some(60)),
        (
            answer(
                403,
                &[("x-ratelimit-remaining", "4990"), ("x-ratelimit-reset", "1750003300"), ("retry-after", "90")],
                r#"{"message":"You have exceeded a secondary rate limit."}"#,
            ),
            Some(90),
        ),
        // The year 9999 is an hour away.
        (answer(429, &[("x-ratelimit-reset", "253402300799")], ""), Some(3600)),
        (answer(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "99999999999999999999")], ""), Some(3600)),
    ];
    for (trouble, seconds) in cases {
        let name = format!("{trouble:?}");
        let (error, asked) = told(trouble).await;
        let GitError::Limited { message, retry_at } = &error else { panic!("{name}: {error}") };
        assert_eq!(retry_at.map(|at| at.timestamp() - NOW), seconds, "{name}");
        assert!(message.contains("limits requests"), "{message}");
        assert_eq!(asked, 1, "{name}");
    }
}

#[tokio::test]
async fn nothing_is_sent_while_a_limit_is_spent() {
    let bench = Bench::new().await;
    bench.double.with(|state| (state.left, state.reset) = (Some(1), NOW + 120));
    bench.github.projects(&page(20, None, None)).await.unwrap();
    let error = bench.github.namespaces(&page(20, None, None)).await.unwrap_err();
    assert!(error.to_string().ends_with("limits requests; try again at 15:08:40 UTC"), "{error}");
    assert_eq!(bench.double.take_asked().len(), 1);
    bench.double.with(|state| state.left = None);
    bench.later(121);
    bench.github.namespaces(&page(20, None, None)).await.unwrap();
}

#[tokio::test]
async fn spent_searches_keep_nobody_from_the_list() {
    let bench = Bench::new().await;
    bench.double.with(|state| {
        (0..600).for_each(|n| state.add(&format!("ada/part-{n}")));
        (state.searches_left, state.reset) = (Some(0), NOW + 50);
    });
    let search = page(20, None, Some("part"));
    for _ in 0..2 {
        let error = bench.github.projects(&search).await.unwrap_err();
        assert!(matches!(error, GitError::Limited { retry_at: Some(_), .. }), "{error}");
    }
    let searches = bench.double.take_asked().iter().filter(|asked| asked.starts_with("GET /search")).count();
    assert_eq!(searches, 1);
    bench.github.projects(&page(20, None, None)).await.unwrap();
    bench.github.project(&at("ada/part-1")).await.unwrap().unwrap();
    bench.double.with(|state| state.searches_left = None);
    bench.later(51);
    assert_eq!(bench.github.projects(&search).await.unwrap().items.len(), 20);
}

#[tokio::test]
async fn a_short_outage_is_not_noticed() {
    let bench = Bench::new().await;
    bench.double.fail_with("GET /user/repos", 2, 502, "Server Error");
    bench.github.projects(&page(20, None, None)).await.unwrap();
    assert_eq!(bench.double.take_asked().len(), 3);
    // Nor is rubbish remembered.
    bench.double.fail("GET /user", 1, answer(200, &[], "<html>just a moment</html>"));
    assert!(bench.github.namespaces(&page(1, None, None)).await.is_err());
    assert_eq!(bench.github.namespaces(&page(1, None, None)).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn silence_ends_within_ten_seconds() {
    let bench = Bench::new().await;
    bench.double.fail("GET /user", 100, Trouble::Silence(Duration::from_secs(60)));
    let began = std::time::Instant::now();
    let error = bench.github.namespaces(&page(20, None, None)).await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable(_)), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let nobody = connect("http://127.0.0.1:9", TOKEN, &bench.clock);
    assert!(matches!(nobody.identify().await, Err(GitError::Unreachable(_))));
}

#[tokio::test]
async fn a_next_page_elsewhere_or_without_end_is_not_followed() {
    let bench = Bench::new().await;
    let elsewhere = GithubDouble::start().await;
    bench.double.with(|state| state.add("ada/shop"));
    let link = format!(r#"<{}/user/repos?page=2>; rel="next""#, elsewhere.url());
    let row = bench.github.projects(&page(20, None, None)).await.unwrap();
    assert_eq!(row.items.len(), 1);
    let body = bench.double.asked()[0].answer.to_string();
    bench.later(31);
    bench.double.fail("GET /user/repos", 1000, answer(200, &[("link", &link)], &body));
    bench.double.take_asked();
    let error = bench.github.projects(&page(20, None, Some("nothing"))).await.unwrap_err();
    let words = "that were looked through has \"nothing\" in its name; give it whole";
    assert!(matches!(&error, GitError::Invalid(said) if said.contains(words)), "{error}");
    let (asked, other): (Vec<_>, Vec<_>) =
        bench.double.asked().into_iter().partition(|asked| asked.path == "/user/repos");
    // A page says that there are many, and of the hundred after it the first two are what is named and a search.
    assert_eq!(asked.len(), 99);
    assert!(asked.iter().all(|asked| asked.query.iter().any(|(name, value)| name == "page" && value != "0")));
    assert_eq!(
        other.iter().map(|asked| asked.path.as_str()).collect::<Vec<_>>(),
        ["/user", "/user/memberships/orgs", "/search/repositories"]
    );
    assert_eq!(elsewhere.take_asked(), [""; 0]);
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_token_is_in_no_line_no_error_and_no_address() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let bench = Bench::new().await;
    bench.double.with(|state| state.add("ada/shop"));
    bench.github.identify().await.unwrap();
    bench.github.project(&at("ada/shop")).await.unwrap().unwrap();
    let echo = format!(r#"{{"message":"token {TOKEN} is bad","errors":[{{"message":"Bearer {TOKEN}"}}]}}"#);
    for (status, times) in [(401, 1), (403, 1), (404, 1), (422, 1), (500, 3)] {
        bench.double.fail("GET /user/repos", times, answer(status, &[], &echo));
        let error = bench.github.projects(&page(20, None, None)).await.unwrap_err();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains(TOKEN) && text.contains("***"), "{text}");
        }
    }
    drop(guard);
    for asked in bench.double.asked() {
        assert!(!asked.path.contains(TOKEN) && !format!("{:?}", asked.query).contains(TOKEN));
    }
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("TRACE") || text.contains("DEBUG"), "the log was on: {} bytes", text.len());
    assert!(!text.contains(TOKEN), "the token was logged");
}
