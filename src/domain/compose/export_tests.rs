use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use serde_norway::Value;

use super::*;
use crate::domain::image::{Digest, Repository, Tag};
use crate::domain::spec::{ContainerSpec, EnvValue, HealthCheck, Resources, Spec, Target, VolumeSpec};

pub(super) fn container(name: &str, image: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        repository: Repository::parse(image).unwrap(),
        tag: Tag::parse("1.27").unwrap(),
        digest: None,
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

pub(super) fn spec(containers: Vec<ContainerSpec>) -> Spec {
    let target = Target {
        organization_id: "o".to_owned(),
        service_id: "s".to_owned(),
        service: "shop".to_owned(),
        environment_id: "e".to_owned(),
        environment: "production".to_owned(),
        namespace: "shop".to_owned(),
    };
    Spec { target, containers }
}

fn volume(path: &str) -> VolumeSpec {
    VolumeSpec { mount_path: path.to_owned(), size: "1Gi".to_owned() }
}

pub(super) fn shop() -> Spec {
    let plain = |text: &str| EnvValue::Plain(text.to_owned());
    let web = ContainerSpec {
        digest: Some(Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap()),
        port: Some(80),
        host_port: Some(32_768),
        env: BTreeMap::from([
            ("MODE".to_owned(), plain("production")),
            ("EMPTY".to_owned(), plain("")),
            ("HOSTILE".to_owned(), plain("\n---\nkind: ClusterRoleBinding")),
            ("PRICE".to_owned(), plain("${X} costs $5")),
            ("TURNED".to_owned(), plain("\u{202e}\u{85}\u{1f600}\"\\")),
            ("YES".to_owned(), plain("yes")),
            ("n".to_owned(), plain("1e3")),
        ]),
        health: Some(HealthCheck {
            path: Some("/health?a='$(id)'".to_owned()),
            interval_seconds: 10,
            timeout_seconds: 3,
            retries: 3,
            start_seconds: 5,
        }),
        resources: Resources {
            cpu_limit: Some("500m".to_owned()),
            memory_limit: Some("256Mi".to_owned()),
            ..Resources::default()
        },
        ..container("web", "nginx")
    };
    let db = ContainerSpec {
        port: Some(3306),
        is_internal: true,
        env: BTreeMap::from([("MYSQL_ROOT_PASSWORD".to_owned(), EnvValue::Secret("row".to_owned()))]),
        volumes: vec![volume("/var/lib/mysql"), volume("/var-lib/mysql")],
        command: Some(["mysqld", "--port", "3306", "$HOME"].map(str::to_owned).to_vec()),
        health: Some(HealthCheck {
            path: None,
            interval_seconds: 10,
            timeout_seconds: 3,
            retries: 3,
            start_seconds: 0,
        }),
        ..container("db", "mysql")
    };
    spec(vec![web, db, ContainerSpec { port: Some(8080), ..container("admin", "ghcr.io/acme/admin") }])
}

#[test]
fn a_service_as_a_compose_file() {
    insta::assert_snapshot!(export(&shop()), @r#"
    name: shop-production
    services:
      admin:
        image: ghcr.io/acme/admin:1.27
        ports:
          - "8080"
        init: true
        restart: unless-stopped
        security_opt:
          - no-new-privileges:true
        networks:
          - default
      db:
        image: mysql:1.27
        command:
          - mysqld
          - "--port"
          - "3306"
          - "$$HOME"
        environment:
          MYSQL_ROOT_PASSWORD: "***"
        expose:
          - "3306"
        volumes:
          - type: volume
            source: db-var-lib-mysql
            target: /var/lib/mysql
          - type: volume
            source: db-var-lib-mysql-2
            target: /var-lib/mysql
        healthcheck:
          test:
            - CMD-SHELL
            - "nc -z 127.0.0.1 3306 || exit 1"
          interval: "10s"
          timeout: "3s"
          retries: 3
        init: true
        restart: unless-stopped
        security_opt:
          - no-new-privileges:true
        networks:
          - default
      web:
        image: nginx:1.27@sha256:0000000000000000000000000000000000000000000000000000000000000000
        environment:
          EMPTY: ""
          HOSTILE: "\n---\nkind: ClusterRoleBinding"
          MODE: production
          PRICE: "$${X} costs $$5"
          TURNED: "\u202e\u0085😀\"\\"
          "YES": "yes"
          "n": "1e3"
        ports:
          - "32768:80"
        healthcheck:
          test:
            - CMD-SHELL
            - "curl -fsS -o /dev/null 'http://127.0.0.1:80/health?a='\\''$$(id)'\\''' || wget -q -O /dev/null 'http://127.0.0.1:80/health?a='\\''$$(id)'\\''' || exit 1"
          interval: "10s"
          timeout: "3s"
          retries: 3
          start_period: "5s"
        deploy:
          resources:
            limits:
              cpus: "0.5"
              memory: "256m"
        init: true
        restart: unless-stopped
        security_opt:
          - no-new-privileges:true
        networks:
          - default
    volumes:
      db-var-lib-mysql: {}
      db-var-lib-mysql-2: {}
    networks:
      default: {}
    "#);
}

#[test]
fn a_service_without_anything() {
    insta::assert_snapshot!(export(&spec(vec![])), @r#"
    name: shop-production
    services: {}
    networks:
      default: {}
    "#);
}

#[test]
fn a_change_is_a_unified_diff() {
    let before = shop();
    let mut after = before.clone();
    after.containers[0].tag = Tag::parse("1.28").unwrap();
    let (before, after) = (export(&before), export(&after));
    assert_eq!(unified_diff(&before, &before), "");
    insta::assert_snapshot!(unified_diff(&before, &after), @r#"
    --- before
    +++ after
    @@ -42,7 +42,7 @@
         networks:
           - default
       web:
    -    image: nginx:1.27@sha256:0000000000000000000000000000000000000000000000000000000000000000
    +    image: nginx:1.28@sha256:0000000000000000000000000000000000000000000000000000000000000000
         environment:
           EMPTY: ""
           HOSTILE: "\n---\nkind: ClusterRoleBinding"
    "#);
    assert!(unified_diff("", &after).starts_with("--- before\n+++ after\n@@ -0,0 +1,"));
}

#[test]
fn secrets_are_masked() {
    let text = export(&shop());
    assert!(text.contains("MYSQL_ROOT_PASSWORD: \"***\"") && !text.contains("row"), "{text}");
}

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
