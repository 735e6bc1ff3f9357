//! `[runtimes]`.

use std::time::Duration;

use serde::Deserialize;

use super::value;

/// Runtimes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtimes {
    /// Who may register this machine's own engine.
    pub local_engine: LocalEngine,
    /// How often each runtime is checked.
    #[serde(deserialize_with = "value::duration")]
    pub check_every: Duration,
}

/// Who may register this machine's own engine, and so be root here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "true, false or a list of slugs is needed")]
pub enum LocalEngine {
    /// True: the bootstrap organization. False: nobody.
    Switch(bool),
    /// These organizations, by slug.
    Organizations(Vec<String>),
}

impl LocalEngine {
    /// Whether an organization may, given the bootstrap organization's slug.
    #[must_use]
    pub fn covers(&self, slug: &str, bootstrap: &str) -> bool {
        match self {
            Self::Switch(on) => *on && slug == bootstrap,
            Self::Organizations(slugs) => slugs.iter().any(|s| s == slug),
        }
    }
}
