//! The real program: what it has answered for survives it.

use std::sync::Mutex;
use std::time::Duration;

use kiops::boot::SystemClock;
use kiops::domain::clock::Clock as _;
use serde_json::{Value, json};

use crate::support::gitlab_double::GitlabDouble;
use crate::support::hooks::{Delivery, gitlab_push};
use crate::support::server::{Server, talk, until};

const TOKEN: &str = "glpat-marker-of-the-gitlab-token";

/// A server whose service's webhook is installed on a GitLab: where deliveries go, and the webhook's secret.
fn with_webhook(gitlab: &GitlabDouble) -> (Server, String, String, String) {
    let server = Server::start();
    let project = {
        let mut state = gitlab.state();
        let me = state.person("bot");
        state.token(TOKEN, me, &["api"]);
        state.group("acme", me, 50);
        state.project("acme/shop", "main").to_string()
    };
    let save = "mutation($i: SaveGitlabSettingsInput!) { saveGitlabSettings(input: $i) { gitSettings { id } } }";
    server.data(save, json!({ "i": { "baseUrl": gitlab.url, "token": TOKEN } }));
    let register = "mutation($i: RegisterGitProjectInput!) { registerGitProject(input: $i) { service { id } } }";
    let input = json!({ "provider": "GITLAB", "project": "acme/shop", "branch": "main", "name": "shop" });
    let service = server.data(register, json!({ "i": input }))["registerGitProject"]["service"]["id"].clone();
    let on = "mutation($i: SaveAutoCiInput!) { saveAutoCi(input: $i) { webhookSecret service { autoCi { installation \
        installationMessage } } } }";
    // Pushes to another branch start nothing: what is asked here is whether they are there.
    let input = json!({ "serviceId": service, "enabled": true, "branches": ["never"] });
    let saved = server.data(on, json!({ "i": input }))["saveAutoCi"].clone();
    assert_eq!(saved["service"]["autoCi"]["installation"], "INSTALLED", "{saved}");
    assert_eq!(saved["webhookSecret"], Value::Null);
    let state = gitlab.state();
    let hook = state.hooks.values().next().unwrap().clone();
    let path = hook.url.strip_prefix(&format!("http://{}", server.address)).unwrap().to_owned();
    (server, path, hook.signing_token, project)
}

/// One delivery, sent until the server answers or is dead: whether it was taken.
fn send(address: &str, path: &str, secret: &str, body: &str, id: &str) -> bool {
    let now = SystemClock.now().timestamp();
    let delivery = Delivery::gitlab("Push Hook", id, secret, body.as_bytes(), now);
    talk(address, &delivery.request(path)).is_ok_and(|answer| answer.split(' ').nth(1) == Some("202"))
}

/// How many deliveries are there that did not come twice, once all are handled.
fn stored(server: &Server, service: &str, at_least: usize) -> usize {
    let ask = "query($id: ID!, $a: String) { service(id: $id) { autoCi { deliveries(first: 100, after: $a) { nodes { outcome } \
        pageInfo { endCursor hasNextPage } } } } }";
    let count = || {
        let (mut after, mut count) = (Value::Null, 0);
        loop {
            let found = server.data(ask, json!({ "id": service, "a": after }));
            let page = &found["service"]["autoCi"]["deliveries"];
            let all = page["nodes"].as_array().unwrap();
            count += all.iter().filter(|d| d["outcome"] == "IGNORED").count();
            if page["pageInfo"]["hasNextPage"] != true {
                return count;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
    };
    until("all deliveries to be handled", 30, || {
        let now = count();
        std::thread::sleep(Duration::from_millis(500));
        (now >= at_least && count() == now).then_some(now)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_no_delivery_that_was_answered() {
    let gitlab = GitlabDouble::start("").await;
    tokio::task::spawn_blocking(move || power_cut(&gitlab)).await.unwrap();
}

fn power_cut(gitlab: &GitlabDouble) {
    let (mut server, path, secret, project) = with_webhook(gitlab);
    let body = gitlab_push(&project, "main", &"ab".repeat(20)).to_string();
    let address = server.address.clone();
    let answered = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for sender in 0..8 {
            let (address, path, secret, body, answered) = (&address, &path, &secret, &body, &answered);
            // Together fewer than are kept.
            scope.spawn(move || {
                for n in 0..110 {
                    let id = format!("{sender}-{n}");
                    if !send(address, path, secret, body, &id) {
                        return;
                    }
                    answered.lock().unwrap().push(id);
                }
            });
        }
        until("the middle of the burst", 30, || (answered.lock().unwrap().len() >= 250).then_some(()));
        server.kill9();
    });
    let answered = answered.into_inner().unwrap();
    assert!((250..880).contains(&answered.len()), "it was in the middle of the burst: {}", answered.len());
    server.restart();
    let service = path.rsplit('/').next().unwrap();
    let before = stored(&server, service, answered.len());
    // What was lost would be new when it comes again.
    for id in &answered {
        assert!(send(&address, &path, &secret, &body, id), "{id}: {}", server.log());
    }
    assert_eq!(stored(&server, service, before), before);
    assert!(!server.log().contains(&secret), "the log has the secret");
    server.stop();
}
