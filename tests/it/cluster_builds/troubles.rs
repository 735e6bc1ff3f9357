//! Builds that never begin, and clusters that are not as they have to be.

use kiops::builder::BuilderError;
use serde_json::json;

use super::{BUILDKIT, Behaviour, NAMESPACE, Place, connect, ends, limits};

#[tokio::test]
async fn where_buildkit_is_not_had_it_is_said_what_to_configure() {
    let place = Place::new(Behaviour::Missing);
    place.double.image(BUILDKIT, Behaviour::Missing);
    let error = place.build().await.0.unwrap_err();
    let BuilderError::Engine(why) = &error else { panic!("{error:?}") };
    assert!(why.contains(BUILDKIT) && why.contains("not found") && why.contains("build.buildkit_image"), "{why}");
    assert!(place.left().is_empty(), "{:?}", place.left());
}

#[tokio::test]
async fn where_no_node_has_room_the_scheduler_says_so() {
    let place = Place::new(Behaviour::Unschedulable);
    let mut request = place.request();
    request.limits = limits(2);
    let (built, lines) = place.build_this(&request).await;
    let error = built.unwrap_err();
    let BuilderError::TimedOut(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("has not begun: 0/1 nodes are available: 1 Insufficient cpu"), "{why}");
    assert!(lines.text().contains("System The build has not begun: 0/1 nodes"), "{}", lines.text());
}

#[tokio::test]
async fn where_a_quota_is_used_up_the_cluster_says_so() {
    let place = Place::new(ends(0, &[]));
    let quota = json!({ "metadata": { "name": "few", "namespace": NAMESPACE }, "spec": { "hard": { "pods": "0" } } });
    place.double.put("ResourceQuota", quota);
    let mut request = place.request();
    request.limits = limits(3);
    let error = place.build_this(&request).await.0.unwrap_err();
    let BuilderError::TimedOut(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("exceeded quota"), "{why}");
}

#[tokio::test]
async fn a_namespace_of_somebody_else_is_left_alone() {
    let place = Place::new(ends(0, &[]));
    place.double.put("Namespace", json!({ "metadata": { "name": NAMESPACE, "labels": { "team": "x" } }, "spec": {} }));
    let error = place.build().await.0.unwrap_err();
    assert!(matches!(&error, BuilderError::Refused(why) if why.contains("build.namespace")), "{error:?}");
    let namespace = place.double.get("Namespace", "", NAMESPACE).unwrap();
    assert!(namespace["metadata"]["labels"]["app.kubernetes.io/managed-by"].is_null(), "{namespace}");
    assert!(place.left().is_empty());
}

#[tokio::test]
async fn what_the_login_may_not_do_is_said_and_listed() {
    let place = Place::new(ends(0, &[]));
    assert_eq!(place.builder.lacks().await.unwrap(), None);
    let all = [
        ("get", "namespaces"),
        ("create", "namespaces"),
        ("patch", "namespaces"),
        ("list", "jobs.batch"),
        ("create", "networkpolicies.networking.k8s.io"),
        ("patch", "networkpolicies.networking.k8s.io"),
    ];
    place.double.login("a-token-that-may-little", "system:serviceaccount:ops:kiops", &all);
    let builder = connect(&place.double.kubeconfig_of("a-token-that-may-little"));
    let lacks = builder.lacks().await.unwrap().unwrap();
    assert!(lacks.permissions.contains(&"create jobs.batch in namespace kiops-builds".to_owned()), "{lacks:?}");
    assert!(lacks.permissions.iter().any(|one| one.contains("pods/attach")), "{lacks:?}");
    assert!(!lacks.permissions.iter().any(|one| one.ends_with(" namespaces")), "{lacks:?}");
    assert!(
        lacks.grant.contains("kind: ClusterRole\n") && lacks.grant.contains("name: kiops-builder"),
        "{}",
        lacks.grant
    );

    assert!(lacks.grant.contains("kind: Role\n") && lacks.grant.contains("kind: RoleBinding\n"), "{}", lacks.grant);

    // What is granted in that namespace alone is enough.
    let inside = |resource: &str| format!("{resource}@{NAMESPACE}");
    let inside = [
        ("*", "jobs.batch"),
        ("*", "secrets"),
        ("*", "pods"),
        ("*", "pods/log"),
        ("*", "pods/attach"),
        ("*", "events"),
        ("*", "networkpolicies.networking.k8s.io"),
    ]
    .map(|(verb, resource)| (verb, inside(resource)));
    let mut granted = vec![("get", "namespaces"), ("create", "namespaces"), ("patch", "namespaces")];
    granted.extend(inside.iter().map(|(verb, resource)| (*verb, resource.as_str())));
    place.double.login("a-token-for-builds", "system:serviceaccount:ops:builder", &granted);
    let narrow = connect(&place.double.kubeconfig_of("a-token-for-builds"));
    assert_eq!(narrow.lacks().await.unwrap(), None);
    let lines = super::Lines::default();
    narrow.build(&place.request(), &lines).await.unwrap();

    let lines = super::Lines::default();
    let error = builder.build(&place.request(), &lines).await.unwrap_err();
    let BuilderError::Engine(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("cannot patch resource \"jobs\"") && why.contains("kiops doctor"), "{why}");
    assert!(!why.contains("a-token-that-may-little"));
}

#[tokio::test]
async fn a_cluster_that_is_away_is_unreachable() {
    let place = Place::new(ends(0, &[]));
    assert_eq!(place.builder.info().await.unwrap().engine_id, None);
    assert!(!place.builder.keeps_images());
    place.double.go_away();
    assert!(matches!(place.builder.info().await, Err(BuilderError::Unreachable(_))));
    assert!(matches!(place.builder.clear("x").await, Err(BuilderError::Unreachable(_))));
}

#[tokio::test]
async fn images_are_in_registries_alone() {
    let place = Place::new(ends(0, &[]));
    assert!(place.builder.holds(&super::image()).await.unwrap());
    // An engine's own id is nothing here.
    assert!(!place.builder.holds(&format!("sha256:{}", "d".repeat(64))).await.unwrap());
    let request = place.request();
    place.builder.forget(&request.repository, &request.tag).await.unwrap();
    assert!(place.double.take_asked().is_empty());
}
