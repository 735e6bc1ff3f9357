//! The registration dialog, for every state of the settings and every role.

use chrono::TimeDelta;
use kiops::app::Actor;
use kiops::app::git::check;
use kiops::domain::git::{Provider, TokenRight};
use serde_json::{Value, json};

use super::House;
use crate::support::git::{GOOD_TOKEN, token};
use crate::support::shop::mutate;

/// Source, action, and the reason why it is disabled.
async fn menus(house: &House, actor: &Actor) -> Vec<(String, String, String, String)> {
    let document = "{ registrationMenus { source items { action title enabled disabledReason reason adminOnly } } }";
    let answer = house.test.data(actor, document, Value::Null).await;
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let mut rows = Vec::new();
    for menu in answer["registrationMenus"].as_array().unwrap() {
        for item in menu["items"].as_array().unwrap() {
            assert_eq!(item["enabled"].as_bool().unwrap(), item["reason"].is_null());
            assert_eq!(item["reason"].is_null(), item["disabledReason"].is_null());
            let (action, reason) = (text(&item["action"]), text(&item["reason"]));
            rows.push((text(&menu["source"]), action, reason, text(&item["disabledReason"])));
        }
    }
    rows
}

/// The tiles of one source, with the reasons why they are disabled.
async fn of(house: &House, actor: &Actor, source: &str) -> Vec<(String, String)> {
    let rows = menus(house, actor).await.into_iter().filter(|row| row.0 == source);
    rows.map(|(_, action, reason, _)| (action, reason)).collect()
}

fn rows(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(action, reason)| ((*action).to_owned(), (*reason).to_owned())).collect()
}

#[tokio::test]
async fn each_role_sees_its_tiles_in_order() {
    let house = House::bare().await;
    let actions = async |actor: &Actor| {
        menus(&house, actor)
            .await
            .into_iter()
            .map(|(source, action, ..)| format!("{source} {action}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        actions(&house.admin).await,
        [
            "GITLAB GITLAB_SETTINGS",
            "GITLAB CREATE_GITLAB_ACCOUNTS",
            "GITLAB REGISTER_EXISTING_PROJECT",
            "GITLAB CREATE_NEW_PROJECT",
            "GITHUB GITHUB_SETTINGS",
            "GITHUB REGISTER_EXISTING_PROJECT",
            "GITHUB CREATE_NEW_PROJECT",
            "DOCKER_HUB REGISTER_DOCKER_HUB_IMAGE",
        ]
    );
    assert_eq!(
        actions(&house.member).await,
        [
            "GITLAB REGISTER_EXISTING_PROJECT",
            "GITLAB CREATE_NEW_PROJECT",
            "GITHUB REGISTER_EXISTING_PROJECT",
            "GITHUB CREATE_NEW_PROJECT",
            "DOCKER_HUB REGISTER_DOCKER_HUB_IMAGE",
        ]
    );
}

#[tokio::test]
async fn with_nothing_set_up_it_says_who_does_it() {
    let house = House::bare().await;
    let missing = "GIT_NOT_CONFIGURED";
    assert_eq!(
        of(&house, &house.admin, "GITLAB").await,
        rows(&[
            ("GITLAB_SETTINGS", ""),
            ("CREATE_GITLAB_ACCOUNTS", missing),
            ("REGISTER_EXISTING_PROJECT", missing),
            ("CREATE_NEW_PROJECT", missing),
        ])
    );
    assert_eq!(
        of(&house, &house.member, "GITHUB").await,
        rows(&[("REGISTER_EXISTING_PROJECT", missing), ("CREATE_NEW_PROJECT", missing)])
    );
    for (source, title) in [("GITLAB", "GitLab Settings"), ("GITHUB", "GitHub Settings")] {
        for (actor, words) in [(&house.member, "ask your admin to complete"), (&house.admin, "complete")] {
            let found = menus(&house, actor).await;
            let said = found.into_iter().find(|row| row.0 == source && row.1 == "CREATE_NEW_PROJECT").unwrap().3;
            assert!(said.starts_with(&format!("{words} \"{title}\"")), "{said}");
        }
    }
}

#[tokio::test]
async fn a_token_of_an_administrator_opens_everything() {
    let house = House::new().await;
    let all = menus(&house, &house.admin).await.into_iter().chain(menus(&house, &house.member).await);
    for (source, action, reason, _) in all.filter(|row| row.0 != "DOCKER_HUB") {
        assert_eq!(reason, "", "{source} {action}");
    }
}

#[tokio::test]
async fn a_token_of_an_ordinary_user_makes_no_accounts() {
    let house = House::new().await;
    let info = token(&[("instance administrator", TokenRight::CreateAccounts)]);
    house.test.gits.of(Provider::Gitlab).tokens.insert("glpat-of-an-ordinary-user".to_owned(), info);
    let save = json!({ "baseUrl": "https://gitlab.example", "token": "glpat-of-an-ordinary-user" });
    mutate(&house.test, &house.admin, "saveGitlabSettings", save).await;
    assert_eq!(
        of(&house, &house.admin, "GITLAB").await,
        rows(&[
            ("GITLAB_SETTINGS", ""),
            ("CREATE_GITLAB_ACCOUNTS", "GIT_SCOPE_MISSING"),
            ("REGISTER_EXISTING_PROJECT", ""),
            ("CREATE_NEW_PROJECT", ""),
        ])
    );
    let said = menus(&house, &house.admin).await[1].3.clone();
    assert!(said.contains("instance administrator") && said.contains("GitLab accounts"), "{said}");
}

#[tokio::test]
async fn a_token_without_a_scope_disables_what_needs_it() {
    let house = House::new().await;
    let info = token(&[("api", TokenRight::CreateProjects), ("read_repository", TokenRight::ReadSource)]);
    house.test.gits.of(Provider::Gitlab).tokens.insert("glpat-that-can-only-read".to_owned(), info);
    let save = json!({ "baseUrl": "https://gitlab.example", "token": "glpat-that-can-only-read" });
    mutate(&house.test, &house.admin, "saveGitlabSettings", save).await;
    let missing = "GIT_SCOPE_MISSING";
    let expected = rows(&[("REGISTER_EXISTING_PROJECT", missing), ("CREATE_NEW_PROJECT", missing)]);
    assert_eq!(of(&house, &house.member, "GITLAB").await, expected);
    assert_eq!(of(&house, &house.member, "GITHUB").await[0].1, "", "the other provider is not touched by it");
    let settings = house
        .test
        .data(&house.admin, "{ gitSettings { provider missingScopes { scope neededFor } } }", Value::Null)
        .await;
    let lacking = json!([
        { "scope": "api", "neededFor": "creating projects" },
        { "scope": "read_repository", "neededFor": "fetching source code" },
    ]);
    assert_eq!(settings["gitSettings"][0]["missingScopes"], lacking);
}

#[tokio::test]
async fn a_token_that_has_ended_or_was_revoked_is_seen_by_the_daily_check() {
    let house = House::bare().await;
    let ends = house.test.app.clock.now() + TimeDelta::days(3);
    let info = kiops::git::TokenInfo { expires_at: Some(ends), ..token(&[]) };
    house.test.gits.of(Provider::Gitlab).tokens.insert(GOOD_TOKEN.to_owned(), info);
    house.set_up().await;
    let rejected = "GIT_TOKEN_REJECTED";

    // Nothing is asked before it is due.
    let asked = || house.test.gits.of(Provider::Github).calls.iter().filter(|c| **c == "identify").count();
    let before = asked();
    check::check_due(&house.test.app).await.unwrap();
    assert_eq!(asked(), before);

    // Revoked: the next check says so.
    house.test.gits.of(Provider::Github).tokens.clear();
    house.test.clock.advance(TimeDelta::hours(25));
    let servers = (0..5).map(|_| check::check_due(&house.test.app));
    futures_util::future::join_all(servers).await.into_iter().for_each(Result::unwrap);
    assert_eq!(asked(), before + 1, "a check is made once, however many servers there are");
    let expected = rows(&[("REGISTER_EXISTING_PROJECT", rejected), ("CREATE_NEW_PROJECT", rejected)]);
    assert_eq!(of(&house, &house.member, "GITHUB").await, expected);
    assert_eq!(of(&house, &house.member, "GITLAB").await[0].1, "");

    // Expired: that needs no check.
    house.test.clock.advance(TimeDelta::days(3));
    assert_eq!(of(&house, &house.member, "GITLAB").await, expected);
    let said = menus(&house, &house.member).await[0].3.clone();
    assert!(said.contains("ask your admin to complete \"GitLab Settings\"") && said.contains("ended on"), "{said}");

    // Taken again: the check of an hour later clears it.
    house.test.gits.of(Provider::Github).tokens.insert(GOOD_TOKEN.to_owned(), token(&[]));
    check::check_due(&house.test.app).await.unwrap();
    assert_eq!(of(&house, &house.member, "GITHUB").await[0].1, "");
}
