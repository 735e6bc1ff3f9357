//! Registering, listing and changing services through the API.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use serde_json::{Value, json};

use crate::support::app::{TestApp, code};

const RUNTIME: &str = r"mutation($input: RegisterRuntimeInput!) { registerRuntime(input: $input) { runtime {
    id name kind endpoint status version declared services { totalCount } } } }";
const REGISTER: &str = r"mutation($input: RegisterDockerHubServiceInput!) { registerDockerHubService(input: $input) {
    service { id name source namespace status runtime { id name } createdBy { email } containers {
      name image tag port isInternal env { name value secret } volumes { mountPath size }
      healthCheck { path intervalSeconds } resources { cpuLimit } restricted }
      actions { action enabled reason disabledReason } } } }";
const LIST: &str = r"query($after: String) { services(first: 1, after: $after) { totalCount
    nodes { name runtime { name } createdBy { email } } edges { cursor } pageInfo { hasNextPage endCursor } } }";

fn shop(runtime: &Value, name: &str) -> Value {
    json!({ "input": { "name": name, "runtimeId": runtime, "containers": [
        { "name": "web", "image": "nginx", "tag": "alpine", "port": 80, "healthCheck": { "path": "/" } },
        { "name": "db", "image": "mysql", "tag": "8.0", "port": 3306, "isInternal": true,
          "env": [{ "name": "MYSQL_ROOT_PASSWORD", "value": "s3cret", "secret": true }],
          "volumes": [{ "mountPath": "/var/lib/mysql" }] },
    ] } })
}

#[tokio::test]
async fn from_the_menu_to_the_list() {
    let test = TestApp::new().await;
    let admin = test.organization("default").await;
    let stranger = test.organization("away").await;
    let member = test.member(&admin, "mia@default.example").await;

    let menus = "{ registrationMenus { source items { action enabled reason disabledReason adminOnly } } }";
    let shown = test.data(&member, menus, json!({})).await;
    let images = shown["registrationMenus"].as_array().unwrap().last().unwrap();
    assert_eq!((&images["source"], &images["items"][0]["reason"]), (&json!("DOCKER_HUB"), &json!("NO_RUNTIME")));

    let local = json!({ "input": { "name": "local", "docker": {} } });
    let refused = test.run(Some(&stranger), RUNTIME, local.clone()).await;
    assert_eq!(code(&refused).as_deref(), Some("FAILED_PRECONDITION"));
    let made = test.data(&admin, RUNTIME, local).await;
    let runtime = &made["registerRuntime"]["runtime"];
    assert_eq!((&runtime["endpoint"], &runtime["status"]), (&json!("unix:///var/run/docker.sock"), &json!("READY")));

    let made = test.data(&member, REGISTER, shop(&runtime["id"], "shop")).await;
    let service = &made["registerDockerHubService"]["service"];
    assert_eq!(service["createdBy"]["email"], "mia@default.example");
    assert_eq!(
        service["containers"][1]["env"][0],
        json!({ "name": "MYSQL_ROOT_PASSWORD", "value": null, "secret": true })
    );
    assert_eq!(service["containers"][1]["volumes"][0]["size"], "1Gi");
    assert_eq!(service["containers"][0]["healthCheck"]["intervalSeconds"], 10);
    let deploy = json!({ "action": "DEPLOY", "enabled": true, "reason": null, "disabledReason": null });
    assert!(service["actions"].as_array().unwrap().contains(&deploy), "{}", service["actions"]);

    let twice = test.run(Some(&member), REGISTER, shop(&runtime["id"], "shop")).await;
    assert_eq!(code(&twice).as_deref(), Some("CONFLICT"));
    test.data(&member, REGISTER, shop(&runtime["id"], "blog")).await;

    let first = test.data(&member, LIST, json!({})).await;
    assert_eq!((&first["services"]["totalCount"], &first["services"]["nodes"][0]["name"]), (&json!(2), &json!("blog")));
    let after = json!({ "after": first["services"]["pageInfo"]["endCursor"] });
    let second = test.data(&member, LIST, after).await;
    assert_eq!(second["services"]["nodes"][0]["name"], "shop");
    assert_eq!(second["services"]["pageInfo"]["hasNextPage"], false);
    assert_eq!(test.data(&stranger, LIST, json!({})).await["services"]["totalCount"], 0);

    let by_id =
        "query($id: ID!) { service(id: $id) { name } node(id: $id) { id __typename } runtime(id: $id) { name } }";
    let id = json!({ "id": service["id"] });
    let found = test.data(&member, by_id, id.clone()).await;
    assert_eq!((&found["service"]["name"], &found["node"]["__typename"]), (&json!("shop"), &json!("Service")));
    let found = test.data(&stranger, by_id, id.clone()).await;
    assert_eq!(found, json!({ "service": null, "node": null, "runtime": null }));

    let export = "query($id: ID!) { exportService(id: $id, format: COMPOSE) }";
    let file = test.data(&member, export, id).await;
    assert!(!file["exportService"].as_str().unwrap().contains("s3cret"));
}

#[tokio::test]
async fn saves_tell_left_out_from_null() {
    let test = TestApp::new().await;
    let admin = test.organization("default").await;
    let made = test.data(&admin, RUNTIME, json!({ "input": { "name": "local", "docker": {} } })).await;
    let runtime = &made["registerRuntime"]["runtime"]["id"];
    let made = test.data(&admin, REGISTER, shop(runtime, "shop")).await;
    let id = &made["registerDockerHubService"]["service"]["id"];
    let update = r"mutation($input: UpdateServiceInput!) { updateService(input: $input) { service {
        registryUsername runtime { name } containers { name } } } }";
    let auth = json!({ "username": "ada", "token": "t" });
    let saved = test.data(&admin, update, json!({ "input": { "id": id, "registryAuth": auth } })).await;
    assert_eq!(saved["updateService"]["service"]["registryUsername"], "ada");
    let saved = test.data(&admin, update, json!({ "input": { "id": id } })).await;
    assert_eq!(saved["updateService"]["service"]["registryUsername"], "ada");
    assert_eq!(saved["updateService"]["service"]["containers"].as_array().unwrap().len(), 2);
    let clear = json!({ "input": { "id": id, "registryAuth": null, "runtimeId": null } });
    let saved = test.data(&admin, update, clear).await;
    assert_eq!(saved["updateService"]["service"]["registryUsername"], Value::Null);
    assert_eq!(saved["updateService"]["service"]["runtime"], Value::Null);
    let none = test.run(Some(&admin), update, json!({ "input": { "id": id, "containers": null } })).await;
    assert_eq!(code(&none).as_deref(), Some("BAD_USER_INPUT"));

    let remove = "mutation($input: RemoveServiceInput!) { removeService(input: $input) { id service { status } } }";
    let gone = test.data(&admin, remove, json!({ "input": { "id": id } })).await;
    assert_eq!(gone["removeService"]["service"]["status"], "REMOVING");
}
