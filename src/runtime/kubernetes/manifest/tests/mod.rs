//! What specs become.

mod any_spec;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::*;
use crate::domain::image::{Digest, Repository, Tag};
use crate::domain::secret::{RegistryLogin, SecretString};
use crate::domain::spec::{Autoscaling, EnvValue, Exposure, HealthCheck, IngressTls, Resources, Strategy, VolumeSpec};

fn container(name: &str, image: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        repository: Repository::parse(image).unwrap(),
        tag: Tag::parse("1.27").unwrap(),
        digest: Some(Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap()),
        image_id: None,
        port: None,
        host_port: None,
        env: BTreeMap::new(),
        volumes: Vec::new(),
        ingress_path: None,
        is_internal: false,
        health: None,
        command: None,
        resources: Resources::default(),
        restricted: false,
    }
}

fn spec(containers: Vec<ContainerSpec>) -> Spec {
    let target = Target {
        organization_id: "o-1".to_owned(),
        service_id: "s-1".to_owned(),
        service: "shop".to_owned(),
        environment_id: "e-1".to_owned(),
        environment: "production".to_owned(),
        namespace: "shop".to_owned(),
    };
    Spec { target, containers, strategy: Strategy::default(), cluster: Some(ClusterSpec::default()) }
}

fn rollout(spec: Spec) -> Rollout {
    let token = SecretString::from("hub-token".to_owned());
    // No name of a spec can look like one of these, so one that is shown can be told.
    let secret = |row: &str| (row.to_owned(), SecretString::from(format!("value of {row}")));
    Rollout {
        spec,
        revision: 7,
        secrets: BTreeMap::from([secret("<row 1>"), secret("<row 2>")]),
        logins: BTreeMap::from([(
            "docker.io".to_owned(),
            RegistryLogin { username: "ada".to_owned(), token, trusted: false },
        )]),
        deadline: Duration::from_secs(600),
    }
}

/// The two images of the product's own example.
fn shop() -> Spec {
    let web = ContainerSpec { port: Some(80), ingress_path: Some("/".to_owned()), ..container("web", "nginx") };
    let db = ContainerSpec {
        port: Some(3306),
        is_internal: true,
        env: BTreeMap::from([
            ("MYSQL_DATABASE".to_owned(), EnvValue::Plain("shop".to_owned())),
            ("MYSQL_ROOT_PASSWORD".to_owned(), EnvValue::Secret("<row 1>".to_owned())),
        ]),
        volumes: vec![volume("/var/lib/mysql", "1Gi")],
        ..container("db", "mysql")
    };
    spec(vec![web, db])
}

fn volume(path: &str, size: &str) -> VolumeSpec {
    VolumeSpec { mount_path: path.to_owned(), size: size.to_owned() }
}

/// Every field once: restricted, scaled by use, with a certificate, a load balancer and hostile texts.
fn everything() -> Spec {
    let text = |text: &str| Some(text.to_owned());
    let api = ContainerSpec {
        port: Some(8080),
        ingress_path: text("/api"),
        env: BTreeMap::from([
            ("HOSTILE".to_owned(), EnvValue::Plain("\n---\nkind: ClusterRoleBinding".to_owned())),
            ("PRICE".to_owned(), EnvValue::Plain("$(HOME) costs $5".to_owned())),
            ("TOKEN".to_owned(), EnvValue::Secret("<row 2>".to_owned())),
            ("YES".to_owned(), EnvValue::Plain("yes".to_owned())),
        ]),
        health: Some(HealthCheck {
            path: text("/healthz"),
            interval_seconds: 10,
            timeout_seconds: 3,
            retries: 3,
            start_seconds: 45,
        }),
        command: Some(vec!["serve".to_owned(), "--name=$(POD)".to_owned()]),
        resources: Resources {
            cpu_request: text("250m"),
            memory_request: text("128Mi"),
            cpu_limit: text("1.5"),
            memory_limit: text("256Mi"),
        },
        restricted: true,
        ..container("api", "ghcr.io/acme/api")
    };
    let files = ContainerSpec {
        digest: None,
        port: Some(21),
        volumes: vec![volume("/srv/Ä", "5Gi"), volume("/srv/files", "500M")],
        health: Some(HealthCheck { path: None, interval_seconds: 1, timeout_seconds: 1, retries: 5, start_seconds: 0 }),
        restricted: true,
        ..container("files", "acme/files")
    };
    let worker = container("worker", "acme/worker");
    let mut spec = spec(vec![api, files, worker]);
    spec.cluster = Some(ClusterSpec {
        autoscaling: Some(Autoscaling {
            min_replicas: 2,
            max_replicas: 5,
            target_cpu_percent: Some(70),
            target_memory_percent: Some(80),
        }),
        domain: text("shop.example.com"),
        tls: Some(IngressTls { secret_name: None, issuer: text("letsencrypt") }),
        ingress_class: text("nginx"),
        storage_class: text("fast"),
        exposure: Exposure::LoadBalancer,
        ..ClusterSpec::default()
    });
    spec
}

fn applied(spec: Spec) -> String {
    let objects = objects(&rollout(spec)).unwrap();
    let documents =
        objects.iter().map(|object| crate::domain::emit::document(&serde_norway::to_value(object).unwrap()));
    documents.collect::<Vec<_>>().join("---\n")
}

fn names(spec: Spec) -> Vec<String> {
    let objects = objects(&rollout(spec)).unwrap();
    objects.iter().map(|object| format!("{} {}", object.kind(), object.name())).collect()
}

fn deployment(spec: Spec, name: &str) -> Deployment {
    let objects = objects(&rollout(spec)).unwrap();
    let found = objects.into_iter().find_map(|object| match object {
        Object::Deployment(deployment) if deployment.metadata.name.as_deref() == Some(name) => Some(*deployment),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn the_example_of_two_images() {
    insta::assert_snapshot!("two_images", applied(shop()));
    insta::assert_snapshot!("two_images_shown", shown(&shop(), None));
}

#[test]
fn every_field_once() {
    insta::assert_snapshot!("every_field", applied(everything()));
    insta::assert_snapshot!("every_field_shown", shown(&everything(), None));
}

#[test]
fn what_others_refer_to_comes_first() {
    let first: Vec<String> = names(everything()).into_iter().map(|n| n.split(' ').next().unwrap().to_owned()).collect();
    let order = [
        "Namespace",
        "Secret",
        "PersistentVolumeClaim",
        "Service",
        "Deployment",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "Ingress",
    ];
    let position = |kind: &String| order.iter().position(|o| o == kind).unwrap();
    assert!(first.iter().map(position).is_sorted(), "{first:?}");
}

#[test]
fn the_revision_and_the_size_of_the_set_change_no_pod() {
    let template = |rollout: &Rollout| {
        let objects = objects(rollout).unwrap();
        let found = objects.into_iter().filter_map(|object| match object {
            Object::Deployment(deployment) => Some(deployment.spec.unwrap().template),
            _ => None,
        });
        found.collect::<Vec<_>>()
    };
    let mut spec = shop();
    let first = rollout(spec.clone());
    spec.cluster = Some(ClusterSpec { replicas: 3, domain: Some("a.example".to_owned()), ..ClusterSpec::default() });
    let mut second = rollout(spec);
    second.revision = 8;
    second.logins.clear();
    second.spec.containers[1].volumes[0].size = "2Gi".to_owned();
    assert_eq!(template(&first), template(&second));
    second.spec.containers[1].env.insert("MYSQL_ROOT_PASSWORD".to_owned(), EnvValue::Secret("<row 2>".to_owned()));
    let (before, after) = (template(&first), template(&second));
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
}

#[test]
fn replicas_budgets_and_autoscalers() {
    let mut spec = shop();
    spec.containers[0].ingress_path = None;
    spec.cluster = Some(ClusterSpec { replicas: 3, ..ClusterSpec::default() });
    let all = names(spec.clone());
    assert!(all.contains(&"PodDisruptionBudget web".to_owned()));
    assert!(!all.contains(&"PodDisruptionBudget db".to_owned()), "a container with a volume runs once");
    assert_eq!(deployment(spec.clone(), "web").spec.unwrap().replicas, Some(3));
    assert_eq!(deployment(spec.clone(), "db").spec.unwrap().replicas, Some(1));
    assert_eq!(deployment(spec.clone(), "db").spec.unwrap().strategy.unwrap().type_.as_deref(), Some("Recreate"));
    let autoscaling =
        Autoscaling { min_replicas: 1, max_replicas: 4, target_cpu_percent: None, target_memory_percent: None };
    spec.cluster = Some(ClusterSpec { autoscaling: Some(autoscaling), ..ClusterSpec::default() });
    assert_eq!(deployment(spec.clone(), "web").spec.unwrap().replicas, None);
    let told = warnings(&spec);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("container web") && told[0].contains("cpu request"), "{told:?}");
    spec.containers[0].resources.cpu_limit = Some("1".to_owned());
    assert!(warnings(&spec).is_empty());
    assert!(names(spec).contains(&"HorizontalPodAutoscaler web".to_owned()));
}

#[test]
fn how_a_container_is_reached() {
    let kind = |container: ContainerSpec, exposure: Exposure| {
        let mut spec = spec(vec![container]);
        spec.cluster = Some(ClusterSpec { exposure, ..ClusterSpec::default() });
        let objects = objects(&rollout(spec)).unwrap();
        objects.into_iter().find_map(|object| match object {
            Object::Service(service) => service.spec.unwrap().type_,
            _ => None,
        })
    };
    let open = ContainerSpec { port: Some(80), ..container("web", "nginx") };
    let internal = ContainerSpec { is_internal: true, ..open.clone() };
    let routed = ContainerSpec { ingress_path: Some("/".to_owned()), ..open.clone() };
    assert_eq!(kind(open.clone(), Exposure::NodePort).as_deref(), Some("NodePort"));
    assert_eq!(kind(open, Exposure::LoadBalancer).as_deref(), Some("LoadBalancer"));
    assert_eq!(kind(internal.clone(), Exposure::LoadBalancer).as_deref(), Some("ClusterIP"));
    assert_eq!(kind(routed.clone(), Exposure::NodePort).as_deref(), Some("ClusterIP"));
    assert_eq!(kind(container("web", "nginx"), Exposure::NodePort), None);
    let both = ContainerSpec { is_internal: true, ..routed };
    let spec = spec(vec![both]);
    assert!(!names(spec.clone()).iter().any(|name| name.starts_with("Ingress")));
    assert!(warnings(&spec)[0].contains("leads nowhere"));
}

#[test]
fn what_cannot_be_made_is_said() {
    let mut without = rollout(shop());
    without.secrets.clear();
    let failure = objects(&without).err().unwrap().to_string();
    assert!(failure.contains("container db") && failure.contains("MYSQL_ROOT_PASSWORD"), "{failure}");
    let mut built = shop();
    built.containers[0].digest = None;
    built.containers[0].image_id = Some("sha256:abc".to_owned());
    let failure = objects(&rollout(built)).err().unwrap();
    assert!(matches!(&failure, RuntimeError::ImageRefused(text) if text.contains("image repository")), "{failure}");
}

#[test]
fn secrets_show_that_they_changed_and_nothing_else() {
    let before = shop();
    let mut after = before.clone();
    assert_eq!(shown(&after, Some(&before)), shown(&after, None));
    after.containers[1].env.insert("MYSQL_ROOT_PASSWORD".to_owned(), EnvValue::Secret("<row 2>".to_owned()));
    let (old, new) = (shown(&before, None), shown(&after, Some(&before)));
    let changed: Vec<_> = new.lines().zip(old.lines()).filter(|(new, old)| new != old).map(|(new, _)| new).collect();
    assert_eq!(changed, ["  MYSQL_ROOT_PASSWORD: \"*** (changed)\""]);
    assert!(!new.contains("<row "));
}

#[test]
fn claims_grow_and_never_shrink() {
    let claim = |size: &str, class: Option<&str>| -> PersistentVolumeClaim {
        let mut spec = spec(vec![ContainerSpec { volumes: vec![volume("/data", size)], ..container("db", "mysql") }]);
        spec.cluster = Some(ClusterSpec { storage_class: class.map(str::to_owned), ..ClusterSpec::default() });
        let objects = objects(&rollout(spec)).unwrap();
        let found = objects.into_iter().find_map(|object| match object {
            Object::Claim(claim) => Some(claim),
            _ => None,
        });
        found.unwrap()
    };
    let size = |claim: &PersistentVolumeClaim| {
        claim.spec.as_ref().unwrap().resources.as_ref().unwrap().requests.as_ref().unwrap()["storage"].0.clone()
    };
    let there = claim("2Gi", Some("standard"));
    let mut larger = claim("3Gi", None);
    assert!(settle(&mut larger, &there).is_empty());
    assert_eq!(size(&larger), "3Gi");
    assert_eq!(larger.spec.unwrap().storage_class_name.as_deref(), Some("standard"));
    let mut smaller = claim("1500Mi", Some("fast"));
    let told = settle(&mut smaller, &there);
    assert_eq!(size(&smaller), "2Gi");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("storage class standard") && told[1].contains("stays at 2Gi, and not 1500Mi"), "{told:?}");
    let mut same = claim("2048Mi", Some("standard"));
    assert!(settle(&mut same, &there).is_empty());
}
