//! Names, labels, configuration hashes and container bodies: pure data made of a spec.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HostConfig, HostConfigLogConfig, Mount, MountType,
    NetworkingConfig, PortBinding, RestartPolicyNameEnum,
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use super::plan::{Attached, Observed, Role, Wanted};
use crate::domain::quantity;
use crate::domain::spec::{ContainerSpec, EnvValue, Strategy, Target};
use crate::runtime::RuntimeError;
use crate::runtime::labels::{self, CONTAINER, IMAGE, REVISION};

const HASH: &str = "kiops.dev/config-hash";
const PROOF: &str = "kiops.dev/proof";
const POSITION: &str = "kiops.dev/position";

/// The environment's network. The hash of the id keeps organizations apart whose services have one name.
#[must_use]
pub fn network_name(target: &Target) -> String {
    format!("{}-{}-{}", target.service, target.environment, short_hash(&target.environment_id))
}

/// A container's engine name in a role. Labels hold no dots, so that the suffix is unmistakable.
#[must_use]
pub fn container_name(target: &Target, container: &str, role: Role) -> String {
    let suffix = match role {
        Role::Main => "",
        Role::Candidate => ".candidate",
        Role::Replaced => ".replaced",
    };
    let (service, environment) = (&target.service, &target.environment);
    format!("{service}-{environment}-{container}-{}{suffix}", short_hash(&target.environment_id))
}

/// The volume of a container at a path.
#[must_use]
pub fn volume_name(target: &Target, container: &str, path: &str) -> String {
    format!("{}-{}", container_name(target, container, Role::Main), short_hash(path))
}

/// What decides whether a container has to be replaced. Secrets go in by their rows' ids; the host port and what
/// only Kubernetes looks at do not go in. Without a digest the engine's own image id tells images apart.
#[must_use]
pub fn config_hash(container: &ContainerSpec, image_id: &str) -> String {
    let image = match &container.digest {
        Some(digest) => digest.as_str(),
        None => image_id,
    };
    let paths: Vec<&str> = container.volumes.iter().map(|v| v.mount_path.as_str()).collect();
    let text = serde_json::json!([
        container.name,
        container.repository.to_string(),
        image,
        container.port,
        container.is_internal,
        container.env,
        paths,
        container.health,
        container.command,
        container.resources.cpu_limit,
        container.resources.memory_limit,
    ])
    .to_string();
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// What the plan has to know of a container of the spec.
#[must_use]
pub fn wanted(container: &ContainerSpec, image_id: &str, strategy: Strategy) -> Wanted {
    let is_published = container.port.is_some() && !container.is_internal;
    Wanted {
        container: container.name.clone(),
        hash: config_hash(container, image_id),
        is_published,
        host_port: container.host_port.filter(|_| is_published),
        has_volumes: !container.volumes.is_empty(),
        strategy,
    }
}

/// How a new container is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// Not at all.
    No,
    /// On any free port, for the time of a proof.
    Any,
    /// On this port.
    On(u16),
}

/// Everything that one container's body is made of.
pub struct Blueprint<'a> {
    /// Whose it is.
    pub target: &'a Target,
    /// The revision's number.
    pub revision: i32,
    /// Its place in the spec.
    pub position: usize,
    /// What it should be.
    pub container: &'a ContainerSpec,
    /// The reference that the engine holds the image by.
    pub image: &'a str,
    /// From [`config_hash`].
    pub hash: &'a str,
    /// What it is started as.
    pub role: Role,
    /// It never serves.
    pub is_proof: bool,
    /// Its host port.
    pub publish: Publish,
    /// The rollout's secrets.
    pub secrets: &'a BTreeMap<String, SecretString>,
}

/// The body that makes the container.
///
/// # Errors
/// When a secret's value or a quantity cannot be had.
pub fn body(plan: &Blueprint<'_>) -> Result<ContainerCreateBody, RuntimeError> {
    let container = plan.container;
    let limit = |text: &Option<String>, read: fn(&str) -> Result<u64, String>| match text {
        None => Ok(None),
        Some(text) => read(text).map(|n| i64::try_from(n).ok()).map_err(RuntimeError::Engine),
    };
    let cpu = limit(&container.resources.cpu_limit, quantity::cpu_millis)?;
    let memory = limit(&container.resources.memory_limit, quantity::bytes)?;
    let mut labels: HashMap<String, String> = labels::of(plan.target);
    let extra = [
        (REVISION, plan.revision.to_string()),
        (CONTAINER, container.name.clone()),
        (POSITION, plan.position.to_string()),
        (HASH, plan.hash.to_owned()),
        (IMAGE, format!("{}:{}", container.repository, container.tag)),
    ];
    labels.extend(extra.map(|(key, value)| (key.to_owned(), value)));
    if plan.is_proof {
        labels.insert(PROOF.to_owned(), "true".to_owned());
    }
    let port = container.port.map(|port| format!("{port}/tcp"));
    let host_port = match plan.publish {
        Publish::No => None,
        Publish::Any => Some(String::new()),
        Publish::On(port) => Some(port.to_string()),
    };
    let bindings = port.clone().zip(host_port).map(|(port, host_port)| {
        HashMap::from([(port, Some(vec![PortBinding { host_ip: None, host_port: Some(host_port) }]))])
    });
    let endpoint = EndpointSettings {
        aliases: (plan.role == Role::Main).then(|| vec![container.name.clone()]),
        ..Default::default()
    };
    Ok(ContainerCreateBody {
        hostname: Some(container.name.clone()),
        image: Some(plan.image.to_owned()),
        cmd: container.command.clone(),
        env: Some(environment(container, plan.secrets)?),
        labels: Some(labels),
        exposed_ports: port.map(|port| vec![port]),
        host_config: Some(HostConfig {
            nano_cpus: cpu.map(|millis| millis * 1_000_000),
            memory,
            network_mode: Some(network_name(plan.target)),
            port_bindings: bindings,
            mounts: Some(mounts(plan.target, container)),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            privileged: Some(false),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(
                    [("max-size", "10m"), ("max-file", "3")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
                ),
            }),
            ..Default::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network_name(plan.target), endpoint)])),
        }),
        ..Default::default()
    })
}

fn environment(
    container: &ContainerSpec,
    secrets: &BTreeMap<String, SecretString>,
) -> Result<Vec<String>, RuntimeError> {
    let value = |(name, value): (&String, &EnvValue)| match value {
        EnvValue::Plain(text) => Ok(format!("{name}={text}")),
        EnvValue::Secret(id) => match secrets.get(id) {
            Some(secret) => Ok(format!("{name}={}", secret.expose_secret())),
            None => Err(RuntimeError::Engine(format!(
                "the secret variable {name} of container {} has no value",
                container.name
            ))),
        },
    };
    container.env.iter().map(value).collect()
}

fn mounts(target: &Target, container: &ContainerSpec) -> Vec<Mount> {
    let mount = |path: &String| Mount {
        target: Some(path.clone()),
        source: Some(volume_name(target, &container.name, path)),
        typ: Some(MountType::VOLUME),
        ..Default::default()
    };
    container.volumes.iter().map(|volume| mount(&volume.mount_path)).collect()
}

/// Reads one of our containers; none when it is not in an environment of ours.
#[must_use]
pub fn observe(found: &ContainerInspectResponse) -> Option<Observed> {
    let labels = found.config.as_ref()?.labels.as_ref()?;
    let container = labels.get(CONTAINER)?.clone();
    let name = found.name.as_deref()?;
    let role = match name.rsplit_once('.') {
        Some((_, "candidate")) => Role::Candidate,
        Some((_, "replaced")) => Role::Replaced,
        _ => Role::Main,
    };
    let host = found.host_config.as_ref();
    let policy = host.and_then(|h| h.restart_policy.as_ref()).and_then(|p| p.name);
    // Another network than ours may have been added by hand; ours is the one that the container was made in.
    let network = host.and_then(|h| h.network_mode.as_ref());
    let endpoint = found
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref())
        .zip(network)
        .and_then(|(networks, name)| networks.get(name));
    let attached = match endpoint {
        None => Attached::No,
        Some(endpoint) if endpoint.aliases.iter().flatten().any(|alias| *alias == container) => Attached::Alias,
        Some(_) => Attached::Plain,
    };
    let host_port = host
        .and_then(|h| h.port_bindings.as_ref())
        .and_then(|ports| ports.values().flatten().flatten().next())
        .and_then(|binding| binding.host_port.as_ref()?.parse().ok())
        .filter(|port| *port != 0);
    Some(Observed {
        id: found.id.clone()?,
        role,
        revision: labels.get(REVISION).and_then(|text| text.parse().ok()).unwrap_or_default(),
        hash: labels.get(HASH).cloned().unwrap_or_default(),
        is_proof: labels.contains_key(PROOF),
        is_running: found.state.as_ref().and_then(|state| state.running).unwrap_or_default(),
        is_kept_up: policy == Some(RestartPolicyNameEnum::UNLESS_STOPPED),
        attached,
        host_port,
        has_volumes: host.and_then(|h| h.mounts.as_ref()).is_some_and(|mounts| !mounts.is_empty()),
        container,
    })
}

/// Where the container stood in the spec that made it.
#[must_use]
pub fn position(found: &ContainerInspectResponse) -> usize {
    let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
    labels.and_then(|labels| labels.get(POSITION)?.parse().ok()).unwrap_or(usize::MAX)
}

/// A port to try when the wanted one is taken: the same ones for each try of one container, and outside the range
/// that kernels give to outgoing connections, so that it can be had again after a restart.
#[must_use]
pub fn other_port(target: &Target, container: &str, attempt: u32) -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 10_000;
    let digest = Sha256::digest(container_name(target, container, Role::Main).as_bytes());
    let start = u32::from(digest[0]) << 8 | u32::from(digest[1]);
    u16::try_from(FIRST + (start + attempt * 37) % COUNT).unwrap_or(u16::MAX)
}

fn short_hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..5])
}
