use std::fmt::Write as _;

use super::export_tests::shop;
use super::*;

fn told(text: &str) -> String {
    let import = import(text).unwrap();
    let mut out = String::new();
    for c in &import.containers {
        writeln!(out, "{} {}:{} port {:?}", c.name, c.repository, c.tag, c.port).unwrap();
        for v in &c.env {
            writeln!(out, "  env {} {:?}", v.name, v.value).unwrap();
        }
        for v in &c.volumes {
            writeln!(out, "  volume {} {}", v.mount_path, v.size).unwrap();
        }
        if let Some(command) = &c.command {
            writeln!(out, "  command {command:?}").unwrap();
        }
        if let Some(h) = &c.health {
            writeln!(
                out,
                "  health {:?} {} {} {} {}",
                h.path, h.interval_seconds, h.timeout_seconds, h.retries, h.start_seconds
            )
            .unwrap();
        }
    }
    out.extend(import.warnings.iter().map(|warning| format!("! {warning}\n")));
    out
}

fn refused(text: &str) -> String {
    import(text).unwrap_err().to_string()
}

#[test]
fn what_has_a_counterpart_is_taken() {
    let text = r#"
x-env: &env { LOG: debug, PORT: 8080 }
services:
  web:
    image: ghcr.io/acme/web:${TAG:-1.2}
    environment: { <<: *env, LOG: info, PRICE: "$$5", FLAG: true }
    ports: ["127.0.0.1:8080:80/tcp"]
    command: serve --name 'a b' "c\"d" \$$x
    restart: always
    healthcheck:
      test: curl -fsS http://localhost/health?deep=1 >/dev/null || exit 1
      interval: 1m30s
      timeout: 500ms
      start_period: 10s
  db:
    image: mysql
    environment: [MYSQL_DATABASE=x, "MYSQL_PASSWORD=a=b c", MYSQL_DATABASE=shop]
    volumes: ["data:/var/lib/mysql", /tmp/x]
    ports: [{ target: 3306 }]
    command: [mysqld, --sql-mode=, 5]
volumes: { data: }
"#;
    insta::assert_snapshot!(told(text), @r#"
    web ghcr.io/acme/web:1.2 port Some(80)
      env LOG Some("info")
      env PRICE Some("$5")
      env FLAG Some("true")
      env PORT Some("8080")
      command ["serve", "--name", "a b", "c\"d", "$x"]
      health Some("/health?deep=1") 90 1 3 10
    db mysql:latest port Some(3306)
      env MYSQL_DATABASE Some("shop")
      env MYSQL_PASSWORD Some("a=b c")
      volume /var/lib/mysql 1Gi
      volume /tmp/x 1Gi
      command ["mysqld", "--sql-mode=", "5"]
    ! services.web.image: takes the default of TAG
    ! services.web.ports.0: has a host port or address, which is not taken: a free host port is chosen and kept
    ! services.db.environment.MYSQL_DATABASE: stands there twice: the last value is taken
    "#);
}

#[test]
fn what_has_none_is_said() {
    let text = r#"
name: shop
services:
  built: { build: . }
  My_App:
    image: nginx@sha256:00
    build: .
    privileged: true
    network_mode: host
    env_file: .env
    depends_on: [db]
    deploy: { replicas: 3 }
    configs: [x]
    pid: host
    stop_grace_period: 10s
    restart: "no"
    environment: { FROM_SHELL: , OPEN: "a ${X} $Y", 9BAD: x, LIST: [a], SECRET: "***" }
    ports: ["80", "443:443", "53:53/udp", "3000-3005:3000-3005", "nope"]
    volumes: [./html:/usr/share, "/var/run/docker.sock:/x", "a:/proc", "b:/b:ro", { type: tmpfs, target: /t }]
    healthcheck: { test: [CMD, mysqladmin, ping] }
  my-app: { image: nginx }
  bad: { image: "x:$(id)" }
  other: { image: redis, expose: ["6379"], healthcheck: { disable: true } }
configs: { x: { file: ./x } }
networks: { front: }
volumes: { a: { external: true } }
"#;
    insta::assert_snapshot!(told(text), @r#"
    my-app nginx:latest port Some(80)
      env OPEN Some("a ${X} $Y")
      env SECRET None
      volume /b 1Gi
    other redis:latest port Some(6379)
    ! name: is not taken: a service gets its name when it is registered
    ! configs: has no counterpart and was left out
    ! networks.front: has no counterpart: the containers of a service share one network of their own
    ! volumes.a: has settings (a driver, a name, external) without counterpart: a new, empty volume is made
    ! services.built: was left out, since it names no image: it is built from source, which is not read here
    ! services.My_App.image: has a digest, which is not taken: a deployment looks up the tag's own
    ! services.My_App: becomes the container my-app, under which its neighbours reach it
    ! services.My_App.ports.1: was left out: a container has one port, which is 80
    ! services.My_App.ports.2: was left out: only TCP ports are published
    ! services.My_App.ports.3: was left out: it is not one port from 1 to 65535
    ! services.My_App.ports.4: was left out: it is not one port from 1 to 65535
    ! services.My_App.healthcheck.test: was left out: only a plain request to the container's own port by curl, wget or nc is taken
    ! services.My_App.environment.LIST: was left out: it is no text
    ! services.My_App.environment.FROM_SHELL: was left out: it takes its value from the shell that starts Compose
    ! services.My_App.environment.OPEN: has X, Y to be filled in: put the value there yourself
    ! services.My_App.environment.9BAD: was left out: a variable's name is made of letters, digits, underscores, dots and hyphens, and starts with a letter or an underscore
    ! services.My_App.environment.SECRET: stands for a secret that is not in the file: give its value
    ! services.My_App.volumes.0: was left out: it mounts a place of the host, and only volumes can be mounted
    ! services.My_App.volumes.1: was left out: it mounts a place of the host, and only volumes can be mounted
    ! services.My_App.volumes.2: was left out: nothing can be mounted at /proc: it is the system's own
    ! services.My_App.volumes.3: has options (like ro) without counterpart: it is mounted to read and write
    ! services.My_App.volumes.4: was left out: only volumes can be mounted
    ! services.My_App.build: is not taken: the image is used, and nothing is built from a Compose file
    ! services.My_App.privileged: is not taken: a container gets no rights beyond the ordinary ones
    ! services.My_App.network_mode: is not taken: the containers of a service share one network of their own
    ! services.My_App.env_file: is not taken: put its variables among the container's yourself
    ! services.My_App.depends_on: is not taken: containers are started together and must wait for each other themselves
    ! services.My_App.deploy: is not taken: set replicas and resources of the environment or the container
    ! services.My_App.configs: is not taken: use secret variables
    ! services.My_App.pid: is not taken: a container gets no rights beyond the ordinary ones
    ! services.My_App.stop_grace_period: has no counterpart and was left out
    ! services.My_App.restart: is not taken: containers are always started again until they are stopped
    ! services.my-app: was left out: another service already became the container my-app
    ! services.bad.image: cannot be read (a tag has 1 to 128 letters, digits, dots, hyphens and underscores, and starts with none of . and -), and its service was left out
    ! services.other.expose: is taken as its port: register the container as internal to keep it unpublished
    ! services.other.healthcheck: was left out: the image's own HEALTHCHECK is asked where it has one
    "#);
}

#[test]
fn our_own_file_comes_back() {
    insta::assert_snapshot!(told(&export(&shop())), @r#"
    admin ghcr.io/acme/admin:1.27 port Some(8080)
    db mysql:1.27 port Some(3306)
      env MYSQL_ROOT_PASSWORD None
      volume /var/lib/mysql 1Gi
      volume /var-lib/mysql 1Gi
      command ["mysqld", "--port", "3306", "$HOME"]
      health None 10 3 3 0
    web nginx:1.27 port Some(80)
      env EMPTY Some("")
      env HOSTILE Some("\n---\nkind: ClusterRoleBinding")
      env MODE Some("production")
      env PRICE Some("${X} costs $5")
      env TURNED Some("\u{202e}\u{85}😀\"\\")
      env YES Some("yes")
      env n Some("1e3")
      health Some("/health?a='$(id)'") 10 3 3 5
    ! name: is not taken: a service gets its name when it is registered
    ! services.db.expose: is taken as its port: register the container as internal to keep it unpublished
    ! services.db.environment.MYSQL_ROOT_PASSWORD: stands for a secret that is not in the file: give its value
    ! services.web.image: has a digest, which is not taken: a deployment looks up the tag's own
    ! services.web.ports.0: has a host port or address, which is not taken: a free host port is chosen and kept
    ! services.web.deploy: is not taken: set replicas and resources of the environment or the container
    "#);
}

#[test]
fn what_is_no_compose_file_is_refused() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..9 {
        let inner = vec![format!("*a{}", i - 1); 10].join(",");
        writeln!(bomb, "a{i}: &a{i} [{inner}]").unwrap();
    }
    let long = format!("a: &a {}\nb: [{}]\nservices: {{}}\n", "x".repeat(100_000), vec!["*a"; 30_000].join(","));
    let circle = "a: &a [*a]\nservices: {}\n".to_owned();
    let flow = "[".repeat(200_000);
    let deep: String = (0..300).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    let dashes = "- ".repeat(100_000);
    let started = std::time::Instant::now();
    for text in [
        "",
        " ",
        "# nothing",
        "a",
        "[]",
        "services: []",
        "services:",
        "volumes: {}",
        "services: {}\n---\nservices: {}",
        "services: {a: {image: x}, a: {image: y}}",
        "services: {a: !x {image: y}}",
        "services: {a: {<<: 1}}",
        "\0",
        "%",
        "services: *x",
        &bomb,
        &long,
        &circle,
        &flow,
        &deep,
        &dashes,
        &"#".repeat(256 * 1024 + 1),
    ] {
        let start: String = text.chars().take(60).collect();
        let message = refused(text);
        assert!(!message.is_empty() && message.len() < 300, "{start:?}: {message}");
    }
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    assert!(refused(&bomb).contains("unfold") || refused(&bomb).contains("repetition"), "{}", refused(&bomb));
    assert!(refused(&long).contains("unfold") || refused(&long).contains("repetition"), "{}", refused(&long));
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "(?s).{0,80}", line in "[ a-z0-9:${}'\"\\\\/.|>-]{0,40}") {
        let _ = import(&text);
        let _ = import(&format!("services: {{a: {{image: b, command: '{0}', ports: ['{0}'], volumes: ['{0}'], healthcheck: {{test: '{0}', interval: '{0}'}}}}}}", line.replace('\'', "''")));
    }
}
