//! What a Compose file holds that a service can be made from.

use std::collections::BTreeSet;

use serde_norway::{Mapping, Value};

use super::fields::{self, Warnings};
use super::probe;
use crate::domain::image::{Repository, Tag};
use crate::domain::names::ContainerName;
use crate::domain::spec::{HealthCheck, VolumeSpec};
use crate::domain::yaml::{self, show};

/// Why a text is no Compose file that can be read, in words for the person who gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ComposeError(pub String);

/// What was found, and what has no counterpart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Import {
    /// In the file's order; names are unique and valid.
    pub containers: Vec<ImportedContainer>,
    /// One sentence each, beginning with the path in the file.
    pub warnings: Vec<String>,
}

/// One container to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedContainer {
    /// The service's name in the file, made an RFC 1123 label.
    pub name: String,
    /// Where the image comes from.
    pub repository: Repository,
    /// Its tag, `latest` when the file names none.
    pub tag: Tag,
    /// The first port that is published, else the first that is exposed.
    pub port: Option<u16>,
    /// In the file's order; names are unique.
    pub env: Vec<ImportedVariable>,
    /// Named volumes; paths are unique.
    pub volumes: Vec<VolumeSpec>,
    /// Replaces the image's CMD.
    pub command: Option<Vec<String>>,
    /// Where its test is a request by curl or wget, or a connection by nc.
    pub health: Option<HealthCheck>,
}

/// One variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedVariable {
    /// Its name.
    pub name: String,
    /// Its value; none where `***` stands for a secret.
    pub value: Option<String>,
}

/// Reads a Compose file. What has no counterpart is said in the warnings.
///
/// # Errors
/// When the text is more than 256 KiB, no YAML, more than one document, unfolds to too much by its aliases, or has no
/// services.
pub fn import(text: &str) -> Result<Import, ComposeError> {
    let file = yaml::read(text).map_err(ComposeError)?;
    let Some(file) = file.as_mapping() else {
        return Err(ComposeError("a Compose file is a mapping with the key services".to_owned()));
    };
    let Some(services) = file.get("services").and_then(Value::as_mapping) else {
        return Err(ComposeError("the file has no services: nothing can be made from it".to_owned()));
    };
    let mut w = Warnings::default();
    top_level(file, &mut w);
    let mut names = BTreeSet::new();
    let mut containers = Vec::new();
    for (key, service) in services {
        let path = format!("services.{}", show(key));
        let Some(service) = service.as_mapping() else {
            w.add(&path, "is no mapping and was left out");
            continue;
        };
        let Some((repository, tag)) = image(service, &path, &mut w) else { continue };
        let Some(name) = name(&show(key), &path, &mut names, &mut w) else { continue };
        containers.push(container(name, repository, tag, service, &path, &mut w));
    }
    Ok(Import { containers, warnings: w.finish() })
}

fn top_level(file: &Mapping, w: &mut Warnings) {
    for (key, value) in file {
        let key = show(key);
        match key.as_str() {
            // Compose itself does not look at the version, and extensions mean nothing by themselves.
            "services" | "version" => {}
            _ if key.starts_with("x-") => {}
            "name" => w.add("name", "is not taken: a service gets its name when it is registered"),
            "networks" => {
                for (name, settings) in value.as_mapping().into_iter().flatten() {
                    let plain = settings.is_null() || settings.as_mapping().is_some_and(Mapping::is_empty);
                    if name.as_str() != Some("default") || !plain {
                        let path = format!("networks.{}", show(name));
                        w.add(&path, "has no counterpart: the containers of a service share one network of their own");
                    }
                }
            }
            "volumes" => {
                for (name, settings) in value.as_mapping().into_iter().flatten() {
                    if settings.as_mapping().is_some_and(|settings| !settings.is_empty()) {
                        let path = format!("volumes.{}", show(name));
                        w.add(&path, "has settings (a driver, a name, external) without counterpart: a new, empty volume is made");
                    }
                }
            }
            _ => w.add(&key, "has no counterpart and was left out"),
        }
    }
}

fn image(service: &Mapping, path: &str, w: &mut Warnings) -> Option<(Repository, Tag)> {
    let Some(given) = service.get("image").and_then(Value::as_str) else {
        let build =
            if service.contains_key("build") { ": it is built from source, which is not read here" } else { "" };
        w.add(path, &format!("was left out, since it names no image{build}"));
        return None;
    };
    let path = format!("{path}.image");
    let text = w.fill(&path, given);
    let (text, digest) = text.split_once('@').map_or((text.as_str(), None), |(text, digest)| (text, Some(digest)));
    if digest.is_some() {
        w.add(&path, "has a digest, which is not taken: a deployment looks up the tag's own");
    }
    let (repository, tag) = match text.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (text, "latest"),
    };
    match (Repository::parse(repository), Tag::parse(tag)) {
        (Ok(repository), Ok(tag)) => Some((repository, tag)),
        (Err(why), _) | (_, Err(why)) => {
            w.add(&path, &format!("cannot be read ({why}), and its service was left out"));
            None
        }
    }
}

fn name(given: &str, path: &str, names: &mut BTreeSet<String>, w: &mut Warnings) -> Option<String> {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let mut name: String = given.chars().map(keep).take(60).collect();
    name = name.trim_matches('-').to_owned();
    if name.len() < 2 || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name = format!("c-{name}");
    }
    let name = name.trim_matches('-').to_owned();
    if let Err(why) = ContainerName::parse(&name) {
        w.add(path, &format!("was left out: {why}"));
        return None;
    }
    if !names.insert(name.clone()) {
        w.add(path, &format!("was left out: another service already became the container {name}"));
        return None;
    }
    if name != given {
        w.add(path, &format!("becomes the container {name}, under which its neighbours reach it"));
    }
    Some(name)
}

fn container(
    name: String,
    repository: Repository,
    tag: Tag,
    service: &Mapping,
    path: &str,
    w: &mut Warnings,
) -> ImportedContainer {
    let at = |key: &str| format!("{path}.{key}");
    let get = |key: &str| service.get(key).filter(|value| !value.is_null());
    let mut port = get("ports").and_then(|value| fields::ports(value, &at("ports"), w));
    if let Some(exposed) = get("expose").and_then(|value| fields::exposed(value, &at("expose"), w))
        && port.is_none()
    {
        w.add(&at("expose"), "is taken as its port: register the container as internal to keep it unpublished");
        port = Some(exposed);
    }
    let health = get("healthcheck").and_then(|value| probe::health(value, &at("healthcheck"), &mut port, w));
    let container = ImportedContainer {
        name,
        repository,
        tag,
        port,
        env: get("environment").map(|value| fields::environment(value, &at("environment"), w)).unwrap_or_default(),
        volumes: get("volumes").map(|value| fields::volumes(value, &at("volumes"), w)).unwrap_or_default(),
        command: get("command").and_then(|value| fields::command(value, &at("command"), w)),
        health,
    };
    for (key, value) in service {
        let key = show(key);
        if let Some(why) = fields::without_counterpart(&key, value) {
            w.add(&at(&key), why);
        }
    }
    container
}
