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
    /// Their password. Holds the file's content once loaded.
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
}

/// Where a Kubernetes cluster is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredKubernetes {
    /// A kubeconfig; its content is checked when it is used.
    pub kubeconfig_file: PathBuf,
    /// Which of its contexts; none: the current one.
    pub context: Option<String>,
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
