//! What installs KIOPS, on Kubernetes, as an image, with Compose and under systemd, fits the program: its configuration is read,
//! its arguments exist, and what belongs together is named alike.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize as _;
use serde_json::Value;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// Every object of the manifests, by kind and name.
fn objects() -> BTreeMap<(String, String), Value> {
    let mut found = BTreeMap::new();
    for folder in ["kubernetes", "kubernetes/optional"] {
        for entry in std::fs::read_dir(deploy().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for document in serde_norway::Deserializer::from_str(&text) {
                let object = Value::deserialize(document).unwrap();
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                let key = (object["kind"].as_str().unwrap().to_owned(), name);
                let namespace = object["metadata"]["namespace"].as_str();
                assert!(namespace.is_none_or(|namespace| namespace == "kiops"), "{key:?}");
                assert!(found.insert(key.clone(), object).is_none(), "{key:?} is there twice");
            }
        }
    }
    found
}

fn pod<'a>(objects: &'a BTreeMap<(String, String), Value>, name: &str) -> &'a Value {
    &objects[&("Deployment".to_owned(), name.to_owned())]["spec"]["template"]["spec"]
}

fn kiops(arguments: &[&str], environment: &[(String, String)]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_kiops"));
    program.args(arguments).envs(environment.iter().cloned()).output().unwrap()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn the_configuration_is_read_and_what_it_names_is_mounted() {
    let objects = objects();
    let text = objects[&("ConfigMap".to_owned(), "kiops".to_owned())]["data"]["kiops.toml"].as_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kiops.toml");
    std::fs::write(&file, text).unwrap();
    let toml: toml::Value = toml::from_str(text).unwrap();
    for name in ["kiops-api", "kiops-worker"] {
        let pod = pod(&objects, name);
        let container = &pod["containers"][0];
        // A key that there is not would be an error here.
        let environment: Vec<(String, String)> = container["env"]
            .as_array()
            .unwrap()
            .iter()
            .map(|variable| (variable["name"].as_str().unwrap().to_owned(), "postgres://kiops@db/kiops".to_owned()))
            .collect();
        assert!(environment.iter().any(|(name, _)| name == "KIOPS_DATABASE__URL"));
        let checked = kiops(&["config", "check", "--config", file.to_str().unwrap()], &environment);
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

        let mounts: Vec<&str> =
            container["volumeMounts"].as_array().unwrap().iter().map(|m| m["mountPath"].as_str().unwrap()).collect();
        let args = texts(&container["args"]);
        assert!(mounts.contains(args.last().unwrap()), "{name} is told to read what is mounted");
        for path in [&toml["secrets"]["key_file"], &toml["build"]["work_dir"]] {
            let path = path.as_str().unwrap();
            assert!(mounts.iter().any(|mount| path.starts_with(&format!("{mount}/"))), "{name}: {path}");
        }
        let volumes: Vec<&str> =
            pod["volumes"].as_array().unwrap().iter().map(|volume| volume["name"].as_str().unwrap()).collect();
        for mount in container["volumeMounts"].as_array().unwrap() {
            assert!(volumes.contains(&mount["name"].as_str().unwrap()), "{name}: {mount}");
        }
        let listen = toml["server"]["listen"].as_str().unwrap();
        assert_eq!(container["ports"][0]["containerPort"].to_string(), listen.rsplit(':').next().unwrap());
        for (probe, path) in [("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")] {
            assert_eq!(container[format!("{probe}Probe")]["httpGet"]["path"], path, "{name}");
        }
    }
}

#[test]
fn what_the_pods_are_told_is_a_command_of_the_program() {
    let objects = objects();
    for name in ["kiops-api", "kiops-worker"] {
        let mut arguments = texts(&pod(&objects, name)["containers"][0]["args"]);
        arguments.push("--help");
        assert!(kiops(&arguments, &[]).status.success(), "{name}: {arguments:?}");
        arguments.insert(1, "--no-such-flag");
        assert_eq!(kiops(&arguments, &[]).status.code(), Some(2), "an unknown flag is seen before --help");
    }
}

#[test]
fn what_belongs_together_is_named_alike() {
    let objects = objects();
    let labels = |name: &str| {
        let deployment = &objects[&("Deployment".to_owned(), name.to_owned())]["spec"];
        deployment["template"]["metadata"]["labels"].as_object().unwrap().clone()
    };
    let selects = |selector: &Value, name: &str| {
        let labels = labels(name);
        selector.as_object().unwrap().iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    for name in ["kiops-api", "kiops-worker"] {
        let other = if name == "kiops-api" { "kiops-worker" } else { "kiops-api" };
        let of = |kind: &str, name: &str| &objects[&(kind.to_owned(), name.to_owned())]["spec"];
        for selector in [
            &of("Deployment", name)["selector"]["matchLabels"],
            &of("PodDisruptionBudget", name)["selector"]["matchLabels"],
            &of("NetworkPolicy", name)["podSelector"]["matchLabels"],
        ] {
            assert!(selects(selector, name) && !selects(selector, other), "{selector}");
        }
        assert!(of("Deployment", name)["replicas"].as_u64().unwrap() >= 2);
        let pod = pod(&objects, name);
        let account = pod["serviceAccountName"].as_str().unwrap();
        assert!(objects.contains_key(&("ServiceAccount".to_owned(), account.to_owned())));
        assert_eq!(pod["automountServiceAccountToken"], false);
        let secret = pod["volumes"].as_array().unwrap().iter().find(|v| v["name"] == "secret").unwrap();
        assert_eq!(secret["secret"]["secretName"], "kiops");
    }
    let service = &objects[&("Service".to_owned(), "kiops".to_owned())]["spec"];
    assert!(selects(&service["selector"], "kiops-api") && !selects(&service["selector"], "kiops-worker"));
    assert_eq!(service["ports"][0]["targetPort"], pod(&objects, "kiops-api")["containers"][0]["ports"][0]["name"]);
}

/// That the manifests are what the chart renders is seen by who has helm; that the two say the same configuration, image and
/// Secret is seen here.
#[test]
fn the_chart_says_the_same() {
    let objects = objects();
    let text = std::fs::read_to_string(deploy().join("helm/kiops/values.yaml")).unwrap();
    let values: Value = serde_norway::from_str(&text).unwrap();
    let text = objects[&("ConfigMap".to_owned(), "kiops".to_owned())]["data"]["kiops.toml"].as_str().unwrap();
    assert_eq!(values["config"].as_str().unwrap(), text);
    let image =
        format!("{}:{}", values["image"]["repository"].as_str().unwrap(), values["image"]["tag"].as_str().unwrap());
    assert_eq!(image, format!("kiops:{}", env!("CARGO_PKG_VERSION")));
    for (name, part) in [("kiops-api", "api"), ("kiops-worker", "worker")] {
        let deployment = &objects[&("Deployment".to_owned(), name.to_owned())]["spec"];
        assert_eq!(deployment["replicas"], values[part]["replicas"]);
        let container = &pod(&objects, name)["containers"][0];
        assert_eq!(container["image"], image);
        assert_eq!(container["resources"], values[part]["resources"]);
        assert_eq!(container["env"][0]["valueFrom"]["secretKeyRef"]["name"], values["secretName"]);
    }
}

/// The settings of a unit of systemd, by name; comments are none.
fn unit() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let text = std::fs::read_to_string(deploy().join("systemd/kiops.service")).unwrap();
    for (name, value) in text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')) {
        found.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    found
}

/// The instructions of the image's last stage.
fn image() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(deploy().join("docker/Dockerfile")).unwrap().replace("\\\n", " ");
    let last = &text[text.rfind("\nFROM ").unwrap()..];
    let instructions = last.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    instructions.map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).collect()
}

fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// That the program knows such a command line, whatever it would do.
fn is_known(arguments: &[String]) {
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.push("--help");
    assert!(kiops(&arguments, &[]).status.success(), "{arguments:?}");
}

#[test]
fn the_unit_starts_what_there_is_and_waits_for_its_end() {
    let unit = unit();
    let one = |name: &str| unit[name].join(" ");
    let command: Vec<String> = one("ExecStart").split(' ').map(str::to_owned).collect();
    assert_eq!(command[0], list(&image()["ENTRYPOINT"])[0], "it is where it is in the image, too");
    is_known(&command[1..]);
    assert_eq!(one("WorkingDirectory"), format!("/var/lib/{}", one("StateDirectory")));
    assert!(one("TimeoutStopSec").parse::<u32>().unwrap() > 15, "the program ends within 15 seconds");
    for (name, value) in [("DynamicUser", "yes"), ("NoNewPrivileges", "yes"), ("ProtectSystem", "strict")] {
        assert_eq!(one(name), value);
    }
    assert!(one("CapabilityBoundingSet").is_empty() && one("RestrictAddressFamilies").contains("AF_UNIX"));
}

#[test]
fn the_image_is_what_kubernetes_expects() {
    let (image, objects) = (image(), objects());
    let text = std::fs::read_to_string(deploy().join("docker/kiops.toml")).unwrap();
    let toml: toml::Value = toml::from_str(&text).unwrap();
    let file = deploy().join("docker/kiops.toml");
    assert!(kiops(&["config", "check", "--config", file.to_str().unwrap()], &[]).status.success());
    is_known(&list(&image["CMD"]));
    let health = list(image["HEALTHCHECK"].split_once("CMD ").unwrap().1);
    assert_eq!(health[0], list(&image["ENTRYPOINT"])[0]);
    is_known(&health[1..]);
    assert_eq!(toml["server"]["listen"].as_str().unwrap(), format!("0.0.0.0:{}", image["EXPOSE"]));
    for name in ["kiops-api", "kiops-worker"] {
        let pod = pod(&objects, name);
        let user = format!("{}:{}", pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]);
        assert_eq!(image["USER"], user);
        assert_eq!(texts(&pod["containers"][0]["args"]).last().unwrap(), list(&image["CMD"]).last().unwrap());
        assert_eq!(pod["containers"][0]["ports"][0]["containerPort"].to_string(), image["EXPOSE"]);
    }
    // What the program is made of is let into the build, and is there.
    let text = std::fs::read_to_string(deploy().join("docker/Dockerfile.dockerignore")).unwrap();
    let kept: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for path in ["Cargo.lock", "Cargo.toml", "entity", "kiops.toml", "migration", "src", "web"] {
        assert!(kept.contains(&path), "{path}");
    }
    for path in &kept {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(), "{path}");
    }
    // cargo reads the manifest of each member, whichever is built.
    let manifest: toml::Value = toml::from_str(include_str!("../../Cargo.toml")).unwrap();
    for member in manifest["workspace"]["members"].as_array().unwrap() {
        assert!(kept.contains(&member.as_str().unwrap()), "{member}");
    }
}

#[test]
fn compose_says_only_what_the_program_reads() {
    let text = std::fs::read_to_string(deploy().join("docker/compose.yaml")).unwrap();
    let compose: Value = serde_norway::from_str(&text).unwrap();
    let service = &compose["services"]["kiops"];
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "something\n").unwrap();
    let secrets: Vec<&str> = texts(&service["secrets"]);
    let environment: Vec<(String, String)> = service["environment"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            let value = value.as_str().unwrap();
            let value = match value.strip_prefix("/run/secrets/") {
                Some(file) => {
                    assert!(secrets.contains(&file) && compose["secrets"].get(file).is_some(), "{name}");
                    secret.display().to_string()
                }
                None => value.replace("${KIOPS_URL:-", "").replace('}', ""),
            };
            (name.clone(), value)
        })
        .collect();
    let file = deploy().join("docker/kiops.toml");
    let checked = kiops(&["config", "check", "--config", file.to_str().unwrap()], &environment);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let image = image();
    let data = list(&image["VOLUME"]).remove(0);
    assert_eq!(data, image["WORKDIR"]);
    assert!(texts(&service["volumes"]).contains(&format!("data:{data}").as_str()));
    let published = texts(&service["ports"])[0];
    assert!(
        published.starts_with("127.0.0.1:") && published.ends_with(&format!(":{}", image["EXPOSE"])),
        "{published}"
    );
    assert_eq!(service["image"], format!("kiops:{}", env!("CARGO_PKG_VERSION")));
    for service in compose["services"].as_object().unwrap().values() {
        assert_eq!((&service["read_only"], texts(&service["cap_drop"])), (&Value::Bool(true), vec!["ALL"]));
    }
}
