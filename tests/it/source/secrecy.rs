//! The token is nowhere, and nothing goes on that nobody waits for.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use kiops::builder::source::SourceError;

use super::*;
use crate::support::git_server::{Change, Fault};

/// Command lines and environments of all processes that can be seen.
fn processes() -> Vec<(String, String)> {
    let folders = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())));
    let text = |path: PathBuf| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    folders
        .map(|entry| {
            let read = |name: &str| text(entry.path().join(name)).unwrap_or_default();
            (read("cmdline"), read("environ"))
        })
        .collect()
}

/// Files with an encoded token below the system's temporary folder.
fn configurations(encoded: &str) -> Vec<PathBuf> {
    let entries = std::env::temp_dir().read_dir().unwrap().flatten();
    let configs = entries.map(|entry| entry.path().join("config"));
    configs.filter(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains(encoded))).collect()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_token_is_in_one_file_and_a_dropped_fetch_is_gone_within_a_second() {
    let Some(mut house) = House::new("the_token_is_in_one_file").await else { return };
    let commit = house.repositories().commit(SHOP, "main", &[Change::file("a", "1")]);
    // One of this run alone.
    let token = format!(
        "hunter2-{}-{}",
        std::process::id(),
        house.server.url.len() as u64 + house.folder.path().metadata().unwrap().ino()
    );
    house.repositories().set_token(&token);
    house.repositories().set_fault(Some(Fault::StallLater));
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("oauth2:{token}"));
    let address = house.server.address(SHOP);
    house.limits.time = Duration::from_secs(120);
    let mut origin = house.origin(SHOP);
    origin.token = token.clone().into();
    let house = Arc::new(house);
    let call = tokio::spawn({
        let house = Arc::clone(&house);
        let commit = CommitHash::parse(&commit).unwrap();
        async move { house.sources.fetch(&origin, &commit, &house.place(), house.limits, &house.lines).await }
    });
    let mut asked = Vec::new();
    until("the fetch is going on", || {
        asked.extend(house.repositories().asked());
        asked.iter().any(|line| line.starts_with("POST"))
    })
    .await;
    // The program and the helper that speaks http, with the right address; of the token not a word.
    let running = || processes().iter().filter(|(line, _)| line.contains(&address)).count();
    assert!(running() >= 2, "{}", running());
    for (line, environment) in processes() {
        for secret in [&token, &encoded] {
            assert!(!line.contains(secret.as_str()) && !environment.contains(secret.as_str()), "{line}");
        }
    }
    let files = configurations(&encoded);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(files[0].parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);

    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let begun = Instant::now();
    until("it is gone", || running() == 0).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(configurations(&encoded), Vec::<PathBuf>::new());
    assert!(!house.lines.all().contains(&token) && !house.place().exists());

    // What it has left beside is gone after the next, and the token is in nothing that was written.
    house.repositories().set_fault(None);
    let mut origin = house.origin(SHOP);
    origin.token = token.clone().into();
    house.fetch_from(&origin, &commit).await.unwrap();
    let written = tree(house.folder.path());
    assert!(written.values().all(|text| !text.contains(&token) && !text.contains(&encoded)));
}

#[tokio::test]
async fn a_server_that_repeats_the_token_is_not_quoted() {
    let Some(house) = House::new("a_server_that_repeats_the_token").await else { return };
    let commit = house.repositories().commit(SHOP, "main", &[Change::file("a", "1")]);
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("oauth2:{TOKEN}"));
    let said = format!("ERR no: {TOKEN} and \x1b[1m{encoded} end\n");
    house.repositories().set_fault(Some(Fault::Rubbish(format!("{:04x}{said}", said.len() + 4))));
    let message = match house.fetch(&commit).await {
        Err(SourceError::Unreachable(message)) => message,
        other => panic!("{other:?}"),
    };
    assert!(message.contains("no: *** and"), "{message}");
    assert!(!message.contains(&encoded) && !message.contains('\x1b') && !message.contains("0123456789"), "{message}");
}

#[tokio::test]
async fn the_time_limit_ends_everything() {
    let Some(mut house) = House::new("the_time_limit_ends_everything").await else { return };
    let commit = house.repositories().commit(SHOP, "main", &[Change::file("a", "1")]);
    house.repositories().set_fault(Some(Fault::StallLater));
    house.limits.time = Duration::from_secs(1);
    let begun = Instant::now();
    let outcome = house.fetch(&commit).await;
    assert!(matches!(outcome, Err(SourceError::TimedOut(_))), "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    let address = house.server.address(SHOP);
    until("it is gone", || processes().iter().all(|(line, _)| !line.contains(&address))).await;
}
