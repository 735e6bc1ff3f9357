//! Security scans: running a tool that `kiops.toml` declares, reading its report, and what a gate lets through.

pub mod gate;
pub mod report;
pub mod run;
pub mod words;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::scan::{ScanKind, Severity};

/// A tool as `scan.tools.NAME` of kiops.toml declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// NAME.
    pub name: String,
    /// What it looks for.
    pub kind: ScanKind,
    /// The image that it runs in, where builds run. None: it is a process on this server.
    pub image: Option<String>,
    /// Program and arguments, in which `{source}`, `{image}`, `{url}`, `{report}` and `{files}` are filled in.
    pub command: Vec<String>,
    /// Files that it is given in the folder `{files}`: names and texts, in which the same is filled in.
    pub files: Vec<(String, String)>,
    /// What its report is written in.
    pub format: Format,
    /// For one run.
    pub timeout: Duration,
    /// Exit codes that mean that it came to its end. A report must be there whatever the code.
    pub ok_exit_codes: Vec<i32>,
    /// Whether it reaches the network. A DAST tool reaches what it scans without it.
    pub network: bool,
    /// Whether the source that it looks at comes with its history, as a Git repository.
    pub history: bool,
    /// Cores at most.
    pub cpu: f64,
    /// Bytes of memory at most.
    pub memory: u64,
    /// Bytes of its report at most.
    pub max_report_bytes: u64,
    /// Folders of the machine that it runs on, mounted read-only: databases that are kept there. From, to.
    pub mounts: Vec<(String, String)>,
}

impl Tool {
    /// Whether its command or one of its files names a placeholder, like `source`.
    #[must_use]
    pub fn wants(&self, placeholder: &str) -> bool {
        let word = format!("{{{placeholder}}}");
        self.command.iter().chain(self.files.iter().map(|(_, text)| text)).any(|text| text.contains(&word))
    }
}

/// What a report is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// SARIF 2.1.0.
    Sarif,
    /// CycloneDX 1.4 to 1.6, JSON.
    Cyclonedx,
    /// Trivy's own JSON.
    Trivy,
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase", tag = "at")]
pub enum Place {
    /// In a file of the source.
    Code {
        /// Relative to the source's root, with `/`.
        path: String,
        /// From 1; none for the whole file.
        line: Option<u32>,
    },
    /// In a package that an image or a lock file names.
    Package {
        /// Its package URL, without qualifiers.
        purl: String,
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// The file that names it; none for the image as a whole.
        manifest: Option<String>,
    },
    /// At an address of a running service.
    Url {
        /// The address.
        url: String,
        /// The parameter at fault.
        parameter: Option<String>,
    },
    /// It says nothing of a place.
    Nowhere,
}

/// One thing that was found, the same however many tools report it and however far its line has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Says whether two are the same: HMAC-SHA-256 in hexadecimal over what
    /// [`report::identity`] says for its kind.
    pub identity: String,
    /// The advisory, like `CVE-2026-1234`, or the tool's rule.
    pub rule: String,
    /// Other names of the same advisory.
    pub aliases: BTreeSet<String>,
    /// In a line.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// More of it; at most 8 KiB. Shared, since a hundred thousand findings of a rule say the same.
    pub description: Option<Arc<str>>,
    /// The first version that has it no more.
    pub fixed_version: Option<String>,
    /// Where there is more to read: http or https.
    pub help_url: Option<String>,
    /// The tools that report it.
    pub detected_by: BTreeSet<String>,
}

/// What a tool is let at.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The folder of the source.
    pub source: Option<PathBuf>,
    /// The image: on an engine by that one's own id or by name, else `repository@sha256:…` or `repository:tag`.
    pub image: Option<String>,
    /// Where the service answers that is scanned while it runs.
    pub url: Option<String>,
}

/// Why a tool has no result. Messages are for people: no credentials, no payloads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The tool isn't there: no such program, no such image.
    #[error("{0}")]
    Missing(String),
    /// It crashed, was killed, ended with another code than it may, or wrote no report.
    #[error("{0}")]
    Failed(String),
    /// It was still going on when its time was over.
    #[error("{0}")]
    TimedOut(String),
    /// Its report can't be read: malformed, too large, not of the format that is declared.
    #[error("{0}")]
    Unreadable(String),
    /// It came to its end, and looked at nothing: no rule ran, or all that it was given was skipped.
    #[error("{0}")]
    LookedAtNothing(String),
    /// The engine does not answer: trying again is of use.
    #[error("{0}")]
    Unreachable(String),
}
