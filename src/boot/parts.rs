//! The concrete parts: clock, ids, clients.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use chrono::{DateTime, SubsecRound as _, Utc};
use rand::TryRngCore as _;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::app::Settings;
use crate::app::settings::{BuildProfile, Builds, LocalEngine};
use crate::builder::docker::DockerBuilders;
use crate::builder::kubernetes::ClusterBuilders;
use crate::builder::{Builder, BuilderConnection, BuilderError, Builders, ClusterPlace};
use crate::cluster::InCluster;
use crate::config::{self, Config};
use crate::domain::clock::{Clock, Ids};
use crate::domain::kubeconfig::ClusterAccess;
use crate::domain::paging::PageLimits;
use crate::domain::scan::ScanKind;
use crate::domain::spec::Spec;
use crate::git::{GitClientSettings, GitClients};
use crate::net::{Outbound, Policy, Timeouts};
use crate::registry::{RegistryClient, RegistrySettings};
use crate::runtime::docker::DockerRuntime;
use crate::runtime::kubernetes::KubernetesRuntime;
use crate::runtime::kubernetes::manifest::{self, shown};
use crate::runtime::{Runtime, RuntimeConnection, RuntimeError, Runtimes};
use crate::scanner::run::ToolRunner;
use crate::scanner::{Format, Tool};

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that is passed in")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(6)
    }
}

/// Ids and tokens from the system's random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "this is the source of ids that is passed in")]
    fn id(&self) -> String {
        uuid::Uuid::now_v7().to_string()
    }

    fn random(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut bytes).expect("the system's random source works");
        bytes
    }
}

/// One client for each connection, made when it is first needed.
#[derive(Default)]
pub struct Engines {
    clients: Mutex<HashMap<[u8; 32], Arc<dyn Runtime>>>,
    /// The cluster that this server is a pod of.
    around: Option<InCluster>,
}

/// What builds: Docker engines and clusters.
pub struct AllBuilders {
    docker: DockerBuilders,
    clusters: ClusterBuilders,
}

impl AllBuilders {
    /// Knows of no build yet.
    pub fn new(config: &Config) -> Self {
        Self { docker: DockerBuilders::default(), clusters: ClusterBuilders::new(around(config)) }
    }
}

impl Builders for AllBuilders {
    fn connect(&self, connection: &BuilderConnection) -> Result<Arc<dyn Builder>, BuilderError> {
        match connection {
            BuilderConnection::Engine(engine) => self.docker.connect(engine),
            BuilderConnection::Cluster(cluster) => self.clusters.connect(cluster),
        }
    }
}

/// Connections that are kept; beyond that all are made anew.
const KEPT: usize = 1_000;

impl Engines {
    /// No client yet, and what Kubernetes told this process.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { clients: Mutex::default(), around: around(config) }
    }

    fn make(&self, connection: &RuntimeConnection) -> Result<Arc<dyn Runtime>, RuntimeError> {
        Ok(match connection {
            RuntimeConnection::Docker(docker) => Arc::new(DockerRuntime::connect(docker)?),
            RuntimeConnection::Kubernetes(access) => {
                Arc::new(KubernetesRuntime::connect(access, self.around.as_ref())?)
            }
        })
    }
}

impl Runtimes for Engines {
    fn connect(&self, connection: &RuntimeConnection) -> Result<Arc<dyn Runtime>, RuntimeError> {
        let key = key_of(connection);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = self.make(connection)?;
        if clients.len() >= KEPT {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn manifests(&self, spec: &Spec, before: Option<&Spec>) -> String {
        shown(spec, before)
    }

    fn notices(&self, spec: &Spec) -> Vec<String> {
        manifest::warnings(spec)
    }
}

/// A connection as a key that tells nothing of its secrets.
fn key_of(connection: &RuntimeConnection) -> [u8; 32] {
    let parts: Vec<Option<&str>> = match connection {
        RuntimeConnection::Docker(docker) => {
            let tls = docker.tls.as_ref();
            let tls = tls.map(|t| [t.ca.as_str(), t.cert.as_str(), t.key.expose_secret()].map(Some));
            ["docker", docker.host.as_str()].map(Some).into_iter().chain(tls.into_iter().flatten()).collect()
        }
        RuntimeConnection::Kubernetes(ClusterAccess::InCluster) => vec![Some("in-cluster")],
        RuntimeConnection::Kubernetes(ClusterAccess::Login(login)) => vec![
            Some("kubernetes"),
            Some(&login.server),
            login.ca.as_deref(),
            login.tls_server_name.as_deref(),
            login.token.as_ref().map(|token| token.expose_secret()),
            login.certificate.as_ref().map(|(certificate, _)| certificate.as_str()),
            login.certificate.as_ref().map(|(_, key)| key.expose_secret()),
            login.namespace.as_deref(),
        ],
    };
    let mut hash = Sha256::new();
    for part in parts {
        // What is not there differs from what is empty, and no two parts run together.
        hash.update([u8::from(part.is_some())]);
        hash.update(part.unwrap_or_default().len().to_le_bytes());
        hash.update(part.unwrap_or_default());
    }
    hash.finalize().into()
}

/// The cluster that this server is a pod of.
fn around(config: &Config) -> Option<InCluster> {
    let around = config.surroundings.clone();
    around.map(|told| InCluster { host: told.host, port: told.port, folder: told.folder })
}

pub(super) fn outbound(config: &Config) -> anyhow::Result<Outbound> {
    let net = &config.net;
    let ca = net
        .ca_file
        .as_ref()
        .map(|path| std::fs::read_to_string(path).with_context(|| format!("net.ca_file {}", path.display())));
    let timeouts = Timeouts { connect: net.connect_timeout, request: net.request_timeout };
    let policy = Policy::new(&net.allow, &net.plain_http, ca.transpose()?.as_deref(), timeouts)
        .map_err(anyhow::Error::msg)?
        .with_own_port(Some(config.server.listen.port()));
    Ok(Outbound::new(policy)?)
}

pub(super) fn gits(config: &Config, outbound: Outbound) -> anyhow::Result<GitClients> {
    let settings = GitClientSettings { github_api_url: config.github.api_url.clone() };
    GitClients::new(outbound, &settings, Arc::new(SystemClock)).map_err(anyhow::Error::msg)
}

pub(super) fn registries(config: &Config, outbound: Outbound) -> anyhow::Result<RegistryClient> {
    let hub = RegistrySettings {
        hub_api_url: config.docker_hub.api_url.clone(),
        hub_registry_url: config.docker_hub.registry_url.clone(),
        hub_auth_url: config.docker_hub.auth_url.clone(),
    };
    let clock = Arc::new(|| SystemClock.now());
    RegistryClient::new(outbound, &hub, config.net.plain_http.clone(), clock).map_err(anyhow::Error::msg)
}

/// What runs tools has a folder of its own beside those of sources.
pub(super) fn scanners(config: &Config) -> anyhow::Result<ToolRunner> {
    let folder = config.build.work_dir.join("tools");
    let runner = ToolRunner::new(&folder).with_context(|| format!("the folder for scans, {}", folder.display()))?;
    Ok(runner.within(around(config)).with_most_scratch(config.scan.scratch.0))
}

pub(super) fn settings(config: &Config) -> anyhow::Result<Settings> {
    let profile = |(name, profile): (&String, &config::build::BuildProfile)| BuildProfile {
        name: name.clone(),
        cpu: profile.cpu,
        memory: profile.memory.to_string(),
        is_default: *name == config.build.default_profile,
    };
    Ok(Settings {
        session_ttl: config.auth.session_ttl,
        login_attempts_per_minute: config.auth.login_attempts_per_minute,
        bootstrap_organization: config.bootstrap.organization.clone(),
        local_engine: match &config.runtimes.local_engine {
            config::runtimes::LocalEngine::Switch(true) => LocalEngine::Bootstrap,
            config::runtimes::LocalEngine::Switch(false) => LocalEngine::Nobody,
            config::runtimes::LocalEngine::Organizations(slugs) => LocalEngine::Only(slugs.clone()),
        },
        mutation_timeout: config.limits.mutation_timeout,
        deploy_timeout: config.deploy.timeout,
        job_lease: config.jobs.lease,
        keep_revisions: config.deploy.keep_revisions,
        pages: PageLimits { default: config.limits.page_default, max: config.limits.page_max },
        log_page_max: config.limits.log_page_max,
        log_max_bytes: config.logs.max_bytes_per_run,
        log_retention: config.logs.retention,
        audit_retention: Some(config.audit.retention).filter(|kept| !kept.is_zero()),
        public_url: config.server.public_url.trim_end_matches('/').to_owned(),
        query_complexity: config.limits.query_complexity,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        builds: Builds {
            runtime: config.build.runtime.split_once('/').map(|(o, r)| (o.to_owned(), r.to_owned())),
            timeout: config.build.timeout,
            max_context_bytes: config.build.max_context_bytes,
            work_dir: config.build.work_dir.clone(),
            at_once: config.build.at_once,
            at_once_per_organization: config.build.at_once_per_organization,
            cluster: ClusterPlace {
                namespace: config.build.namespace.clone(),
                image: config.build.buildkit_image.clone(),
                disk: config.build.disk.0,
                plain_http: config.net.plain_http.clone(),
                platform: Some(config.build.platform.clone()).filter(|platform| !platform.is_empty()),
                scans: config.scan.tools.values().any(|tool| tool.enabled && tool.image.is_some()),
            },
        },
        build_profiles: config.build.profiles.iter().map(profile).collect(),
        tools_at_once: config.scan.tools_at_once.max(1),
        scanners: config.scan.tools.iter().filter(|(_, tool)| tool.enabled).map(tool).collect::<anyhow::Result<_>>()?,
    })
}

fn tool((name, tool): (&String, &config::scan::ScanTool)) -> anyhow::Result<Tool> {
    let kind =
        ScanKind::of_word(&tool.kind).with_context(|| format!("scan.tools.{name}.kind: there is no {}", tool.kind))?;
    Ok(Tool {
        name: name.clone(),
        kind,
        image: tool.image.clone(),
        command: tool.command.clone(),
        files: tool.files.iter().map(|(name, text)| (name.clone(), text.clone())).collect(),
        format: match tool.format {
            config::scan::ReportFormat::Sarif => Format::Sarif,
            config::scan::ReportFormat::Cyclonedx => Format::Cyclonedx,
            config::scan::ReportFormat::Trivy => Format::Trivy,
        },
        timeout: tool.timeout,
        ok_exit_codes: tool.ok_exit_codes.clone(),
        network: tool.network,
        cpu: tool.cpu,
        memory: tool.memory.0,
        history: tool.history,
        max_report_bytes: tool.max_report_bytes,
        mounts: tool.mounts.iter().map(|(from, to)| (from.clone(), to.clone())).collect(),
    })
}
