//! Organizations that kiops.toml states: what is wrong with them, and bringing the database in line with them.
//!
//! Everything is one transaction, so that a server which is killed in it leaves nothing half done. Servers of one PostgreSQL
//! do it one after the other. Nobody else's server is asked in it: what was stored is tried afterwards, by [`look`].

mod apply;
mod check;
mod look;
mod round;

use entity::Role;

use crate::domain::git::Provider;
use crate::domain::secret::SecretString;

pub use super::registries::SaveRegistry;
pub use super::runtimes::{DockerInput, KubernetesInput, RegisterRuntime};

pub use apply::{Outcome, apply};
pub use check::faults;
pub use look::look;
pub(in crate::app) use round::{Home, Round};

/// An organization, as the file states it. Faults are told by the place in these lists: `organizations.0.users.1.email`.
#[derive(Clone)]
pub struct Organization {
    /// Which one.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Who belongs to it, at least.
    pub users: Vec<User>,
    /// Where it deploys to.
    pub runtimes: Vec<RegisterRuntime>,
    /// Its logins to image registries.
    pub registries: Vec<SaveRegistry>,
    /// Its Git providers.
    pub git: Vec<Git>,
}

/// Somebody of an organization.
#[derive(Clone)]
pub struct User {
    /// What they sign in with.
    pub email: String,
    /// Their name for people.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Their password; none: the account is there already, and keeps its own.
    pub password: Option<SecretString>,
}

/// Access to a Git provider.
#[derive(Clone)]
pub struct Git {
    /// Which provider.
    pub provider: Provider,
    /// Its address; none: the configuration's for GitHub.
    pub base_url: Option<String>,
    /// The token.
    pub token: SecretString,
}
