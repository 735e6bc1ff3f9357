//! Checks what people give and names every fault by its path.

use std::collections::BTreeSet;

use entity::{RuntimeKind, SourceKind};
use sea_orm::ConnectionTrait;

use super::definition::{ContainerDefinition, EnvEntry, NamedImage};
use super::input::{ContainerInput, EnvVarInput, HealthInput, RegistryAuth, VolumeInput};
use crate::app::{App, Result, Scope, Violations, secrets};
use crate::domain::image::{Repository, Tag};
use crate::domain::names::{ContainerName, EnvName, IngressPath, MountPath};
use crate::domain::quantity;
use crate::domain::secret::{ExposeSecret as _, SecretString};
use crate::domain::spec::{EnvValue, HealthCheck, Resources, VolumeSpec};

const MAX_CONTAINERS: usize = 20;
const MAX_ENV: usize = 200;
const MAX_VOLUMES: usize = 20;
const MAX_VALUE_BYTES: usize = 32 * 1024;
const MAX_ARGUMENTS: usize = 100;
const MAX_ARGUMENT_BYTES: usize = 4096;
const DEFAULT_VOLUME_SIZE: &str = "1Gi";
const ON_KUBERNETES: &str = "this is for Kubernetes runtimes, and the service's runtime is a Docker engine";

/// A container without faults whose new secrets are not sealed yet.
pub(in crate::app) struct Checked {
    definition: ContainerDefinition,
    env: CheckedEnv,
}

/// Variables without faults whose new secrets are not sealed yet.
pub(in crate::app) struct CheckedEnv(Vec<(String, Planned)>);

enum Planned {
    As(EnvValue),
    Seal(SecretString),
}

/// What containers are checked against.
#[derive(Clone, Copy)]
pub(in crate::app) struct Against<'a> {
    /// Where the service comes from: one of a Git provider has one container that a build fills in.
    pub(in crate::app) source: SourceKind,
    /// The containers of now, for variables without a value.
    pub(in crate::app) stored: &'a [ContainerDefinition],
    /// The runtime's kind, when there is one.
    pub(in crate::app) kind: Option<RuntimeKind>,
}

/// Checks containers at `at` (`input.containers`). The result is of use only when `v` stays without faults.
pub(in crate::app) fn containers(
    v: &mut Violations,
    at: &str,
    inputs: Vec<ContainerInput>,
    against: Against<'_>,
) -> Vec<Checked> {
    if inputs.is_empty() {
        v.add(at, "a service has at least one container");
    }
    if inputs.len() > MAX_CONTAINERS {
        v.add(at, format!("a service has at most {MAX_CONTAINERS} containers"));
        return Vec::new();
    }
    let built = inputs.iter().filter(|c| c.image.is_none()).count();
    if against.source != SourceKind::DockerHub && built != 1 && !inputs.is_empty() {
        v.add(at, "exactly one container of a Git service has no image: the build fills it in");
    }
    let mut names = BTreeSet::new();
    let mut checked = Vec::new();
    for (i, input) in inputs.into_iter().enumerate() {
        let at = format!("{at}.{i}");
        if !names.insert(input.name.clone()) {
            v.add(format!("{at}.name"), format!("there are two containers named {}", input.name));
        }
        checked.push(container(v, &at, input, against));
    }
    checked
}

/// Checks containers that are already stored against another kind of runtime.
pub(super) fn fit(v: &mut Violations, field: &str, stored: &[ContainerDefinition], kind: RuntimeKind) {
    if kind == RuntimeKind::Kubernetes {
        return;
    }
    for c in stored.iter().filter(|c| c.ingress_path.is_some() || c.restricted) {
        v.add(
            field,
            format!("container {} has settings for Kubernetes runtimes, and this runtime is a Docker engine", c.name),
        );
    }
}

fn container(v: &mut Violations, at: &str, input: ContainerInput, against: Against<'_>) -> Checked {
    let Against { source, stored, kind } = against;
    let before = stored.iter().find(|c| c.name == input.name);
    v.check(format!("{at}.name"), ContainerName::parse(&input.name));
    let image = image(v, at, &input, source);
    let port = input.port.and_then(|p| {
        let port = u16::try_from(p).ok().filter(|p| *p > 0);
        if port.is_none() {
            v.add(format!("{at}.port"), "a port is a number from 1 to 65535");
        }
        port
    });
    let env = variables(v, &format!("{at}.env"), input.env, before.map_or(&[], |c| &c.env));
    let volumes = volumes(v, &format!("{at}.volumes"), input.volumes);
    let has_port = input.port.is_some();
    if let Some(path) = &input.ingress_path {
        let field = format!("{at}.ingressPath");
        v.check(field.clone(), IngressPath::parse(path));
        if kind == Some(RuntimeKind::Docker) {
            v.add(field, ON_KUBERNETES);
        } else if !has_port {
            v.add(field, "an ingress path needs the container's port");
        }
    }
    if input.restricted && kind == Some(RuntimeKind::Docker) {
        v.add(format!("{at}.restricted"), ON_KUBERNETES);
    }
    let health = input.health.and_then(|h| health(v, &format!("{at}.healthCheck"), h, has_port));
    if let Some(command) = &input.command {
        arguments(v, &format!("{at}.command"), command);
    }
    if let Some(r) = &input.resources {
        resources(v, &format!("{at}.resources"), r);
    }
    let definition = ContainerDefinition {
        name: input.name,
        image,
        port,
        env: Vec::new(),
        volumes,
        ingress_path: input.ingress_path,
        is_internal: input.is_internal,
        health,
        command: input.command,
        resources: input.resources,
        restricted: input.restricted,
    };
    Checked { definition, env }
}

/// The image of a container; none for the one that a build fills in, and for a faulty one.
fn image(v: &mut Violations, at: &str, input: &ContainerInput, source: SourceKind) -> Option<NamedImage> {
    let repository = match input.image.as_deref() {
        Some(image) => v.check(format!("{at}.image"), Repository::parse(image)),
        None if source == SourceKind::DockerHub => {
            v.add(format!("{at}.image"), "an image is needed, like nginx or ghcr.io/acme/app");
            None
        }
        None => {
            if input.tag.is_some() {
                v.add(format!("{at}.tag"), "a container without an image is built, and its tag is the build's");
            }
            return None;
        }
    };
    let tag = v.check(format!("{at}.tag"), Tag::parse(input.tag.as_deref().unwrap_or("latest")));
    Some(NamedImage { repository: repository?, tag: tag? })
}

/// Checks variables at `at` (`input.env`). `stored` are those of now, for variables without a value. The result is of
/// use only when `v` stays without faults.
pub(in crate::app) fn variables(
    v: &mut Violations,
    at: &str,
    inputs: Vec<EnvVarInput>,
    stored: &[EnvEntry],
) -> CheckedEnv {
    if inputs.len() > MAX_ENV {
        v.add(at, format!("there are at most {MAX_ENV} environment variables"));
        return CheckedEnv(Vec::new());
    }
    let mut names = BTreeSet::new();
    let mut planned = Vec::new();
    for (i, input) in inputs.into_iter().enumerate() {
        let at = format!("{at}.{i}");
        v.check(format!("{at}.name"), EnvName::parse(&input.name));
        if !names.insert(input.name.clone()) {
            v.add(format!("{at}.name"), format!("there are two variables named {}", input.name));
        }
        if let Some(value) = &input.value {
            if value.contains('\0') {
                v.add(format!("{at}.value"), "a value holds no NUL character");
            }
            if value.len() > MAX_VALUE_BYTES {
                v.add(format!("{at}.value"), format!("a value has at most {MAX_VALUE_BYTES} bytes"));
            }
        }
        let before = stored.iter().find(|e| e.name == input.name).map(|e| &e.value);
        if let Some(plan) = plan(v, &at, &input, before) {
            planned.push((input.name, plan));
        }
    }
    CheckedEnv(planned)
}

/// A variable without a value keeps the stored one; whether it is secret stays too, unless it is said.
fn plan(v: &mut Violations, at: &str, input: &EnvVarInput, before: Option<&EnvValue>) -> Option<Planned> {
    let was_secret = matches!(before, Some(EnvValue::Secret(_)));
    let secret = input.secret.unwrap_or(was_secret);
    match (&input.value, before) {
        (Some(value), _) if secret => Some(Planned::Seal(SecretString::from(value.clone()))),
        (Some(value), _) => Some(Planned::As(EnvValue::Plain(value.clone()))),
        (None, Some(EnvValue::Plain(value))) if secret => Some(Planned::Seal(SecretString::from(value.clone()))),
        (None, Some(EnvValue::Secret(_))) if !secret => {
            v.add(
                format!("{at}.value"),
                format!("{} is a secret: to make it readable, give it a new value", input.name),
            );
            None
        }
        (None, Some(stored)) => Some(Planned::As(stored.clone())),
        (None, None) => {
            v.add(format!("{at}.value"), format!("{} needs a value: none is stored for it", input.name));
            None
        }
    }
}

fn volumes(v: &mut Violations, at: &str, inputs: Vec<VolumeInput>) -> Vec<VolumeSpec> {
    if inputs.len() > MAX_VOLUMES {
        v.add(at, format!("a container has at most {MAX_VOLUMES} volumes"));
        return Vec::new();
    }
    let mut paths = BTreeSet::new();
    let mut checked = Vec::new();
    for (i, input) in inputs.into_iter().enumerate() {
        let size = input.size.unwrap_or_else(|| DEFAULT_VOLUME_SIZE.to_owned());
        v.check(format!("{at}.{i}.size"), quantity::bytes(&size));
        let Some(path) = v.check(format!("{at}.{i}.mountPath"), MountPath::parse(&input.mount_path)) else {
            continue;
        };
        let mount_path = path.to_string();
        if !paths.insert(mount_path.clone()) {
            v.add(format!("{at}.{i}.mountPath"), format!("there are two volumes at {mount_path}"));
        }
        checked.push(VolumeSpec { mount_path, size });
    }
    checked
}

fn health(v: &mut Violations, at: &str, input: HealthInput, has_port: bool) -> Option<HealthCheck> {
    match &input.path {
        Some(path) => {
            let field = format!("{at}.path");
            if !path.starts_with('/') || path.len() > 1024 || !path.bytes().all(|b| b.is_ascii_graphic()) {
                v.add(
                    field.clone(),
                    "a health path starts with / and has at most 1024 printable ASCII characters without spaces",
                );
            }
            if !has_port {
                v.add(field, "a health path needs the container's port");
            }
        }
        None if !has_port => v.add(at, "a health check needs the container's port"),
        None => {}
    }
    let mut bounded = |name: &str, value: i32, low: i32, high: i32| {
        if !(low..=high).contains(&value) {
            v.add(format!("{at}.{name}"), format!("give a number from {low} to {high}"));
        }
        u32::try_from(value).ok()
    };
    let interval = bounded("intervalSeconds", input.interval_seconds, 1, 3600);
    let timeout = bounded("timeoutSeconds", input.timeout_seconds, 1, 600);
    let retries = bounded("retries", input.retries, 1, 100);
    let start = bounded("startSeconds", input.start_seconds, 0, 3600);
    Some(HealthCheck {
        path: input.path,
        interval_seconds: interval?,
        timeout_seconds: timeout?,
        retries: retries?,
        start_seconds: start?,
    })
}

pub(in crate::app) fn arguments(v: &mut Violations, at: &str, command: &[String]) {
    if command.is_empty() || command.len() > MAX_ARGUMENTS {
        v.add(at, format!("a command has 1 to {MAX_ARGUMENTS} words; leave it out for the image's own"));
    }
    for (i, word) in command.iter().enumerate().take(MAX_ARGUMENTS) {
        if word.contains('\0') || word.len() > MAX_ARGUMENT_BYTES {
            v.add(
                format!("{at}.{i}"),
                format!("a word of a command has at most {MAX_ARGUMENT_BYTES} bytes and no NUL character"),
            );
        }
    }
}

/// Checks quantities at `at`, and that a request is not above its limit.
pub fn resources(v: &mut Violations, at: &str, r: &Resources) {
    let mut pair = |what: &str,
                    parse: fn(&str) -> std::result::Result<u64, String>,
                    request: &Option<String>,
                    limit: &Option<String>| {
        let mut read = |side: &str, text: &Option<String>| {
            let text = text.as_deref()?;
            v.check(format!("{at}.{what}{side}"), parse(text))
        };
        let (request, limit) = (read("Request", request), read("Limit", limit));
        if request.zip(limit).is_some_and(|(r, l)| r > l) {
            v.add(format!("{at}.{what}Request"), "a request is at most its limit");
        }
    };
    pair("cpu", quantity::cpu_millis, &r.cpu_request, &r.cpu_limit);
    pair("memory", quantity::bytes, &r.memory_request, &r.memory_limit);
}

/// Checks a login at `at` (`input.registryAuth`).
pub(in crate::app) fn login(v: &mut Violations, at: &str, auth: &RegistryAuth) {
    credentials(v, &format!("{at}.username"), &auth.username, &format!("{at}.token"), &auth.token);
}

/// Checks a user name and a token at their fields.
pub(in crate::app) fn credentials(
    v: &mut Violations,
    username_at: &str,
    username: &str,
    token_at: &str,
    token: &SecretString,
) {
    if username.is_empty() || username.len() > 255 || username.contains(':') || username.chars().any(char::is_control) {
        v.add(username_at, "a user name has 1 to 255 characters and no colon");
    }
    let token = token.expose_secret();
    if token.is_empty() || token.len() > 16 * 1024 || token.chars().any(char::is_control) {
        v.add(token_at, "a token has 1 to 16384 characters on one line");
    }
}

/// Seals what is secret and gives what is stored.
pub(in crate::app) async fn seal(
    app: &App,
    tx: &impl ConnectionTrait,
    scope: &Scope,
    checked: Vec<Checked>,
) -> Result<Vec<ContainerDefinition>> {
    let mut containers = Vec::with_capacity(checked.len());
    for Checked { mut definition, env } in checked {
        definition.env = seal_env(app, tx, scope, env).await?;
        containers.push(definition);
    }
    Ok(containers)
}

/// Seals the values that are secret and gives what is stored.
pub(in crate::app) async fn seal_env(
    app: &App,
    tx: &impl ConnectionTrait,
    scope: &Scope,
    CheckedEnv(planned): CheckedEnv,
) -> Result<Vec<EnvEntry>> {
    let mut env = Vec::with_capacity(planned.len());
    for (name, planned) in planned {
        let value = match planned {
            Planned::As(value) => value,
            Planned::Seal(value) => EnvValue::Secret(secrets::store(app, tx, scope, &value).await?),
        };
        env.push(EnvEntry { name, value });
    }
    Ok(env)
}
