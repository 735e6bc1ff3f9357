//! What is asked between rollouts: access, instances, events, drift.

use std::time::Duration;

use futures_util::StreamExt as _;
use kiops::domain::spec::{ClusterSpec, VolumeSpec};
use kiops::runtime::{Runtime as _, Volumes};
use serde_json::json;

use super::place;
use crate::contract_runtime::kubernetes::connect;
use crate::contract_runtime::{Lines, deploy, web};
use crate::support::cluster::Behaviour;

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_version_cluster_and_what_is_missing() {
    let Some(place) = place("a_check_names_version_cluster_and_what_is_missing") else { return };
    let cluster = place.cluster();
    let info = place.runtime.check().await.unwrap();
    assert!(info.version.starts_with("1."), "{info:?}");
    assert!(
        info.engine_id.is_some() && info.missing_permissions.is_empty() && info.grant_manifest.is_none(),
        "{info:?}"
    );
    cluster.login("weak", "system:serviceaccount:ops:weak", &[("get", "*"), ("list", "*"), ("watch", "*")]);
    let weak = connect(&cluster.kubeconfig_of("weak")).check().await.unwrap();
    assert_eq!(weak.engine_id, info.engine_id);
    assert!(weak.missing_permissions.iter().any(|p| p.starts_with("create deployments.apps")), "{weak:?}");
    assert!(!weak.missing_permissions.iter().any(|p| p.starts_with("get ")), "{weak:?}");
    let grant = weak.grant_manifest.unwrap();
    assert!(grant.contains("ClusterRoleBinding") && grant.contains("weak") && grant.contains("deployments"), "{grant}");
    let nobody = connect(&cluster.kubeconfig_of("unknown-token-0")).check().await.unwrap_err();
    assert!(matches!(nobody, kiops::runtime::RuntimeError::Unauthorized(_)), "{nobody:?}");
}

/// All that the runtime does, it does with what its check asks for.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_check_grants_is_enough() {
    let Some(place) = place("what_the_check_grants_is_enough") else { return };
    let cluster = place.cluster();
    cluster.login("none", "system:serviceaccount:ops:kiops", &[]);
    let missing = connect(&cluster.kubeconfig_of("none")).check().await.unwrap().missing_permissions;
    let may: Vec<(&str, &str)> = missing
        .iter()
        .map(|p| {
            let mut words = p.split(' ');
            (words.next().unwrap(), words.next().unwrap())
        })
        .collect();
    cluster.login("enough", "system:serviceaccount:ops:kiops", &may);
    let runtime = connect(&cluster.kubeconfig_of("enough"));
    assert!(runtime.check().await.unwrap().missing_permissions.is_empty());
    let mut db = web(&place, "db", "x");
    db.volumes = vec![VolumeSpec { mount_path: "/data".to_owned(), size: "1Gi".to_owned() }];
    let first = place.revision(1, vec![web(&place, "web", "x"), db], Duration::from_secs(400));
    let mut broken = first.clone();
    broken.revision = 2;
    broken.spec.containers[0].env.insert("FAIL".to_owned(), crate::contract_runtime::plain("1"));
    let lines = Lines::default();
    runtime.admit(&place.target).await.unwrap();
    let _events = runtime.events().await.unwrap();
    runtime.apply(&first, &lines).await.unwrap();
    runtime.finish(&first, &lines).await.unwrap();
    assert!(runtime.apply(&broken, &lines).await.unwrap_err().to_string().contains("broken"));
    runtime.undo(&broken, Some(&first), &lines).await.unwrap();
    assert_eq!(runtime.drift(&first).await.unwrap(), Vec::<String>::new());
    assert_eq!(runtime.instances(&place.target).await.unwrap().len(), 2);
    runtime.logs(&place.target, Default::default()).await.unwrap().count().await;
    runtime.stop(&place.target).await.unwrap();
    runtime.restart(&place.target).await.unwrap();
    runtime.remove(&place.target, Volumes::Keep).await.unwrap();
    runtime.remove(&place.target, Volumes::Delete).await.unwrap();
    let denied: Vec<_> =
        cluster.asked().into_iter().filter(|one| one.status == 403 && one.user.ends_with("kiops")).collect();
    let denied: Vec<_> = denied.iter().filter(|one| one.name != "kube-system").collect();
    assert!(denied.is_empty(), "{denied:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_say_what_kubectl_says() {
    let Some(place) = place("instances_say_what_kubectl_says") else { return };
    place.cluster().image("registry.test/none:1", Behaviour::Unschedulable);
    let mut open = web(&place, "web", "x");
    open.is_internal = false;
    let mut rollout = place.revision(1, vec![open], Duration::from_secs(400));
    rollout.spec.cluster = Some(ClusterSpec { replicas: 2, ..ClusterSpec::default() });
    let applied = deploy(&place, &rollout).await;
    let address = applied.addresses["web"].clone();
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    assert!(port >= 30_000, "{address}");
    let all = place.runtime.instances(&place.target).await.unwrap();
    assert_eq!(all.len(), 2);
    for one in &all {
        assert!(one.ready && one.state == "Running" && one.restarts == 0 && one.message.is_none(), "{one:?}");
        assert_eq!((one.container.as_str(), one.image.as_str()), ("web", "registry.test/web:1"));
        assert!(one.started_at.is_some() && one.endpoints == [address.clone()], "{one:?}");
    }
    let bad = place.revision(2, vec![place.of("web", "registry.test/missing:1")], Duration::from_secs(30));
    place.failure(&bad).await;
    let all = place.runtime.instances(&place.target).await.unwrap();
    let pulls = all.iter().find(|one| !one.ready).unwrap();
    assert!(["ErrImagePull", "ImagePullBackOff"].contains(&pulls.state.as_str()), "{pulls:?}");
    assert!(pulls.message.as_ref().unwrap().contains("registry.test/missing:1"), "{pulls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_of_pods_in_any_namespace() {
    let Some(place) = place("events_tell_of_pods_in_any_namespace") else { return };
    let mut events = place.runtime.events().await.unwrap();
    deploy(&place, &place.revision(1, vec![web(&place, "web", "x")], Duration::from_secs(400))).await;
    let first = tokio::time::timeout(Duration::from_secs(10), events.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(first.environment_id, place.target.environment_id);
    // It ends when the connection breaks.
    place.cluster().go_away();
    let ended = async { while events.next().await.is_some_and(|event| event.is_ok()) {} };
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
    assert!(place.runtime.events().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_by_hand_is_told() {
    let Some(place) = place("what_was_changed_by_hand_is_told") else { return };
    let cluster = place.cluster();
    let mut container = web(&place, "web", "x");
    // Written in another way than the server does.
    container.resources.memory_limit = Some("1024Mi".to_owned());
    container.resources.cpu_limit = Some("0.5".to_owned());
    let mut rollout = place.revision(1, vec![container], Duration::from_secs(400));
    rollout.spec.cluster = Some(ClusterSpec { replicas: 2, ..ClusterSpec::default() });
    deploy(&place, &rollout).await;
    assert_eq!(place.runtime.drift(&rollout).await.unwrap(), Vec::<String>::new());
    // Stopped and restarted by us is no change by hand.
    place.runtime.restart(&place.target).await.unwrap();
    assert_eq!(place.runtime.drift(&rollout).await.unwrap(), Vec::<String>::new());
    place.runtime.stop(&place.target).await.unwrap();
    assert_eq!(place.runtime.drift(&rollout).await.unwrap(), Vec::<String>::new());
    place.runtime.restart(&place.target).await.unwrap();
    let namespace = place.target.namespace.clone();
    cluster.change("Deployment", (&namespace, "web"), |deployment| {
        deployment["spec"]["replicas"] = json!(5);
        deployment["spec"]["template"]["spec"]["containers"][0]["env"] = json!([]);
    });
    cluster.change("Service", (&namespace, "web"), |service| service["metadata"]["labels"]["theirs"] = json!("x"));
    let told = place.runtime.drift(&rollout).await.unwrap();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].contains("Deployment web") && told[0].contains("spec.replicas is 5, and not 2 as applied"),
        "{told:#?}"
    );
    assert!(told[0].contains("containers[web].env"), "{told:#?}");
    assert_eq!(cluster.get("Deployment", &namespace, "web").unwrap()["spec"]["replicas"], 5, "asking changes nothing");
    deploy(&place, &rollout).await;
    assert_eq!(place.runtime.drift(&rollout).await.unwrap(), Vec::<String>::new());
}
