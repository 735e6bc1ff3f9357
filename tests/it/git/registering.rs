//! Registering projects that are there.

use chrono::TimeDelta;
use kiops::app::git::check;
use kiops::domain::git::{Provider, TokenRight};
use serde_json::{Value, json};

use super::{House, data, fault};
use crate::support::app::code;
use crate::support::git::{GOOD_TOKEN, token};
use crate::support::shop::mutate;

fn project(provider: &str, name: &str) -> Value {
    json!({ "provider": provider, "project": "group/shop", "branch": "main", "name": name })
}

#[tokio::test]
async fn a_member_registers_with_the_organizations_token() {
    let house = House::new().await;
    house.project("group/shop", &["main", "feature/ä"]);
    let mut input = project("GITLAB", "shop");
    input["branch"] = json!("feature/ä");
    input["namespace"] = json!("team-shop");
    let made = data(house.ask(&house.member, "registerGitProject", input).await);
    let service = &made["registerGitProject"]["service"];
    assert_eq!((&service["source"], &service["status"]), (&json!("GITLAB"), &json!("REGISTERED")));
    assert_eq!(service["namespace"], "team-shop");
    let git = json!({ "provider": "GITLAB", "projectPath": "group/shop", "webUrl": "https://git.example/group/shop",
        "branch": "feature/ä", "contextPath": "." });
    assert_eq!(service["git"], git);
    assert_eq!(service["containers"], json!([{ "name": "app", "image": null, "tag": null, "port": null }]));
    let audit = "{ auditEvents(action: \"service.registered\") { nodes { detail actor { email } } } }";
    let events = house.test.data(&house.admin, audit, Value::Null).await;
    let detail = json!({ "source": "GITLAB", "project": "group/shop", "branch": "feature/ä", "runtime": null });
    assert_eq!(events["auditEvents"]["nodes"][0]["detail"], detail);
    assert_eq!(events["auditEvents"]["nodes"][0]["actor"]["email"], "ada@acme.example");
}

#[tokio::test]
async fn nothing_is_deployed_before_something_is_built() {
    let house = House::new().await;
    house.project("group/shop", &["main"]);
    let runtime = json!({ "name": "engine", "docker": { "host": "tcp://192.0.2.1:2375" } });
    let runtime = mutate(&house.test, &house.admin, "registerRuntime", runtime).await;
    let mut input = project("GITHUB", "shop");
    input["runtimeId"] = json!(runtime);
    let made = data(house.ask(&house.member, "registerGitProject", input).await);
    let service = &made["registerGitProject"]["service"];
    let deploy = service["actions"].as_array().unwrap().iter().find(|a| a["action"] == "DEPLOY").unwrap();
    assert_eq!((&deploy["enabled"], &deploy["reason"]), (&json!(false), &json!("NOTHING_BUILT")));
    let input = json!({ "input": { "serviceId": service["id"] } });
    for document in [
        "mutation($input: DeployServiceInput!) { deployService(input: $input) { deployment { id } } }",
        "query($input: DeployServiceInput!) { deploymentPreview(input: $input) { diff } }",
    ] {
        let answer = house.test.run(Some(&house.member), document, input.clone()).await;
        assert_eq!(fault(&answer).1, "NOTHING_BUILT");
    }
    let save = "mutation($input: SaveEnvironmentInput!) { saveEnvironment(input: $input) { environment { id } } }";
    let wish = json!({ "input": { "serviceId": service["id"], "name": "production", "namespace": "other" } });
    assert_eq!(fault(&house.test.run(Some(&house.member), save, wish).await).2, "input.namespace");
    let export = "query($id: ID!) { exportService(id: $id, format: COMPOSE) }";
    let answer = house.test.run(Some(&house.member), export, json!({ "id": service["id"] })).await;
    assert_eq!(fault(&answer).1, "NOTHING_BUILT");
}

#[tokio::test]
async fn a_github_service_is_in_the_namespace_of_its_name() {
    let house = House::new().await;
    house.project("group/shop", &["main"]);
    for namespace in ["other", "shop"] {
        let mut input = project("GITHUB", "shop");
        input["namespace"] = json!(namespace);
        let (code, _, field, _) = fault(&house.ask(&house.member, "registerGitProject", input).await);
        assert_eq!((code.as_str(), field.as_str()), ("BAD_USER_INPUT", "input.namespace"), "{namespace}");
    }
    let made = data(house.ask(&house.member, "registerGitProject", project("GITHUB", "shop")).await);
    assert_eq!(made["registerGitProject"]["service"]["namespace"], "shop");
}

#[tokio::test]
async fn faults_of_the_input_are_told_before_anything_leaves_the_server() {
    let house = House::new().await;
    house.project("group/shop", &["main"]);
    house.test.gits.of(Provider::Gitlab).calls.clear();
    let rows = house.test.rows().await;
    for branch in [
        "",
        "-x",
        "..",
        "a..b",
        "@{",
        "@{-1}",
        "--upload-pack=touch x",
        "x.lock",
        "a b",
        "a\nb",
        "a\u{0}b",
        "a\u{7f}",
        "HEAD",
    ] {
        let mut input = project("GITLAB", "shop");
        input["branch"] = json!(branch);
        let (code, _, field, _) = fault(&house.ask(&house.member, "registerGitProject", input).await);
        assert_eq!((code.as_str(), field.as_str()), ("BAD_USER_INPUT", "input.branch"), "{branch:?}");
    }
    for (field, value) in [
        ("project", json!("shop")),
        ("project", json!("../../etc")),
        ("name", json!("Shop")),
        ("name", json!("kube-system")),
        ("namespace", json!("default")),
        ("contextPath", json!("../x")),
        ("contextPath", json!("/etc")),
    ] {
        let mut input = project("GITLAB", "shop");
        input[field] = value.clone();
        let (code, _, at, _) = fault(&house.ask(&house.member, "registerGitProject", input).await);
        assert_eq!((code.as_str(), at), ("BAD_USER_INPUT", format!("input.{field}")), "{value}");
    }
    let mut input = project("GITLAB", "shop");
    input["containers"] = json!([{ "name": "web" }, { "name": "worker" }]);
    let (code, _, field, message) = fault(&house.ask(&house.member, "registerGitProject", input).await);
    assert_eq!((code.as_str(), field.as_str()), ("BAD_USER_INPUT", "input.containers"), "{message}");
    let mut input = project("GITHUB", "shop");
    input["project"] = json!("group/deep/shop");
    assert_eq!(fault(&house.ask(&house.member, "registerGitProject", input).await).2, "input.project");
    assert_eq!(house.test.gits.of(Provider::Gitlab).calls, Vec::<&str>::new());
    assert_eq!(house.test.rows().await, rows);
}

#[tokio::test]
async fn project_and_branch_must_be_there_and_in_use() {
    let house = House::new().await;
    house.project("group/shop", &["main"]);
    house.project("group/old", &["main"]);
    house.test.gits.of(Provider::Gitlab).projects[1].project.archived = true;
    let cases = [
        ("group/none", "main", "input.project"),
        ("group/shop", "none", "input.branch"),
        ("group/old", "main", "input.project"),
    ];
    for (path, branch, field) in cases {
        let input = json!({ "provider": "GITLAB", "project": path, "branch": branch, "name": "shop" });
        let (code, _, at, message) = fault(&house.ask(&house.member, "registerGitProject", input).await);
        assert_eq!((code.as_str(), at.as_str()), ("BAD_USER_INPUT", field), "{path} {branch}");
        assert!(path != "group/old" || message.contains("archived"), "{message}");
    }
    let listed = house
        .test
        .data(&house.member, "{ gitProjects(provider: GITLAB) { nodes { path archived } } }", Value::Null)
        .await;
    assert_eq!(listed["gitProjects"]["nodes"][0], json!({ "path": "group/old", "archived": true }));
}

#[tokio::test]
async fn one_project_is_several_services_with_containers_beside_the_built_one() {
    let house = House::new().await;
    house.project("group/shop", &["main"]);
    let mut input = project("GITLAB", "shop");
    input["containers"] =
        json!([{ "name": "web", "port": 8080 }, { "name": "db", "image": "mysql", "tag": "8.0", "port": 3306 }]);
    let made = data(house.ask(&house.member, "registerGitProject", input).await);
    let containers = json!([
        { "name": "web", "image": null, "tag": null, "port": 8080 },
        { "name": "db", "image": "mysql", "tag": "8.0", "port": 3306 },
    ]);
    assert_eq!(made["registerGitProject"]["service"]["containers"], containers);
    let mut second = project("GITLAB", "shop-api");
    second["contextPath"] = json!("services/api");
    let made = data(house.ask(&house.member, "registerGitProject", second).await);
    assert_eq!(made["registerGitProject"]["service"]["git"]["contextPath"], "services/api");
    // A name is one service's.
    let answer = house.ask(&house.member, "registerGitProject", project("GITHUB", "shop")).await;
    assert_eq!((fault(&answer).0.as_str(), fault(&answer).2.as_str()), ("CONFLICT", "input.name"));
}

#[tokio::test]
async fn fifty_at_once_register_one() {
    let house = House::new().await;
    house.project("group/shop", &["main"]);
    let all = (0..50).map(|_| house.ask(&house.member, "registerGitProject", project("GITLAB", "shop")));
    let answers = futures_util::future::join_all(all).await;
    let conflicts = answers.iter().filter(|a| code(a).as_deref() == Some("CONFLICT")).count();
    assert_eq!((answers.iter().filter(|a| a.errors.is_empty()).count(), conflicts), (1, 49));
}

#[tokio::test]
async fn without_a_token_or_its_scope_registering_stops_and_says_who_mends_it() {
    let house = House::bare().await;
    house.project("group/shop", &["main"]);
    let (code, reason, _, message) =
        fault(&house.ask(&house.member, "registerGitProject", project("GITHUB", "shop")).await);
    assert_eq!((code.as_str(), reason.as_str()), ("FAILED_PRECONDITION", "GIT_NOT_CONFIGURED"));
    assert!(message.starts_with("ask your admin to complete \"GitHub Settings\""), "{message}");
    let lacks = token(&[("repo", TokenRight::ReadSource)]);
    house.test.gits.of(Provider::Github).tokens.insert(GOOD_TOKEN.to_owned(), lacks);
    house.set_up().await;
    let (_, reason, _, message) =
        fault(&house.ask(&house.member, "registerGitProject", project("GITHUB", "shop")).await);
    assert_eq!(reason, "GIT_SCOPE_MISSING");
    assert!(message.contains("lacks repo, needed for fetching source code"), "{message}");
}

#[tokio::test]
async fn a_project_that_moved_is_still_the_services() {
    let house = House::new().await;
    house.project("group/shop", &["main", "next"]);
    let made = data(house.ask(&house.member, "registerGitProject", project("GITLAB", "shop")).await);
    let id = made["registerGitProject"]["service"]["id"].clone();
    let path = async || {
        let document = "query($id: ID!) { service(id: $id) { git { projectPath webUrl } } }";
        house.test.data(&house.member, document, json!({ "id": id })).await["service"]["git"]["projectPath"].clone()
    };
    // Seen in a list.
    house.test.gits.of(Provider::Gitlab).rename("group/shop", "group/store");
    let listed = house
        .test
        .data(&house.member, "{ gitProjects(provider: GITLAB) { nodes { path services { name } } } }", Value::Null)
        .await;
    assert_eq!(listed["gitProjects"]["nodes"][0]["services"][0]["name"], "shop");
    assert_eq!(path().await, "group/store");
    // Seen by the daily check.
    house.test.gits.of(Provider::Gitlab).rename("group/store", "elsewhere/store");
    house.test.clock.advance(TimeDelta::hours(25));
    check::check_due(&house.test.app).await.unwrap();
    assert_eq!(path().await, "elsewhere/store");
    // Before it is seen: by its id.
    house.test.gits.of(Provider::Gitlab).rename("elsewhere/store", "third/store");
    let update =
        "mutation($input: UpdateServiceInput!) { updateService(input: $input) { service { git { branch } } } }";
    let change = |branch: Value| json!({ "input": { "id": id, "branch": branch } });
    let changed = house.test.data(&house.member, update, change(json!("next"))).await;
    assert_eq!(changed["updateService"]["service"]["git"]["branch"], "next");

    for (branch, field) in
        [(json!("none"), "input.branch"), (json!("-x"), "input.branch"), (Value::Null, "input.branch")]
    {
        let answer = house.test.run(Some(&house.member), update, change(branch.clone())).await;
        assert_eq!((fault(&answer).0.as_str(), fault(&answer).2.as_str()), ("BAD_USER_INPUT", field), "{branch}");
    }
    // Settings of another server are none for this service.
    let moved = json!({ "baseUrl": "https://other.example", "token": GOOD_TOKEN });
    mutate(&house.test, &house.admin, "saveGitlabSettings", moved).await;
    let answer = house.test.run(Some(&house.member), update, change(json!("main"))).await;
    assert_eq!(fault(&answer).1, "GIT_NOT_CONFIGURED");
}

#[tokio::test]
async fn a_form_that_sends_the_same_branch_again_needs_no_provider() {
    let house = House::new().await;
    house.project("group/shop", &["main"]);
    let made = data(house.ask(&house.member, "registerGitProject", project("GITLAB", "shop")).await);
    let id = made["registerGitProject"]["service"]["id"].clone();
    house.test.gits.of(Provider::Gitlab).failure = Some(kiops::git::GitError::Unreachable("away".to_owned()));
    let update =
        "mutation($input: UpdateServiceInput!) { updateService(input: $input) { service { containers { name } } } }";
    let containers = json!([{ "name": "web", "port": 80 }]);
    let same = json!({ "input": { "id": id, "branch": "main", "containers": containers } });
    house.test.data(&house.member, update, same).await;
    let bad = json!({ "input": { "id": id, "branch": "-x", "containers": [{ "name": "-" }] } });
    let answer = house.test.run(Some(&house.member), update, bad).await;
    let violations =
        answer.errors[0].extensions.as_ref().unwrap().get("violations").unwrap().clone().into_json().unwrap();
    let fields: Vec<_> =
        violations.as_array().unwrap().iter().map(|v| v["field"].as_str().unwrap().to_owned()).collect();
    assert_eq!(fields, ["input.containers.0.name", "input.branch"], "all faults at once");
    let other = json!({ "input": { "id": id, "branch": "other", "containers": [{ "name": "-" }] } });
    assert_eq!(fault(&house.test.run(Some(&house.member), update, other).await).2, "input.containers.0.name");
    let other = json!({ "input": { "id": id, "branch": "other" } });
    assert_eq!(fault(&house.test.run(Some(&house.member), update, other).await).0, "UPSTREAM_ERROR");
}

#[tokio::test]
async fn a_service_without_a_runtime_is_told_to_choose_one() {
    let house = House::new().await;
    house.project("group/shop", &["main"]);
    let made = data(house.ask(&house.member, "registerGitProject", project("GITLAB", "shop")).await);
    let actions = "query($id: ID!) { service(id: $id) { actions { action reason disabledReason } } }";
    let id = json!({ "id": made["registerGitProject"]["service"]["id"] });
    let deploy = async || {
        let found = house.test.data(&house.member, actions, id.clone()).await["service"]["actions"].take();
        found.as_array().unwrap().iter().find(|a| a["action"] == "DEPLOY").cloned().unwrap()
    };
    let said = deploy().await;
    assert_eq!(said["reason"], "NO_RUNTIME");
    assert!(said["disabledReason"].as_str().unwrap().contains("ask your admin to register one"), "{said}");
    let runtime = json!({ "name": "engine", "docker": { "host": "tcp://192.0.2.1:2375" } });
    mutate(&house.test, &house.admin, "registerRuntime", runtime).await;
    let said = deploy().await;
    assert_eq!(said["reason"], "NO_RUNTIME");
    assert!(said["disabledReason"].as_str().unwrap().contains("choose one with updateService"), "{said}");
}
