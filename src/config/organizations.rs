//! `[[organizations]]`: declared ones.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

/// An organization that the file states.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredOrganization {
    /// Its short name, unique in the file.
    pub slug: String,
    /// Its name to show.
    pub name: String,
    /// Its users.
    #[serde(default)]
    pub users: Vec<DeclaredUser>,
    /// Its runtimes.
    #[serde(default)]
    pub runtimes: Vec<DeclaredRuntime>,
    /// Its logins to image registries.
    #[serde(default)]
    pub registries: Vec<DeclaredRegistry>,
    /// Its Git providers.
    #[serde(default)]
    pub git: Vec<DeclaredGit>,
}

/// A user that the file states.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredUser {
    /// What they sign in with.
    pub email: String,
    /// Their name to show.
    pub name: String,
    /// What they may do.
    pub role: DeclaredRole,
    /// Their password; none: of an account that is there already, whose password stays. Holds the file's content once loaded.
    pub password: Option<SecretString>,
    /// Where the password is read from.
    pub password_file: Option<PathBuf>,
}

/// A role, as the contract spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeclaredRole {
    /// Sets the organization up.
    Admin,
    /// Uses it.
    Member,
}

/// A runtime that the file states: one of both kinds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredRuntime {
    /// Unique in the organization.
    pub name: String,
    /// A Docker engine.
    pub docker: Option<DeclaredDocker>,
    /// A Kubernetes cluster.
    pub kubernetes: Option<DeclaredKubernetes>,
}

/// Where a Docker engine is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredDocker {
    /// `unix://…` or `tcp://…`.
    pub host: String,
    /// PEM: the authority of the engine's certificate; all three of these, or none.
    pub tls_ca_file: Option<PathBuf>,
    /// PEM: our certificate.
    pub tls_cert_file: Option<PathBuf>,
    /// PEM: its private key.
    pub tls_key_file: Option<PathBuf>,
    /// What the three files hold, once loaded.
    #[serde(skip)]
    pub tls: DeclaredTls,
}

/// What the files of a TLS connection hold.
#[derive(Debug, Clone, Default)]
pub struct DeclaredTls {
    /// The authority.
    pub ca: Option<SecretString>,
    /// The certificate.
    pub cert: Option<SecretString>,
    /// The private key.
    pub key: Option<SecretString>,
}

/// Where a Kubernetes cluster is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredKubernetes {
    /// A kubeconfig.
    pub kubeconfig_file: PathBuf,
    /// What it holds, once loaded.
    #[serde(skip)]
    pub kubeconfig: Option<SecretString>,
    /// Which of its contexts; none: the current one.
    pub context: Option<String>,
    /// What ingresses use unless told otherwise; none: the cluster's default.
    pub ingress_class: Option<String>,
    /// What volumes use unless told otherwise; none: the cluster's default.
    pub storage_class: Option<String>,
    /// How a published port is reached; none: by a port of every node.
    pub exposure: Option<DeclaredExposure>,
}

/// How a published port is reached, as the contract spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeclaredExposure {
    /// By a port of every node.
    NodePort,
    /// By a load balancer of the cluster's provider.
    LoadBalancer,
}

/// A login to an image registry that the file states.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredRegistry {
    /// As image names write it: `docker.io`, `registry.example.com:5000`.
    pub host: String,
    /// The account.
    pub username: String,
    /// Password or access token. Holds the file's content once loaded.
    pub token: Option<SecretString>,
    /// Where the token is read from.
    pub token_file: Option<PathBuf>,
    /// Where builds go that name no repository; one registry of an organization has one at most.
    pub repository_prefix: Option<String>,
}

/// A Git provider that the file states.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredGit {
    /// Which one.
    pub provider: DeclaredProvider,
    /// Its address, where it is not the public one.
    pub base_url: Option<String>,
    /// Its token. Holds the file's content once loaded.
    pub token: Option<SecretString>,
    /// Where the token is read from.
    pub token_file: Option<PathBuf>,
}

/// A Git provider, as the contract spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeclaredProvider {
    /// GitLab.
    Gitlab,
    /// GitHub.
    Github,
}
