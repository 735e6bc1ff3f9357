use std::collections::BTreeMap;

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

pub(super) fn volume(path: &str) -> VolumeSpec {
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
    @@ -40,7 +40,7 @@
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
