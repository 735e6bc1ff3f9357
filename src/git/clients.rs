//! Clients of both providers over the one outbound client.

use std::sync::Arc;

use url::Url;

use super::call::Shared;
use super::{GitAccess, GitError, GitProvider, GitProviders, base, github, gitlab};
use crate::domain::clock::Clock;
use crate::domain::git::Provider;
use crate::net::{Outbound, Trust};

/// The `[github]` section: the operator's own address, which passes no filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitClientSettings {
    /// `https://api.github.com`.
    pub github_api_url: String,
}

/// The providers that answer over the network. Clones share what is remembered.
#[derive(Clone)]
pub struct GitClients {
    shared: Shared,
    github: Url,
}

impl GitClients {
    /// Clients that speak to user-given addresses through the filter of `outbound`.
    ///
    /// # Errors
    /// A sentence that names the key of `[github]` at fault.
    pub fn new(outbound: Outbound, settings: &GitClientSettings, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let github = Url::parse(&settings.github_api_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or("github.api_url is not an address that begins with https:// or http://")?;
        Ok(Self { shared: Shared::new(outbound, clock), github })
    }
}

impl GitProviders for GitClients {
    fn base_url(&self, provider: Provider, typed: Option<&str>) -> Result<String, GitError> {
        let policy = self.shared.outbound().policy();
        base::normalise(provider, typed, &self.github, |authority| policy.is_plain_http(authority))
    }

    fn connect(&self, access: &GitAccess) -> Result<Arc<dyn GitProvider>, GitError> {
        let operators = access.trusted
            || (access.provider == Provider::Github && access.base_url == self.github.as_str().trim_end_matches('/'));
        let trust = if operators { Trust::Operator } else { Trust::User };
        Ok(match access.provider {
            Provider::Gitlab => Arc::new(gitlab::Gitlab::new(&self.shared, access, trust)?),
            Provider::Github => Arc::new(github::Github::new(&self.shared, access, trust)?),
        })
    }
}
