//! `[scan]`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::value::{self, Size};

/// Scanners.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// Tools of one scan that are at work side by side.
    pub tools_at_once: usize,
    /// What one run of a tool may write on the server beside its report.
    pub scratch: Size,
    /// By name.
    #[serde(default)]
    pub tools: BTreeMap<String, ScanTool>,
}

/// One scanner.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanTool {
    /// A ScanKind, as the contract spells it; checked by the scanner.
    pub kind: String,
    /// Runs in this image on the build runtime; none: as a process here.
    pub image: Option<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Files that it is given in the folder `{files}`: names and texts.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// What the report is written in.
    pub format: ReportFormat,
    /// For one scan.
    #[serde(default = "fifteen_minutes", deserialize_with = "value::duration")]
    pub timeout: Duration,
    /// Exit codes that mean it came to its end.
    #[serde(default = "zero")]
    pub ok_exit_codes: Vec<i32>,
    /// False: it is as if it weren't declared.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether it may reach the network.
    #[serde(default)]
    pub network: bool,
    /// Whether `{source}` comes with what the commit comes from, as a Git repository.
    #[serde(default)]
    pub history: bool,
    /// Cores at most.
    #[serde(default = "two")]
    pub cpu: f64,
    /// Memory at most.
    #[serde(default = "four_gibibytes")]
    pub memory: Size,
    /// Bytes of the report at most.
    #[serde(default = "half_a_gibibyte")]
    pub max_report_bytes: u64,
    /// Folders of the machine that it runs on which it may read: from, to.
    #[serde(default)]
    pub mounts: BTreeMap<String, String>,
}

/// Formats of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportFormat {
    /// SARIF 2.1.0.
    Sarif,
    /// CycloneDX in JSON.
    Cyclonedx,
    /// Trivy's own JSON.
    Trivy,
}

fn fifteen_minutes() -> Duration {
    Duration::from_secs(15 * 60)
}

fn zero() -> Vec<i32> {
    vec![0]
}

fn yes() -> bool {
    true
}

fn two() -> f64 {
    2.0
}

fn four_gibibytes() -> Size {
    Size(4 << 30)
}

fn half_a_gibibyte() -> u64 {
    512 << 20
}
