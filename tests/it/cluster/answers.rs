//! What is asked and what the answers mean.

use std::time::Duration;

use futures_util::StreamExt as _;
use kiops::cluster::k8s_openapi::api::apps::v1::Deployment;
use kiops::cluster::k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kiops::cluster::kube::api::{Api, DynamicObject, ListParams, PostParams};
use kiops::cluster::kube::core::{ApiResource, GroupVersionKind};
use kiops::cluster::kube::runtime::watcher;
use kiops::cluster::{Permission, Subject, grant_manifest};
use serde_json::json;

use super::*;
use crate::support::cluster::Behaviour;
use crate::support::place::Place;

fn map(namespace: &str, value: &str) -> ConfigMap {
    serde_json::from_value(
        json!({ "metadata": { "name": "settings", "namespace": namespace }, "data": { "k": value } }),
    )
    .unwrap()
}

fn deployment(namespace: &str) -> Deployment {
    serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": namespace },
        "spec": {
            "replicas": 0, "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "web", "image": "registry.test/web:1" }] },
            },
        },
    }))
    .unwrap()
}

/// Runs on a real cluster too.
#[tokio::test]
async fn apply_makes_changes_and_refuses() {
    let place = Place::start();
    let (cluster, name) = (place.connect(), place.namespace("apply"));
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
    let made = cluster.apply(&namespace, &()).await.unwrap();
    assert_eq!(made.metadata.name.as_deref(), Some(name.as_str()));
    let first = cluster.apply(&map(&name, "1"), &()).await.unwrap();
    let second = cluster.apply(&map(&name, "2"), &()).await.unwrap();
    assert_ne!(first.metadata.resource_version, second.metadata.resource_version);
    assert_eq!(second.data.unwrap()["k"], "2");
    let managers = second.metadata.managed_fields.unwrap();
    assert_eq!(managers[0].manager.as_deref(), Some("kiops"));
    let web = cluster.apply(&deployment(&name), &()).await.unwrap();
    assert_eq!(web.metadata.generation, Some(1));
    let again = cluster.apply(&deployment(&name), &()).await.unwrap();
    assert_eq!(again.metadata.generation, Some(1));

    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    let mut odd = DynamicObject::new("web", &kind).within(&name);
    odd.data = json!({ "spec": serde_json::to_value(deployment(&name)).unwrap()["spec"] });
    odd.data["spec"]["template"]["spec"]["containers"][0]["imagee"] = json!("x");
    let why = cluster.apply(&odd, &kind).await.unwrap_err();
    let sentence = r#"unknown field "spec.template.spec.containers[0].imagee""#;
    assert!(matches!(&why, ClusterError::Invalid(why) if why.contains(sentence)), "{why}");
    let mut moved = deployment(&name);
    let labels = Some([("app".to_owned(), "db".to_owned())].into());
    let spec = moved.spec.as_mut().unwrap();
    spec.selector.match_labels = labels.clone();
    spec.template.metadata.as_mut().unwrap().labels = labels;
    let why = cluster.apply(&moved, &()).await.unwrap_err();
    assert!(matches!(&why, ClusterError::Invalid(why) if why.contains("immutable")), "{why}");
    if let Some(double) = &place.double {
        assert!(double.asked().iter().any(|one| one.verb == "patch" && one.resource == "deployments"));
    }
    place.remove(&name).await;
    let late = cluster.apply(&map(&name, "3"), &()).await.unwrap_err();
    assert!(matches!(late, ClusterError::NotFound(_)), "{late}");
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let double = ClusterDouble::start();
    let cluster = connect(login(&double.kubeconfig()));
    let stranger = refusal(&with_token(&double, "stranger")).await;
    assert_eq!(stranger, ClusterError::Unauthorized("Unauthorized".to_owned()));
    double.login("weak", "jane", &[("get", "configmaps")]);
    let weak = with_token(&double, "weak");
    let why = weak.apply(&map("default", "1"), &()).await.unwrap_err();
    let sentence = r#"configmaps "settings" is forbidden: User "jane" cannot patch resource "configmaps" in API group "" in the namespace "default""#;
    assert_eq!(why, ClusterError::Forbidden(sentence.to_owned()));
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let why = ClusterError::from(maps.get("settings").await.unwrap_err());
    assert_eq!(why, ClusterError::NotFound(r#"configmaps "settings" not found"#.to_owned()));
    maps.create(&PostParams::default(), &map("default", "1")).await.unwrap();
    let why = ClusterError::from(maps.create(&PostParams::default(), &map("default", "1")).await.unwrap_err());
    assert!(matches!(why, ClusterError::Conflict(_)), "{why}");
    let mut second = map("default", "1");
    second.metadata.name = Some("another".to_owned());
    maps.create(&PostParams::default(), &second).await.unwrap();
    let page = maps.list(&ListParams::default().limit(1)).await.unwrap();
    double.put("ConfigMap", json!({ "metadata": { "name": "x", "namespace": "default" } }));
    double.forget();
    let next = ListParams::default().limit(1).continue_token(&page.metadata.continue_.unwrap());
    let why = ClusterError::from(maps.list(&next).await.unwrap_err());
    assert!(matches!(why, ClusterError::TooOld(_)), "{why}");
    double.admit(|_| Some((403, "not today".to_owned())));
    let why = cluster.apply(&map("default", "2"), &()).await.unwrap_err();
    assert!(matches!(&why, ClusterError::Forbidden(why) if why.contains("denied the request: not today")), "{why}");
    double.go_away();
    let why = refusal(&cluster).await;
    assert!(matches!(why, ClusterError::Unreachable(_)) && why.is_passing(), "{why}");
    double.come_back();
    assert_eq!(cluster.version().await.unwrap(), "1.37.0");
}

#[tokio::test]
async fn missing_permissions_are_named_with_the_manifest_that_grants_them() {
    let double = ClusterDouble::start();
    let namespaced = true;
    let needed = [
        Permission { verb: "create", group: "", resource: "namespaces", namespaced: false },
        Permission { verb: "get", group: "", resource: "pods/log", namespaced },
        Permission { verb: "patch", group: "apps", resource: "deployments", namespaced },
        Permission { verb: "watch", group: "apps", resource: "deployments", namespaced },
    ];
    let may = [("get", "pods/log"), ("watch", "deployments.apps")];
    double.login("some", "system:serviceaccount:ops:kiops", &may);
    let cluster = with_token(&double, "some");
    let missing = cluster.missing(&needed).await.unwrap();
    assert_eq!(missing, [needed[0], needed[2]]);
    assert_eq!(missing[1].to_string(), "patch deployments.apps in all namespaces");
    let who = cluster.who().await.unwrap();
    assert_eq!(who, Subject::ServiceAccount { namespace: "ops".to_owned(), name: "kiops".to_owned() });
    assert!(connect(login(&double.kubeconfig())).missing(&needed).await.unwrap().is_empty());
    let admin = connect(login(&double.kubeconfig())).who().await.unwrap();
    assert_eq!(admin, Subject::User("kubernetes-admin".to_owned()));
    // The cluster takes the manifest.
    let admin = connect(login(&double.kubeconfig()));
    for document in grant_manifest("kiops", &needed, &who).split("---\n") {
        let object: DynamicObject = serde_norway::from_str(document).unwrap();
        let kind = object.types.clone().unwrap();
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", &kind.kind));
        admin.apply(&object, &kind).await.unwrap();
    }
    let bound = double.list("ClusterRoleBinding", "");
    assert_eq!(bound.len(), 1);
    assert!(bound[0]["metadata"]["name"].as_str().unwrap().starts_with("kiops-"));
}

#[tokio::test]
async fn a_watch_outlives_its_connection_and_asks_once() {
    let double = ClusterDouble::start();
    double.image("registry.test/web:1", Behaviour::runs());
    let cluster = connect(login(&double.kubeconfig()));
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let mut events = Box::pin(watcher(maps, watcher::Config::default()));
    let mut seen = async |value: &str| {
        let wait = async {
            while let Some(event) = events.next().await {
                if let Ok(watcher::Event::Apply(map) | watcher::Event::InitApply(map)) = event
                    && map.data.is_some_and(|data| data["k"] == value)
                {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    };
    cluster.apply(&map("default", "1"), &()).await.unwrap();
    seen("1").await;
    cluster.apply(&map("default", "2"), &()).await.unwrap();
    seen("2").await;
    let asked = double.take_asked();
    let of = |verb: &str| asked.iter().filter(|one| one.resource == "configmaps" && one.verb == verb).count();
    assert_eq!((of("list"), of("watch"), of("patch")), (1, 1, 2), "{asked:?}");
    double.break_connections();
    cluster.apply(&map("default", "3"), &()).await.unwrap();
    seen("3").await;
    double.forget();
    double.break_connections();
    cluster.apply(&map("default", "4"), &()).await.unwrap();
    seen("4").await;
}
