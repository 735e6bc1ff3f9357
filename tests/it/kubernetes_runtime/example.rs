//! The product's own example: nginx on port 80 under `/`, and mysql with a volume, internal.

use std::time::Duration;

use kiops::domain::spec::{Autoscaling, ClusterSpec, EnvValue, Exposure, IngressTls, VolumeSpec};
use kiops::runtime::{Runtime as _, Volumes};

use super::place;
use crate::contract_runtime::{Place as _, deploy};
use crate::support::cluster::Behaviour;

#[tokio::test(flavor = "multi_thread")]
async fn nginx_under_a_path_and_mysql_with_a_volume() {
    let Some(place) = place("nginx_under_a_path_and_mysql_with_a_volume") else { return };
    let cluster = place.cluster();
    cluster.image("docker.io/library/nginx:alpine", Behaviour::runs());
    cluster.image("docker.io/library/mysql:8.0", Behaviour::runs());
    let mut front = place.of("web", "nginx:alpine");
    front.is_internal = false;
    front.ingress_path = Some("/".to_owned());
    front.health = None;
    let mut db = place.of("db", "mysql:8.0");
    db.port = Some(3306);
    db.volumes = vec![VolumeSpec { mount_path: "/var/lib/mysql".to_owned(), size: "1Gi".to_owned() }];
    db.env.insert("MYSQL_ROOT_PASSWORD".to_owned(), EnvValue::Secret("row-1".to_owned()));
    let mut first = place.revision(1, vec![front, db], Duration::from_secs(400));
    deploy(&place, &first).await;

    let objects = place.objects();
    assert_eq!(objects["Deployment"], ["db", "web"]);
    assert_eq!(objects["Service"], ["db", "web"]);
    assert_eq!(objects["Ingress"], ["shop"]);
    assert_eq!(objects["PersistentVolumeClaim"].len(), 1);
    assert!(objects["PersistentVolumeClaim"][0].starts_with("db-var-lib-mysql-"), "{objects:?}");
    assert_eq!(objects["Secret"].len(), 2, "{objects:?}");
    let namespace = cluster.get("Namespace", "", &place.target.namespace).unwrap();
    assert_eq!(namespace["metadata"]["labels"]["kiops.dev/environment"], place.target.environment_id.as_str());
    let kind = |name: &str| cluster.get("Service", &place.target.namespace, name).unwrap()["spec"]["type"].clone();
    assert_eq!((kind("web"), kind("db")), ("ClusterIP".into(), "ClusterIP".into()));
    let ingress = cluster.get("Ingress", &place.target.namespace, "shop").unwrap();
    let path = &ingress["spec"]["rules"][0]["http"]["paths"][0];
    assert_eq!((path["path"].as_str(), path["pathType"].as_str()), (Some("/"), Some("Prefix")));
    assert_eq!(path["backend"]["service"]["name"], "web");
    assert!(place.reaches("web", "db").await);

    // Everything that can be switched on, and off again: what a revision no longer has is removed.
    let plainly = first.spec.cluster.clone();
    let everything = ClusterSpec {
        autoscaling: Some(Autoscaling {
            min_replicas: 2,
            max_replicas: 4,
            target_cpu_percent: Some(70),
            target_memory_percent: None,
        }),
        domain: Some("shop.example.com".to_owned()),
        tls: Some(IngressTls { secret_name: None, issuer: Some("letsencrypt".to_owned()) }),
        ingress_class: Some("nginx".to_owned()),
        exposure: Exposure::LoadBalancer,
        ..ClusterSpec::default()
    };
    (first.revision, first.spec.cluster) = (2, Some(everything));
    deploy(&place, &first).await;
    let objects = place.objects();
    assert_eq!(objects["HorizontalPodAutoscaler"], ["web"]);
    assert_eq!(objects["PodDisruptionBudget"], ["web"]);
    let ingress = cluster.get("Ingress", &place.target.namespace, "shop").unwrap();
    assert_eq!(ingress["spec"]["tls"][0]["secretName"], "shop-tls");
    assert_eq!(ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"], "letsencrypt");
    (first.revision, first.spec.cluster) = (3, plainly);
    deploy(&place, &first).await;
    let objects = place.objects();
    assert!(!objects.contains_key("HorizontalPodAutoscaler") && !objects.contains_key("PodDisruptionBudget"));
    let ingress = cluster.get("Ingress", &place.target.namespace, "shop").unwrap();
    assert!(ingress["spec"]["tls"].is_null() && ingress["spec"]["ingressClassName"].is_null(), "{ingress}");
    place.runtime.remove(&place.target, Volumes::Delete).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_pods_goes_over_to_an_autoscaler_without_a_dip() {
    let Some(place) = place("the_number_of_pods_goes_over_to_an_autoscaler_without_a_dip") else { return };
    let mut rollout =
        place.revision(1, vec![crate::contract_runtime::web(&place, "web", "x")], Duration::from_secs(400));
    rollout.spec.cluster = Some(ClusterSpec { replicas: 3, ..ClusterSpec::default() });
    deploy(&place, &rollout).await;
    let replicas =
        || place.cluster().get("Deployment", &place.target.namespace, "web").unwrap()["spec"]["replicas"].clone();
    assert_eq!(replicas(), 3);
    let scaled =
        Autoscaling { min_replicas: 2, max_replicas: 5, target_cpu_percent: None, target_memory_percent: None };
    rollout.revision = 2;
    rollout.spec.cluster = Some(ClusterSpec { autoscaling: Some(scaled), ..ClusterSpec::default() });
    deploy(&place, &rollout).await;
    assert_eq!(replicas(), 3);
    // Stopped, an autoscaler has nothing to say; deployed again it begins with as many as before.
    place.runtime.stop(&place.target).await.unwrap();
    assert_eq!(replicas(), 0);
    rollout.revision = 3;
    deploy(&place, &rollout).await;
    assert_eq!(replicas(), 3);
    place.runtime.remove(&place.target, Volumes::Delete).await.unwrap();
}
