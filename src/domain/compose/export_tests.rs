use std::collections::BTreeMap;

use super::*;
use crate::domain::image::{Digest, Repository, Tag};
use crate::domain::spec::{ContainerSpec, EnvValue, HealthCheck, Resources, Spec, Strategy, Target, VolumeSpec};

pub(super) fn container(name: &str, image: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        repository: Repository::parse(image).unwrap(),
        tag: Tag::parse("1.27").unwrap(),
        digest: None,
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

pub(super) fn spec(containers: Vec<ContainerSpec>) -> Spec {
    let target = Target {
        organization_id: "o".to_owned(),
        service_id: "s".to_owned(),
        service: "shop".to_owned(),
        environment_id: "e".to_owned(),
        environment: "production".to_owned(),
        namespace: "shop".to_owned(),
    };
    Spec { target, containers, strategy: Strategy::default(), cluster: None }
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
          update_config:
            order: start-first
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

fn with_env(entries: &[(&str, EnvValue)]) -> Spec {
    let env = entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    spec(vec![ContainerSpec { env, ..container("web", "nginx") }])
}

fn diff(before: Option<&Spec>, after: &Spec) -> String {
    let (old, new) = (before.map(export).unwrap_or_default(), export_beside(after, before));
    if old == new { String::new() } else { unified_diff(&old, &new) }
}

/// The lines that a diff takes away and adds.
fn changed_lines(before: &Spec, after: &Spec) -> Vec<String> {
    let text = diff(Some(before), after);
    let lines = text.lines().filter(|l| (l.starts_with('-') || l.starts_with('+')) && !l.starts_with("---"));
    lines.filter(|l| !l.starts_with("+++")).map(|l| l.replace("      ", "")).collect()
}

#[test]
fn a_changed_secret_shows_in_the_diff_as_changed_and_as_nothing_else() {
    let secret = |row: &str| EnvValue::Secret(row.to_owned());
    let plain = |text: &str| EnvValue::Plain(text.to_owned());
    let one = with_env(&[("A", secret("r1")), ("B", secret("r2"))]);
    let two = with_env(&[("A", secret("r1")), ("B", secret("r3"))]);
    // There and back: a rollback is shown the same way.
    for (before, after) in [(&one, &two), (&two, &one)] {
        assert_eq!(changed_lines(before, after), ["-B: \"***\"", "+B: \"*** (changed)\""]);
    }
    assert_eq!(diff(Some(&one), &one), "");
    // What is applied says nothing of what was before.
    assert!(!export(&two).contains("changed"));
    for row in ["r1", "r2", "r3"] {
        assert!(!diff(Some(&one), &two).contains(row));
    }

    let readable = with_env(&[("A", secret("r1")), ("B", plain("***"))]);
    assert_eq!(changed_lines(&readable, &one), ["-B: \"***\"", "+B: \"*** (changed)\""]);
    assert_eq!(changed_lines(&one, &readable), ["-B: \"***\"", "+B: \"*** (readable)\""]);
    // A readable value may look like anything.
    let alike = with_env(&[("A", secret("r1")), ("B", plain("*** (changed)"))]);
    assert_eq!(changed_lines(&alike, &one), ["-B: \"*** (changed)\"", "+B: \"***\""]);
    assert_eq!(changed_lines(&one, &alike), ["-B: \"***\"", "+B: \"*** (changed) (readable)\""]);
    let less = with_env(&[("A", secret("r1"))]);
    assert_eq!(changed_lines(&less, &one), ["+B: \"***\""]);
    assert_eq!(changed_lines(&one, &less), ["-B: \"***\""]);
}

#[test]
fn the_order_of_an_update_is_said_where_it_was_chosen_or_there_are_limits() {
    let usual = spec(vec![container("web", "nginx")]);
    let recreated = Spec { strategy: Strategy::Recreate, ..usual.clone() };
    assert!(!export(&usual).contains("order"));
    let document: serde_norway::Value = serde_norway::from_str(&export(&recreated)).unwrap();
    assert_eq!(document["services"]["web"]["deploy"]["update_config"]["order"], "stop-first");
    assert!(diff(Some(&usual), &recreated).contains("stop-first"));

    // Compose's own default is to stop first, which is no rolling update; with a volume it is what happens.
    let mut limited = usual.clone();
    limited.containers[0].resources.memory_limit = Some("64Mi".to_owned());
    assert!(export(&limited).contains("order: start-first"));
    limited.containers[0].volumes =
        shop().containers.into_iter().find_map(|c| c.volumes.first().cloned()).into_iter().collect();
    assert!(!limited.containers[0].volumes.is_empty() && !export(&limited).contains("order"));
}
