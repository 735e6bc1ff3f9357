//! Whose deliveries are taken. Every one that is not is refused alike, and none starts anything.

use std::collections::BTreeSet;

use kiops::app::webhooks::intake::Received;
use kiops::domain::git::Provider;
use serde_json::{Value, json};

use super::{Mill, until_shown};
use crate::support::builds::commit;
use crate::support::hooks::{Delivery, github_push, gitlab_push};
use crate::support::shop::text;

fn changed_at(body: &[u8], at: usize) -> Vec<u8> {
    let mut body = body.to_vec();
    body[at] ^= 1;
    body
}

#[tokio::test]
async fn github_deliveries_are_proven_over_the_bytes_that_came() {
    let mill = Mill::new(Provider::Github).await;
    let good = mill.push("d-1", "main", 1);
    let name = "x-hub-signature-256";
    let signature = good.headers.iter().find(|(n, _)| n == name).unwrap().1.clone();
    let spaced: Value = serde_json::from_slice(&good.body).unwrap();
    let spaced = serde_json::to_vec_pretty(&spaced).unwrap();
    let mut with_space = good.body.clone();
    with_space.push(b' ');
    let other = Mill::new(Provider::Github).await;
    other.save(json!({ "rotateSecret": true })).await;
    assert_ne!(other.secret(), mill.secret());
    let stranger = Delivery::github("push", "d-2", &other.secret(), &good.body);
    let empty = Delivery::github("push", "d-3", "", &good.body);
    let sha1 = format!("sha1={}", &signature[7..47]);
    let cases = [
        ("one byte changed", good.clone().saying(&changed_at(&good.body, 9))),
        ("written anew", good.clone().saying(&spaced)),
        ("one space more", good.clone().saying(&with_space)),
        ("nothing said", good.clone().saying(b"")),
        ("no signature", good.clone().with(name, None)),
        ("an empty one", good.clone().with(name, Some(""))),
        ("sha1", good.clone().with(name, Some(&sha1))),
        ("63 digits", good.clone().with(name, Some(&signature[..signature.len() - 1]))),
        ("without its prefix", good.clone().with(name, Some(&signature[7..]))),
        ("of an empty secret", empty),
        ("another's secret", stranger),
        ("the secret itself", good.clone().with(name, Some(&mill.secret()))),
    ];
    for (what, delivery) in &cases {
        assert_eq!(mill.send(delivery).await, Received::Refused, "{what}");
    }
    assert_eq!(mill.pipelines().await, []);
    // A flood of them is not written down, but some are, with words that quote nothing.
    let shown = until_shown(&mill, 5).await;
    assert!(shown.iter().all(|d| d["outcome"] == "REJECTED" && d["event"] == "push"), "{shown:?}");
    assert!(!json!(shown).to_string().contains(&signature[10..30]), "{shown:?}");
    assert_eq!(mill.send(&good).await, Received::Stored);
    mill.settle().await;
    assert_eq!(mill.pipelines().await.len(), 1);
}

#[tokio::test]
async fn gitlab_deliveries_are_signed_and_there_is_no_way_down() {
    let mill = Mill::new(Provider::Gitlab).await;
    let (secret, now) = (mill.secret(), mill.now());
    let body = gitlab_push(&mill.project, "main", commit(1).as_str()).to_string();
    let at = |at: i64| Delivery::gitlab("Push Hook", "m-1", &secret, body.as_bytes(), at);
    let good = at(now);
    let by_token = Delivery::gitlab_by_token("Push Hook", "m-1", &secret, body.as_bytes());
    let cases = [
        ("too old", at(now - 301)),
        ("of the future", at(now + 301)),
        ("another id", good.clone().with("webhook-id", Some("m-2"))),
        ("no id", good.clone().with("webhook-id", None)),
        ("another time", good.clone().with("webhook-timestamp", Some(&(now + 1).to_string()))),
        ("no signature", good.clone().with("webhook-signature", None)),
        (
            "no signature, right token",
            good.clone().with("webhook-signature", None).with("x-gitlab-token", Some(&secret)),
        ),
        ("wrong signature, right token", {
            let wrong = good.clone().with("webhook-signature", Some("v1,AAAA"));
            wrong.with("x-gitlab-token", Some(&secret))
        }),
        ("the token alone", by_token),
        ("one space more", good.clone().saying(format!("{body} ").as_bytes())),
    ];
    for (what, delivery) in &cases {
        assert_eq!(mill.send(delivery).await, Received::Refused, "{what}");
    }
    for delivery in [at(now - 299).with("webhook-id", Some("m-1")), at(now + 299)] {
        assert_eq!(mill.send(&delivery).await, Received::Stored);
    }
    // The same delivery signed anew is the same delivery.
    mill.settle().await;
    let shown = mill.deliveries().await;
    let outcomes: BTreeSet<String> = shown.iter().map(|d| text(&d["outcome"])).collect();
    assert!(outcomes.contains("STARTED") && outcomes.contains("DUPLICATE"), "{shown:?}");
    assert_eq!(mill.pipelines().await.len(), 1);
}

#[tokio::test]
async fn a_gitlab_that_signs_nothing_sends_the_secret() {
    let mill = Mill::bare(Provider::Gitlab).await;
    mill.test.gits.of(Provider::Gitlab).signs = false;
    mill.save(json!({ "enabled": true })).await;
    let secret = mill.secret();
    let body = gitlab_push(&mill.project, "main", commit(1).as_str()).to_string();
    let of = |secret: &str| Delivery::gitlab_by_token("Push Hook", "t-1", secret, body.as_bytes());
    for wrong in ["", "x", &secret[..secret.len() - 1], &format!("{secret} ")] {
        assert_eq!(mill.send(&of(wrong)).await, Received::Refused, "{wrong}");
    }
    assert_eq!(mill.send(&of(&secret).with("x-gitlab-token", None)).await, Received::Refused);
    assert_eq!(mill.send(&of(&secret)).await, Received::Stored);
}

#[tokio::test]
async fn what_proves_a_pasted_webhook_stays() {
    for signed_first in [true, false] {
        let mill = Mill::bare(Provider::Gitlab).await;
        let denied = kiops::git::GitError::Forbidden("403 Forbidden".to_owned());
        let nothing = crate::support::git::Effect::Nothing;
        mill.test.gits.of(Provider::Gitlab).failures.insert("save_hook", (denied, nothing));
        let secret = text(&mill.save(json!({ "enabled": true })).await["webhookSecret"]);
        let body = gitlab_push(&mill.project, "main", commit(1).as_str()).to_string();
        let signed = |id: &str| Delivery::gitlab("Push Hook", id, &secret, body.as_bytes(), mill.now());
        let by_token = |id: &str| Delivery::gitlab_by_token("Push Hook", id, &secret, body.as_bytes());
        let (first, second): (Delivery, Delivery) =
            if signed_first { (signed("1"), by_token("2")) } else { (by_token("1"), signed("2")) };
        assert_eq!(mill.send(&first).await, Received::Stored);
        assert_eq!(mill.send(&second).await, Received::Refused, "signed first: {signed_first}");
        // Saving again without a new secret keeps it.
        mill.save(json!({ "onTag": true })).await;
        assert_eq!(mill.send(&second).await, Received::Refused, "signed first: {signed_first}");
        // A new secret begins anew.
        let secret = text(&mill.save(json!({ "rotateSecret": true })).await["webhookSecret"]);
        let third = match signed_first {
            true => Delivery::gitlab_by_token("Push Hook", "3", &secret, body.as_bytes()),
            false => Delivery::gitlab("Push Hook", "3", &secret, body.as_bytes(), mill.now()),
        };
        assert_eq!(mill.send(&third).await, Received::Stored);
    }
}

#[tokio::test]
async fn an_old_secret_says_nothing_of_how_the_new_one_is_sent() {
    let mill = Mill::bare(Provider::Gitlab).await;
    let denied = kiops::git::GitError::Forbidden("403 Forbidden".to_owned());
    let nothing = crate::support::git::Effect::Nothing;
    mill.test.gits.of(Provider::Gitlab).failures.insert("save_hook", (denied, nothing));
    let old = text(&mill.save(json!({ "enabled": true })).await["webhookSecret"]);
    let body = gitlab_push(&mill.project, "main", commit(1).as_str()).to_string();
    // Another server's: it hears nothing of what this one saves, and remembers the old secret for a moment.
    let app = kiops::app::App { events: kiops::app::Events::default(), ..mill.test.app.clone() };
    let elsewhere = kiops::app::webhooks::intake::Intake::start(&app, &mill.tasks);
    let wrong = Delivery::gitlab_by_token("Push Hook", "1", "wrong", body.as_bytes());
    assert_eq!(wrong.to(&elsewhere, &mill.row()).await, Received::Refused);
    let new = text(&mill.save(json!({ "rotateSecret": true })).await["webhookSecret"]);
    let by_old = Delivery::gitlab_by_token("Push Hook", "2", &old, body.as_bytes());
    assert_eq!(by_old.to(&elsewhere, &mill.row()).await, Received::Refused);
    let shown = until_shown(&mill, 2).await;
    assert_eq!(shown[0]["reason"], "the webhook's secret was just changed", "it was still remembered");
    // The new one may be signed with.
    let signed = Delivery::gitlab("Push Hook", "3", &new, body.as_bytes(), mill.now());
    assert_eq!(mill.send(&signed).await, Received::Stored);
    assert_eq!(mill.send(&Delivery::gitlab_by_token("Push Hook", "4", &new, body.as_bytes())).await, Received::Refused);
}

#[tokio::test]
async fn nobody_learns_which_services_there_are() {
    let mill = Mill::new(Provider::Github).await;
    let good = mill.push("d-1", "main", 1);
    let nowhere = "01900000-0000-7000-8000-ffffffffffff";
    assert_eq!(good.to(&mill.intake, nowhere).await, Received::Refused);
    let gitlab = Delivery::gitlab_by_token("Push Hook", "x", &mill.secret(), &good.body);
    assert_eq!(mill.send(&gitlab).await, Received::Refused, "another provider");
    let image = json!({ "name": "image", "runtimeId": mill.runtime, "containers": [crate::support::shop::web()] });
    mill.test.registries.push("nginx:1.27", 1);
    let image = crate::support::shop::mutate(&mill.test, &mill.admin, "registerDockerHubService", image).await;
    let image = kiops::graphql::ids::decode(&async_graphql::ID(image)).unwrap().1;
    assert_eq!(good.to(&mill.intake, &image).await, Received::Refused, "made of images");
    mill.save(json!({ "enabled": false })).await;
    let off = Delivery::github("push", "d-1", &"0".repeat(64), &good.body);
    for delivery in [&good, &off] {
        assert_eq!(mill.send(delivery).await, Received::Refused, "off");
    }
    let shown = until_shown(&mill, 2).await;
    assert!(shown.iter().any(|d| d["reason"] == "Auto CI is off"), "{shown:?}");
    let bare = Mill::bare(Provider::Github).await;
    assert_eq!(off.to(&bare.intake, &bare.row()).await, Received::Refused, "never on");
}

#[tokio::test]
async fn an_old_secret_is_none_any_more() {
    let mill = Mill::new(Provider::Github).await;
    let old = mill.push("d-1", "main", 1);
    let before = mill.secret();
    assert_eq!(mill.send(&old).await, Received::Stored);
    // Another server's: it hears nothing of what this one saves.
    let app = kiops::app::App { events: kiops::app::Events::default(), ..mill.test.app.clone() };
    let elsewhere = kiops::app::webhooks::intake::Intake::start(&app, &mill.tasks);
    assert_eq!(old.to(&elsewhere, &mill.row()).await, Received::Stored);
    mill.save(json!({ "rotateSecret": true })).await;
    assert_ne!(mill.secret(), before);
    let again = Delivery::github("push", "d-2", &before, &old.body);
    assert_eq!(mill.send(&again).await, Received::Refused, "at once");
    tokio::time::sleep(std::time::Duration::from_millis(2_050)).await;
    assert_eq!(again.to(&elsewhere, &mill.row()).await, Received::Refused, "within two seconds");
    assert_eq!(mill.send(&mill.push("d-3", "main", 2)).await, Received::Stored);
    assert_eq!(mill.push("d-4", "main", 2).to(&elsewhere, &mill.row()).await, Received::Stored);
}

#[tokio::test]
async fn only_a_hundred_refused_ones_are_kept() {
    let mill = Mill::new(Provider::Github).await;
    assert_eq!(mill.send(&mill.push("real", "main", 1)).await, Received::Stored);
    mill.settle().await;
    let bad = Delivery::github("push", "d", "wrong", github_push(&mill.project, "main", "x").to_string().as_bytes());
    // A fast flood leaves five traces in a second.
    for _ in 0..40 {
        assert_eq!(mill.send(&bad).await, Received::Refused);
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(mill.deliveries().await.len() <= 11, "{}", mill.deliveries().await.len());
    // A repeated one does not drive out what it repeats.
    let real = mill.push("real", "main", 1);
    for _ in 0..130 {
        assert_eq!(mill.send(&real).await, Received::Stored);
    }
    let count = async |outcome: &str| {
        let query = "query($id: ID!, $a: String) { service(id: $id) { autoCi { deliveries(first: 100, after: $a) { \
            nodes { outcome } pageInfo { endCursor hasNextPage } } } } }";
        let (mut after, mut found) = (Value::Null, 0);
        loop {
            let page = mill.test.data(&mill.member, query, json!({ "id": mill.service, "a": after })).await;
            let page = &page["service"]["autoCi"]["deliveries"];
            found += page["nodes"].as_array().unwrap().iter().filter(|d| d["outcome"] == outcome).count();
            if page["pageInfo"]["hasNextPage"] != true {
                return found;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
    };
    assert_eq!((count("DUPLICATE").await, count("STARTED").await), (100, 1));
}
