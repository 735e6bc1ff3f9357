//! The fields of one service in a Compose file.

use std::collections::{BTreeMap, BTreeSet};

use serde_norway::Value;

use super::export::MASK;
use super::import::ImportedVariable;
use super::words;
use crate::domain::names::{EnvName, EnvText, MountPath};
use crate::domain::spec::VolumeSpec;
use crate::domain::yaml::{show, text};

/// What is imported for a volume, as Compose knows no sizes.
const VOLUME_SIZE: &str = "1Gi";

/// The most warnings that are told; a file of nothing else would become a longer answer than it is itself.
const MAX_WARNINGS: usize = 500;

/// What had no counterpart.
#[derive(Default)]
pub(super) struct Warnings {
    told: Vec<String>,
    more: usize,
}

impl Warnings {
    /// Says something of a path of the file.
    pub(super) fn add(&mut self, path: &str, what: &str) {
        if self.told.len() < MAX_WARNINGS {
            let path: String = path.chars().take(300).collect();
            self.told.push(format!("{path}: {what}"));
        } else {
            self.more += 1;
        }
    }

    /// Fills in the variables that have defaults, and says what stays.
    pub(super) fn fill(&mut self, path: &str, text: &str) -> String {
        let filled = words::fill(text);
        if !filled.by_default.is_empty() {
            self.add(path, &format!("takes the default of {}", filled.by_default.join(", ")));
        }
        if !filled.open.is_empty() {
            let open = filled.open.join(", ");
            self.add(path, &format!("has {open} to be filled in: put the value there yourself"));
        }
        filled.text
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.told.push(format!("and {} more like these", self.more));
        }
        self.told
    }
}

fn items(value: &Value) -> impl Iterator<Item = (usize, &Value)> {
    let list = value.as_sequence().map_or(std::slice::from_ref(value), Vec::as_slice);
    list.iter().enumerate()
}

/// The first published container port.
pub(super) fn ports(value: &Value, path: &str, w: &mut Warnings) -> Option<u16> {
    let mut first = None;
    for (i, item) in items(value) {
        let path = format!("{path}.{i}");
        let Some((port, is_bound)) = published(item, &path, w) else { continue };
        match first {
            None => {
                first = Some(port);
                if is_bound {
                    w.add(&path, "has a host port or address, which is not taken: a free host port is chosen and kept");
                }
            }
            Some(first) => w.add(&path, &format!("was left out: a container has one port, which is {first}")),
        }
    }
    first
}

/// The container's port, and whether the host's side is said too.
fn published(item: &Value, path: &str, w: &mut Warnings) -> Option<(u16, bool)> {
    let (target, protocol, is_bound) = match item.as_mapping() {
        Some(long) => {
            let field = |key: &str| long.get(key).and_then(text);
            let is_bound = long.contains_key("published") || long.contains_key("host_ip");
            (field("target")?, field("protocol").unwrap_or_else(|| "tcp".to_owned()), is_bound)
        }
        None => {
            let given = w.fill(path, &text(item)?);
            let (sides, protocol) = given.rsplit_once('/').unwrap_or((&given, "tcp"));
            let (host, target) = sides.rsplit_once(':').unwrap_or(("", sides));
            (target.to_owned(), protocol.to_owned(), !host.is_empty())
        }
    };
    let port = port_number(&target, &protocol, path, w)?;
    Some((port, is_bound))
}

fn port_number(target: &str, protocol: &str, path: &str, w: &mut Warnings) -> Option<u16> {
    if protocol != "tcp" {
        w.add(path, "was left out: only TCP ports are published");
        return None;
    }
    let port = target.parse::<u16>().ok().filter(|port| *port > 0);
    if port.is_none() {
        w.add(path, "was left out: it is not one port from 1 to 65535");
    }
    port
}

/// The first exposed port.
pub(super) fn exposed(value: &Value, path: &str, w: &mut Warnings) -> Option<u16> {
    let mut first = None;
    for (i, item) in items(value) {
        let path = format!("{path}.{i}");
        let given = w.fill(&path, &show(item));
        let (target, protocol) = given.split_once('/').unwrap_or((&given, "tcp"));
        let Some(port) = port_number(target, protocol, &path, w) else { continue };
        match first {
            None => first = Some(port),
            Some(first) => w.add(&path, &format!("needs nothing: beside {first} its neighbours reach every port")),
        }
    }
    first
}

/// Variables from a mapping or a list of `NAME=value`.
pub(super) fn environment(value: &Value, path: &str, w: &mut Warnings) -> Vec<ImportedVariable> {
    let mut given: Vec<(String, Option<String>)> = Vec::new();
    if let Some(map) = value.as_mapping() {
        for (name, value) in map {
            if value.is_mapping() || value.is_sequence() {
                w.add(&format!("{path}.{}", show(name)), "was left out: it is no text");
            } else {
                given.push((show(name), text(value)));
            }
        }
    } else {
        for (_, item) in items(value) {
            let item = show(item);
            let (name, value) = item.split_once('=').map_or((item.as_str(), None), |(name, value)| (name, Some(value)));
            given.push((name.to_owned(), value.map(str::to_owned)));
        }
    }
    let mut variables: Vec<ImportedVariable> = Vec::new();
    let mut places = BTreeMap::new();
    for (name, value) in given {
        let path = format!("{path}.{name}");
        let Some(value) = value else {
            w.add(&path, "was left out: it takes its value from the shell that starts Compose");
            continue;
        };
        let value = w.fill(&path, &value);
        let checked = EnvName::parse(&name).map(|_| ()).and_then(|()| EnvText::check(&value));
        if let Err(why) = checked {
            w.add(&path, &format!("was left out: {why}"));
            continue;
        }
        let is_masked = value == MASK;
        if is_masked {
            w.add(&path, "stands for a secret that is not in the file: give its value");
        }
        let variable = ImportedVariable { name, value: (!is_masked).then_some(value) };
        match places.insert(variable.name.clone(), variables.len()) {
            // As with Compose, what comes last wins.
            Some(place) => {
                w.add(&path, "stands there twice: the last value is taken");
                places.insert(variable.name.clone(), place);
                variables[place] = variable;
            }
            None => variables.push(variable),
        }
    }
    variables
}

/// Named and anonymous volumes.
pub(super) fn volumes(value: &Value, path: &str, w: &mut Warnings) -> Vec<VolumeSpec> {
    let mut paths = BTreeSet::new();
    let mut volumes = Vec::new();
    for (i, item) in items(value) {
        let path = format!("{path}.{i}");
        let Some(target) = volume(item, &path, w) else { continue };
        match MountPath::parse(&target) {
            Err(why) => w.add(&path, &format!("was left out: {why}")),
            Ok(_) if !paths.insert(target.clone()) => w.add(&path, "was left out: something is already mounted there"),
            Ok(_) => volumes.push(VolumeSpec { mount_path: target, size: VOLUME_SIZE.to_owned() }),
        }
    }
    volumes
}

/// Where a volume is mounted; none, with a warning, for what is no volume.
fn volume(item: &Value, path: &str, w: &mut Warnings) -> Option<String> {
    const NO_BIND: &str = "was left out: it mounts a place of the host, and only volumes can be mounted";
    if let Some(long) = item.as_mapping() {
        let kind = long.get("type").and_then(text).unwrap_or_else(|| "volume".to_owned());
        if kind != "volume" {
            w.add(path, if kind == "bind" { NO_BIND } else { "was left out: only volumes can be mounted" });
            return None;
        }
        if long.keys().any(|key| !["type", "source", "target"].map(Some).contains(&key.as_str())) {
            w.add(path, "has options (like read_only) without counterpart: it is mounted to read and write");
        }
        let Some(target) = long.get("target").and_then(text) else {
            w.add(path, "was left out: it has no target");
            return None;
        };
        return Some(w.fill(path, &target));
    }
    let given = w.fill(path, &show(item));
    let parts: Vec<&str> = given.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => ("", *target, "rw"),
        [source, target] => (*source, *target, "rw"),
        [source, target, options] => (*source, *target, *options),
        _ => {
            w.add(path, "was left out: it is not source:target:options");
            return None;
        }
    };
    if source.starts_with(['/', '.', '~', '\\', '$']) || source.contains('/') {
        w.add(path, NO_BIND);
        return None;
    }
    if options != "rw" {
        w.add(path, "has options (like ro) without counterpart: it is mounted to read and write");
    }
    Some(target.strip_suffix('/').filter(|t| !t.is_empty()).unwrap_or(target).to_owned())
}

/// A list of words, or a text that a shell would split into them.
pub(super) fn command(value: &Value, path: &str, w: &mut Warnings) -> Option<Vec<String>> {
    let words = match value {
        Value::Sequence(list) => list.iter().map(|word| w.fill(path, &show(word))).collect(),
        other => match words::split(&w.fill(path, &show(other))) {
            Some(words) => words,
            None => {
                w.add(path, "was left out: a quote in it is never closed");
                return None;
            }
        },
    };
    if words.is_empty() {
        w.add(path, "is empty and was left out: the image's own command runs");
        return None;
    }
    Some(words)
}

/// Why a field of a service is not taken; none for those that are, and for those that say what happens anyway.
pub(super) fn without_counterpart(key: &str, value: &Value) -> Option<&'static str> {
    let only =
        |allowed: &[&str]| items(value).all(|(_, item)| item.as_str().is_some_and(|text| allowed.contains(&text)));
    Some(match key {
        "image" | "environment" | "ports" | "expose" | "volumes" | "command" | "healthcheck" => return None,
        "privileged" | "tty" | "stdin_open" | "read_only" if value.as_bool() == Some(false) => return None,
        "restart" if only(&["unless-stopped", "always"]) => return None,
        "networks" if only(&["default"]) => return None,
        "security_opt" if only(&["no-new-privileges:true", "no-new-privileges=true", "no-new-privileges"]) => {
            return None;
        }
        _ if key.starts_with("x-") => return None,
        "restart" => "is not taken: containers are always started again until they are stopped",
        "build" => "is not taken: the image is used, and nothing is built from a Compose file",
        "privileged" | "cap_add" | "devices" | "pid" | "ipc" | "userns_mode" | "security_opt" => {
            "is not taken: a container gets no rights beyond the ordinary ones"
        }
        "network_mode" | "networks" | "links" | "external_links" => {
            "is not taken: the containers of a service share one network of their own"
        }
        "depends_on" => "is not taken: containers are started together and must wait for each other themselves",
        "deploy" => "is not taken: set replicas and resources of the environment or the container",
        "env_file" => "is not taken: put its variables among the container's yourself",
        "configs" | "secrets" => "is not taken: use secret variables",
        "container_name" | "hostname" => "is not taken: neighbours reach the container under its service's name",
        "entrypoint" => "is not taken: the image's own entrypoint runs; a command replaces only its CMD",
        "profiles" => "is not taken: the container is always started",
        _ => "has no counterpart and was left out",
    })
}
