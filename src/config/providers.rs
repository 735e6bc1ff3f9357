//! `[docker_hub]` and `[github]`: where public providers answer.

use serde::Deserialize;

/// Docker Hub's three addresses.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerHub {
    /// Lists repositories and tags.
    pub api_url: String,
    /// Serves manifests.
    pub registry_url: String,
    /// Gives out tokens.
    pub auth_url: String,
}

/// GitHub's address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Github {
    /// The REST API.
    pub api_url: String,
}
