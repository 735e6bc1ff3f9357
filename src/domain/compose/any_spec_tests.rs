//! Whatever a spec holds, its export is one document with the same texts.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use serde_norway::Value;

use super::export;
use super::export_tests::{container, spec, volume};
use crate::domain::spec::{ContainerSpec, EnvValue, HealthCheck, Resources};

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "(?s).{0,12}",
        "[ \t\n\r'\"\\\\:#$&*!|>%@`{}\\[\\],?~=0-9a-z-]{0,12}",
        "[0-9:._eExXoO+-]{1,8}",
        "(?i)(y|no?|yes|on|off|true|false|null|~|\\.inf|\\.nan|<<|---|\\.\\.\\.|2001-01-01|0x1f|1_000)",
        Just("\n---\nkind: ClusterRoleBinding".to_owned()),
        Just("${HOME:-x}".to_owned()),
    ]
}

fn any_env() -> impl Strategy<Value = EnvValue> {
    prop_oneof![any_text().prop_map(EnvValue::Plain), any_text().prop_map(EnvValue::Secret)]
}

prop_compose! {
    fn any_container()(
        name in "[a-z][a-z0-9-]{0,4}[a-z0-9]",
        port in of(1u16..),
        host_port in of(1u16..),
        is_internal in any::<bool>(),
        env in btree_map("[A-Za-z_][A-Za-z0-9_.-]{0,6}|y|NO|null|True", any_env(), 0..6),
        paths in vec(any_text(), 0..4),
        command in of(vec(any_text(), 0..4)),
        health_path in of(any_text()),
        limit in of("[0-9]{1,3}(\\.[0-9])?(m|Mi|Gi|k)?"),
    ) -> ContainerSpec {
        let health = HealthCheck {
            path: health_path,
            interval_seconds: 1,
            timeout_seconds: 1,
            retries: 1,
            start_seconds: 1,
        };
        ContainerSpec {
            port,
            host_port,
            is_internal,
            env,
            volumes: paths.iter().map(|path| volume(path)).collect(),
            command,
            health: Some(health),
            resources: Resources { cpu_limit: limit.clone(), memory_limit: limit, ..Resources::default() },
            ..container(&name, "nginx")
        }
    }
}

proptest! {
    #[test]
    fn any_spec_is_one_document_with_the_same_texts(containers in vec(any_container(), 0..4)) {
        let mut spec = spec(containers);
        spec.containers.sort_by(|a, b| a.name.cmp(&b.name));
        spec.containers.dedup_by(|a, b| a.name == b.name);
        let text = export(&spec);
        prop_assert_eq!(&text, &export(&spec));
        prop_assert_eq!(serde_norway::Deserializer::from_str(&text).count(), 1);
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        let document: Value = serde_norway::from_str(&text).unwrap();
        prop_assert_eq!(document.as_mapping().unwrap().len(), if spec.containers.iter().any(|c| !c.volumes.is_empty()) { 4 } else { 3 });
        let services = document["services"].as_mapping().unwrap();
        prop_assert_eq!(services.len(), spec.containers.len());
        let read = |value: &Value| value.as_str().unwrap().replace("$$", "$");
        let mut volumes = 0;
        for container in &spec.containers {
            let service = &services[container.name.as_str()];
            let env: BTreeMap<String, String> = service
                .get("environment")
                .map(|env| env.as_mapping().unwrap().iter().map(|(k, v)| (k.as_str().unwrap().to_owned(), read(v))).collect())
                .unwrap_or_default();
            let wanted: BTreeMap<String, String> = container
                .env
                .iter()
                .map(|(name, value)| match value {
                    EnvValue::Plain(text) => (name.clone(), text.clone()),
                    EnvValue::Secret(_) => (name.clone(), "***".to_owned()),
                })
                .collect();
            prop_assert_eq!(env, wanted);
            let list = |key: &str| service.get(key).map(|l| l.as_sequence().unwrap().clone()).unwrap_or_default();
            let command: Vec<String> = list("command").iter().map(read).collect();
            prop_assert_eq!(command, container.command.clone().unwrap_or_default());
            let mounts: Vec<String> = list("volumes").iter().map(|mount| read(&mount["target"])).collect();
            let paths: Vec<String> = container.volumes.iter().map(|v| v.mount_path.clone()).collect();
            prop_assert_eq!(mounts, paths);
            volumes += container.volumes.len();
        }
        prop_assert_eq!(document.get("volumes").map_or(0, |v| v.as_mapping().unwrap().len()), volumes);
    }
}
