//! The webhook at the provider: put there, repaired, removed, and left to people.

use kiops::app::webhooks::intake::Received;
use kiops::domain::git::{Provider, TokenRight};
use kiops::git::GitError;
use serde_json::{Value, json};

use super::Mill;
use crate::support::app::code;
use crate::support::git::{Effect, GOOD_TOKEN, token};
use crate::support::hooks::{Delivery, github_push};
use crate::support::shop::{mutate, text, web};

#[tokio::test]
async fn it_is_installed_with_a_fresh_secret_and_repaired_by_every_save() {
    for provider in Provider::ALL {
        let mill = Mill::bare(provider).await;
        let document = "query($id: ID!) { service(id: $id) { actions { action enabled disabledReason } autoCi { enabled \
            branches onPush onMergeRequest onTag webhookUrl installation installationMessage } } }";
        let look =
            async || mill.test.data(&mill.member, document, json!({ "id": mill.service })).await["service"].clone();
        let action = |service: &Value| {
            let all = service["actions"].as_array().unwrap().clone();
            all.into_iter().find(|a| a["action"] == "ENABLE_AUTO_CI").unwrap()
        };
        let word = if provider == Provider::Gitlab { "gitlab" } else { "github" };
        let url = format!("http://127.0.0.1:8080/webhooks/{word}/{}", mill.service);
        let before = look().await;
        let off = json!({ "enabled": false, "branches": [], "onPush": true, "onMergeRequest": false, "onTag": false,
            "webhookUrl": url, "installation": null, "installationMessage": null });
        assert_eq!(before["autoCi"], off);
        assert_eq!(action(&before)["enabled"], true);

        let saved = mill.save(json!({ "enabled": true })).await;
        let on = json!({ "enabled": true, "branches": [], "onPush": true, "onMergeRequest": false, "onTag": false,
            "webhookUrl": url, "installation": "INSTALLED", "installationMessage": null });
        assert_eq!(saved, json!({ "webhookSecret": null, "service": { "autoCi": on } }));
        assert_eq!(action(&look().await)["disabledReason"], "Auto CI is on");
        let secret = mill.secret();
        assert!(secret.len() >= 50, "{secret}");
        let hook = mill.test.gits.of(provider).hooks.values().next().unwrap().1.clone();
        assert_eq!((hook.url.as_str(), hook.events.push, hook.events.tags), (url.as_str(), true, false));

        // Somebody deletes it; the next save brings it back with the secret that it had.
        mill.test.gits.of(provider).hooks.clear();
        mill.save(json!({ "branches": ["main", "a**b"], "onTag": true })).await;
        assert_eq!(mill.secret(), secret);
        assert!(mill.test.gits.of(provider).hooks.values().next().unwrap().1.events.tags);
        assert_eq!(look().await["autoCi"]["branches"], json!(["main", "a*b"]));
        mill.save(json!({ "branches": null })).await;
        assert_eq!(look().await["autoCi"]["branches"], json!([]));

        let rotated = mill.save(json!({ "rotateSecret": true })).await;
        assert_eq!(rotated["webhookSecret"], Value::Null);
        assert_ne!(mill.secret(), secret);

        let off = mill.save(json!({ "enabled": false })).await;
        assert!(mill.test.gits.of(provider).hooks.is_empty());
        assert_eq!(off["service"]["autoCi"]["installation"], Value::Null);
        assert_eq!(off["service"]["autoCi"]["onTag"], true, "the settings stay");
    }
}

#[tokio::test]
async fn what_the_token_may_not_do_people_do() {
    let mill = Mill::bare(Provider::Github).await;
    let lacking = token(&[("admin:repo_hook", TokenRight::InstallWebhooks)]);
    mill.test.gits.of(Provider::Github).tokens.insert(GOOD_TOKEN.to_owned(), lacking);
    mutate(&mill.test, &mill.admin, "saveGithubSettings", json!({ "token": GOOD_TOKEN })).await;
    let saved = mill.save(json!({ "enabled": true })).await;
    let auto_ci = &saved["service"]["autoCi"];
    assert_eq!(auto_ci["installation"], "MANUAL");
    let why = text(&auto_ci["installationMessage"]);
    assert!(why.contains("GitHub Settings") && why.contains("admin:repo_hook"), "{why}");
    let secret = text(&saved["webhookSecret"]);
    assert!(mill.test.gits.of(Provider::Github).hooks.is_empty());
    // Pasted by hand it works.
    let body = github_push(&mill.project, "main", &"a1".repeat(20)).to_string();
    let delivery = Delivery::github("push", "d-1", &secret, body.as_bytes());
    assert_eq!(mill.send(&delivery).await, Received::Stored);
    // It is shown with every save that leaves it to people, and stays the same.
    assert_eq!(mill.save(json!({ "onTag": true })).await["webhookSecret"], secret.as_str());
    // Once the token may, it is never shown again.
    mill.test.gits.of(Provider::Github).tokens.insert(GOOD_TOKEN.to_owned(), token(&[]));
    mutate(&mill.test, &mill.admin, "saveGithubSettings", json!({ "token": GOOD_TOKEN })).await;
    let saved = mill.save(json!({})).await;
    assert_eq!(
        (&saved["webhookSecret"], &saved["service"]["autoCi"]["installation"]),
        (&Value::Null, &json!("INSTALLED"))
    );
    assert_eq!(mill.secret(), secret);
}

#[tokio::test]
async fn whatever_the_provider_answers_is_told_with_who_can_mend_it() {
    let cases = [
        (GitError::Forbidden("403 Forbidden".to_owned()), "GitLab Settings"),
        (GitError::Invalid("url is blocked".to_owned()), "server.public_url"),
        (GitError::NotFound("no such project".to_owned()), "no such project"),
        (GitError::Unreachable("it does not answer".to_owned()), "it does not answer"),
        (GitError::Limited { message: "too often".to_owned(), retry_at: None }, "too often"),
    ];
    for (error, words) in cases {
        let mill = Mill::bare(Provider::Gitlab).await;
        mill.test.gits.of(Provider::Gitlab).failures.insert("save_hook", (error, Effect::Nothing));
        let saved = mill.save(json!({ "enabled": true })).await;
        assert_eq!(saved["service"]["autoCi"]["installation"], "MANUAL");
        let why = text(&saved["service"]["autoCi"]["installationMessage"]);
        assert!(why.contains(words), "{why}");
        assert!(saved["webhookSecret"].as_str().unwrap().starts_with("whsec_"));
        mill.test.gits.of(Provider::Gitlab).failures.clear();
        assert_eq!(mill.save(json!({})).await["service"]["autoCi"]["installation"], "INSTALLED");
    }
    // Switched off while the provider is away: nothing is taken, and it is said what is left there.
    let mill = Mill::new(Provider::Gitlab).await;
    let push = mill.push("d-1", "main", 1);
    let away = GitError::Unreachable("it does not answer".to_owned());
    mill.test.gits.of(Provider::Gitlab).failures.insert("remove_hook", (away, Effect::Nothing));
    let off = mill.save(json!({ "enabled": false })).await;
    let why = text(&off["service"]["autoCi"]["installationMessage"]);
    assert!(why.contains("could not be removed"), "{why}");
    assert_eq!(mill.send(&push).await, Received::Refused);
    mill.test.gits.of(Provider::Gitlab).failures.clear();
    assert_eq!(mill.save(json!({})).await["service"]["autoCi"]["installationMessage"], Value::Null);
    assert!(mill.test.gits.of(Provider::Gitlab).hooks.is_empty());
}

#[tokio::test]
async fn every_fault_of_the_input_is_named() {
    let mill = Mill::bare(Provider::Gitlab).await;
    let before = mill.test.rows().await;
    let many: Vec<String> = (0..51).map(|n| format!("b{n}")).collect();
    let id = &mill.service;
    for (input, fields) in [
        (json!({ "serviceId": id, "enabled": true, "onPush": false }), &["input.onPush"][..]),
        (json!({ "serviceId": id, "branches": many }), &["input.branches"]),
        (
            json!({ "serviceId": id, "enabled": true, "onPush": false, "branches": ["ok", "-x", "a..b"] }),
            &["input.branches.1", "input.branches.2", "input.onPush"],
        ),
    ] {
        let answer = mill.ask_save(input).await;
        assert_eq!(code(&answer).as_deref(), Some("BAD_USER_INPUT"));
        let said = serde_json::to_string(&answer.errors).unwrap();
        for field in fields {
            assert!(said.contains(&format!("\"{field}\"")), "{field}: {said}");
        }
    }
    assert_eq!(mill.test.rows().await, before);
    mill.test.registries.push("nginx:1.27", 1);
    let image = json!({ "name": "image", "runtimeId": mill.runtime, "containers": [web()] });
    let image = mutate(&mill.test, &mill.admin, "registerDockerHubService", image).await;
    let answer = mill.ask_save(json!({ "serviceId": image, "enabled": true })).await;
    assert_eq!(code(&answer).as_deref(), Some("BAD_USER_INPUT"));
    let document = "query($id: ID!) { service(id: $id) { autoCi { enabled } actions { action enabled } } }";
    let found = mill.test.data(&mill.member, document, json!({ "id": image })).await;
    assert_eq!(found["service"]["autoCi"], Value::Null);
    let actions = found["service"]["actions"].as_array().unwrap();
    assert!(actions.contains(&json!({ "action": "ENABLE_AUTO_CI", "enabled": false })), "{actions:?}");
}

#[tokio::test]
async fn two_saves_at_once_leave_one_webhook_with_the_stored_secret() {
    let mill = Mill::bare(Provider::Github).await;
    let saves = (0..8).map(|n| mill.save(json!({ "enabled": true, "rotateSecret": true, "onTag": n % 2 == 0 })));
    futures_util::future::join_all(saves).await;
    assert_eq!(mill.send(&mill.push("d-1", "main", 1)).await, Received::Stored, "the secret is the one that is stored");
}

#[tokio::test]
async fn a_save_that_died_is_made_good_by_the_next() {
    // The secret is stored, the provider has taken it, and the answer never came to be written.
    let mill = Mill::bare(Provider::Github).await;
    mill.save(json!({ "enabled": true })).await;
    let row = mill.row();
    let app = &mill.test.app;
    let stored = <entity::service::Entity as sea_orm::EntityTrait>::find_by_id(&row).one(app.db.read()).await.unwrap();
    let mut dead: entity::service::ActiveModel = stored.unwrap().into();
    let until = app.clock.now() + chrono::TimeDelta::seconds(60);
    dead.auto_ci = sea_orm::Set(Some(json!({
        "enabled": true, "installation": "MANUAL", "saving": { "by": "somebody dead", "until": until },
    })));
    sea_orm::ActiveModelTrait::update(dead, app.db.read_write()).await.unwrap();
    mill.test.clock.advance(chrono::TimeDelta::seconds(61));
    let saved = mill.save(json!({})).await;
    assert_eq!(saved["service"]["autoCi"]["installation"], "INSTALLED");
    mill.secret();
    assert_eq!(mill.send(&mill.push("d-1", "main", 1)).await, Received::Stored);
}

#[tokio::test]
async fn the_secret_is_nowhere_in_the_clear() {
    let mill = Mill::bare(Provider::Gitlab).await;
    let denied = GitError::Forbidden("403 Forbidden".to_owned());
    mill.test.gits.of(Provider::Gitlab).failures.insert("save_hook", (denied, Effect::Nothing));
    let shown = mill.save(json!({ "enabled": true })).await;
    let secret = text(&shown["webhookSecret"]);
    mill.test.gits.of(Provider::Gitlab).failures.clear();
    let installed = mill.save(json!({})).await;
    assert!(!installed.to_string().contains(&secret));
    let wrong = mill.push("d-1", "main", 1).with("x-gitlab-token", Some(&secret)).with("webhook-signature", None);
    assert_eq!(mill.send(&wrong).await, Received::Refused);
    let token = Delivery::gitlab_by_token("Push Hook", "d-2", &secret, b"{}");
    assert_eq!(mill.send(&token).await, Received::Refused);
    super::until_shown(&mill, 2).await;
    for (table, rows) in mill.written().await.rows().await {
        for row in rows {
            assert!(!row.contains(&secret), "{table}: {row}");
        }
    }
}
