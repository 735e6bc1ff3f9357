//! What the wizard answers with.

use serde::Serialize;

use super::dockerfile::Dockerfile;

/// What was found in a source tree, and what is proposed. The contract's `BuildPlan`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildPlan {
    /// `node`, `python`, …; none when nothing is recognised.
    pub language: Option<String>,
    /// Such as `next` or `django`.
    pub framework: Option<String>,
    /// The version of the language's images.
    pub version: Option<String>,
    /// Such as `pnpm` or `poetry`.
    pub package_manager: Option<String>,
    /// What the container listens on, as far as conventions tell.
    pub port: Option<u16>,
    /// Why: the files that decided.
    pub evidence: Vec<String>,
    /// The Dockerfile that the wizard would build with.
    pub dockerfile: Option<String>,
    /// The .dockerignore beside it.
    pub dockerignore: Option<String>,
    /// Dockerfiles that are there; one of the root, then the first, wins over the wizard's.
    pub existing_dockerfiles: Vec<String>,
    /// Where to look when the root has nothing.
    pub subfolders: Vec<String>,
}

impl BuildPlan {
    /// The Dockerfile of the root, which wins over the wizard's.
    #[must_use]
    pub fn own_dockerfile(&self) -> Option<&str> {
        self.existing_dockerfiles.first().map(String::as_str).filter(|name| super::existing::WINNERS.contains(name))
    }
}

/// What a language's detector proposes for a root.
#[derive(Debug)]
pub(super) struct Proposal {
    pub language: &'static str,
    pub framework: Option<String>,
    pub version: Option<String>,
    pub package_manager: Option<&'static str>,
    pub port: Option<u16>,
    pub evidence: Vec<String>,
    /// All but the command.
    pub dockerfile: Dockerfile,
    /// How it is started; a Procfile's web process takes its place. None: as the base image does, and no Procfile
    /// can be obeyed, because nothing of the project runs.
    pub command: Option<Vec<String>>,
    /// What of this language does not belong into the build context.
    pub ignore: Vec<&'static str>,
}
