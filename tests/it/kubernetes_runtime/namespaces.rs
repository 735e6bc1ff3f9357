//! Namespaces are ours or refused.

use std::time::Duration;

use kiops::domain::spec::Target;
use kiops::runtime::{Runtime as _, RuntimeError, Volumes};
use serde_json::json;

use super::place;
use crate::contract_runtime::{Lines, db, deploy, web};

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

#[tokio::test(flavor = "multi_thread")]
async fn volumes_that_were_kept_are_the_next_environments() {
    let Some(place) = place("volumes_that_were_kept_are_the_next_environments") else { return };
    let cluster = place.cluster();
    let name = place.target.namespace.as_str();
    let volume = || cluster.list("PersistentVolumeClaim", name)[0]["metadata"]["uid"].clone();
    deploy(&place, &place.revision(1, vec![db(&place, "db", "x")], Duration::from_secs(400))).await;
    let before = volume();
    place.runtime.remove(&place.target, Volumes::Keep).await.unwrap();
    // A crash in the middle makes the same call again.
    place.runtime.remove(&place.target, Volumes::Keep).await.unwrap();
    let stranger = Target { organization_id: "org-2".to_owned(), ..place.target.clone() };
    assert!(matches!(place.runtime.admit(&stranger).await.unwrap_err(), RuntimeError::NotOwned(_)));

    // The service was made anew: other ids, the same name.
    let next = Target { service_id: "svc-2".to_owned(), environment_id: "env-2".to_owned(), ..place.target.clone() };
    place.runtime.admit(&next).await.unwrap();
    let mut rollout = place.revision(1, vec![db(&place, "db", "x")], Duration::from_secs(400));
    rollout.spec.target = next.clone();
    deploy(&place, &rollout).await;
    assert_eq!(volume(), before);
    let labels = cluster.get("Namespace", "", name).unwrap()["metadata"]["labels"].clone();
    assert_eq!((&labels["kiops.dev/environment"], &labels["kiops.dev/kept"]), (&json!("env-2"), &json!(null)));
    // It is theirs now, and not that of the one before.
    assert!(matches!(place.runtime.admit(&place.target).await.unwrap_err(), RuntimeError::NotOwned(_)));
    place.runtime.remove(&place.target, Volumes::Delete).await.unwrap();
    assert_eq!(place.objects()["Deployment"], ["db"]);

    // One that has no volume of its own leaves what it found.
    place.runtime.remove(&next, Volumes::Keep).await.unwrap();
    let third = Target { service_id: "svc-3".to_owned(), environment_id: "env-3".to_owned(), ..next };
    let mut rollout = place.revision(1, vec![web(&place, "web", "x")], Duration::from_secs(400));
    rollout.spec.target = third.clone();
    deploy(&place, &rollout).await;
    place.runtime.remove(&third, Volumes::Keep).await.unwrap();
    assert_eq!(volume(), before);
    place.runtime.remove(&Target { organization_id: "org-2".to_owned(), ..third }, Volumes::Delete).await.unwrap();
    assert_eq!(volume(), before, "another organization's removal removes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ours_goes_from_a_namespace_whose_labels_were_changed() {
    let Some(place) = place("what_is_ours_goes_from_a_namespace_whose_labels_were_changed") else { return };
    deploy(&place, &place.revision(1, vec![web(&place, "web", "x")], Duration::from_secs(400))).await;
    let name = place.target.namespace.as_str();
    place.cluster().change("Namespace", ("", name), |namespace| {
        namespace["metadata"]["labels"]["kiops.dev/environment"] = json!("by hand");
    });
    let theirs = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "theirs", "namespace": name } });
    place.cluster().put("Secret", theirs);
    place.runtime.remove(&place.target, Volumes::Delete).await.unwrap();
    let left = place.objects();
    assert_eq!(left.keys().copied().collect::<Vec<_>>(), ["Secret"], "{left:?}");
    assert_eq!(left["Secret"], ["theirs"]);
    assert!(place.cluster().get("Namespace", "", name).is_some());
}
