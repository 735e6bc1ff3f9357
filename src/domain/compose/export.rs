//! A service as a Compose file: <https://github.com/compose-spec/compose-spec/blob/main/spec.md>.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::domain::spec::{ContainerSpec, EnvValue, HealthCheck, Spec, Strategy};
use crate::domain::{emit, quantity};

/// What stands in place of a secret's value.
pub const MASK: &str = "***";

/// The same in a diff, for a secret that is not what it was.
pub const CHANGED_MASK: &str = "*** (changed)";

#[derive(Serialize)]
struct File {
    name: String,
    services: BTreeMap<String, Service>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, Empty>,
    networks: BTreeMap<&'static str, Empty>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Service {
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expose: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<Mount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Check>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deploy: Option<Deploy>,
    restart: &'static str,
    security_opt: [&'static str; 1],
    networks: [&'static str; 1],
}

#[derive(Serialize)]
struct Mount {
    r#type: &'static str,
    source: String,
    target: String,
}

#[derive(Serialize)]
struct Check {
    test: Vec<String>,
    interval: String,
    timeout: String,
    retries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_period: Option<String>,
}

#[derive(Serialize)]
struct Deploy {
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Limited>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_config: Option<UpdateConfig>,
}

#[derive(Serialize)]
struct UpdateConfig {
    order: &'static str,
}

#[derive(Serialize)]
struct Limited {
    limits: Limits,
}

#[derive(Serialize)]
struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpus: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<String>,
}

/// The Compose file of what a Docker engine runs for the spec, secrets masked.
///
/// The same spec always gives the same text. It is one YAML document whatever the texts in it are, and Compose puts
/// nothing of its own into them: every `$` is doubled.
#[must_use]
pub fn export(spec: &Spec) -> String {
    written(spec, None)
}

/// As [`export`], beside an older spec: a secret that has another value than there, or came or went in the place of a
/// readable one, shows as such: that it changed, and nothing else about it.
#[must_use]
pub fn export_beside(spec: &Spec, before: Option<&Spec>) -> String {
    written(spec, before)
}

/// The file; against an older spec, with secrets that changed since marked.
fn written(spec: &Spec, against: Option<&Spec>) -> String {
    let mut names = BTreeSet::new();
    let old = |name: &str| against.and_then(|spec| spec.containers.iter().find(|c| c.name == name));
    let written = |c: &ContainerSpec| {
        let mut service = service(c, old(&c.name), &mut names);
        service.deploy = deploy(c, spec.strategy);
        (c.name.clone(), service)
    };
    let services = spec.containers.iter().map(written).collect();
    let file = File {
        name: format!("{}-{}", spec.target.service, spec.target.environment),
        services,
        volumes: names.into_iter().map(|name| (name, Empty {})).collect(),
        networks: BTreeMap::from([("default", Empty {})]),
    };
    // These structs hold nothing that a value cannot.
    serde_norway::to_value(&file).map(|value| emit::document(&value)).unwrap_or_default()
}

/// One container, beside what it was before; `names` are the volumes of the file so far.
fn service(container: &ContainerSpec, old: Option<&ContainerSpec>, names: &mut BTreeSet<String>) -> Service {
    let (mut ports, mut expose) = (Vec::new(), Vec::new());
    match (container.port, container.host_port) {
        (Some(port), _) if container.is_internal => expose.push(port.to_string()),
        (Some(port), Some(host_port)) => ports.push(format!("{host_port}:{port}")),
        (Some(port), None) => ports.push(port.to_string()),
        (None, _) => {}
    }
    let digest = container.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
    let value = |name: &String, value: &EnvValue| match (value, old.and_then(|old| old.env.get(name))) {
        // A readable value that looks like a masked one that changed: it has to look different.
        (EnvValue::Secret(_), Some(EnvValue::Plain(text))) if text == CHANGED_MASK => MASK.to_owned(),
        // Sealed rows never change, so that another row is another value as far as anybody was told.
        (EnvValue::Secret(_), Some(before)) if before != value => CHANGED_MASK.to_owned(),
        (EnvValue::Secret(_), _) => MASK.to_owned(),
        // A readable value that looks like a masked one.
        (EnvValue::Plain(text), Some(EnvValue::Secret(_))) if text == MASK || text == CHANGED_MASK => {
            format!("{text} (readable)")
        }
        (EnvValue::Plain(text), _) => literal(text),
    };
    let mut mount = |path: &String| Mount {
        r#type: "volume",
        source: volume_name(&container.name, path, names),
        target: literal(path),
    };
    Service {
        image: literal(&format!("{}:{}{digest}", container.repository, container.tag)),
        command: command(container),
        environment: container.env.iter().map(|(name, text)| (name.clone(), value(name, text))).collect(),
        ports,
        expose,
        volumes: container.volumes.iter().map(|v| mount(&v.mount_path)).collect(),
        healthcheck: container.health.as_ref().zip(container.port).map(|(health, port)| check(health, port)),
        deploy: None,
        restart: "unless-stopped",
        security_opt: ["no-new-privileges:true"],
        networks: ["default"],
    }
}

fn command(container: &ContainerSpec) -> Option<Vec<String>> {
    let words = container.command.as_ref().filter(|words| !words.is_empty())?;
    Some(words.iter().map(|word| literal(word)).collect())
}

/// A text that Compose leaves as it is: it would read `$` as the beginning of a variable.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// `db` and `/var/lib/mysql` give `db-var-lib-mysql`, with a number where that is taken.
fn volume_name(container: &str, path: &str, names: &mut BTreeSet<String>) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let words: String = path.chars().map(keep).collect();
    let words = words.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    let base = if words.is_empty() { container.to_owned() } else { format!("{container}-{words}") };
    let mut name = base.clone();
    let mut number = 1;
    while !names.insert(name.clone()) {
        number += 1;
        name = format!("{base}-{number}");
    }
    name
}

/// Compose asks from inside the container, where curl, wget or nc has to be in the image.
fn check(health: &HealthCheck, port: u16) -> Check {
    let test = match &health.path {
        Some(path) => {
            let url = shell_word(&format!("http://127.0.0.1:{port}{path}"));
            format!("curl -fsS -o /dev/null {url} || wget -q -O /dev/null {url} || exit 1")
        }
        None => format!("nc -z 127.0.0.1 {port} || exit 1"),
    };
    let seconds = |n: u32| format!("{n}s");
    Check {
        test: vec!["CMD-SHELL".to_owned(), literal(&test)],
        interval: seconds(health.interval_seconds),
        timeout: seconds(health.timeout_seconds),
        retries: health.retries,
        start_period: (health.start_seconds > 0).then(|| seconds(health.start_seconds)),
    }
}

/// One word for a shell, whatever is in it.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Limits, and the order of an update. Without one Compose stops first, and so it is said for a container that is to be
/// recreated. A rolling update is what nobody chose: `start-first` is said where there is something to say anyway, and
/// not of a container with a volume, which never runs twice:
/// <https://github.com/compose-spec/compose-spec/blob/main/deploy.md#update_config>.
fn deploy(container: &ContainerSpec, strategy: Strategy) -> Option<Deploy> {
    let resources = &container.resources;
    let cpus = resources.cpu_limit.as_deref().and_then(|text| quantity::cpu_millis(text).ok()).map(cores);
    let memory = resources.memory_limit.as_deref().and_then(|text| quantity::bytes(text).ok()).map(memory);
    let resources = (cpus.is_some() || memory.is_some()).then_some(Limited { limits: Limits { cpus, memory } });
    let order = match strategy {
        Strategy::Recreate => Some("stop-first"),
        Strategy::RollingUpdate => (resources.is_some() && container.volumes.is_empty()).then_some("start-first"),
    };
    let update_config = order.map(|order| UpdateConfig { order });
    (resources.is_some() || update_config.is_some()).then_some(Deploy { resources, update_config })
}

/// `1500` thousandths are `1.5`.
fn cores(millis: u64) -> String {
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// In the largest unit that leaves no rest; Compose's units are powers of 1024.
fn memory(bytes: u64) -> String {
    let units = [(1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")];
    let whole = units.iter().find(|(size, _)| bytes.is_multiple_of(*size));
    whole.map_or_else(|| format!("{bytes}b"), |(size, unit)| format!("{}{unit}", bytes / size))
}
