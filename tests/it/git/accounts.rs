//! Accounts on GitLab for the people of an organization.

use std::collections::BTreeMap;

use kiops::domain::git::{Provider, TokenRight};
use kiops::git::GitError;
use serde_json::{Value, json};

use super::{House, fault};
use crate::support::git::{Effect, token};
use crate::support::shop::mutate;

const CREATE: &str = "mutation($input: CreateGitlabAccountsInput!) { createGitlabAccounts(input: $input) { results { \
    user { email } outcome username message } } }";

async fn create(house: &House, input: Value) -> Vec<(String, String, Option<String>, Option<String>)> {
    let answer = house.test.data(&house.admin, CREATE, json!({ "input": input })).await;
    let text = |v: &Value| v.as_str().map(str::to_owned);
    let results = answer["createGitlabAccounts"]["results"].as_array().unwrap();
    let row = |r: &Value| {
        (text(&r["user"]["email"]).unwrap(), text(&r["outcome"]).unwrap(), text(&r["username"]), text(&r["message"]))
    };
    results.iter().map(row).collect()
}

fn counts(results: &[(String, String, Option<String>, Option<String>)]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for (_, outcome, ..) in results {
        *counts.entry(outcome.as_str()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn two_hundred_people_of_whom_some_have_one_and_some_fail() {
    let house = House::new().await;
    // Admin and member are two of the two hundred.
    let people = (0..198).map(|n| {
        let house = &house;
        async move { house.somebody(&format!("ada.lovelace{n:03}@acme.example")).await }
    });
    let ids = futures_util::future::join_all(people).await;
    assert_eq!(ids.len(), 198);
    {
        let mut gitlab = house.test.gits.of(Provider::Gitlab);
        for n in 0..20 {
            gitlab.accounts.insert(format!("ada.lovelace{n:03}@acme.example"), format!("there{n}"));
        }
        gitlab.refused_accounts = (100..103).map(|n| format!("ada.lovelace{n:03}@acme.example")).collect();
    }
    let planned = create(&house, json!({ "dryRun": true })).await;
    assert_eq!(counts(&planned), BTreeMap::from([("EXISTS", 20), ("WOULD_CREATE", 180)]));
    assert_eq!(house.test.gits.of(Provider::Gitlab).accounts.len(), 20, "a dry run makes nothing");

    let first = create(&house, json!({})).await;
    assert_eq!(counts(&first), BTreeMap::from([("CREATED", 177), ("EXISTS", 20), ("FAILED", 3)]));
    for (email, _, username, message) in first.iter().filter(|r| r.1 == "FAILED") {
        assert!(house.test.gits.of(Provider::Gitlab).refused_accounts.contains(email));
        assert_eq!(username, &None);
        assert!(message.as_deref().unwrap().contains("not allowed for sign-up"), "{message:?}");
    }
    let again = create(&house, json!({})).await;
    assert_eq!(counts(&again), BTreeMap::from([("EXISTS", 197), ("FAILED", 3)]));
    let names = |all: &[(String, String, Option<String>, Option<String>)]| {
        all.iter().map(|r| (r.0.clone(), r.2.clone())).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), names(&again), "the same people in the same order with the same names");
    house.test.gits.of(Provider::Gitlab).refused_accounts.clear();
    assert_eq!(counts(&create(&house, json!({})).await), BTreeMap::from([("CREATED", 3), ("EXISTS", 197)]));
    assert_eq!(house.test.gits.of(Provider::Gitlab).accounts.len(), 200);
    let rows = house.test.rows().await;
    let created = rows["audit_event"].iter().filter(|row| row.contains("gitlab_account.created")).count();
    assert_eq!(created, 180, "one entry for each account that was made");
}

#[tokio::test]
async fn people_with_like_names_get_different_user_names() {
    let house = House::new().await;
    let mut ids = Vec::new();
    for email in ["ada@one.example", "ada@two.example", "ada@three.example"] {
        let id = house.somebody(email).await;
        ids.push(kiops::graphql::ids::NodeKind::User.id(&id).to_string());
    }
    // Named twice is one.
    let doubled: Vec<&String> = ids.iter().chain(&ids[..1]).collect();
    let results = create(&house, json!({ "userIds": doubled })).await;
    assert_eq!(results.iter().map(|r| r.1.as_str()).collect::<Vec<_>>(), ["CREATED"; 3]);
    let names: std::collections::BTreeSet<_> = results.iter().map(|r| r.2.clone().unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[tokio::test]
async fn what_stops_one_for_good_stops_the_rest_and_says_so() {
    let house = House::new().await;
    for n in 0..30 {
        house.somebody(&format!("p{n}@acme.example")).await;
    }
    let error =
        GitError::Limited { message: "GitLab at https://gitlab.example limits requests".to_owned(), retry_at: None };
    house.test.gits.of(Provider::Gitlab).failures.insert("create_account", (error, Effect::Nothing));
    let results = create(&house, json!({})).await;
    assert_eq!(counts(&results), BTreeMap::from([("FAILED", 32)]));
    assert!(results.iter().all(|r| r.3.as_deref().unwrap().contains("limits requests")), "{results:?}");
    let tried = house.test.gits.of(Provider::Gitlab).calls.iter().filter(|c| **c == "create_account").count();
    assert!(tried <= 5, "{tried} were tried");
}

#[tokio::test]
async fn it_takes_an_admin_here_and_an_administrator_there() {
    let house = House::bare().await;
    let answer = house.test.run(Some(&house.member), CREATE, json!({ "input": {} })).await;
    assert!(answer.errors[0].message.contains("Unknown"), "{:?}", answer.errors);
    let answer = house.test.run(Some(&house.admin), CREATE, json!({ "input": {} })).await;
    assert_eq!(fault(&answer).1, "GIT_NOT_CONFIGURED");
    let lacks = token(&[("instance administrator", TokenRight::CreateAccounts)]);
    house.test.gits.of(Provider::Gitlab).tokens.insert("glpat-of-an-ordinary-user".to_owned(), lacks);
    let save = json!({ "baseUrl": "https://gitlab.example", "token": "glpat-of-an-ordinary-user" });
    mutate(&house.test, &house.admin, "saveGitlabSettings", save).await;
    let answer = house.test.run(Some(&house.admin), CREATE, json!({ "input": {} })).await;
    let (code, reason, _, message) = fault(&answer);
    assert_eq!((code.as_str(), reason.as_str()), ("FAILED_PRECONDITION", "GIT_SCOPE_MISSING"));
    assert!(message.contains("instance administrator"), "{message}");
}

#[tokio::test]
async fn who_there_is_no_time_for_is_left_for_another_call() {
    let settings =
        kiops::app::Settings { mutation_timeout: std::time::Duration::ZERO, ..crate::support::app::settings() };
    let test = crate::support::app::TestApp::with(settings).await;
    let admin = test.organization("acme").await;
    let member = test.member(&admin, "ada@acme.example").await;
    let house = House { test, admin, member };
    house.set_up().await;
    let results = create(&house, json!({})).await;
    assert_eq!(counts(&results), BTreeMap::from([("FAILED", 2)]));
    assert!(results[0].3.as_deref().unwrap().contains("with the userIds of those who are left"), "{results:?}");
    assert!(house.test.gits.of(Provider::Gitlab).accounts.is_empty());
}
