use super::double::faults::{Fault, How};
use super::*;
use crate::git::{GitAccounts as _, NewAccount};

async fn administrators() -> Bench {
    let bench = Bench::new().await;
    let mut state = bench.double.state();
    state.account(bench.me).is_admin = true;
    let bob = state.person("bob");
    let account = state.account(bob);
    account.email = "Bob@Example.com".to_owned();
    account.emails = vec![("bob@home.example".to_owned(), true), ("bob@new.example".to_owned(), false)];
    state.person("bobby");
    state.group("acme", bench.me, 50);
    drop(state);
    bench
}

fn new(email: &str, username: &str) -> NewAccount {
    NewAccount { email: email.to_owned(), name: "Eve Example".to_owned(), username: username.to_owned() }
}

#[tokio::test]
async fn an_address_is_found_whole_and_whatever_its_case() {
    let bench = administrators().await;
    let cases = [
        ("bob@example.com", Some("bob")),
        ("BOB@EXAMPLE.COM", Some("bob")),
        ("bobby@example.com", Some("bobby")),
        ("Bob@home.example", Some("bob")),
        ("bob@new.example", Some("bob")),
        ("bob", None),
        ("bob@example", None),
        ("eve+x&username=bob@example.com", None),
    ];
    for (email, expected) in cases {
        assert_eq!(bench.gitlab.find_by_email(email).await.unwrap().as_deref(), expected, "{email}");
    }
}

#[tokio::test]
async fn who_is_no_administrator_is_told_so_and_not_that_nobody_has_an_address() {
    let bench = administrators().await;
    let bobby = bench.with("glpat-bobby", 3, &["api"]);
    let error = bobby.find_by_email("bob@example.com").await.unwrap_err();
    assert!(matches!(&error, GitError::Forbidden(said) if said.contains("instance administrator")), "{error}");
    assert!(matches!(bobby.create(&new("eve@example.com", "eve")).await.unwrap_err(), GitError::Forbidden(_)));
    bench.double.state().admin_mode = true;
    let (unarmed, _) = client(&bench.double.url, TOKEN);
    let error = unarmed.find_by_email("bob@example.com").await.unwrap_err();
    assert!(matches!(&error, GitError::Forbidden(said) if said.contains("admin_mode")), "{error}");
}

#[tokio::test]
async fn a_user_name_is_free_when_it_is_no_persons_and_no_groups() {
    let bench = administrators().await;
    for (name, free) in [("eve", true), ("BOB", false), ("acme", false), ("", false), (".", false), ("..", false)] {
        assert_eq!(bench.gitlab.is_free(name).await.unwrap(), free, "{name}");
    }
    assert!(bench.asked().iter().any(|asked| asked == "GET /api/v4/namespaces/eve"));
}

#[tokio::test]
async fn many_user_names_are_asked_about_in_a_minute() {
    let bench = administrators().await;
    for number in 0..30 {
        assert!(bench.gitlab.is_free(&format!("eve-{number}")).await.unwrap(), "{number}");
    }
    // That GitLab answers twenty times a minute.
    assert!(bench.asked().iter().all(|asked| !asked.ends_with("/exists")));
    // 404 means nothing to who does not see everything.
    let bobby = bench.with("glpat-bobby", 3, &["api"]);
    assert!(matches!(bobby.is_free("acme").await.unwrap_err(), GitError::Forbidden(_)));
    // A limit that is reached is said all the same.
    let limit = vec![("retry-after", "60".to_owned())];
    bench.double.fail(Fault::once("/namespaces/", How::Answer(429, limit, "{}".to_owned())));
    assert!(matches!(bench.gitlab.is_free("mallory").await.unwrap_err(), GitError::Limited { .. }));
}

#[tokio::test]
async fn a_name_that_looks_like_an_address_hides_nobody() {
    let bench = administrators().await;
    let carry = |count: u64| {
        let mut state = bench.double.state();
        for number in 0..count {
            let id = state.person(&format!("squatter-{number}"));
            state.account(id).name = "I am BOB@new.example".to_owned();
        }
    };
    carry(7);
    // The search gives the newest first, so that bob comes last.
    assert_eq!(bench.gitlab.find_by_email("bob@new.example").await.unwrap().as_deref(), Some("bob"));
    // Where even that leaves some over, nobody is told that the address is free.
    let bob = bench.double.state().accounts.iter().find(|account| account.username == "bob").unwrap().id;
    bench.double.state().account(bob).name = "bob@new.example".to_owned();
    let error = bench.gitlab.find_by_email("bob@new.example").await.unwrap_err();
    assert!(matches!(&error, GitError::Taken(said) if said.contains("that address in their names")), "{error}");
    assert_eq!(bench.gitlab.find_by_email("nobody@new.example").await.unwrap(), None);
}

#[tokio::test]
async fn an_account_is_made_without_a_password() {
    let bench = administrators().await;
    bench.gitlab.create(&new("eve@example.com", "eve")).await.unwrap();
    let posted = bench.double.asked().pop().unwrap();
    assert_eq!((posted.method.as_str(), posted.address.as_str()), ("POST", "/api/v4/users"));
    assert_eq!(
        posted.body,
        serde_json::json!({
            "email": "eve@example.com", "name": "Eve Example", "username": "eve",
            "reset_password": true, "skip_confirmation": true,
        })
    );
    assert_eq!(bench.gitlab.find_by_email("eve@example.com").await.unwrap().as_deref(), Some("eve"));
    assert!(!bench.gitlab.is_free("eve").await.unwrap());
    for (email, username, why) in [
        ("BOB@example.com", "other", "Email has already been taken"),
        ("bob@new.example", "other", "Email has already been taken"),
        ("x@example.com", "Eve", "Username has already been taken"),
        ("x@example.com", "acme", "group already exists with that username"),
    ] {
        let error = bench.gitlab.create(&new(email, username)).await.unwrap_err();
        assert!(matches!(&error, GitError::Taken(said) if said.contains(why)), "{email} {username}: {error}");
    }
    // Each was sent once.
    assert_eq!(bench.asked().iter().filter(|asked| asked.starts_with("POST")).count(), 4);
}
