//! Who may, selectors, pages, watches, and being away.

use futures_util::StreamExt as _;
use serde_json::json;

use super::*;

const MAPS: &str = "/api/v1/namespaces/shop/configmaps";

fn map(name: &str, labels: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "labels": labels } })
}

#[tokio::test]
async fn who_is_unknown_or_may_not_is_told_so() {
    let mut http = shop().await;
    http.double.login("weak", "system:serviceaccount:ops:kiops", &[("get", "deployments.apps"), ("*", "pods/log")]);
    http.token = "nobody".to_owned();
    let answer = http.get(DEPLOYMENTS).await;
    assert_eq!((answer.0, message(&answer)), (401, "Unauthorized"));
    http.token = "weak".to_owned();
    let answer = http.get(DEPLOYMENTS).await;
    let sentence = r#"deployments.apps is forbidden: User "system:serviceaccount:ops:kiops" cannot list resource "deployments" in API group "apps" in the namespace "shop""#;
    assert_eq!((answer.0, message(&answer)), (403, sentence));
    assert_eq!(http.get(&format!("{DEPLOYMENTS}/web")).await.0, 404);
    let review = |verb: &str, group: &str, resource: &str, sub: &str| {
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": { "verb": verb, "group": group, "resource": resource, "subresource": sub } },
        })
    };
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    for (question, allowed) in [
        (review("get", "apps", "deployments", ""), true),
        (review("patch", "apps", "deployments", ""), false),
        (review("get", "", "pods", "log"), true),
        (review("get", "", "pods", ""), false),
    ] {
        assert_eq!(http.post(path, &question).await.1["status"]["allowed"], allowed, "{question}");
    }
    let me = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let answer = http.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &me).await.1;
    assert_eq!(answer["status"]["userInfo"]["username"], "system:serviceaccount:ops:kiops");
    let asked = http.double.take_asked();
    assert!(asked.iter().any(|one| one.verb == "list" && one.resource == "deployments" && one.status == 403));
}

#[tokio::test]
async fn admission_denies_in_a_webhooks_words() {
    let http = shop().await;
    http.double.admit(|object| (object["kind"] == "Deployment").then(|| (403, "no images from there".to_owned())));
    let answer = http.post(DEPLOYMENTS, &deployment("registry.test/web:1")).await;
    let sentence = r#"admission webhook "policy.test" denied the request: no images from there"#;
    assert_eq!((answer.0, message(&answer)), (403, sentence));
}

#[tokio::test]
async fn lists_are_selected_and_paged() {
    let http = shop().await;
    for (name, labels) in [("a", json!({ "x": "1" })), ("b", json!({ "x": "2" })), ("c", json!({ "y": "1" }))] {
        assert_eq!(http.post(MAPS, &map(name, &labels)).await.0, 201);
    }
    for (query, names) in [
        ("labelSelector=x%3D1", vec!["a"]),
        ("labelSelector=x%20in%20(1%2C2)", vec!["a", "b"]),
        ("labelSelector=x%20notin%20(1)", vec!["b", "c"]),
        ("labelSelector=x%2Cx!%3D2", vec!["a"]),
        ("labelSelector=!x", vec!["c"]),
        ("fieldSelector=metadata.name%3Db", vec!["b"]),
    ] {
        let found = http.get(&format!("{MAPS}?{query}")).await.1;
        let found: Vec<_> =
            found["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].clone()).collect();
        assert_eq!(found, names, "{query}");
    }
    assert_eq!(http.get(&format!("{MAPS}?fieldSelector=data.x%3Db")).await.0, 400);
    let first = http.get(&format!("{MAPS}?limit=2")).await.1;
    assert_eq!((first["items"].as_array().unwrap().len(), &first["metadata"]["remainingItemCount"]), (2, &json!(1)));
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    let rest = http.get(&format!("{MAPS}?limit=2&continue={token}")).await.1;
    assert_eq!(rest["items"][0]["metadata"]["name"], "c");
    http.post(MAPS, &map("d", &json!({}))).await;
    http.double.forget();
    assert_eq!(http.get(&format!("{MAPS}?limit=2&continue={token}")).await.0, 410);
}

#[tokio::test]
async fn a_watch_tells_each_change_once_and_from_where_it_is_asked() {
    let http = shop().await;
    let version = http.get(MAPS).await.1["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    http.post(MAPS, &map("a", &json!({ "x": "1" }))).await;
    let url = |query: &str| format!("{}{MAPS}?watch=1&{query}", http.double.url());
    let query = format!("resourceVersion={version}&labelSelector=x%3D1&timeoutSeconds=2&allowWatchBookmarks=true");
    let request = http.client.get(url(&query)).bearer_auth(ADMIN);
    let stream = tokio::spawn(async move {
        let mut body = request.send().await.unwrap().bytes_stream();
        let mut text = String::new();
        while let Some(chunk) = body.next().await {
            text += std::str::from_utf8(&chunk.unwrap()).unwrap();
        }
        text
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    http.merge(&format!("{MAPS}/a"), &json!({ "data": { "k": "v" } })).await;
    http.merge(&format!("{MAPS}/a"), &json!({ "metadata": { "labels": { "x": "2" } } })).await;
    let lines = stream.await.unwrap();
    let kinds: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"], "{lines}");

    http.double.forget();
    let late = http.client.get(url(&format!("resourceVersion={version}"))).bearer_auth(ADMIN).send().await.unwrap();
    let late: Value = serde_json::from_str(late.text().await.unwrap().trim()).unwrap();
    assert_eq!((&late["type"], &late["object"]["code"]), (&json!("ERROR"), &json!(410)), "{late}");
    let watches = http.double.asked().into_iter().filter(|one| one.verb == "watch").count();
    assert_eq!(watches, 2);
}

#[tokio::test]
async fn it_can_be_slow_and_changed_by_hand() {
    let http = shop().await;
    http.post(MAPS, &map("a", &json!({}))).await;
    http.double.change("ConfigMap", ("shop", "a"), |map| map["data"] = json!({ "by": "hand" }));
    http.double.latency(Duration::from_millis(300));
    let since = tokio::time::Instant::now();
    assert_eq!(http.get(&format!("{MAPS}/a")).await.1["data"]["by"], "hand");
    assert!(since.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn it_goes_away_and_comes_back_with_all_it_had() {
    let http = shop().await;
    http.double.go_away();
    assert!(http.client.get(http.double.url()).send().await.is_err());
    http.double.come_back();
    assert_eq!(http.get("/api/v1/namespaces/shop").await.0, 200);
    assert_eq!(http.get("/version").await.1["gitVersion"], "v1.37.0");
}

#[tokio::test]
async fn a_namespace_that_goes_is_terminating_and_takes_all_with_it() {
    let http = shop().await;
    http.double.namespaces_leave_after(Duration::from_millis(400));
    http.applied(&format!("{DEPLOYMENTS}/web"), &deployment("registry.test/web:1")).await;
    until("pods run", || http.double.list("Pod", "shop").iter().any(|pod| pod["status"]["phase"] == "Running")).await;
    let answer = http.delete("/api/v1/namespaces/shop").await;
    assert_eq!((answer.0, &answer.1["status"]["phase"]), (200, &json!("Terminating")), "{answer:?}");
    let answer = http.post(MAPS, &map("late", &json!({}))).await;
    assert!(answer.0 == 403 && message(&answer).contains("because it is being terminated"), "{answer:?}");
    until("gone", || http.double.get("Namespace", "", "shop").is_none()).await;
    assert!(http.double.list("Pod", "shop").is_empty() && http.double.list("Deployment", "shop").is_empty());
    http.namespace("shop").await;
}
