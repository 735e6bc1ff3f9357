//! What kiops.toml offers.

use async_graphql::SimpleObject;

use super::enums::ScanKind;
use crate::app::settings::{self, Settings, Tool};

/// What kiops.toml offers and forms must show.
#[derive(SimpleObject)]
pub struct ServerInfo {
    /// This build's version.
    version: String,
    /// The limits that a build may ask for.
    build_profiles: Vec<BuildProfile>,
    /// The tools that scans run.
    scanners: Vec<Scanner>,
}

/// The limits of a build, by name.
#[derive(SimpleObject)]
pub struct BuildProfile {
    /// small, medium, large, …
    name: String,
    /// Cores.
    cpu: f64,
    /// As a Kubernetes quantity.
    memory: String,
    /// Taken where a service names none.
    is_default: bool,
}

/// A tool that scans.
#[derive(SimpleObject)]
pub struct Scanner {
    /// Its name in kiops.toml.
    name: String,
    /// What it looks for.
    kind: ScanKind,
}

impl From<&Settings> for ServerInfo {
    fn from(settings: &Settings) -> Self {
        Self {
            version: settings.version.clone(),
            build_profiles: settings.build_profiles.iter().map(BuildProfile::from).collect(),
            scanners: settings.scanners.iter().map(Scanner::from).collect(),
        }
    }
}

impl From<&settings::BuildProfile> for BuildProfile {
    fn from(profile: &settings::BuildProfile) -> Self {
        Self {
            name: profile.name.clone(),
            cpu: profile.cpu,
            memory: profile.memory.clone(),
            is_default: profile.is_default,
        }
    }
}

impl From<&Tool> for Scanner {
    fn from(scanner: &Tool) -> Self {
        Self { name: scanner.name.clone(), kind: scanner.kind.into() }
    }
}
