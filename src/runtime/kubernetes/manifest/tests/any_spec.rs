//! Whatever a spec holds, exactly the documents that are expected come of it, with names that Kubernetes takes.

use std::collections::BTreeSet;

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::{Just, any, prop_assert, prop_assert_eq, prop_compose, prop_oneof, proptest};
use proptest::strategy::Strategy as Any;
use serde::Deserialize as _;
use serde_norway::Value;

use super::*;

fn any_text() -> impl Any<Value = String> {
    prop_oneof![
        "(?s).{0,12}",
        "[ \t\n\r'\"\\\\:#$&*!|>%@`{}\\[\\],?~=0-9a-z-]{0,12}",
        "(?i)(y|no?|yes|on|off|true|false|null|~|\\.inf|<<|---|\\.\\.\\.|2001-01-01|0x1f|1_000|1e3)",
        Just("\n---\nkind: ClusterRoleBinding".to_owned()),
        Just("$(HOME) $$ $(".to_owned()),
    ]
}

fn any_env() -> impl Any<Value = EnvValue> {
    prop_oneof![
        any_text().prop_map(EnvValue::Plain),
        Just(EnvValue::Secret("<row 1>".to_owned())),
        Just(EnvValue::Secret("<row 2>".to_owned())),
    ]
}

fn any_health() -> impl Any<Value = HealthCheck> {
    let number = || prop_oneof![0u32..100, Just(u32::MAX)];
    (of("/[a-z$(){}'\"]{0,8}"), number(), number(), number(), number()).prop_map(
        |(path, interval_seconds, timeout_seconds, retries, start_seconds)| HealthCheck {
            path,
            interval_seconds,
            timeout_seconds,
            retries,
            start_seconds,
        },
    )
}

prop_compose! {
    fn any_container()(
        name in "[a-z][a-z0-9-]{0,61}[a-z0-9]",
        port in of(1u16..),
        flags in any::<(bool, bool)>(),
        env in btree_map("[A-Za-z_][A-Za-z0-9_.-]{0,6}", any_env(), 0..6),
        paths in vec("/[^\\p{C}:]{1,80}", 0..4),
        command in of(vec(any_text(), 0..4)),
        health in of(any_health()),
        ingress_path in of("/[a-z/]{0,6}"),
    ) -> ContainerSpec {
        let paths: BTreeSet<String> = paths.into_iter().collect();
        ContainerSpec {
            port,
            env,
            is_internal: flags.0,
            restricted: flags.1,
            volumes: paths.iter().map(|path| volume(path, "1Gi")).collect(),
            command,
            health,
            ingress_path,
            ..container(&name, "nginx")
        }
    }
}

prop_compose! {
    fn any_cluster()(
        replicas in 1u16..10,
        max in of(1i32..10),
        domain in of("[a-z]{1,8}\\.example"),
        issuer in of(of("[a-z]{1,8}")),
    ) -> ClusterSpec {
        ClusterSpec {
            replicas,
            autoscaling: max.map(|max_replicas| Autoscaling {
                min_replicas: 1,
                max_replicas,
                target_cpu_percent: Some(50),
                target_memory_percent: None,
            }),
            domain,
            tls: issuer.map(|issuer| IngressTls { secret_name: None, issuer }),
            ..ClusterSpec::default()
        }
    }
}

/// Kind and name of what should be there; the hashes of Secrets' names are left out.
fn expected(spec: &Spec) -> BTreeSet<String> {
    let cluster = spec.cluster.as_ref().unwrap();
    let mut all = BTreeSet::from(["Namespace shop".to_owned(), "Secret kiops-registries".to_owned()]);
    for c in &spec.containers {
        all.insert(format!("Deployment {}", c.name));
        if c.env.values().any(|value| matches!(value, EnvValue::Secret(_))) {
            all.insert(format!("Secret {}-env", c.name));
        }
        all.extend(c.port.map(|_| format!("Service {}", c.name)));
        all.extend(
            c.volumes.iter().map(|v| format!("PersistentVolumeClaim {}", storage::claim_name(&c.name, &v.mount_path))),
        );
        if c.volumes.is_empty() {
            let most = cluster.autoscaling.as_ref().map_or(i32::from(cluster.replicas), |a| a.max_replicas);
            all.extend((most > 1).then(|| format!("PodDisruptionBudget {}", c.name)));
            all.extend(cluster.autoscaling.as_ref().map(|_| format!("HorizontalPodAutoscaler {}", c.name)));
        }
        if c.ingress_path.is_some() && c.port.is_some() && !c.is_internal {
            all.insert("Ingress shop".to_owned());
        }
    }
    all
}

fn kind_and_name(document: &Value) -> String {
    format!("{} {}", document["kind"].as_str().unwrap(), document["metadata"]["name"].as_str().unwrap())
}

/// A DNS subdomain whose labels are RFC 1123's, of at most 253 characters.
fn is_name(name: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253 && name.chars().all(|c| edge(c) || c == '-') && name.starts_with(edge) && name.ends_with(edge)
}

proptest! {
    #[test]
    fn any_spec_is_the_documents_that_are_expected(containers in vec(any_container(), 0..4), cluster in any_cluster()) {
        let mut spec = spec(containers);
        spec.containers.sort_by(|a, b| a.name.cmp(&b.name));
        spec.containers.dedup_by(|a, b| a.name == b.name);
        spec.cluster = Some(cluster);
        let wanted = expected(&spec);

        let text = shown(&spec, None);
        prop_assert_eq!(&text, &shown(&spec, Some(&spec)));
        let documents: Vec<Value> =
            serde_norway::Deserializer::from_str(&text).map(|d| Value::deserialize(d).unwrap()).collect();
        prop_assert_eq!(documents.len(), wanted.len());
        let there: BTreeSet<String> = documents.iter().map(kind_and_name).collect();
        prop_assert_eq!(&there, &wanted);
        prop_assert!(!text.contains("<row ") && !text.contains("value of"));

        let made = objects(&rollout(spec.clone())).unwrap();
        let bare = |object: &Object| match object.name().split_once("-env-") {
            Some((container, _)) if object.kind() == "Secret" => format!("Secret {container}-env"),
            _ => format!("{} {}", object.kind(), object.name()),
        };
        prop_assert_eq!(made.iter().map(bare).collect::<BTreeSet<_>>(), wanted);
        prop_assert_eq!(made.len(), documents.len());
        for object in &made {
            prop_assert!(is_name(object.name()), "{}", object.name());
            let Object::Deployment(deployment) = object else { continue };
            let pod = deployment.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
            let container = spec.containers.iter().find(|c| c.name == object.name()).unwrap();
            let words = pod.containers[0].args.clone().unwrap_or_default();
            let read: Vec<String> = words.iter().map(|word| word.replace("$$", "$")).collect();
            prop_assert_eq!(read, container.command.clone().unwrap_or_default());
            for volume in pod.volumes.iter().flatten() {
                prop_assert!(is_name(&volume.name) && volume.name.len() <= 63, "{}", volume.name);
            }
            let names: BTreeSet<_> = pod.volumes.iter().flatten().map(|v| &v.name).collect();
            prop_assert_eq!(names.len(), container.volumes.len());
        }
    }
}
