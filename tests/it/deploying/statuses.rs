//! What a service's status says when something happens to what runs.

use serde_json::json;

use super::{Shop, text};
use crate::support::server::until;

#[test]
fn dead_containers_degrade_also_behind_the_servers_back() {
    let Some(mut shop) = Shop::open("dead_containers_degrade") else { return };
    let mut web = shop.web("1");
    web["volumes"] = json!([{ "mountPath": "/kept" }]);
    shop.register(&[web], json!({}));
    shop.deploy_well(None);
    assert_eq!(shop.state()["status"], "RUNNING");

    shop.docker(&["kill", &shop.containers()["web"]]);
    let state = shop.becomes("DEGRADED", 10);
    assert!(text(&state["statusMessage"]).contains("web is not ready"), "{state:#}");
    assert_eq!(state["environments"][0]["instances"][0]["ready"], false);
    act(&shop, "restartService");
    shop.becomes("RUNNING", 30);
    until("the page", 10, || shop.page());

    shop.server.kill9();
    shop.docker(&["kill", &shop.containers()["web"]]);
    shop.server.restart();
    shop.becomes("DEGRADED", 10);
    act(&shop, "restartService");
    shop.becomes("RUNNING", 30);

    // It ended and came back while nobody watched: nothing to tell.
    shop.server.kill9();
    shop.docker(&["restart", &shop.containers()["web"]]);
    shop.server.restart();
    assert_eq!(shop.becomes("RUNNING", 10)["environments"][0]["instances"][0]["ready"], true);

    act(&shop, "stopService");
    let state = shop.becomes("STOPPED", 30);
    assert_eq!(state["environments"][0]["instances"][0]["ready"], false);
    assert!(shop.page().is_none());
    act(&shop, "restartService");
    shop.becomes("RUNNING", 30);
    assert_eq!(until("the page", 10, || shop.page()), "v1 hello");
    shop.docker(&["rm", "--force", &shop.containers()["web"]]);
    let state = shop.becomes("DEGRADED", 10);
    assert!(text(&state["statusMessage"]).contains("web is gone"), "{state:#}");
    shop.deploy_well(None);
    shop.becomes("RUNNING", 10);

    let remove = "mutation($id: ID!) { removeService(input: {id: $id}) { service { status } } }";
    let removed = shop.server.data(remove, json!({ "id": shop.service }));
    assert_eq!(removed["removeService"]["service"]["status"], "REMOVING");
    shop.is_gone();
    assert!(shop.containers().is_empty());
    assert!(shop.list("network").is_empty());
    let volumes = shop.list("volume");
    assert_eq!(volumes.len(), 1, "volumes stay: {volumes:?}");
    shop.docker(&["volume", "rm", &volumes[0]]);
    shop.end();
}

fn act(shop: &Shop, mutation: &str) {
    let document = format!("mutation($id: ID!) {{ {mutation}(input: {{serviceId: $id}}) {{ service {{ id }} }} }}");
    shop.server.data(&document, json!({ "id": shop.service }));
}
