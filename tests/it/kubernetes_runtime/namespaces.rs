//! Namespaces are ours or refused.

use std::time::Duration;

use kiops::domain::spec::Target;
use kiops::runtime::{Runtime as _, RuntimeError, Volumes};
use serde_json::json;

use super::place;
use crate::contract_runtime::{Lines, deploy, web};

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_of_somebody_else_is_refused() {
    let Some(place) = place("a_namespace_of_somebody_else_is_refused") else { return };
    let cluster = place.cluster();
    let named = |name: &str| Target { namespace: name.to_owned(), ..place.target.clone() };
    let somebodys = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "theirs" } });
    cluster.put("Namespace", somebodys);
    for name in ["default", "kube-system", "kube-anything", "theirs"] {
        let target = named(name);
        let failure = place.runtime.admit(&target).await.unwrap_err();
        assert!(matches!(&failure, RuntimeError::NotOwned(text) if text.contains(name)), "{failure:?}");
        let mut rollout = place.revision(1, vec![web(&place, "web", "x")], Duration::from_secs(30));
        rollout.spec.target = target.clone();
        let failure = place.runtime.apply(&rollout, &Lines::default()).await.unwrap_err();
        assert!(matches!(failure, RuntimeError::NotOwned(_)), "{failure:?}");
        // Undoing and removing touch nothing either.
        place.runtime.undo(&rollout, None, &Lines::default()).await.unwrap();
        place.runtime.remove(&target, Volumes::Delete).await.unwrap();
        assert!(cluster.list("Deployment", name).is_empty());
    }
    assert!(cluster.get("Namespace", "", "theirs").unwrap()["metadata"]["labels"]["kiops.dev/service"].is_null());
    place.runtime.admit(&place.target).await.unwrap();
    assert!(cluster.get("Namespace", "", &place.target.namespace).is_none(), "asking changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organizations_service_in_our_namespace_is_refused() {
    let Some(place) = place("another_organizations_service_in_our_namespace_is_refused") else { return };
    let first = place.revision(1, vec![web(&place, "web", "x")], Duration::from_secs(400));
    deploy(&place, &first).await;
    place.runtime.admit(&place.target).await.unwrap();
    let others = [
        Target { organization_id: "org-2".to_owned(), ..place.target.clone() },
        Target { service_id: "svc-other".to_owned(), ..place.target.clone() },
        Target { environment_id: "env-other".to_owned(), ..place.target.clone() },
    ];
    for other in others {
        assert!(matches!(place.runtime.admit(&other).await.unwrap_err(), RuntimeError::NotOwned(_)));
        let mut rollout = first.clone();
        rollout.spec.target = other.clone();
        let failure = place.runtime.apply(&rollout, &Lines::default()).await.unwrap_err();
        let text = failure.to_string();
        assert!(matches!(failure, RuntimeError::NotOwned(_)), "{text}");
        assert!(!text.contains(&place.target.service_id), "whose it is stays theirs: {text}");
        place.runtime.undo(&rollout, None, &Lines::default()).await.unwrap();
        place.runtime.remove(&other, Volumes::Delete).await.unwrap();
    }
    assert_eq!(place.objects()["Deployment"], ["web"]);
    // Its label was taken away by hand: it is not ours any more.
    place.cluster().change("Namespace", ("", &place.target.namespace), |namespace| {
        namespace["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("somebody");
    });
    assert!(matches!(place.runtime.admit(&place.target).await.unwrap_err(), RuntimeError::NotOwned(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_leaving_is_waited_for() {
    let Some(place) = place("a_namespace_that_is_leaving_is_waited_for") else { return };
    let rollout = place.revision(1, vec![web(&place, "web", "x")], Duration::from_secs(400));
    deploy(&place, &rollout).await;
    let uid = |place: &super::ClusterPlace| {
        place.cluster().get("Namespace", "", &place.target.namespace).unwrap()["metadata"]["uid"].clone()
    };
    let before = uid(&place);
    place.cluster().namespaces_leave_after(Duration::from_millis(1500));
    let removed = place.runtime.remove(&place.target, Volumes::Delete);
    let deployed = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        deploy(&place, &rollout).await;
    };
    let (removed, ()) = futures_util::join!(removed, deployed);
    removed.unwrap();
    assert_ne!(uid(&place), before);
    assert_eq!(place.objects()["Deployment"], ["web"]);
}
